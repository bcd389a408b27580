"""A place among the few starts that may go on at the same time."""

from __future__ import annotations

import asyncio


class Slot:
    """One place; kept for a bounded while, so that a child which only sleeps keeps nobody from starting."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self._is_taken = False
        self._timer: asyncio.TimerHandle | None = None

    async def take(self) -> None:
        """Wait for the place; first come, first served."""
        await self._slots.acquire()
        self._is_taken = True

    def free_after(self, seconds: float) -> None:
        """Give the place back then, if not before."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self.free)

    def free(self) -> None:
        """Give the place back; doing so twice is no matter."""
        if self._timer is not None:
            self._timer.cancel()
        if self._is_taken:
            self._is_taken = False
            self._slots.release()
