"""How work in the background leaves most of the time to others: it rests after each short piece of work."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE_OF_TIME = 0.2

# Waits for so many seconds.
Wait = Callable[[float], object]


def rest(wait: Wait, *, since: float) -> None:
    """Call `wait` for so long that the work since that monotonic moment takes a fifth of the time."""
    wait((time.monotonic() - since) * (1 / SHARE_OF_TIME - 1))
