"""Flask inside the event loop: a thread is taken when the body is whole, and is free before anything is sent.

So neither a slow upload nor a slow reader can hold one of the few threads.
"""

from __future__ import annotations

import asyncio

from a2wsgi import WSGIMiddleware
from flask import Flask

from core.model.errors import BadRequest, BodyTooLarge, TooBusy
from core.web.asgi import Request, answer
from core.web.parts import Message, Receive, Scope, Send
from core.web.problems import render

THREADS = 8
WAITING_MAX = 100
BODY_BYTES_MAX = 1024 * 1024
BODY_DEADLINE_S = 30.0


class Mount:
    """An ASGI application that runs Flask in a bounded pool of threads. Owned by the event loop."""

    def __init__(self, flask: Flask, *, body_deadline_s: float = BODY_DEADLINE_S) -> None:
        self._wsgi = WSGIMiddleware(flask.wsgi_app, workers=THREADS)  # type: ignore[arg-type]
        self._body_deadline_s = body_deadline_s
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; its body is at most a mebibyte."""
        request = Request(scope)
        try:
            body = await self._body(request, receive)
            if body is None:
                return
            messages = await self._run(scope, body)
        except (BodyTooLarge, BadRequest, TooBusy) as error:
            status, headers, content = render(error, for_person=request.is_navigation)
            # What is left of the body is not read, so the connection cannot be used again.
            await answer(send, status, [*headers, ("connection", "close")], content)
            return
        for message in messages:
            await send(message)

    async def close(self) -> None:
        """Let the threads go; requests inside them are finished first, for which they need the loop."""
        await asyncio.to_thread(self._wsgi.executor.shutdown, wait=True, cancel_futures=True)

    async def _body(self, request: Request, receive: Receive) -> bytes | None:
        """The whole body, or None when the client left before its end."""
        declared = request.header("content-length")
        if declared.isdigit() and int(declared) > BODY_BYTES_MAX:
            raise BodyTooLarge(f"The body has {declared} bytes; the core's own paths take {BODY_BYTES_MAX}.")
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_deadline_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > BODY_BYTES_MAX:
                        raise BodyTooLarge(f"The body is larger than the {BODY_BYTES_MAX} bytes that are taken here.")
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError as err:
            raise BadRequest(f"The body did not arrive within {self._body_deadline_s:g} s.") from err

    async def _run(self, scope: Scope, body: bytes) -> list[Message]:
        if self._inside >= WAITING_MAX:
            raise TooBusy(f"{WAITING_MAX} requests wait for the core already", retry_after_s=1)
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def keep(message: Message) -> None:
            messages.append(message)

        # A WSGI application reads no further than the length it is told, and a body in chunks came without one.
        headers = [(n, v) for n, v in scope["headers"] if n not in (b"content-length", b"transfer-encoding")]
        whole = {**scope, "headers": [*headers, (b"content-length", b"%d" % len(body))]}
        self._inside += 1
        try:
            await self._wsgi(whole, receive, keep)  # type: ignore[arg-type]
        finally:
            self._inside -= 1
        return messages
