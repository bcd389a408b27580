"""The newest facts of one store as push frames, made once for all who follow it; older ones come from the log.

Nobody has a queue: a subscriber asks for what follows the position it sent last. So a slow one keeps nobody waiting,
catching up and living are one sequence, and what leaves memory is in the log still.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable

import msgspec

from core.model.errors import CursorTooOld, FactDamaged
from core.model.frames import encode_frame
from core.netstore import protocol
from core.netstore.server.door import ServedStore
from core.netstore.server.log import lines_after

PAGE_FACTS = 250


class Event(msgspec.Struct, frozen=True, gc=False):
    """One fact as it is pushed; without a `type`, the word that the fact of this position cannot be read."""

    seq: int
    type: str | None
    frame: bytes


class Tail:
    """The end of one store's log; thread-safe. `told` by whoever commits wakes those who follow."""

    def __init__(self, store: ServedStore, *, events_max: int, bytes_max: int) -> None:
        self.store = store
        self.is_over = False
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        # Holds every event after `_since` up to `_last`, and nothing else.
        self._events: list[Event] = []
        self._bytes = 0
        self._since = self._last = store.head()
        # Whether there may be more in the log than `_last`: each follower asks once more than there are events.
        self._is_stirred = True
        self._wakers: frozenset[Callable[[], None]] = frozenset()

    def told(self) -> None:
        """Facts were committed."""
        self.stir()
        for wake in self._wakers:
            wake()

    def stir(self) -> None:
        """Facts may have been committed that nobody told of: whoever asks next looks into the log."""
        self._is_stirred = True

    def end(self) -> None:
        """The store is served no more: who follows it is to leave."""
        self.is_over = True
        self.told()

    def join(self, wake: Callable[[], None]) -> None:
        """Have `wake` called after commits; it must return at once."""
        with self._lock:
            self._wakers |= {wake}

    def leave(self, wake: Callable[[], None]) -> None:
        """No more."""
        with self._lock:
            self._wakers -= {wake}

    def forget(self) -> None:
        """Hold nothing: facts were removed from the log, and what was removed is not to be told from memory."""
        with self._lock:
            self._events, self._bytes, self._since = [], 0, self._last

    def after(self, seq: int) -> list[Event]:
        """The events that follow position `seq`, in order; empty where there are none yet.

        Raises CursorTooOld where retention took what follows.
        """
        with self._lock:
            if seq > self._last:
                # What lies between is nobody's here, and in the log for whoever comes from behind.
                self._events, self._bytes, self._since, self._last = [], 0, seq, seq
            if seq == self._last and self._is_stirred:
                self._read_on()
            if seq >= self._since:
                start = bisect_right(self._events, seq, key=lambda event: event.seq)
                return self._events[start : start + PAGE_FACTS]
        oldest = oldest_of(self.store)
        if seq < oldest:
            raise CursorTooOld(f"Facts up to {oldest} are not retained.", floor=oldest)
        return self._page(seq)

    def _read_on(self) -> None:
        """Take in what was committed since, forgetting the oldest beyond the bounds."""
        self._is_stirred = False  # Before it is read: what is told of meanwhile stirs again.
        try:
            page = self._page(self._last)
            # Positions are missing where facts were removed, of which followers are to hear.
            oldest = oldest_of(self.store) if page and page[-1].seq - self._last > len(page) else 0
        except BaseException:
            self._is_stirred = True
            raise
        if not page:
            return
        self._is_stirred = True
        if oldest > self._last:
            # Whoever stands before that is told; what is held begins behind.
            self._events, self._bytes, self._since, self._last = [], 0, oldest, oldest
            return
        self._events += page
        self._last = page[-1].seq
        self._bytes += sum(len(event.frame) for event in page)
        surplus = 0
        while len(self._events) - surplus > self._events_max or self._bytes > self._bytes_max:
            self._bytes -= len(self._events[surplus].frame)
            surplus += 1
        if surplus:
            self._since = self._events[surplus - 1].seq
            del self._events[:surplus]

    def _page(self, seq: int) -> list[Event]:
        """What follows in the log; a fact that cannot be read is told of in its place, once."""
        try:
            lines = lines_after(self.store, seq, limit=PAGE_FACTS, is_full=True)
        except FactDamaged as damaged:
            place = max(damaged.seq, seq + 1)
            return [Event(place, None, error_frame(damaged.title, place))]
        return [Event(line.seq, line.type, push_frame(line.text, line.seq)) for line in lines]


def push_frame(text: bytes, seq: int) -> bytes:
    """The frame that tells of one fact."""
    return encode_frame(b"".join((b'{"event":"fact_written","fact":', text, b',"seq":%d}' % seq)))


def error_frame(title: str, seq: int) -> bytes:
    """The frame that tells of a fact that cannot be read."""
    event = {"event": "error", "error_code": "storage_error", "error": title, "seq": seq}
    return encode_frame(protocol.encode(event))


def oldest_of(store: ServedStore) -> int:
    """The lowest position that a reader can have gone on from without missing what was removed since."""
    return max(0, store.floor() - 1)
