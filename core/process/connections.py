"""Whose connection it is: a connector that connects to the core is known by its socket, whatever it sends."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from enum import Enum
from pathlib import Path

import psutil

from core.process.ports import sockets_in

Address = tuple[str, int]

# linux/inet_diag.h: one socket is asked for by its two ends.
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLM_F_REQUEST, _NLMSG_ERROR = 0x1, 2
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBBI2s2s16s16sIII")
_NO_COOKIE = 0xFFFFFFFF
_ALL_STATES = 0xFFFFFFFF
_UID_AND_INODE = struct.Struct("=64xII")
_ANSWER_BYTES = 64 * 1024


class Holder(Enum):
    """Who holds the client's end of a connection to the core."""

    OUTSIDE = "a program that is not below the core, and was seen with it"
    UNSEEN = "nobody who was seen, though a program of this user's may have it that hides what it holds"
    STRANGER = "nobody who was seen, and another user opened it"
    BELOW = "a process below the core, or one that cannot be told from it"


def holder_of(client: Address, server: Address) -> Holder:
    """Who holds the client's end of a connection to the core. Blocks for some ms.

    `client` and `server` are the ends as the server sees them. It is taken for one from below unless it is found in
    a process that is not: a socket can be hidden, on its way from one process to another or in a thread's own table.
    """
    if not sys.platform.startswith("linux"):
        is_known = any(_holds_elsewhere(pid, client, server) for pid in _descendants())
        return Holder.BELOW if is_known else Holder.OUTSIDE
    found = _end(client, server)
    if found is None:
        return Holder.BELOW
    inode, uid = found
    holder, hidden = _outside(inode)
    if holder is not None:
        return Holder.BELOW if is_below(holder) else Holder.OUTSIDE
    if uid != os.getuid():
        return Holder.STRANGER
    # Asked once more, of each alone: whoever was born or was hidden during the search is judged by where it stands.
    if any(_may_hold(pid, inode) for pid in _descendants()) or any(map(is_below, hidden)):
        return Holder.BELOW
    return Holder.UNSEEN if hidden else Holder.BELOW


def _outside(inode: str) -> tuple[int | None, list[int]]:
    """A process not known to be below that holds the socket, and those of this user that cannot be looked into."""
    below, hidden = frozenset(_descendants()), []
    for pid in psutil.pids():
        if pid in below:
            continue
        held = sockets_in(Path(f"/proc/{pid}/fd"))
        if held is None and _is_ours(pid) and _is_alive(pid):
            hidden.append(pid)
        elif held is not None and inode in held:
            return pid, hidden
    return None, hidden


def is_below(pid: int) -> bool:
    """Whether a process descends, however indirectly, from this one; one that cannot be traced counts as below."""
    try:
        # A parent that ends meanwhile ends the chain: only one that leads to the first process of all is whole.
        chain = psutil.Process(pid).parents()
        return not chain or chain[-1].ppid() != 0 or any(parent.pid == os.getpid() for parent in chain)
    except psutil.Error:
        return True


def _may_hold(pid: int, inode: str) -> bool:
    """Whether any thread of a process holds the socket, or keeps us from seeing what it holds.

    One that is gone by now may have handed it on.
    """
    try:
        tables = [sockets_in(thread / "fd") for thread in _living(pid)]
    except OSError:
        return True
    return any(table is None or inode in table for table in tables)


def _is_alive(pid: int) -> bool:
    try:
        return bool(_living(pid))
    except OSError:
        return False


def _living(pid: int) -> list[Path]:
    """The threads of a process but for those that ended and wait to be reaped: they hold nothing, and hide that."""
    return [thread for thread in Path(f"/proc/{pid}/task").iterdir() if not _has_ended(thread)]


def _has_ended(thread: Path) -> bool:
    try:
        # The name stands in brackets and may hold anything, brackets too.
        return (thread / "stat").read_text().rpartition(") ")[2][:1] in ("Z", "X")
    except OSError:
        return True


def _is_ours(pid: int) -> bool:
    with contextlib.suppress(OSError, psutil.Error):  # One that ended meanwhile is nobody's.
        return Path(f"/proc/{pid}").stat().st_uid == os.getuid() or os.getuid() in psutil.Process(pid).uids()
    return False


def _descendants() -> list[int]:
    with contextlib.suppress(psutil.Error):
        return [child.pid for child in psutil.Process().children(recursive=True)]
    return []


def _end(client: Address, server: Address) -> tuple[str, int] | None:
    """The inode of the client's socket and who opened it; None when there is none, or none that is held."""
    try:
        return _diagnosed(client, server)
    except (OSError, struct.error):
        return _tabled(client, server)


def _diagnosed(client: Address, server: Address) -> tuple[str, int] | None:
    family = _family(client)
    ends = [_port(client), _port(server), _packed(client, family), _packed(server, family)]
    question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES, *ends, 0, _NO_COOKIE, _NO_COOKIE)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as line:
        line.settimeout(1.0)
        size = _HEADER.size + len(question)
        line.sendto(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + question, (0, 0))
        data = line.recv(_ANSWER_BYTES)
    if _HEADER.unpack_from(data)[1] == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", data, _HEADER.size)[0]
        if number == 2:  # No such socket.
            return None
        raise OSError(number, os.strerror(number))
    uid, inode = _UID_AND_INODE.unpack_from(data, _HEADER.size)
    return (str(inode), uid) if inode else None


def _tabled(client: Address, server: Address) -> tuple[str, int] | None:
    """The same from the table under /proc, for a kernel that has no socket diagnosis."""
    family = _family(client)
    ends = [f"{_shown(_packed(end, family), family)}:{end[1]:04X}" for end in (client, server)]
    with contextlib.suppress(OSError):
        table = Path("/proc/self/net/tcp6" if family == socket.AF_INET6 else "/proc/self/net/tcp")
        for row in table.read_text().splitlines():
            fields = row.split()
            if fields[1:3] == ends and fields[9] != "0":
                return fields[9], int(fields[7])
    return None


def _family(end: Address) -> int:
    return socket.AF_INET6 if ":" in end[0] else socket.AF_INET


def _port(end: Address) -> bytes:
    return end[1].to_bytes(2, "big")


def _packed(end: Address, family: int) -> bytes:
    return socket.inet_pton(family, end[0])


def _shown(address: bytes, family: int) -> str:
    """An address as the table has it: words in the machine's own order, in hex."""
    words = range(0, 16 if family == socket.AF_INET6 else 4, 4)
    return "".join(f"{int.from_bytes(address[at : at + 4], sys.byteorder):08X}" for at in words)


def _holds_elsewhere(pid: int, client: Address, server: Address) -> bool:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.Process(pid).net_connections(kind="tcp"):
            if connection.laddr and connection.raddr:
                ours, theirs = tuple(connection.laddr), tuple(connection.raddr)
                if (ours, theirs) == (client, server):
                    return True
    return False
