"""One open event stream: what it wants to see, and the frames that wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from core.events.logs import Entry
from core.events.match import typed_names_of, types_of

FRAMES_MAX = 256
FRAMES_BYTES_MAX = 1024 * 1024

Hears = Callable[[str], bool]


@dataclass(frozen=True)
class Filter:
    """The types and services that a stream asked for; None means any."""

    names: frozenset[str] | None
    services: frozenset[str] | None

    def wants(self, entry: Entry) -> bool:
        """Whether the entry is one of those asked for."""
        if self.services is not None and entry.service not in self.services:
            return False
        return self.names is None or not self.names.isdisjoint(typed_names_of(entry.idr))

    def wants_announcement(self, service: str, kind: str) -> bool:
        """Whether an announcement of that kind about the service is one of those asked for."""
        named = self.names is None or kind in self.names
        return named and (self.services is None or service in self.services)


class Viewer:
    """What stands between the tail of the logs and one slow or fast client. Lives on the loop.

    Frames are shared by all viewers, so a waiting one costs a pointer. When too many wait they are let go, and the
    viewer is `behind`: it reads on in the logs from `cursor`, the place of the last frame that was taken.
    """

    def __init__(self, wanted: Filter, hears: Hears, cursor: str) -> None:
        self.wanted = wanted
        self.cursor = cursor
        self.behind = True
        self.is_beat_due = False
        self.is_closed = False
        self.wake = asyncio.Event()
        self._hears = hears
        self._frames: deque[tuple[str | None, bytes]] = deque()
        self._bytes = 0

    def may_see(self, entry: Entry) -> bool:
        """Whether the caller may hear the entry's type."""
        return any(self._hears(name) for name in types_of(entry.idr))

    def may_hear(self, kind: str) -> bool:
        """Whether the caller may hear announcements of that kind."""
        return self._hears(kind)

    def push(self, cursor: str | None, frame: bytes) -> None:
        """Have a frame wait for the client; one without a cursor is of the moment only, and may be lost."""
        if self.behind and cursor is not None:
            return
        if len(self._frames) >= FRAMES_MAX or self._bytes + len(frame) > FRAMES_BYTES_MAX:
            self._fall_behind()
            return
        self._frames.append((cursor, frame))
        self._bytes += len(frame)
        self.wake.set()

    def take(self) -> bytes:
        """Every waiting frame, in order; empty when none waits."""
        frames = b"".join(frame for _, frame in self._frames)
        for cursor, _ in self._frames:
            self.cursor = cursor or self.cursor
        self._frames.clear()
        self._bytes = 0
        return frames

    def beat(self) -> None:
        """Have a sign of life sent."""
        self.is_beat_due = True
        self.wake.set()

    def close(self) -> None:
        """End the stream."""
        self.is_closed = True
        self.wake.set()

    def _fall_behind(self) -> None:
        self._frames.clear()
        self._bytes = 0
        self.behind = True
        self.wake.set()
