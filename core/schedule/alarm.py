"""A timer that rings for the next due call, and often enough in between to notice that the clock was set."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from core.model.clock import SystemClock

PULSE_S = 30.0

_JOB = "next"


class Alarm:
    """Rings on the loop: after the delay last set, and every `pulse_s`. Owned by the scheduler that rings.

    APScheduler sleeps until a wall clock time, so a clock that is set back would let it oversleep. The pulse
    counts in the loop's monotonic time and cannot.
    """

    def __init__(self, ring: Callable[[], None], *, pulse_s: float = PULSE_S) -> None:
        self._ring = ring
        self._pulse_s = pulse_s
        self._pulse: asyncio.TimerHandle | None = None
        self._timer = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True})

    def start(self) -> None:
        """Begin to ring; needs a running loop."""
        # It notes every setting of the alarm, which would bury what a person looks for.
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        self._timer.start()
        self._beat()

    def set(self, delay_s: float | None) -> None:
        """Ring after `delay_s`; replaces what was set. None leaves only the pulse."""
        if delay_s is None or delay_s >= self._pulse_s:
            if self._timer.get_job(_JOB):
                self._timer.remove_job(_JOB)
            return
        # APScheduler reads the machine's clock itself, so the delay is counted from that one.
        when = datetime.fromtimestamp(SystemClock().now() + max(delay_s, 0.0), UTC)
        self._timer.add_job(self._strike, "date", run_date=when, id=_JOB, replace_existing=True)

    async def stop(self) -> None:
        """Ring no more."""
        if self._pulse is not None:
            self._pulse.cancel()
        if self._timer.running:
            self._timer.shutdown(wait=False)
            # It ends by a callback on the loop, which must still run.
            await asyncio.sleep(0)

    async def _strike(self) -> None:
        self._ring()

    def _beat(self) -> None:
        self._ring()
        self._pulse = asyncio.get_running_loop().call_later(self._pulse_s, self._beat)
