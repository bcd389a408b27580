"""GET /events: what happens, as server-sent events, to browsers and apps. An ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import msgspec

from core.events.bus import Bus
from core.events.cursor import Position, Positions, decode_cursor
from core.events.match import wanted_name
from core.events.replay import read_chunk, started
from core.events.tail import Tail
from core.events.viewer import Filter, Viewer
from core.model.errors import BadRequest, BodyTooLarge, LockerError, MethodNotAllowed, TooBusy
from core.model.ids import SERVICE_ID
from core.model.problem import problem_messages

STREAMS_MAX = 1000
REPLAYS_MAX = 4
COMMENT_S = 15.0
FILTERS_MAX = 100
ANNOUNCEMENT_BYTES_MAX = 64 * 1024
RECONNECT_MS = 2000

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
MayHear = Callable[[Any, str], bool]

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Question:
    wanted: Filter
    cursor: dict[str, Position] | None


class EventStreams:
    """All open event streams and the tail they share. Lives on the loop; `start` and `close` are its ends.

    `may_hear` says whether a caller, taken from the scope's `locker.caller`, may hear a type (`contact`,
    `contact/github`) or a kind of announcement; it is asked from the loop and from threads.
    """

    def __init__(self, bus: Bus, *, may_hear: MayHear, comment_s: float = COMMENT_S) -> None:
        self._bus = bus
        self._may_hear = may_hear
        self._comment_s = comment_s
        self._tail = Tail(bus)
        self._viewers: dict[Viewer, Any] = {}
        self._replays = asyncio.Semaphore(REPLAYS_MAX)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False
        bus.on_announce(self._announce)

    async def start(self) -> None:
        """Follow the logs."""
        self._is_open = True
        self._tasks = [
            asyncio.create_task(self._tail.run(), name="event tail"),
            asyncio.create_task(self._beat_forever(), name="event beat"),
        ]

    async def close(self) -> None:
        """End every stream, and take no new one."""
        self._is_open = False
        for viewer in list(self._viewers):
            viewer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def end(self, of: Callable[[Any], bool]) -> None:
        """End the streams of those callers for whom `of` is true: their token or session is gone."""
        for viewer, caller in list(self._viewers.items()):
            if of(caller):
                viewer.close()

    @property
    def count(self) -> int:
        """How many streams are open."""
        return len(self._viewers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for the stream: a problem document, or events until either side ends it."""
        try:
            question = _asked(scope)
            if not self._is_open or self.count >= STREAMS_MAX:
                raise TooBusy(f"{self.count} event streams are open", retry_after_s=RECONNECT_MS / 1000)
            caller = scope.get("locker.caller")
            viewer = Viewer(question.wanted, partial(self._may_hear, caller), "")
            self._viewers[viewer] = caller
        except LockerError as err:
            await _refuse(send, err)
            return
        gone = asyncio.create_task(_watch(receive, viewer))
        try:
            await self._answer(question, viewer, send)
        finally:
            self._tail.leave(viewer)
            self._viewers.pop(viewer, None)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _answer(self, question: _Question, viewer: Viewer, send: Send) -> None:
        try:
            await self._tail.catch_up()
            tail, logs = self._tail.positions, self._bus.logs()
            positions = await asyncio.to_thread(started, question.cursor, logs, tail)
        except LockerError as err:
            await _refuse(send, err)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await _send_body(send, b"retry: %d\n\n" % RECONNECT_MS)
        try:
            await self._serve(viewer, positions, send)
        except LockerError as err:
            # A problem document is too late; a client that comes again with its cursor is told by status.
            log.info("event stream ended: %s", err)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _serve(self, viewer: Viewer, positions: Positions, send: Send) -> None:
        await self._replay(viewer, positions, send)
        while not viewer.is_closed:
            if viewer.behind:
                self._tail.leave(viewer)
                await self._replay(viewer, decode_cursor(viewer.cursor), send)
            elif frames := viewer.take():
                viewer.is_beat_due = False
                await _send_body(send, frames)
            elif viewer.is_beat_due:
                viewer.is_beat_due = False
                await _send_body(send, self._sign_of_life(viewer))
            else:
                viewer.wake.clear()
                await viewer.wake.wait()

    async def _replay(self, viewer: Viewer, positions: Positions, send: Send) -> None:
        """Send what lies between the positions and the tail, then go on live."""
        while not viewer.is_closed and not await self._tail.join(viewer, positions):
            async with self._replays:
                chunk = await asyncio.to_thread(read_chunk, self._bus.logs(), positions, self._tail.positions, viewer)
            positions = chunk.positions
            if chunk.frames or viewer.is_beat_due:
                viewer.is_beat_due = False
                await _send_body(send, bytes(chunk.frames) or b": still reading\n\n")
        if not viewer.is_closed:
            # An id without data moves the client's cursor and shows it nothing.
            await _send_body(send, b"id: %s\n\n" % viewer.cursor.encode("ascii"))

    def _sign_of_life(self, viewer: Viewer) -> bytes:
        """A comment; with the cursor, when others' events have moved it past what this client was shown."""
        if viewer.cursor == self._tail.cursor:
            return b": still here\n\n"
        viewer.cursor = self._tail.cursor
        return b": still here\nid: %s\n\n" % viewer.cursor.encode("ascii")

    async def _beat_forever(self) -> None:
        """One timer for all streams."""
        while True:
            await asyncio.sleep(self._comment_s)
            for viewer in list(self._viewers):
                viewer.beat()

    def _announce(self, service: str, kind: str, payload: Mapping[str, Any]) -> None:
        data = msgspec.json.encode({**payload, "service": service})
        if len(data) > ANNOUNCEMENT_BYTES_MAX:
            raise BodyTooLarge(f"an announcement has {len(data)} bytes, allowed are {ANNOUNCEMENT_BYTES_MAX}")
        rendered = b"event: %s\ndata: %s\n\n" % (kind.encode("ascii"), data)
        for viewer in self._viewers:
            if viewer.wanted.wants_announcement(service, kind) and viewer.may_hear(kind):
                viewer.push(None, rendered)


def _asked(scope: Scope) -> _Question:
    """What the request asks for; raises MethodNotAllowed and BadRequest."""
    if scope["method"] != "GET":
        raise MethodNotAllowed("events are read with GET", allow=("GET",))
    try:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=FILTERS_MAX)
    except ValueError as err:
        raise BadRequest(f"the query has more than {FILTERS_MAX} fields") from err
    services = _listed(query, "services")
    if services is not None and not all(SERVICE_ID.fullmatch(each) for each in services):
        raise BadRequest("services must be ids of services, separated by commas")
    types = _listed(query, "types")
    names = None if types is None else frozenset(wanted_name(each) for each in types)
    headers = {name.lower(): value for name, value in scope.get("headers", ())}
    # A browser that connects again sends its first address unchanged, so its Last-Event-ID is the later word.
    cursor = headers.get(b"last-event-id", b"").decode("latin-1") or query.get("since", [""])[-1]
    return _Question(Filter(names, services), decode_cursor(cursor) if cursor else None)


def _listed(query: Mapping[str, list[str]], name: str) -> frozenset[str] | None:
    values = [value for part in query.get(name, ()) for value in part.split(",") if value]
    if len(values) > FILTERS_MAX:
        raise BadRequest(f"{name} lists more than {FILTERS_MAX}")
    return frozenset(values) if name in query else None


async def _watch(receive: Receive, viewer: Viewer) -> None:
    """Close the viewer as soon as the client is gone."""
    with contextlib.suppress(OSError):
        while (await receive())["type"] != "http.disconnect":
            pass
    viewer.close()


async def _send_body(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _refuse(send: Send, error: LockerError) -> None:
    for message in problem_messages(error):
        await send(message)
