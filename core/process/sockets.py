"""TCP sockets as Linux tells of them: by its socket diagnosis, by the tables under /proc, and who holds which.

The diagnosis (sock_diag(7), linux/inet_diag.h) takes microseconds, where a table is made of all connections; it is
left out of some kernels.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

Address = tuple[str, int]

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLM_F_REQUEST, _NLM_F_DUMP, _NLMSG_ERROR, _NLMSG_DONE = 0x1, 0x300, 2, 3
_LISTEN, _ALL_STATES = 10, 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBBI48s")
_BETWEEN = struct.Struct("=2s2s16s16sIII")
# Family, state, both ports, both addresses, user, inode.
_ROW = struct.Struct("=BB2x2s2s16s16s12x12xII")
_ANSWER_BYTES, _ANSWERS_MAX = 256 * 1024, 64
_ANSWER_S_MAX = 1.0
_MAPPED = bytes(10) + b"\xff\xff"


class TcpSocket(NamedTuple):
    """One socket; `uid` is who opened it, `inode` what a process's descriptors name it by, "0" where none has it."""

    local: Address
    remote: Address
    is_listening: bool
    uid: int
    inode: str


def listening_sockets(pid: int) -> list[TcpSocket]:
    """Every socket that listens in the network that the process is in."""
    try:
        families = (socket.AF_INET, socket.AF_INET6)
        return [row for family in families for row in _asked(family, states=1 << _LISTEN, between=bytes(48))]
    except OSError:
        return [row for row in tabled(pid) if row.is_listening]


def socket_between(local: Address, remote: Address) -> TcpSocket | None:
    """The socket with these two ends, or None; a connection within this machine has one for either end."""
    try:
        return diagnosed(local, remote)
    except OSError:
        return next((row for row in tabled(os.getpid()) if (row.local, row.remote) == (local, remote)), None)


def diagnosed(local: Address, remote: Address) -> TcpSocket | None:
    """The same from the kernel's diagnosis alone; raises OSError where it has none."""
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    ports = [end[1].to_bytes(2, "big") for end in (local, remote)]
    addresses = [socket.inet_pton(family, end[0]) for end in (local, remote)]
    between = _BETWEEN.pack(*ports, *addresses, 0, _NO_COOKIE, _NO_COOKIE)
    with contextlib.closing(_asked(family, states=_ALL_STATES, between=between, is_dump=False)) as rows:
        try:
            found = next(rows)
        except FileNotFoundError:
            return None
    # Where no connection has these ends, the kernel answers with what listens at the first.
    return None if found.is_listening else found


def tabled(pid: int) -> Iterator[TcpSocket]:
    """Every socket of the network that the process is in, from the tables under /proc."""
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            rows = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            # Number, local, remote, state, queues, timer, retransmits, uid, timeout, inode.
            fields = row.split()
            local, remote = _end(family, fields[1]), _end(family, fields[2])
            yield TcpSocket(local, remote, int(fields[3], 16) == _LISTEN, int(fields[7]), fields[9])


def sockets_in(folder: Path) -> frozenset[str] | None:
    """The inodes of the sockets in a table of descriptors, `/proc/<pid>/fd`; None where it may not be looked into."""
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


def _asked(family: int, *, states: int, between: bytes, is_dump: bool = True) -> Generator[TcpSocket, None, None]:
    """The kernel's answer to one question; raises OSError, for a socket that is not there FileNotFoundError."""
    question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, states, between)
    flags = _NLM_F_REQUEST | _NLM_F_DUMP if is_dump else _NLM_F_REQUEST
    header = _HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, flags, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as line:
        line.settimeout(_ANSWER_S_MAX)
        line.sendto(header + question, (0, 0))
        for _ in range(_ANSWERS_MAX):
            data = line.recv(_ANSWER_BYTES)
            while len(data) >= _HEADER.size:
                size, kind, *_ = _HEADER.unpack_from(data)
                if kind == _NLMSG_DONE:
                    return
                yield _row_of(data[_HEADER.size : size], is_error=kind == _NLMSG_ERROR)
                data = data[(size + 3) & ~3 :]
    raise OSError(errno.E2BIG, "too many sockets listen")


def _row_of(content: bytes, *, is_error: bool) -> TcpSocket:
    if is_error:
        number = -struct.unpack_from("=i", content)[0]
        raise OSError(number, os.strerror(number))
    if len(content) < _ROW.size:
        raise OSError(errno.EPROTO, "the kernel's answer about sockets is cut off")
    family, state, from_port, to_port, source, target, uid, inode = _ROW.unpack_from(content)
    local = (_written(family, source), int.from_bytes(from_port, "big"))
    remote = (_written(family, target), int.from_bytes(to_port, "big"))
    return TcpSocket(local, remote, state == _LISTEN, uid, str(inode))


def _written(family: int, address: bytes) -> str:
    """An address as text; one of IPv4 that a socket for both families has, as one of IPv4."""
    if family == socket.AF_INET6 and not address.startswith(_MAPPED):
        return socket.inet_ntop(family, address)
    return socket.inet_ntop(socket.AF_INET, address.removeprefix(_MAPPED)[:4])


def _end(family: int, text: str) -> Address:
    """An end as a table has it: the address as words in the machine's own order, and the port, both in hex."""
    address, _, port = text.partition(":")
    words = struct.iter_unpack(">I", bytes.fromhex(address))
    packed = b"".join(word.to_bytes(4, sys.byteorder) for (word,) in words)
    return _written(family, packed), int(port, 16)
