"""One answer of a child as it arrives: its head, then its body in pieces, then its end or a reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httptools

from core.gateway.limits import HEAD_BYTES_MAX, HEAD_FIELDS_MAX
from core.model.errors import AnswerInvalid, ChildCut, ChildDied, LockerError

INTERIM_ANSWERS_MAX = 8
FRAMING_BYTES_MAX = 64 * 1024


class Answer:
    """Parses one response and hands it to one reader; `feed` and `end` are called by the connection.

    Trailers are dropped. Interim answers (1xx) are skipped: the outer server says 100 Continue by itself.
    """

    __slots__ = (
        "_fault", "_framing_bytes", "_head_bytes", "_interim", "_interims", "_is_interim", "_loop", "_method",
        "_on_taken", "_parser", "_pieces", "_service_id", "_until_close", "_waiter", "complete", "has_bytes",
        "head_ready", "headers", "held_bytes", "progress_at", "reusable", "status",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, service_id: str, *, method: str) -> None:
        self._loop = loop
        self._service_id = service_id
        self._method = method
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._fault: LockerError | None = None
        self._on_taken: Callable[[], None] | None = None
        self._head_bytes = 0
        self._framing_bytes = 0
        self._interims = 0
        self._is_interim = False
        self._until_close = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.head_ready = False
        self.complete = False
        self.reusable = False
        self.has_bytes = False
        self.held_bytes = 0
        self.progress_at = 0.0

    # For the reader

    async def head(self) -> None:
        """Wait until status and headers are there; raises what stopped them."""
        while not self.head_ready:
            if self._fault is not None:
                raise self._fault
            await self._change()

    async def piece(self) -> bytes:
        """The next part of the body; empty at its end. Raises ChildCut when the answer broke off."""
        while not self._pieces:
            if self._fault is not None:
                raise self._fault
            if self.complete:
                return b""
            await self._change()
        return self.take()

    def take(self) -> bytes:
        """All of the body that is here now."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.held_bytes = 0
        if self._on_taken is not None:
            self._on_taken()
        return data

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will come and all of it was taken."""
        return self.complete and not self._pieces

    async def _change(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    # For the connection

    def on_taken(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever the reader has emptied what was held."""
        self._on_taken = callback

    def feed(self, data: bytes) -> None:
        """Take bytes from the child."""
        if self._parser is None:
            self.reusable = False
            return
        self.has_bytes = True
        self._framing_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("switched protocols without being asked")
        except httptools.HttpParserError:
            self._fail("sent something that is not HTTP/1.1")
        else:
            # Heads, chunk extensions and trailers count here; each part of the body sets it back.
            if self._framing_bytes > FRAMING_BYTES_MAX and not self.complete:
                self._fail(f"sent more than {FRAMING_BYTES_MAX} bytes of headers or framing")
        if self.complete or self._fault is not None:
            # Parser and answer know each other; parted, both go at once instead of with the next collection.
            self._parser = None
        self._wake()

    def end(self) -> None:
        """The child closed the connection."""
        if self.complete or self._fault is not None:
            return
        if self._until_close and self.head_ready:
            self.complete = True
        elif self.head_ready:
            self._fault = ChildCut(f"{self._service_id} closed the connection in the middle of its answer")
        else:
            self._fault = ChildDied(f"{self._service_id} closed the connection before it answered")
        self._wake()

    def break_off(self) -> None:
        """The connection broke: even an answer that ends with the connection is incomplete."""
        self._until_close = False
        self.end()

    def _fail(self, what: str) -> None:
        self.reusable = False
        if not self.complete and self._fault is None:
            self._fault = AnswerInvalid(f"{self._service_id} {what}")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # For the parser

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("bytes after the end")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_ready:
            return
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > HEAD_BYTES_MAX or len(self.headers) >= HEAD_FIELDS_MAX:
            raise ValueError("the head is too large")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._skip_interim(status)
            return
        if status > 599:
            raise ValueError("not a status")
        self.status = status
        encoding = self._field(b"transfer-encoding")
        if encoding is not None and encoding.strip().lower() != b"chunked":
            raise ValueError("a transfer encoding that is not known")
        self._framing_bytes = 0
        self.head_ready = True
        self.reusable = self._parser.should_keep_alive()
        if self._method == "HEAD":
            self.complete = True
        elif status not in (204, 304):
            self._until_close = encoding is None and self._field(b"content-length") is None
        self.progress_at = self._loop.time()

    def on_body(self, body: bytes) -> None:
        if self.complete:
            raise ValueError("a body where there is none")
        self._framing_bytes = 0
        self._pieces.append(body)
        self.held_bytes += len(body)
        self.progress_at = self._loop.time()

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._is_interim = False
        else:
            self.complete = True

    def _skip_interim(self, status: int) -> None:
        self._interims += 1
        if status == 101 or self._interims > INTERIM_ANSWERS_MAX:
            raise ValueError("an interim answer too many")
        self._is_interim = True
        self.headers.clear()

    def _field(self, wanted: bytes) -> bytes | None:
        for name, value in self.headers:
            if len(name) == len(wanted) and name.lower() == wanted:
                return value
        return None
