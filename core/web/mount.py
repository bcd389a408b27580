"""Flask inside the event loop: a thread is taken when the body is whole, and is free before anything is sent.

So neither a slow upload nor a slow reader can hold one of the few threads. They are parted in lanes: what reads never
waits behind what changes something; no quick change waits behind one that may take as long as a child takes to start
or an environment to install; and what children ask never stands in the owner's way, nor in another child's.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter

from a2wsgi import WSGIMiddleware
from flask import Flask

from core.model.errors import BadRequest, BodyTooLarge, Retry, TooBusy
from core.web.asgi import Request, answer
from core.web.caller import NOBODY, READING, Caller
from core.web.parts import Message, Receive, Scope, Send
from core.web.problems import render

THREADS = 6
WAITING_MAX = 100
# Of one child's requests so many are in its lane at once; the next is told to come again.
WAITING_OF_ONE_CHILD_MAX = 8
BODY_BYTES_MAX = 1024 * 1024
# A file for a connector comes through the dashboard; what a form puts around it is small.
FILE_BYTES_MAX = 16 * 1024 * 1024
FORM_AROUND_BYTES_MAX = 64 * 1024
BODY_DEADLINE_S = 30.0
# What waits for a child to start, stop or answer, for an environment to be made, or for a folder to be erased.
_LONG_DEED = re.compile(
    r"POST /(core|services)/[^/]+/(install|uninstall|enable|disable|resume|stop|restart|settings|sync|wake|import)"
    r"|POST /(core|services)/[^/]+/(store|erase(/.+)?|set-aside/.+)|PUT /core/[^/]+/(settings|retention|store)"
    r"|POST /(dead-letters|owner/letters)/[^/]+/retry|DELETE /kept/[^/]+|POST /install/.+"
)
_TAKES_FILES = re.compile(r"/services/[^/]+/import")


class Lane:
    """Some threads, and a bounded line of requests before them; of one caller at most `of_one_max`."""

    def __init__(self, flask: Flask, *, of_one_max: int = WAITING_MAX) -> None:
        self._wsgi = WSGIMiddleware(flask.wsgi_app, workers=THREADS)  # type: ignore[arg-type]
        self._of_one_max = of_one_max
        self._inside: Counter[str] = Counter()
        self._is_closed = False

    async def run(self, actor: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in a thread of this lane; raises TooBusy when it is full, Retry once the core stops."""
        if self._is_closed:
            raise _stopping()
        if self._inside[actor] >= self._of_one_max:
            raise TooBusy(f"{self._inside[actor]} requests of {actor} wait for the core already", retry_after_s=1)
        if self._inside.total() >= WAITING_MAX:
            raise TooBusy(f"{WAITING_MAX} requests wait for the core already", retry_after_s=1)
        self._inside[actor] += 1
        try:
            await self._wsgi(scope, receive, send)  # type: ignore[arg-type]
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._is_closed or (task is not None and task.cancelling()):
                raise
            # Not this request was cancelled, but its wait for a thread.
            raise _stopping() from None
        finally:
            self._inside[actor] -= 1
            self._inside += Counter()

    async def close(self) -> None:
        """Let the threads go; requests inside them are finished first, for which they need the loop."""
        self._is_closed = True
        await asyncio.to_thread(self._wsgi.executor.shutdown, wait=True, cancel_futures=True)


class Mount:
    """An ASGI application that runs Flask in bounded pools of threads. Owned by the event loop."""

    def __init__(self, flask: Flask, *, body_deadline_s: float = BODY_DEADLINE_S) -> None:
        self._reading = Lane(flask)
        self._changing = Lane(flask)
        self._long_deeds = Lane(flask)
        self._children = Lane(flask, of_one_max=WAITING_OF_ONE_CHILD_MAX)
        self._body_deadline_s = body_deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; its body is at most a mebibyte, or what a file may have where the owner sends one."""
        request = Request(scope)
        try:
            body = await self._body(request, receive)
            if body is None:
                return
            messages = await self._run(scope, body)
        except (BodyTooLarge, BadRequest, Retry) as error:
            status, headers, content = render(error, for_person=request.is_navigation)
            # What is left of the body is not read, so the connection cannot be used again.
            await answer(send, status, [*headers, ("connection", "close")], content)
            return
        for message in messages:
            await send(message)

    async def close(self) -> None:
        """Let the threads of every lane go."""
        lanes = (self._reading, self._changing, self._long_deeds, self._children)
        await asyncio.gather(*(lane.close() for lane in lanes))

    def _lane(self, caller: Caller, method: str, path: str) -> Lane:
        if caller.service_id is not None:
            return self._children
        if method in READING:
            return self._reading
        return self._long_deeds if is_long_deed(method, path) else self._changing

    async def _body(self, request: Request, receive: Receive) -> bytes | None:
        """The whole body, or None when the client left before its end."""
        most = _bytes_max(request)
        declared = request.header("content-length")
        if declared.isdigit() and int(declared) > most:
            raise BodyTooLarge(f"The body has {declared} bytes; this path takes {most}.")
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_deadline_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise BodyTooLarge(f"The body is larger than the {most} bytes that are taken here.")
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError as err:
            raise BadRequest(f"The body did not arrive within {self._body_deadline_s:g} s.") from err

    async def _run(self, scope: Scope, body: bytes) -> list[Message]:
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def keep(message: Message) -> None:
            messages.append(message)

        # A WSGI application reads no further than the length it is told, and a body in chunks came without one.
        headers = [(n, v) for n, v in scope["headers"] if n not in (b"content-length", b"transfer-encoding")]
        whole = {**scope, "headers": [*headers, (b"content-length", b"%d" % len(body))]}
        caller: Caller = scope.get("locker.caller") or NOBODY
        await self._lane(caller, scope["method"], scope["path"]).run(caller.actor, whole, receive, keep)
        return messages


def _stopping() -> Retry:
    return Retry("Locker is stopping", remedy="Start Locker again.")


def is_long_deed(method: str, path: str) -> bool:
    """Whether this change may take seconds or minutes, so that quick ones must not wait behind it."""
    return _LONG_DEED.fullmatch(f"{method} {path}") is not None


def _bytes_max(request: Request) -> int:
    """How large the body may be."""
    caller: Caller = request.scope.get("locker.caller") or NOBODY
    is_file = caller.is_owner and request.method == "POST" and _TAKES_FILES.fullmatch(request.path) is not None
    return FILE_BYTES_MAX + FORM_AROUND_BYTES_MAX if is_file else BODY_BYTES_MAX
