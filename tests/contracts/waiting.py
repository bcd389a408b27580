"""Waiting for what comes by itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], bool], *, deadline_s: float = 20.0) -> None:
    """Wait for a condition; fails when it does not come."""
    end = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)
