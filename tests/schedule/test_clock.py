"""Calls through sleep, steps of the clock, and with the real timer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.model.clock import SystemClock
from core.schedule import Scheduler
from core.store import CoreDb
from tests.schedule.desk import DAY, HOUR, MINUTE, open_desk, until


def test_missed_runs_are_spread(tmp_path: Path) -> None:
    """After a start, what was missed meanwhile is called over the next minute, not at once."""

    async def scene() -> None:
        async with open_desk(tmp_path, start=False) as desk:
            for number in range(30):
                await desk.scheduler.at("feeds", f"/{number:02}", desk.clock.now() + number)
            desk.clock.advance(DAY)
            await desk.scheduler.start()
            await desk.settle()
            at_once = len(desk.calls)
            desk.clock.advance(MINUTE / 2)
            await desk.settle()
            halfway = len(desk.calls)
            desk.clock.advance(MINUTE / 2)
            await desk.settle()

            assert (1, 30) == (at_once, len(desk.calls))
            assert 13 <= halfway <= 17
            assert sorted(desk.calls) == sorted(set(desk.calls))

    asyncio.run(scene())


def test_wake_from_sleep_spreads_what_was_slept_through(tmp_path: Path) -> None:
    """A wall clock that ran on while the machine slept is noticed by the pulse alone."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            for number in range(30):
                await desk.scheduler.at("feeds", f"/{number:02}", desk.clock.now() + HOUR + number)
            await desk.settle()
            desk.clock.step(8 * HOUR)
            await until(lambda: desk.calls)
            await until(desk.is_quiet)
            last = max(each.at for each in desk.entries().values())

            assert len(desk.calls) == 1
            assert desk.clock.now() + 55 < last < desk.clock.now() + 60

    asyncio.run(scene())


@pytest.mark.parametrize("step_s", [-DAY, DAY])
def test_clock_steps_do_not_stall(tmp_path: Path, step_s: float) -> None:
    """With the clock set a day back or ahead, a stream due in half an hour runs within it and by its frequency on."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.frequencies.append(("feeds", "entry", HOUR))
            await desk.scheduler.at("feeds", "/sync/entry", desk.clock.now() + HOUR / 2)
            await desk.settle()
            asked = desk.entries()["/sync/entry"].at
            desk.clock.step(step_s)
            await until(lambda: desk.calls or desk.entries()["/sync/entry"].at != asked)
            await desk.pass_time(HOUR / 2 + MINUTE)
            first = len(desk.calls)
            await desk.pass_time(3 * HOUR)

            assert (1, 4) == (first, len(desk.calls))

    asyncio.run(scene())


def test_a_clock_that_was_ahead_before_the_start_does_not_stall(tmp_path: Path) -> None:
    """What the core itself planned under a wrong clock comes within a day."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.frequencies.append(("feeds", "entry", HOUR))
            desk.clock.advance(30 * DAY)
            await desk.scheduler.ensure_streams()
            await desk.settle()
            desk.clock.step(-30 * DAY)
            desk.scheduler._seen = (desk.clock.now(), desk.clock.monotonic())
            await desk.restart()

            assert desk.entries()["/sync/entry"].at <= desk.clock.now() + DAY

    asyncio.run(scene())


def test_the_real_timer_fires_on_time(tmp_path: Path) -> None:
    """With the machine's clock and APScheduler, a call a quarter of a second ahead comes then, not at the pulse."""

    async def scene() -> None:
        called: list[float] = []
        clock = SystemClock()

        async def call(service: str, path: str) -> int:
            called.append(clock.now())
            return 200

        with CoreDb.open(tmp_path / "core.db") as coredb:
            scheduler = Scheduler(coredb, clock, call, list, services=lambda: ["feeds"], check=lambda _service: None)
            await scheduler.start()
            when = clock.now() + 0.25
            await scheduler.at("feeds", "/a", when)
            await until(lambda: called)
            await until(lambda: not coredb.read("SELECT 1 FROM pending_at"))
            await scheduler.stop()

        assert 0 <= called[0] - when < 2

    asyncio.run(scene())
