"""A request's body on its way to a child: kept while the child starts, handed on as it comes when it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from core.gateway.limits import GatewayLimits
from core.gateway.request import body_too_large
from core.gateway.spool import Spool, SpoolFile, disk_error
from core.gateway.watch import Watch
from core.model.errors import BodyTooLarge, StorageFull, TooBusy

Receive = Callable[[], Awaitable[dict[str, Any]]]

FIRST_PIECE_S = 0.05
FLOW_BYTES_MAX = 64 * 1024


class Body(Protocol):
    """Where an exchange takes the request's body from."""

    async def first_piece(self) -> bytes: ...
    async def piece(self) -> bytes: ...
    @property
    def is_drained(self) -> bool: ...


class Intake:
    """Reads one request's body from the client and notices when the client leaves.

    One task of its own is the only reader, from `begin` to `close`. Until the first `piece` is asked for it keeps
    the body in memory, then in the spool; from then on it holds little and reads no further.
    """

    def __init__(self, receive: Receive, *, watch: Watch, limits: GatewayLimits, spool: Spool, has_body: bool) -> None:
        self._receive = receive
        self._watch = watch
        self._limits = limits
        self._spool = spool
        self._memory: list[bytes] = []
        self._memory_bytes = 0
        self._file: SpoolFile | None = None
        self._file_bytes = 0
        self._file_taken = 0
        self._file_read = 0
        self._body_bytes = 0
        self._flowing = False
        self._is_closed = False
        self._task: asyncio.Task[None] | None = None
        self._changed: asyncio.Future[None] | None = None
        self._wanted: asyncio.Future[None] | None = None
        self.ended = not has_body

    def begin(self) -> None:
        """Start reading; a second call does nothing."""
        if self._task is None and not self._is_closed:
            self._task = asyncio.get_running_loop().create_task(self._read())

    async def first_piece(self) -> bytes:
        """What is there within a moment, so that head and body leave together; empty when nothing is."""
        self.begin()
        self._flowing = True
        if not self._memory and not self.ended:
            self._changed = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._changed,), timeout=FIRST_PIECE_S)
        return await self.piece() if self._memory else b""

    async def piece(self) -> bytes:
        """The next part of the body; empty at its end. Only one caller at a time.

        Raises TooBusy or StorageFull where what was spooled cannot be read.
        """
        self._flowing = True
        while True:
            if self._memory:
                return self._from_memory()
            if self._file_read < self._file_bytes:
                return await self._from_file()
            if self.ended:
                return b""
            self._want()
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed

    @property
    def is_drained(self) -> bool:
        """Whether the whole body has arrived and been taken."""
        return self.ended and not self._memory and self._file_read >= self._file_bytes

    def close(self) -> None:
        """Stop reading and let go of what is kept."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._file is not None:
            self._file.close()
            self._file = None
            self._spool.give_back(self._file_taken)
        self._memory.clear()

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                self._watch.leave()
                return
            try:
                await self._keep(message.get("body", b""))
            except (BodyTooLarge, TooBusy, StorageFull) as error:
                self._watch.end(error)
                return
            if not message.get("more_body", False):
                self.ended = True
                self._tell()

    async def _keep(self, piece: bytes) -> None:
        if not piece:
            return
        self._body_bytes += len(piece)
        if self._body_bytes > self._limits.body_bytes_max:
            raise body_too_large(self._limits.body_bytes_max)
        if self._flowing:
            await self._until_wanted()
            self._to_memory(piece)
        elif self._file is None and self._memory_bytes + len(piece) <= self._limits.body_memory_bytes:
            self._to_memory(piece)
        else:
            await self._to_file(piece)
        self._tell()

    def _to_memory(self, piece: bytes) -> None:
        self._memory.append(piece)
        self._memory_bytes += len(piece)

    def _from_memory(self) -> bytes:
        piece = self._memory[0] if len(self._memory) == 1 else b"".join(self._memory)
        self._memory.clear()
        self._memory_bytes = 0
        self._want()
        return piece

    async def _to_file(self, piece: bytes) -> None:
        if self._file is None:
            self._file = self._spool.open()
        self._spool.take(len(piece))
        self._file_taken += len(piece)
        try:
            await asyncio.to_thread(self._file.append, piece)
        except OSError as err:
            raise disk_error(err) from err
        # Counted when it is there: the reader may be waiting for it already.
        self._file_bytes += len(piece)

    async def _from_file(self) -> bytes:
        assert self._file is not None
        try:
            piece = await asyncio.to_thread(self._file.read, self._file_read)
        except OSError as err:
            raise disk_error(err) from err
        self._file_read += len(piece)
        return piece

    async def _until_wanted(self) -> None:
        """Wait until what is kept has been taken: the order of the body is kept, and memory stays flat."""
        while self._memory_bytes >= FLOW_BYTES_MAX or self._file_read < self._file_bytes:
            self._wanted = asyncio.get_running_loop().create_future()
            await self._wanted

    def _want(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    def _tell(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


class Given:
    """A body that is here already, in the shape of an Intake."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def first_piece(self) -> bytes:
        """All of it."""
        return await self.piece()

    async def piece(self) -> bytes:
        """All of it, once; then nothing."""
        piece, self._body = self._body, b""
        return piece

    @property
    def is_drained(self) -> bool:
        """Whether it has been taken."""
        return not self._body
