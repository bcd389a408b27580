"""Makes guessing slow without making the owner wait: each wrong secret is answered late, few at a time."""

from __future__ import annotations

import asyncio

from core.model.errors import TooBusy

WRONG_ANSWER_DELAY_S = 0.5
WRONG_ANSWERS_WAITING_MAX = 32


class Throttle:
    """A waiting room for callers whose secret was wrong. Owned by the event loop."""

    def __init__(self, *, delay_s: float = WRONG_ANSWER_DELAY_S, places: int = WRONG_ANSWERS_WAITING_MAX) -> None:
        self._delay_s = delay_s
        self._places = places
        self._waiting = 0

    @property
    def is_full(self) -> bool:
        """Whether so many guesses wait that a secret chosen by a person should not be compared at all."""
        return self._waiting >= self._places

    async def delay(self) -> None:
        """Wait before a wrong secret is answered; raises TooBusy when every place is taken."""
        if self.is_full:
            raise TooBusy("too many wrong tokens or tickets came at once", retry_after_s=self._delay_s)
        self._waiting += 1
        try:
            await asyncio.sleep(self._delay_s)
        finally:
            self._waiting -= 1
