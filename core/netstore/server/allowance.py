"""How many bytes of requests are in work at once: read, an object is many times as large as its text."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Allowance:
    """So many bytes for all connections together; thread-safe. Who wants more than is left waits, in turn.

    One who wants more than there ever is has all of it.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = self._left = bytes_max
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, size_bytes: int) -> Iterator[None]:
        """Have so many of them, until the work is done."""
        wanted = min(size_bytes, self._bytes_max)
        with self._turn, self._changed:  # The turn keeps those who want little from passing by one who wants much.
            self._changed.wait_for(lambda: self._left >= wanted)
            self._left -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._left += wanted
                self._changed.notify()
