"""GET /core/<id>/log as server-sent events: a service's log, line by line as it is written. An ASGI application.

It stands beside Flask, so a follower costs a look at the file now and then, and none of Flask's threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence

from core.model.errors import Forbidden, LockerError, TooBusy
from core.web.api.services import log_lines
from core.web.asgi import Request, answer
from core.web.caller import NOBODY, Caller
from core.web.file_tail import FileTail
from core.web.parts import Parts, Receive, Scope, Send
from core.web.problems import render

STREAMS_MAX = 50
POLL_S = 0.5
COMMENT_S = 15.0
RECONNECT_MS = 2000
_PATH = re.compile(r"/core/([^/]+)/log")
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class LogStreams:
    """The open streams of logs. Lives on the loop; `end` may be called from any thread."""

    def __init__(self, parts: Parts, *, poll_s: float = POLL_S, comment_s: float = COMMENT_S) -> None:
        self._parts = parts
        self._poll_s = poll_s
        self._comment_s = comment_s
        self._open: dict[object, Caller] = {}
        self._is_closed = False

    @staticmethod
    def is_asked(scope: Scope) -> bool:
        """Whether a request is for such a stream."""
        request = Request(scope)
        is_log = scope["type"] == "http" and request.method == "GET" and _PATH.fullmatch(request.path) is not None
        return is_log and "text/event-stream" in request.header("accept")

    def end(self, of: Callable[[Caller], bool]) -> None:
        """End the streams of those callers for whom `of` is true, within a moment."""
        for stream, caller in list(self._open.items()):
            if of(caller):
                self._open.pop(stream, None)

    def close(self) -> None:
        """End every stream, and take no new one."""
        self._is_closed = True
        self._open.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: a problem document, or lines until either side ends it."""
        request, caller = Request(scope), scope.get("locker.caller", NOBODY)
        stream = object()
        try:
            tail, lines = await self._asked(request, caller)
            self._open[stream] = caller
        except LockerError as error:
            status, headers, body = render(error, for_person=False)
            await answer(send, status, headers, body)
            return
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await self._follow(stream, tail, lines, send, gone)
        finally:
            self._open.pop(stream, None)
            gone.cancel()
            await asyncio.gather(gone, asyncio.to_thread(tail.close), return_exceptions=True)

    async def _asked(self, request: Request, caller: Caller) -> tuple[FileTail, int]:
        if not caller.is_owner:
            raise Forbidden(f"{caller.actor} may not read logs.")
        service_id = request.path.split("/")[2]
        service = await asyncio.to_thread(self._parts.services.get, service_id)
        lines = log_lines(request.query)
        if self._is_closed or len(self._open) >= STREAMS_MAX:
            raise TooBusy(f"{len(self._open)} logs are being followed", retry_after_s=RECONNECT_MS / 1000)
        return FileTail(self._parts.log_file(service.id)), lines

    async def _follow(self, stream: object, tail: FileTail, lines: int, send: Send, gone: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        found = await asyncio.to_thread(tail.start, lines)
        await _send_body(send, b"retry: %d\n\n" % RECONNECT_MS + _frames(found))
        said_at = loop.time()
        while stream in self._open and not gone.done():
            found = await asyncio.to_thread(tail.more)
            if found or loop.time() - said_at >= self._comment_s:
                await _send_body(send, _frames(found) or b": still here\n\n")
                said_at = loop.time()
            await asyncio.wait({gone}, timeout=self._poll_s)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _frames(lines: Sequence[str]) -> bytes:
    return b"".join(b"data: %s\n\n" % line.encode("utf-8", "replace") for line in lines)


async def _until_gone(receive: Receive) -> None:
    with contextlib.suppress(OSError):
        while (await receive())["type"] != "http.disconnect":
            pass


async def _send_body(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
