"""An answer as ASGI messages: whole, or chunk by chunk until its reader leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor
from typing import Any

from core.model.errors import BadRequest, BodyTooLarge, LockerError
from core.records.answers import Answer, problem_answer

BODY_BYTES_MAX = 1024 * 1024

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


async def read_body(receive: Receive) -> bytes:
    """The whole body; raises BodyTooLarge above 1 MiB, BadRequest where it broke off."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the body broke off")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge(f"the body has more than {BODY_BYTES_MAX} bytes", remedy="Send less.")
        if not message.get("more_body"):
            return b"".join(parts)


async def send_answer(answer: Answer, *, is_head: bool, receive: Receive, send: Send, threads: Executor | None) -> None:
    """Send `answer`; chunks that are made by a plain iterator are made in `threads` (None: the loop's own)."""
    if isinstance(answer.body, bytes):
        await _send_whole(answer, is_head, send)
        return
    chunks = answer.body
    try:
        try:
            # The first chunk is made before the head is sent: until then a fault can still be told as what it is.
            first = None if is_head else await _next(chunks, threads)
        except LockerError as err:
            await _send_whole(problem_answer(err), is_head, send)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": _encoded(answer.headers)})
        await _until_gone(_pass_on(first, chunks, send, threads), receive)
    finally:
        await _close(chunks)


async def _pass_on(
    chunk: bytes | None, chunks: Iterator[bytes] | AsyncIterator[bytes], send: Send, threads: Executor | None
) -> None:
    while chunk is not None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        chunk = await _next(chunks, threads)
    await send({"type": "http.response.body", "body": b""})


async def _next(chunks: Iterator[bytes] | AsyncIterator[bytes], threads: Executor | None) -> bytes | None:
    """The next chunk, or None at the end."""
    if isinstance(chunks, AsyncIterator):
        return await anext(chunks, None)
    making: asyncio.Future[bytes | None]
    making = asyncio.get_running_loop().run_in_executor(threads, next, chunks, None)
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.wait({making})  # What a thread is reading must not be closed under it.
        raise


async def _until_gone(sending: Any, receive: Receive) -> None:
    """Send on until the end, or until the reader has left."""
    task = asyncio.ensure_future(sending)
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for other in (task, gone):
            if not other.done():
                other.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await other


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_whole(answer: Answer, is_head: bool, send: Send) -> None:
    body = answer.body if isinstance(answer.body, bytes) else b""
    headers = list(answer.headers)
    if answer.status not in (204, 304):
        headers.append(("content-length", str(len(body))))
    await send({"type": "http.response.start", "status": answer.status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": b"" if is_head else body})


def _encoded(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]


async def _close(chunks: Any) -> None:
    if isinstance(chunks, AsyncIterator):
        aclose = getattr(chunks, "aclose", None)
        if aclose is not None:
            await aclose()
        return
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
