"""One exchange with a running child: the request out, the answer back, both as streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from core.gateway.answer import Answer
from core.gateway.buffer import Body
from core.gateway.connection import Connection, Endpoint, Pool
from core.gateway.headers import Headers, response_headers
from core.gateway.limits import GatewayLimits
from core.gateway.request import Request
from core.gateway.watch import Reason, Watch
from core.model.errors import BadRequest, ChildCut, ChildDied, ChildMute, LockerError

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Exchange:
    """Sends one request to a child and its answer to the client, under the caller's watch."""

    def __init__(self, request: Request, body: Body, *, watch: Watch, pool: Pool, limits: GatewayLimits) -> None:
        self._request = request
        self._body = body
        self._watch = watch
        self._pool = pool
        self._limits = limits
        self._service_id = request.target.service_id
        self._first_byte_s = request.first_byte_s(limits)
        self._upload: asyncio.Task[None] | None = None

    async def run(self, endpoint: Endpoint, send: Send, *, on_sent: Callable[[], None]) -> None:
        """Carry the exchange out; `on_sent` is called once the request's head is on its way."""
        first = await self._body.first_piece() if self._request.has_body else b""
        try:
            connection, answer = await self._answered(endpoint, first, on_sent)
            try:
                await self._hand_on(answer, endpoint, send)
            except BaseException:
                connection.close()
                raise
            if answer.reusable and self._body.is_drained and (self._upload is None or self._upload.done()):
                self._pool.give(self._service_id, endpoint, connection)
            else:
                connection.close()
        finally:
            if self._upload is not None:
                self._upload.cancel()

    async def _answered(
        self, endpoint: Endpoint, first: bytes, on_sent: Callable[[], None]
    ) -> tuple[Connection, Answer]:
        """The connection and the answer whose head has arrived.

        A kept-alive connection may close at the very moment of its reuse: a request without a body that is safe
        to repeat goes out once more on a fresh one. Nothing else is ever sent twice.
        """
        repeatable = self._request.is_repeatable
        connection = self._pool.take(self._service_id, endpoint, repeatable=repeatable)
        if connection is not None:
            answer = await self._attempt(connection, endpoint, first, on_sent, is_last=not repeatable)
            if answer is not None:
                return connection, answer
        connection = await self._pool.connect(self._service_id, endpoint)
        answer = await self._attempt(connection, endpoint, first, on_sent, is_last=True)
        assert answer is not None
        return connection, answer

    async def _attempt(
        self, connection: Connection, endpoint: Endpoint, first: bytes, on_sent: Callable[[], None], *, is_last: bool
    ) -> Answer | None:
        answer = Answer(asyncio.get_running_loop(), self._service_id, method=self._request.method)
        try:
            connection.begin(self._request.head(endpoint) + self._framed(first), answer)
            on_sent()
            self._watch.expect(self._first_byte_s, self._mute)
            if self._request.has_body and not self._is_sent(first):
                self._upload = asyncio.get_running_loop().create_task(self._send_body(connection, answer))
            await answer.head()
        except ChildDied:
            connection.close()
            if is_last or answer.has_bytes:
                raise
            return None
        except BaseException:
            connection.close()
            raise
        return answer

    def _framed(self, piece: bytes) -> bytes:
        """A part of the body as it goes to the child, with the end mark when it is the last of a chunked one."""
        if not self._request.is_chunked:
            return piece
        framed = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        return framed + b"0\r\n\r\n" if self._body.is_drained else framed

    def _is_sent(self, first: bytes) -> bool:
        if self._request.is_chunked:
            return self._body.is_drained
        return len(first) == self._request.content_length

    async def _send_body(self, connection: Connection, answer: Answer) -> None:
        """Send what follows the first piece, also while an early answer is under way."""
        try:
            while not self._body.is_drained:
                self._expect_of_upload(answer, self._limits.silence_s, self._stalled)
                piece = await self._body.piece()
                self._expect_of_upload(answer, self._limits.silence_s, self._mute)
                if piece or self._request.is_chunked:
                    await connection.write(self._framed(piece))
            self._expect_of_upload(answer, self._first_byte_s, self._mute)
        except LockerError as error:
            self._watch.end(error)

    def _expect_of_upload(self, answer: Answer, within_s: float, reason: Reason) -> None:
        """Once the answer has begun its own limits count; the upload only shows that something goes on."""
        if answer.head_ready:
            self._watch.touch()
        else:
            self._watch.expect(within_s, reason)

    async def _hand_on(self, answer: Answer, endpoint: Endpoint, send: Send) -> None:
        headers = response_headers(
            answer.headers,
            self._request.target,
            status=answer.status,
            child_port=endpoint.port,
            core_port=self._request.core_port,
            is_door=self._request.is_door,
        )
        silence_s = None if _is_event_stream(answer.headers) else self._limits.silence_s
        self._watch.expect(self._limits.silence_s, self._stuck)
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        while True:
            self._watch.expect(silence_s, self._silent)
            piece = await answer.piece()
            more = not answer.is_finished
            self._watch.expect(self._limits.silence_s, self._stuck)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
            if not more:
                return

    def _mute(self) -> LockerError:
        return ChildMute(f"{self._service_id} sent no answer within {self._first_byte_s:g} s")

    def _silent(self) -> LockerError:
        return ChildMute(f"{self._service_id} stopped in the middle of its answer for {self._limits.silence_s:g} s")

    def _stalled(self) -> LockerError:
        return BadRequest(f"the request's body stopped arriving for {self._limits.silence_s:g} s")

    def _stuck(self) -> LockerError:
        return ChildCut(f"the client took nothing of the answer for {self._limits.silence_s:g} s")


def _is_event_stream(headers: Headers) -> bool:
    return any(
        len(name) == 12 and name.lower() == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in headers
    )
