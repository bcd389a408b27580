"""Sentences and secrets that a page shows once: kept in memory under a name that the next address carries."""

from __future__ import annotations

import secrets
import threading

from core.model.clock import Clock

KEPT_MAX = 64
LIFETIME_S = 600.0
NAME_BYTES = 16


class Once:
    """A shelf from which everything can be taken once, within ten minutes. Any thread may call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, str]] = {}

    def put(self, text: str) -> str:
        """Keep the text; the name to take it by. Beyond 64 the oldest is forgotten."""
        name = secrets.token_urlsafe(NAME_BYTES)
        with self._lock:
            self._forget_old()
            while len(self._kept) >= KEPT_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = (self._clock.monotonic() + LIFETIME_S, text)
        return name

    def take(self, name: str) -> str | None:
        """The text of that name, which is forgotten with this; None where there is none any more."""
        with self._lock:
            self._forget_old()
            return self._kept.pop(name, (0.0, None))[1]

    def _forget_old(self) -> None:
        now = self._clock.monotonic()
        self._kept = {name: kept for name, kept in self._kept.items() if kept[0] > now}
