"""Kept-alive connections to running children: one per exchange at a time, none to a child that is gone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

from core.gateway.answer import Answer
from core.gateway.limits import CONNECT_S
from core.model.errors import ChildDied, ChildMute, TooBusy

P = TypeVar("P", bound=asyncio.BaseProtocol)

HOST = "127.0.0.1"
RETRY_AFTER_S = 2.0
# One whole read of the event loop fits below, so a reader that keeps up is never paused.
HELD_BYTES_MAX = 256 * 1024
WRITE_BUFFER_BYTES_MAX = 256 * 1024
IDLE_CONNECTIONS_MAX = 8
# Common servers close an idle connection after 5 s; letting go earlier avoids meeting that moment.
IDLE_S_MAX = 4.0
# A request that cannot be sent twice takes only a connection that was in use a moment ago.
FRESH_S = 1.0


class Endpoint(Protocol):
    """Where a running child listens; another start of the same service is another generation."""

    @property
    def port(self) -> int: ...
    @property
    def token(self) -> str: ...
    @property
    def generation(self) -> int: ...


class Connection(asyncio.Protocol):
    """One TCP connection to a child, carrying one exchange after another."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._writable: asyncio.Future[None] | None = None
        self._write_paused = False
        self._read_paused = False
        self.is_closed = False
        self.is_used = False
        self.idle_since = 0.0

    # For the exchange

    def begin(self, data: bytes, answer: Answer) -> None:
        """Send a request's head (and as much body as is there) in one write, and feed `answer` from now on."""
        assert self._transport is not None and self._answer is None
        self._answer = answer
        answer.on_taken(self._resume_reading)
        self._transport.write(data)

    async def write(self, data: bytes) -> None:
        """Send more of the body; returns when the child has room for what comes after it."""
        if self._transport is None or self.is_closed:
            return
        self._transport.write(data)
        while self._write_paused and not self.is_closed:
            self._writable = self._loop.create_future()
            await self._writable

    def finish(self) -> None:
        """The exchange is over; the connection may carry the next."""
        self._answer = None
        self.is_used = True
        self.idle_since = self._loop.time()
        self._resume_reading()

    def close(self) -> None:
        """End the connection at once: the child sees that nobody waits any more."""
        self._answer = None
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()

    # For the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Both event loops set TCP_NODELAY on every TCP transport; a test holds them to it.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            # Bytes that nobody asked for would be taken for the next answer.
            self.close()
            return
        answer.feed(data)
        if answer.held_bytes > HELD_BYTES_MAX and not self._read_paused and self._transport is not None:
            self._read_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self.is_closed = True
        if self._answer is not None:
            self._answer.end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if self._answer is not None:
            if exc is None:
                self._answer.end()
            else:
                self._answer.break_off()
        self.resume_writing()
        self._transport = None

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _resume_reading(self) -> None:
        if self._read_paused and self._transport is not None:
            self._read_paused = False
            self._transport.resume_reading()


class Pool:
    """Idle connections per service, of its present generation only. Owned by the event loop's thread."""

    def __init__(self, *, report_dead: Callable[[Endpoint], None]) -> None:
        self._report_dead = report_dead
        self._idle: dict[str, tuple[int, deque[Connection]]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self, service_id: str, endpoint: Endpoint, *, repeatable: bool) -> Connection | None:
        """An idle connection that is most likely alive, or None."""
        generation, idle = self._idle.get(service_id, (0, None))
        if idle is None:
            return None
        if generation != endpoint.generation:
            self.drop(service_id)
            return None
        oldest = asyncio.get_running_loop().time() - (IDLE_S_MAX if repeatable else FRESH_S)
        while idle:
            connection = idle.pop()
            if connection.idle_since >= oldest and not connection.is_closed:
                return connection
            connection.close()
        return None

    async def connect(self, service_id: str, endpoint: Endpoint) -> Connection:
        """A fresh connection to carry exchanges; raises as `open` does."""
        loop = asyncio.get_running_loop()
        return await self.open(service_id, endpoint, lambda: Connection(loop))

    async def open(self, service_id: str, endpoint: Endpoint, factory: Callable[[], P]) -> P:
        """What `factory` makes, connected to the child.

        Raises ChildDied when the child does not listen (and says so to the supervisor), ChildMute when it does
        not accept, TooBusy when the core itself is out of descriptors.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                _, connection = await asyncio.get_running_loop().create_connection(factory, HOST, endpoint.port)
        except TimeoutError as err:
            raise ChildMute(f"{service_id} accepted no connection within {CONNECT_S:g} s") from err
        except ConnectionRefusedError as err:
            self.drop(service_id)
            self._report_dead(endpoint)
            raise ChildDied(f"{service_id} does not listen any more") from err
        except OSError as err:
            # Out of descriptors or ports: the child is well, and must not be taken for dead.
            raise TooBusy("the core can open no more connections", retry_after_s=RETRY_AFTER_S) from err
        return connection

    def give(self, service_id: str, endpoint: Endpoint, connection: Connection) -> None:
        """Keep a connection whose exchange ended cleanly, for the next one."""
        connection.finish()
        generation, idle = self._idle.get(service_id, (-1, None))
        if idle is None or generation < endpoint.generation:
            self.drop(service_id)
            idle = deque()
            self._idle[service_id] = (endpoint.generation, idle)
        elif generation > endpoint.generation:
            connection.close()
            return
        if self._is_closed or connection.is_closed or len(idle) >= IDLE_CONNECTIONS_MAX:
            connection.close()
            return
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_S_MAX, self._sweep)

    def drop(self, service_id: str) -> None:
        """Close what is idle for a service whose child is gone."""
        _, idle = self._idle.pop(service_id, (0, ()))
        for connection in idle:
            connection.close()

    def close(self) -> None:
        """Close everything idle; what is in use closes at its end."""
        self._is_closed = True
        for service_id in list(self._idle):
            self.drop(service_id)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_S_MAX
        for service_id, (_, idle) in list(self._idle.items()):
            while idle and (idle[0].is_closed or idle[0].idle_since < oldest):
                idle.popleft().close()
            if not idle:
                del self._idle[service_id]
        self._sweeper = loop.call_later(IDLE_S_MAX, self._sweep) if self._idle else None
