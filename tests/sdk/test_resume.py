"""Stopping a run anywhere: nothing is lost and nothing comes twice (INV-02)."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from connectors.sdk.testing import Child, FakeCore

COUNT = 3000


def _check_whole(child: Child, count: int) -> None:
    keys = [fact["key"] for fact in child.facts()]

    assert [str(n) for n in range(count)] == keys
    assert {str(n) for n in range(count)} == set(child.records("number"))


@pytest.mark.parametrize("seed", range(4))
def test_kill_between_cursor_and_data(core: FakeCore, connectors: Path, seed: int) -> None:
    """kill -9 at any moment of a run: the next runs complete it, no row lost, none doubled. INV-02."""
    dice = random.Random(seed)
    settings = {"count": COUNT, "page": dice.choice([37, 100, 700])}
    for _ in range(4):
        child = core.start(connectors / "counter", settings=settings)
        child.post("/sync")
        time.sleep(dice.uniform(0.0, 0.25))
        child.kill()
    child = core.start(connectors / "counter", settings=settings)
    child.sync()

    _check_whole(child, COUNT)


def test_a_stop_in_the_middle_commits_what_is_complete(core: FakeCore, connectors: Path) -> None:
    """An orderly stop ends within two seconds, keeps whole pages, and the next run goes on from there."""
    settings = {"count": COUNT, "page": 100, "pause_s": 0.05}
    child = core.start(connectors / "counter", settings=settings)
    child.post("/sync")
    core.wait_for(lambda: core.asked("committed"))
    started = time.monotonic()
    child.stop()
    took_s = time.monotonic() - started
    child = core.start(connectors / "counter", settings={**settings, "pause_s": 0})
    before = len(child.facts())
    child.sync()

    assert took_s < 2.5
    assert 0 < before < COUNT
    assert 0 == before % 100
    _check_whole(child, COUNT)


def test_a_stopped_run_is_asked_for_again_soon(core: FakeCore, connectors: Path) -> None:
    """The core hears of the next time while the child ends."""
    child = core.start(connectors / "counter", settings={"count": COUNT, "page": 100, "pause_s": 0.05})
    child.post("/sync")
    core.wait_for(lambda: core.asked("committed"))
    child.stop()

    assert core.asked("at")[-1]["at"] - time.time() < 10


def test_a_source_that_never_answers_does_not_keep_the_process(core: FakeCore, connectors: Path) -> None:
    """The stop has a deadline: a run that does not come back ends with the process."""
    child = core.start(connectors / "puppet", settings={"script": {"first": [[["pause", 0], ["stuck"]]]}})
    child.post("/sync/first")
    core.wait_for(lambda: core.asked("hold"))
    started = time.monotonic()

    assert 0 == child.stop()
    assert time.monotonic() - started < 3


def _last_run(child: Child) -> dict[str, Any]:
    run = child.get("/status").json()["streams"]["number"]["run"]
    return dict(run)


def test_a_stopped_run_says_that_it_was_broken_off(core: FakeCore, connectors: Path) -> None:
    """The book has the reason and what helps, and so has the log."""
    child = core.start(connectors / "counter", settings={"count": COUNT, "page": 100, "pause_s": 0.05})
    child.post("/sync")
    core.wait_for(lambda: core.asked("committed"))
    child.stop()
    logged = [line for line in child.log if "stopped before the sync was through" in line]
    run = _last_run(core.start(connectors / "counter", settings={"count": COUNT}))

    assert ("partial", "interrupted") == (run["status"], run["problem"]["type"])
    assert 1 == len(logged)


def test_a_killed_run_is_noted_by_the_next_process(core: FakeCore, connectors: Path) -> None:
    """Once, though it could note nothing itself, and before anybody syncs again."""
    child = core.start(connectors / "counter", settings={"count": COUNT, "page": 100, "pause_s": 0.05})
    child.post("/sync")
    core.wait_for(lambda: core.asked("committed"))
    child.kill()
    child = core.start(connectors / "counter", settings={"count": COUNT, "page": 500})
    core.wait_for(lambda: child.get("/status").json()["streams"]["number"]["run"])
    broken_off = _last_run(child)
    child.sync()
    child.stop()
    run = _last_run(core.start(connectors / "counter", settings={"count": COUNT}))

    assert ("partial", "interrupted") == (broken_off["status"], broken_off["problem"]["type"])
    assert "ok" == run["status"]


def test_runs_that_waited_when_it_was_stopped_were_not_killed(core: FakeCore, connectors: Path) -> None:
    """A stream that had not come to its turn says that it was stopped."""
    settings = {"script": {"first": [[["pause", 0], ["stuck"]]], "second": [[["pause", 0]]]}}
    child = core.start(connectors / "puppet", settings=settings)
    child.post("/sync")
    core.wait_for(lambda: core.asked("hold"))
    child.stop()
    child = core.start(connectors / "puppet", settings=settings)
    runs = {name: stream["run"] for name, stream in child.get("/status").json()["streams"].items()}

    assert all("stopped before" in run["problem"]["detail"] for name, run in runs.items() if name != "first"), runs


def test_a_damaged_run_keeps_nobody_from_the_records(core: FakeCore, connectors: Path) -> None:
    """What cannot be read of the runs is the status's trouble alone."""
    child = core.start(connectors / "counter", settings={"count": 5})
    child.sync()
    child.stop()
    (store,) = child.folder.rglob("store.db")
    with apsw.Connection(str(store)) as db:
        db.execute("UPDATE run SET problem = '{'")
    db.close()
    child = core.start(connectors / "counter", settings={"count": 5})

    assert 5 == len(child.records("number"))
