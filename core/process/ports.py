"""Which process listens on a port: a child may only announce one that its own process tree owns."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
# Local addresses, as the kernel writes them, at which a connection to 127.0.0.1 can arrive.
_REACHED_V4 = (b"0100007F", b"00000000")
_REACHED_V6 = (b"0" * 32, b"0000000000000000FFFF00000100007F")
_REACHED = ("127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1")


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
    """The inodes of the sockets that listen on `port`, in the network that `pid` sees."""
    found: set[str] = set()
    for table, addresses in (("tcp", _REACHED_V4), ("tcp6", _REACHED_V6)):
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_bytes()
        except OSError:
            continue
        pattern = rb" (?:%s):%04X [0-9A-F]+:0000 0A " % (b"|".join(addresses), port)
        for match in re.finditer(pattern, rows):
            found.add(_inode(rows, match.start()))
    return frozenset(found)


def _inode(rows: bytes, start: int) -> str:
    # local, remote, state, queues, timer, retransmits, uid, timeout, inode
    end = rows.find(b"\n", start)
    return rows[start : end if end >= 0 else len(rows)].split()[8].decode("ascii")


def _sockets_of(pid: int, wanted: frozenset[str]) -> frozenset[str]:
    """Those of `wanted` that the process holds; its descendants are only looked at for what is missing."""
    held = _held(pid) & wanted
    if held == wanted:
        return held
    for descendant in _descendants(pid):
        held |= _held(descendant) & wanted
    return held


def _held(pid: int) -> frozenset[str]:
    found = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                match = _SOCKET.fullmatch(os.readlink(entry.path))  # noqa: PTH115  (thousands of them, in a hurry)
                if match:
                    found.add(match[1])
    return frozenset(found)


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
