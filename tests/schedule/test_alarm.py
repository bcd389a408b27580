"""The timer: it rings when set, and often enough anyway."""

from __future__ import annotations

import asyncio
import time

from core.schedule.alarm import Alarm
from tests.schedule.desk import until


def test_it_rings_after_the_delay_that_was_set_last() -> None:
    """Setting it again replaces what was set, and a pulse far away does not come into it."""

    async def scene() -> None:
        rings: list[float] = []
        alarm = Alarm(lambda: rings.append(time.monotonic()), pulse_s=1000)
        alarm.start()
        started = time.monotonic()
        alarm.set(500)
        alarm.set(0.1)
        await until(lambda: len(rings) == 2)
        await alarm.stop()

        assert 0.09 < rings[1] - started < 5

    asyncio.run(scene())


def test_a_past_moment_rings_at_once() -> None:
    """A call that is overdue is not dropped as a misfire."""

    async def scene() -> None:
        rings: list[float] = []
        alarm = Alarm(lambda: rings.append(time.monotonic()), pulse_s=1000)
        alarm.start()
        alarm.set(-3600)
        await until(lambda: len(rings) == 2)
        await alarm.stop()

    asyncio.run(scene())


def test_the_pulse_needs_no_setting() -> None:
    """With nothing set it rings by its pulse, which no clock that is set back can delay."""

    async def scene() -> None:
        rings: list[float] = []
        alarm = Alarm(lambda: rings.append(time.monotonic()), pulse_s=0.01)
        alarm.start()
        alarm.set(None)
        await until(lambda: len(rings) > 5)
        await alarm.stop()
        rung = len(rings)
        await asyncio.sleep(0.05)

        assert rung == len(rings)

    asyncio.run(scene())
