"""Which process listens on a port: a child may only announce one that its own process tree owns."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"
# Local addresses at which a connection to 127.0.0.1 can arrive.
_REACHED = ("127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1")

# The kernel's socket diagnosis (linux/inet_diag.h): only listening sockets are asked for, which takes microseconds,
# where /proc/net/tcp walks the table of all connections.
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLM_F_REQUEST, _NLM_F_DUMP, _NLMSG_ERROR, _NLMSG_DONE = 0x1, 0x300, 2, 3
_LISTEN_ONLY = 1 << 10
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBBI48s")
_SOCKET_ROW = struct.Struct("=4x2s2x16s28x16xI")
_ANSWER_BYTES, _ANSWERS_MAX = 256 * 1024, 64
_TABLES = (("tcp", socket.AF_INET, 4), ("tcp6", socket.AF_INET6, 16))


def suggested_port() -> int:
    """A port that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def owns_port(pid: int, port: int) -> bool:
    """Whether whatever answers at 127.0.0.1:`port` belongs to the tree of `pid`, and nothing else listens there too."""
    if sys.platform.startswith("linux"):
        sockets = _listening(pid, port)
        return bool(sockets) and sockets <= _sockets_of(pid, sockets)
    return _owns_elsewhere(pid, port)


def _listening(pid: int, port: int) -> frozenset[str]:
    """The inodes of the sockets that listen on `port` where a connection to 127.0.0.1 arrives."""
    try:
        return _diagnosed(port)
    except (OSError, struct.error):
        return _tabled(pid, port)


def _diagnosed(port: int) -> frozenset[str]:
    found = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as line:
        line.settimeout(1.0)
        for _, family, address_bytes in _TABLES:
            question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, _LISTEN_ONLY, bytes(48))
            size = _HEADER.size + len(question)
            flags = _NLM_F_REQUEST | _NLM_F_DUMP
            line.sendto(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, flags, 0, 0) + question, (0, 0))
            for row in _answers(line):
                row_port, address, inode = _SOCKET_ROW.unpack_from(row)
                is_port = int.from_bytes(row_port, "big") == port
                if is_port and socket.inet_ntop(family, address[:address_bytes]) in _REACHED:
                    found.add(str(inode))
    return frozenset(found)


def _answers(line: socket.socket) -> Iterator[bytes]:
    """The rows of one answer, which ends with a message that says so; raises OSError when there is none."""
    for _ in range(_ANSWERS_MAX):
        data = line.recv(_ANSWER_BYTES)
        while len(data) >= _HEADER.size:
            size, kind, *_ = _HEADER.unpack_from(data)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR or size < _HEADER.size:
                raise OSError("the kernel does not answer questions about sockets")
            yield data[_HEADER.size : size]
            data = data[(size + 3) & ~3 :]
    raise OSError("too many sockets listen")


def _tabled(pid: int, port: int) -> frozenset[str]:
    """The same from the tables under /proc, for a kernel that has no socket diagnosis."""
    found = set()
    for table, family, _ in _TABLES:
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            # number, local, remote, state, queues, timer, retransmits, uid, timeout, inode
            fields = row.split()
            address, _, local_port = fields[1].partition(":")
            is_listening = fields[3] == "0A" and int(local_port, 16) == port
            if is_listening and socket.inet_ntop(family, _address_of(address)) in _REACHED:
                found.add(fields[9])
    return frozenset(found)


def _address_of(text: str) -> bytes:
    """The address in network order: the table shows it as words in the machine's own."""
    words = struct.iter_unpack(">I", bytes.fromhex(text))
    return b"".join(word.to_bytes(4, sys.byteorder) for (word,) in words)


def _sockets_of(pid: int, wanted: frozenset[str]) -> frozenset[str]:
    """Those of `wanted` that the process holds; its descendants are only looked at for what is missing."""
    held = _held(pid) & wanted
    if held == wanted:
        return held
    for descendant in _descendants(pid):
        held |= _held(descendant) & wanted
    return held


def sockets_in(folder: Path) -> frozenset[str] | None:
    """The inodes of the sockets in a table of descriptors; None where it may not be looked into."""
    found = set()
    try:
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                target = os.readlink(entry.path)  # noqa: PTH115  (thousands of them, in a hurry)
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    except PermissionError:
        return None
    except OSError:
        return frozenset()
    return frozenset(found)


def _held(pid: int) -> frozenset[str]:
    return sockets_in(Path(f"/proc/{pid}/fd")) or frozenset()


def _descendants(pid: int) -> Iterable[int]:
    with contextlib.suppress(psutil.Error):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


def _owns_elsewhere(pid: int, port: int) -> bool:
    for each in (pid, *_descendants(pid)):
        with contextlib.suppress(psutil.Error):
            for connection in psutil.Process(each).net_connections(kind="tcp"):
                is_listening = connection.status == psutil.CONN_LISTEN
                if is_listening and connection.laddr.port == port and connection.laddr.ip in _REACHED:
                    return True
    return False
