"""Finding, recognising and ending a process with all it started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

from core.process import tree
from core.process.tree import Member
from tests.process.yard import is_living, until

FAMILY = (
    "import os, sys, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        time.sleep(60)\n"
    "    time.sleep(60)\n"
    "print('up', flush=True)\n"
    "time.sleep(60)\n"
)


def member(pid: int) -> Member:
    """The process that bears this number at the moment."""
    return Member(pid, str(tree.mark_of(pid)))


def test_a_mark_tells_processes_of_one_number_apart() -> None:
    """It is the same each time one asks, differs between processes, and is none for nobody."""
    with subprocess.Popen(["sleep", "60"]) as process:
        mark = tree.mark_of(process.pid)
        time.sleep(0.02)
        with subprocess.Popen(["sleep", "60"]) as later:
            marks = (tree.mark_of(process.pid), tree.mark_of(later.pid))
            later.kill()
        process.kill()
        process.wait()

        assert mark == marks[0] != marks[1]
        assert tree.mark_of(process.pid) is None


def test_members_are_found_and_ended() -> None:
    """Descendants in sessions of their own included; a second look finds nobody alive."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        leader = member(process.pid)
        asyncio.run(until(lambda: len(tree.members(leader)) == 3))
        known = tree.members(leader)
        left = tree.kill(known)
        process.wait()
        asyncio.run(until(lambda: not tree.alive(left)))

        assert 3 == len(known) == len(left)
        assert frozenset() == tree.members(leader)


def test_a_stranger_is_not_signalled() -> None:
    """A member whose mark does not fit is somebody else."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        wrong = frozenset({Member(stranger.pid, "another moment")})
        tree.signal_all(wrong, signal.SIGKILL)
        tree.signal_group(next(iter(wrong)), signal.SIGKILL)
        tree.kill(wrong)
        alive = (tree.alive(wrong), is_living(stranger.pid))
        stranger.kill()

        assert (frozenset(), True) == alive


def test_what_a_leader_left_behind() -> None:
    """The rest of a dead leader's group is known by its number, unless that number is a stranger's by now."""
    code = "import os, time\nif os.fork() == 0:\n    time.sleep(60)\nprint('up', flush=True)\ntime.sleep(60)\n"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        leader = member(process.pid)
        process.kill()
        process.wait()
        left = tree.left_behind(leader)
        tree.kill(left)
        ours = Member(os.getpid(), "another moment")

        assert 1 == len(left) and process.pid not in {member.pid for member in left}
        assert frozenset() == tree.left_behind(ours)


def test_usage_counts_the_whole_tree() -> None:
    """Memory and time of all; nothing for a process that is gone."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        memory, cpu_s = tree.usage(process.pid)
        tree.kill(tree.members(member(process.pid)))
        process.wait()

        assert memory > 1024 * 1024 and cpu_s >= 0.0
        assert (0, 0.0) == tree.usage(process.pid)
