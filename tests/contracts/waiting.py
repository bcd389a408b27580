"""Waiting for what comes by itself, and going through what comes in pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any


def wait_until(is_so: Callable[[], bool], *, deadline_s: float = 20.0) -> None:
    """Wait for a condition; fails when it does not come."""
    end = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def pages(ask: Callable[[str | None], Any], of: str) -> Iterator[Any]:
    """What all pages hold."""
    after = None
    for _ in range(1000):
        page = ask(after)
        yield from getattr(page, of)
        after = page.next
        if after is None:
            return
    raise AssertionError("the pages do not end")
