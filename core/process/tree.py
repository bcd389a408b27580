"""A child with everything it started: found, measured and ended as one.

A process is known by its pid together with the moment it began: a number alone may by now be somebody else's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Member:
    """One process of a tree, `mark` telling it from a later one of the same pid."""

    pid: int
    mark: str


def mark_of(pid: int) -> str | None:
    """When the process began, as text that no change of the clock alters; None when there is no such process."""
    try:
        if sys.platform.startswith("linux"):
            # The name in parentheses may hold blanks and parentheses; the 22nd field counts ticks since boot.
            return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
        return f"{psutil.Process(pid).create_time():.2f}"
    except (OSError, IndexError, psutil.Error):
        return None


def boot_id() -> str:
    """What distinguishes this run of the machine from the last one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def members(leader: Member) -> frozenset[Member]:
    """The process, its descendants, its process group and its session, as far as they live; none once it is gone."""
    found = frozenset(_marked({leader.pid, *_followers(leader.pid), *descendants(leader.pid)}))
    return found if leader in found else frozenset()


def descendants(pid: int) -> list[int]:
    """All that the process started and what they started, as far as they live; none where it is gone itself."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def alive(known: Iterable[Member]) -> frozenset[Member]:
    """Those that still run: neither gone, nor replaced, nor only waiting to be reaped."""
    return frozenset(m for m in known if mark_of(m.pid) == m.mark and not _is_zombie(m.pid))


def signal_all(known: Iterable[Member], number: int) -> None:
    """Send `number` to each that still is the process we knew."""
    for member in known:
        if mark_of(member.pid) == member.mark:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(member.pid, number)


def signal_group(leader: Member, number: int) -> None:
    """Send `number` to the process and the group it leads, if it still is the process we knew."""
    if sys.platform == "win32":
        signal_all(members(leader), number)
        return
    if mark_of(leader.pid) != leader.mark:
        return
    try:
        os.killpg(leader.pid, number)
    except (ProcessLookupError, PermissionError):
        signal_all([leader], number)


def left_behind(leader: Member) -> frozenset[Member]:
    """What lives in the group and session of a leader that is gone.

    The system gives no process a pid that still names a group or a session. So where another process has the
    leader's pid by now, nothing of them is left.
    """
    mark = mark_of(leader.pid)
    if mark is not None and mark != leader.mark:
        return frozenset()
    return frozenset(_marked(_followers(leader.pid)))


def kill(known: Iterable[Member]) -> frozenset[Member]:
    """Kill those that still run and all they started meanwhile; returns whom to look for afterwards."""
    left = alive(known)
    grown = left.union(*(members(m) for m in left))
    signal_all(grown, KILL)
    return grown


def usage(pid: int) -> tuple[int, float]:
    """Resident memory in bytes and processor seconds of the process and its descendants."""
    memory, cpu = 0, 0.0
    try:
        process = psutil.Process(pid)
        processes = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0, 0.0
    for each in processes:
        with contextlib.suppress(psutil.Error), each.oneshot():
            times = each.cpu_times()
            memory += each.memory_info().rss
            cpu += times.user + times.system
    return memory, cpu


def _followers(leader: int) -> set[int]:
    if sys.platform == "win32":
        return set()
    found = set()
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if leader in (os.getpgid(pid), os.getsid(pid)):
                found.add(pid)
    return found


def _marked(pids: Iterable[int]) -> Iterable[Member]:
    for pid in pids:
        mark = mark_of(pid)
        if mark is not None:
            yield Member(pid=pid, mark=mark)


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True
