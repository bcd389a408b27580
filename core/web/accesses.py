"""Who changed what: every request of a person or an app that could change something, with how it was answered.

What children ask of the core is left out: they do so all the time, and would push out what people did.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import Any

import msgspec

from core.model.clock import Clock
from core.model.errors import LockerError
from core.store import CoreDb
from core.web.asgi import Request
from core.web.caller import READING, Caller

log = logging.getLogger(__name__)

KEPT_MAX = 10_000
WAITING_MAX = 1000
ENTRIES_MAX = 500
FLUSH_AFTER_S = 1.0
PATH_LENGTH_MAX = 300

# One row is one request that was answered: (id, at, actor, method, path, status); status 0 where it got no answer.
_INSERT = "INSERT INTO access_log (at, actor, method, path, status) VALUES (?, ?, ?, ?, ?)"
_FORGET_OLDEST = "DELETE FROM access_log WHERE id <= (SELECT max(id) FROM access_log) - ?"
_SELECT = (
    "SELECT id, at, actor, method, path, status FROM access_log WHERE (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?"
)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One request that could change something; `at` is epoch seconds, `status` 0 where it was never answered."""

    id: int
    at: float
    actor: str
    method: str
    path: str
    status: int


class Accesses:
    """The newest ten thousand such requests. `note` belongs to the event loop and never waits; the rest may block."""

    def __init__(self, coredb: CoreDb, clock: Clock, *, flush_after_s: float = FLUSH_AFTER_S) -> None:
        self._coredb = coredb
        self._clock = clock
        self._flush_after_s = flush_after_s
        # When the disk does not keep up, the oldest of those that wait are given up.
        self._waiting: deque[tuple[float, str, str, str, int]] = deque(maxlen=WAITING_MAX)
        self._lock = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    def note(self, caller: Caller | None, request: Request, status: int) -> None:
        """Remember the request if it is of the kind that is kept; it is written within a second or so."""
        if caller is None or caller.is_nobody or caller.service_id is not None:
            return
        if request.is_websocket or request.method in READING:
            return
        row = (self._clock.now(), caller.actor, request.method[:16], request.path[:PATH_LENGTH_MAX], status)
        self._waiting.append(row)
        self._flush_later()

    def entries(self, *, before: int | None = None, limit: int = 100) -> list[Access]:
        """The newest first, those that wait included; `before` is the id to go on from."""
        self.flush()
        rows = self._coredb.read(_SELECT, (before, before, min(limit, ENTRIES_MAX)))
        return [
            Access(id=number, at=at, actor=actor, method=method, path=path, status=status)
            for number, at, actor, method, path, status in rows
        ]

    def flush(self) -> None:
        """Write what waits, in one transaction; what cannot be written is given up and logged."""
        with self._lock:
            rows = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not rows:
                return

            def insert(connection: Any) -> None:
                connection.executemany(_INSERT, rows)
                connection.execute(_FORGET_OLDEST, (KEPT_MAX,))

            try:
                self._coredb.write(insert)
            except LockerError as error:
                log.warning("accesses not written count=%d code=%s", len(rows), error.code)

    async def close(self) -> None:
        """Write what waits."""
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        await asyncio.to_thread(self.flush)
        if self._timer is not None:
            self._timer.cancel()

    def _flush_later(self) -> None:
        """One flush at a time: a disk that takes long must not hold one thread after the other."""
        if self._timer is None and self._flushing is None:
            self._timer = asyncio.get_running_loop().call_later(self._flush_after_s, self._begin_flush)

    def _begin_flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.get_running_loop().create_task(asyncio.to_thread(self.flush))
        self._flushing.add_done_callback(self._end_flush)

    def _end_flush(self, _task: asyncio.Task[None]) -> None:
        self._flushing = None
        if self._waiting:
            self._flush_later()
