"""The order in which requests reach a child that is starting, and how many may wait for it."""

from __future__ import annotations

import asyncio
from types import TracebackType

from core.model.errors import TooBusy

RETRY_AFTER_S = 2.0


class Place:
    """One request's place in a service's line; leaving it, for whatever reason, lets the next one go."""

    __slots__ = ("_line", "_lines", "_service_id", "_turn")

    def __init__(self, lines: Lines, service_id: str, line: dict[Place, None]) -> None:
        self._lines = lines
        self._service_id = service_id
        self._line = line
        self._turn: asyncio.Future[None] | None = None

    def __enter__(self) -> Place:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.leave()

    async def turn(self) -> None:
        """Wait until nobody stands ahead. The place is kept while others stand behind, so that they go out after."""
        if next(iter(self._line)) is not self:
            self._turn = asyncio.get_running_loop().create_future()
            await self._turn
        if len(self._line) == 1:
            self.leave()

    def leave(self) -> None:
        """Go; a second call does nothing."""
        if self not in self._line:
            return
        was_first = next(iter(self._line)) is self
        del self._line[self]
        if not self._line:
            self._lines.forget(self._service_id)
        elif was_first:
            next(iter(self._line)).call_up()

    def call_up(self) -> None:
        """It is this place's turn now."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)


class Lines:
    """One line per service. A request to a running child passes through without waiting."""

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._lines: dict[str, dict[Place, None]] = {}

    def enter(self, service_id: str) -> Place:
        """A place at the end of the line; raises TooBusy when it is full."""
        line = self._lines.get(service_id)
        if line is None:
            line = self._lines[service_id] = {}
        elif len(line) >= self._waiting_max:
            raise TooBusy(f"{len(line)} requests are waiting for {service_id} to start", retry_after_s=RETRY_AFTER_S)
        place = Place(self, service_id, line)
        line[place] = None
        return place

    def waiting(self, service_id: str) -> int:
        """How many requests wait for a service."""
        return len(self._lines.get(service_id, ()))

    def forget(self, service_id: str) -> None:
        """Drop an empty line."""
        self._lines.pop(service_id, None)
