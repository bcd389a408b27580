"""The core is killed with -9: what becomes of its children."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.process import tree
from core.process.orphans import ChildRoll
from core.process.tree import Member
from tests.process.yard import Yard, is_living, until

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def core_in_small(me: Path, way: str, *programs: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A driver process and the pids of everything it started."""
    command = [sys.executable, "-m", "tests.process.driver", str(me), way, *programs]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            pids = json.loads(driver.stdout.readline())
            pids += [p.pid for pid in pids for p in psutil.Process(pid).children(recursive=True)]
            yield driver, pids
        finally:
            driver.kill()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_core_killed_leaves_no_orphans(tmp_path: Path, way: str) -> None:
    """INV-05: end-of-file on stdin ends every child, in any language, its helpers, and the warm parent."""
    with core_in_small(tmp_path, way, "obedient", "exits_on_eof", "shell_minimal") as (driver, pids):
        driver.kill()
        asyncio.run(until(lambda: not any(is_living(pid) for pid in pids)))

        assert "in order" == (tmp_path / "exits-on-eof" / "ended.txt").read_text()


def test_the_warm_parent_ends_those_who_ignore_it(tmp_path: Path) -> None:
    """INV-05: a forked child that heeds neither end-of-file nor SIGTERM, and a stray grandchild, go all the same."""
    with core_in_small(tmp_path, "zygote", "deaf_to_sigterm", "ignores_eof", "forks") as (driver, pids):
        grandchild = int((tmp_path / "forks" / "grandchild.pid").read_text())
        driver.kill()
        asyncio.run(until(lambda: not any(is_living(pid) for pid in [*pids, grandchild]), within_s=15.0))


def test_orphans_are_ended_by_the_next_core(tmp_path: Path) -> None:
    """INV-05: what survived the kill of a core without a warm parent is recognised and ended at the next start."""

    async def next_core() -> list[bool]:
        before = [is_living(pid) for pid in pids]
        async with Yard(tmp_path, zygote=None):
            return before + [is_living(pid) for pid in pids]

    with core_in_small(tmp_path, "plain", "deaf_to_sigterm") as (driver, pids):
        driver.kill()
        driver.wait()
        seen = asyncio.run(next_core())

    assert [True, False] == seen


def test_what_an_orphan_left_behind_is_ended_too(tmp_path: Path) -> None:
    """A child that went down with its core leaves a helper in its group: the next core ends that."""

    async def next_core() -> list[bool]:
        before = [is_living(pid) for pid in helpers]
        async with Yard(tmp_path, zygote=None):
            return before + [is_living(pid) for pid in helpers]

    with core_in_small(tmp_path, "plain", "shell_minimal") as (driver, pids):
        asyncio.run(until(lambda: psutil.Process(pids[0]).children()))
        helpers = [child.pid for child in psutil.Process(pids[0]).children()]
        driver.send_signal(signal.SIGSTOP)
        os.kill(pids[0], signal.SIGKILL)
        driver.kill()
        driver.wait()
        seen = asyncio.run(next_core())

    assert [True, False] == seen


def test_a_stranger_with_a_known_number_is_spared(tmp_path: Path) -> None:
    """A process that merely bears a listed pid, or is of another boot of the machine, is left alone."""
    path = tmp_path / "run" / "children.json"
    with subprocess.Popen(["sleep", "60"]) as stranger:
        roll = ChildRoll(path)
        roll.enter("github", Member(stranger.pid, "another moment"))
        ended = [ChildRoll(path).end_orphans()]
        roll.enter("github", Member(stranger.pid, str(tree.mark_of(stranger.pid))))
        document = json.loads(path.read_text())
        path.write_text(json.dumps({**document, "boot": "another boot"}))
        ended.append(ChildRoll(path).end_orphans())
        was_spared = stranger.poll() is None
        path.write_text(json.dumps(document))
        ended.append(ChildRoll(path).end_orphans())

        assert [[], [], ["github"]] == ended
        assert was_spared
        assert -signal.SIGTERM == stranger.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"boot": 1}', '{"boot": "x", "children": 7}'])
def test_a_damaged_roll_stops_nothing(tmp_path: Path, content: str) -> None:
    """A roll that cannot be read is replaced; no child is better than no core."""
    path = tmp_path / "run" / "children.json"
    path.parent.mkdir()
    path.write_text(content.replace('"x"', json.dumps(tree.boot_id())))
    ended = ChildRoll(path).end_orphans()

    assert [] == ended
    assert {"boot": tree.boot_id(), "children": []} == json.loads(path.read_text())


def test_the_roll_lists_who_is_living(tmp_path: Path) -> None:
    """Each living child stands there with the moment it began, in a file closed to others; each dead one does not."""
    path = tmp_path / "run" / "children.json"
    roll = ChildRoll(path)
    roll.enter("github", Member(11, "a"))
    roll.enter("feeds", Member(22, "b"))
    roll.strike(11)
    roll.strike(33)

    assert [{"began": "b", "pid": 22, "service": "feeds"}] == json.loads(path.read_text())["children"]
    assert (0o600, 0o700) == (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777)
