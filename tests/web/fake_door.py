"""What stands behind /Me/ and /events in the web room's tests."""

from __future__ import annotations

import asyncio

from core.web.parts import Message, Receive, Scope, Send


class FakeDoor:
    """Answers every request under /Me/ with what it was given, as JSON; its paths may be open doors.

    As the event stream, it tells each of `told` once, to whoever is there.
    """

    def __init__(self) -> None:
        self.seen: list[Scope] = []
        self.told: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1000})
            return
        wants_stream = b"text/event-stream" in dict(scope["headers"]).get(b"accept", b"")
        if wants_stream and scope["path"].endswith("/status"):
            await _stream(receive, send)
            return
        if wants_stream and scope["path"] == "/events":
            await self._tell(receive, send)
            return
        caller = scope["locker.caller"]
        body = f'{{"actor": "{caller.actor}", "path": "{scope["path"]}"}}'.encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    async def _tell(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b": here\n\n", "more_body": True})
        gone = asyncio.ensure_future(_gone(receive))
        while not gone.done():
            while self.told:
                body = f"event: {self.told.pop(0)}\ndata: {{}}\n\n".encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await asyncio.wait([gone], timeout=0.05)


async def _stream(receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    steps = [("status", '{"stream": "entry", "state": "running", "run": "r1"}')]
    steps += [("progress", f'{{"stream": "entry", "done": {done}, "total": 20}}') for done in (10, 20)]
    steps += [("run", '{"stream": "entry", "status": "ok", "new": 20, "updated": 0, "deleted": 0}')]
    for kind, data in steps:
        await send(
            {"type": "http.response.body", "body": f"event: {kind}\ndata: {data}\n\n".encode(), "more_body": True}
        )
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return
