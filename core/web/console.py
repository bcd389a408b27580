"""The door for the owner's terminal: `Me/core.sock`, where a command gets a token for ten minutes.

The socket is the owner's alone (0600), each caller's user is asked of the kernel, and a process out of a child's
tree is refused: otherwise a connector could make itself the owner. One line of JSON each way:

    {"op": "ticket"} -> {"url": "http://127.0.0.1:8042", "token": "lkc_…"}
    {"op": "login"}  -> {"url": "http://locker.localhost:8042/login?ticket=…"}
    {"op": "borrow", "service": "feeds"} -> {"borrowed": "feeds"}

Who borrows has the service's store to itself until it closes its end, or is no more; then the core closes the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec

from core.model.errors import BadRequest, Forbidden, LockerError, TooBusy
from core.model.problem import as_locker_error, problem_document
from core.netstore import listen_unix, peer_of, socket_path

log = logging.getLogger(__name__)

SOCKET_NAME = "core.sock"
LINE_BYTES_MAX = 4096
LINE_DEADLINE_S = 5.0
CALLERS_MAX = 16
BORROWERS_MAX = 64
BORROW = "borrow"

Answer = Mapping[str, str]
# Keeps everybody of the core away from a service's store for as long as the context is open.
Lend = Callable[[str], AbstractAsyncContextManager[None]]


class _Request(msgspec.Struct):
    op: str
    service: str = ""


def console_path(me: Path) -> Path:
    """Where the core of this Me listens; a command finds it by the same rule."""
    return socket_path(me / SOCKET_NAME)


class Console:
    """Serves the socket; owned by the event loop that started it."""

    def __init__(
        self,
        me: Path,
        *,
        answers: Mapping[str, Callable[[], Answer]],
        is_child: Callable[[int], bool],
        lend: Lend,
    ) -> None:
        self._path = console_path(me)
        self._answers = answers
        self._is_child = is_child
        self._lend = lend
        self._server: asyncio.AbstractServer | None = None
        self._callers = 0
        self._lending: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Listen; a socket that nobody answers is replaced, AlreadyRunning when somebody does."""
        listener, _ = await asyncio.to_thread(listen_unix, self._path)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LINE_BYTES_MAX)

    async def close(self) -> None:
        """Stop listening and remove the socket; who has borrowed a store has it without the core from then on."""
        if self._server is not None:
            self._server.close()
            for task in self._lending:
                task.cancel()
            await asyncio.gather(*self._lending, return_exceptions=True)
            await self._server.wait_closed()
            self._path.unlink(missing_ok=True)
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            wanted = await self._attended(writer, self._attend(reader, writer))
            if wanted is not None:
                await self._attended(writer, self._lend_to(reader, writer, wanted))
        except (TimeoutError, ConnectionError):
            log.info("console caller left without an answer")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _attended(self, writer: asyncio.StreamWriter, work: Awaitable[str | None]) -> str | None:
        """What comes of it; a refusal and a failure are answers too."""
        try:
            return await work
        except (TimeoutError, ConnectionError):
            raise
        except LockerError as error:
            log.info("console refused code=%s", error.code)
            problem = problem_document(error)
        except Exception as error:
            log.exception("console failed")
            problem = problem_document(as_locker_error(error))
        await _say(writer, {"problem": problem})
        return None

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
        """Answer one caller; the service whose store it asks to borrow, if it does."""
        if self._callers >= CALLERS_MAX:
            raise TooBusy("Too many commands ask the core at the same time.")
        self._callers += 1
        try:
            async with asyncio.timeout(LINE_DEADLINE_S):
                await self._check_peer(reader, writer)
                request = _request(await _line(reader), {*self._answers, BORROW})
            if request.op == BORROW:
                return request.service
            await _say(writer, self._answers[request.op]())
            return None
        finally:
            self._callers -= 1

    async def _lend_to(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service_id: str) -> None:
        """Keep everybody from the store until the caller is gone; the kernel tells that, however it ended."""
        if len(self._lending) >= BORROWERS_MAX:
            raise TooBusy(f"{BORROWERS_MAX} commands work on stores already.", remedy="Try again when one is done.")
        task = asyncio.current_task()
        assert task is not None
        self._lending.add(task)
        try:
            async with self._lend(service_id):
                await _say(writer, {"borrowed": service_id})
                with contextlib.suppress(ConnectionError):
                    while await reader.read(LINE_BYTES_MAX):
                        pass
        finally:
            self._lending.discard(task)

    async def _check_peer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Judge who has connected at once: later, its number may be somebody else's."""
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as peer:
            uid, pid = peer_of(peer)
        is_owner = uid == os.getuid() and pid > 0
        if is_owner and not await asyncio.to_thread(self._is_child, pid):
            return
        # Who is cut off while it still speaks does not hear the answer.
        with contextlib.suppress(BadRequest):
            await _line(reader)
        raise Forbidden(
            "A connector may not ask here." if is_owner else "Only the user that runs the core may ask here."
        )


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as err:
        raise BadRequest(f"The line is longer than {LINE_BYTES_MAX} bytes.") from err
    except asyncio.IncompleteReadError as err:
        raise BadRequest("The line has no end.") from err


async def _say(writer: asyncio.StreamWriter, answer: Mapping[str, Any]) -> None:
    async with asyncio.timeout(LINE_DEADLINE_S):
        writer.write(msgspec.json.encode(answer) + b"\n")
        await writer.drain()


def _request(line: bytes, known: Collection[str]) -> _Request:
    try:
        request = msgspec.json.decode(line, type=_Request)
    except msgspec.ValidationError as err:
        raise BadRequest(f"The line does not fit: {err}.") from err
    except (msgspec.MsgspecError, RecursionError) as err:
        raise BadRequest("The line is not a JSON object.") from err
    if request.op not in known:
        raise BadRequest(f"op must be one of {', '.join(sorted(known))}.")
    return request
