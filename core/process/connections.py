"""Whose connection it is: a connector that connects to the core is known by its socket, whatever it sends."""

from __future__ import annotations

import contextlib
import os
import sys
from enum import Enum
from pathlib import Path

import psutil

from core.process.sockets import Address, socket_between, sockets_in
from core.process.tree import descendants


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
    found = socket_between(client, server)
    if found is None or found.inode == "0":
        return Holder.BELOW
    inode, uid = found.inode, found.uid
    holder, hidden = _outside(inode)
    if holder is not None:
        return Holder.BELOW if is_below(holder) else Holder.OUTSIDE
    if uid != os.getuid():
        return Holder.STRANGER
    # Once more, each by itself: a process that began, or began to hide its descriptors, while we searched counts as
    # below when it descends from us.
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
    return descendants(os.getpid())


def _holds_elsewhere(pid: int, client: Address, server: Address) -> bool:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.Process(pid).net_connections(kind="tcp"):
            if connection.laddr and connection.raddr:
                ours, theirs = tuple(connection.laddr), tuple(connection.raddr)
                if (ours, theirs) == (client, server):
                    return True
    return False
