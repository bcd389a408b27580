"""A sync that ended with its process goes on soon after, and says that it was broken off."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any, cast

import psutil

from core.assembly.going_on import GoingOn
from core.assembly.stores import Stores
from core.model.clock import ManualClock
from core.store import Origin, Reader, Store, mark_name
from tests.assembly.test_after_a_crash import state_of
from tests.fakes.house import ROOT, House, open_house
from tests.schedule.desk import HOUR, open_desk

SLOW = {"count": 60, "pause_s": 30}


class _Shelf:
    """The stores of services in a folder, opened to be read."""

    def __init__(self, me: Path) -> None:
        self._me = me

    def reader(self, service_id: str) -> Reader:
        """The store of one."""
        return Reader.open(self._me / service_id, types={})


def _prepare(tmp_path: Path) -> None:
    made = House(tmp_path)
    (made.config / "locker.toml").write_text(
        f'connector_paths = ["{ROOT}/tests/assembly/connectors"]\nspawn = "plain"\n'
    )


def _begin(house: House) -> None:
    house.install("tally", settings=SLOW)
    house.wait(lambda: len(house.records("tally", "number")) == 20, what="the first page")


def _stream(house: House) -> dict[str, Any]:
    return dict(house.get("/Me/tally/status").json()["streams"]["number"])


def _kill_child(house: House) -> None:
    for child in house.children():
        with contextlib.suppress(psutil.Error):  # What a child of the child was may be gone.
            if Path(child.cwd()) == house.me / "tally":
                child.kill()
                psutil.wait_procs([child], timeout=5)


def _due_in(house: House) -> float:
    return min(one["at"] for one in house.get("/core/tally/at").json()) - time.time()


def test_after_a_kill_of_the_core(tmp_path: Path) -> None:
    """The reason is told at the next start, and the next turn is near, far from the hour of its frequency."""
    _prepare(tmp_path)
    with open_house(tmp_path) as house:
        _begin(house)
        children = house.children()
        assert house.process is not None
        for one in (*children, psutil.Process(house.process.pid)):
            one.kill()
        psutil.wait_procs(children, timeout=5)
    with open_house(tmp_path) as house:
        run = house.wait(lambda: _stream(house)["run"], what="the run that was broken off")
        house.wait(lambda: _stream(house)["state"] == "running", what="the next run")

        assert ("partial", "interrupted") == (run["status"], run["problem"]["type"])


def test_after_a_kill_of_the_child(tmp_path: Path) -> None:
    """Its turn comes near at once; when it is broken off again, it waits for the usual one."""
    _prepare(tmp_path)
    with open_house(tmp_path) as house:
        _begin(house)
        for expected in ("running", "an hour"):
            _kill_child(house)
            house.wait(lambda: state_of(house) in ("failed", "stopped"), what="the child's end")
            if expected == "running":
                house.wait(lambda: state_of(house) == "running", what="the next try")
                house.wait(lambda: _stream(house)["run"] and _stream(house)["state"] == "running", what="the run")
        time.sleep(1)

        assert _due_in(house) > 600


def test_after_switching_off_and_on(tmp_path: Path) -> None:
    """Whoever switches a service off in the midst of a sync, and on again, does not wait for its usual turn."""
    _prepare(tmp_path)
    with open_house(tmp_path) as house:
        _begin(house)
        assert house.post("/core/tally/disable").ok
        assert house.post("/core/tally/enable").ok
        house.wait(lambda: _stream(house)["state"] == "running", what="the next run")


def test_a_run_that_is_under_way_is_not_broken_off(tmp_path: Path) -> None:
    """Its mark looks the same; the child that lives says what it is, and its turn stays where it was."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.frequencies = [("feeds", "entry", HOUR)]
            await desk.scheduler.at("feeds", "/sync/entry", desk.clock.now() + HOUR)
            for is_asleep, expected in ((False, HOUR), (True, 5.0)):
                going_on = GoingOn(
                    cast(Stores, _Shelf(tmp_path)), desk.scheduler, lambda: desk.frequencies,
                    is_asleep=lambda _service, is_asleep=is_asleep: is_asleep,
                )  # fmt: skip
                await going_on.look("feeds")
                assert expected == desk.entries()["/sync/entry"].at - desk.clock.now()

    with Store.open(tmp_path / "feeds", types={}, origin=Origin("log", 1), clock=ManualClock()) as store:
        store.set_cursor(mark_name("entry"), {"run": "run-1", "at": 1.0})
        asyncio.run(scene())
