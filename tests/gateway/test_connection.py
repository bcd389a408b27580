"""Kept-alive connections: the freshest first, none that is old, closed, or of another start of the child."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import uvloop

from core.gateway.answer import Answer
from core.gateway.connection import FRESH_S, IDLE_CONNECTIONS_MAX, IDLE_S_MAX, Connection, Pool
from core.model.errors import ChildDied, TooBusy
from tests.gateway.house import HOST, Endpoint

Scenario = Callable[[Pool, Endpoint, list[Any]], Awaitable[None]]


class Peer(asyncio.Protocol):
    """A child's end of a connection, noted when it opens and when it closes."""

    def __init__(self, seen: list[Any]) -> None:
        self._seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._seen.append(self)
        self.is_closed = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True


def play(scenario: Scenario, *, run: Callable[[Any], Any] = asyncio.run) -> None:
    """Run a scenario with a pool and a listening child."""

    async def main() -> None:
        seen: list[Any] = []
        server = await asyncio.get_running_loop().create_server(lambda: Peer(seen), HOST, 0)
        pool = Pool(report_dead=lambda endpoint: seen.append(endpoint))
        try:
            await asyncio.wait_for(scenario(pool, Endpoint(server.sockets[0].getsockname()[1]), seen), 30)
        finally:
            pool.close()
            server.close()
            for peer in seen:
                if isinstance(peer, Peer):
                    peer.transport.abort()
            # Both ends of each connection hear of it before the loop ends.
            await asyncio.sleep(0.05)

    run(main())


async def idle_for(connection: Connection, seconds: float) -> None:
    """As if that much time had passed since its last use."""
    connection.idle_since -= seconds


def test_the_freshest_is_taken_first() -> None:
    """The others may grow old and be let go."""

    async def scenario(pool: Pool, endpoint: Endpoint, _seen: list[Any]) -> None:
        first, second = [await pool.connect("foo", endpoint) for _ in range(2)]
        pool.give("foo", endpoint, first)
        pool.give("foo", endpoint, second)

        assert pool.take("foo", endpoint, repeatable=True) is second
        assert pool.take("foo", endpoint, repeatable=True) is first
        assert pool.take("foo", endpoint, repeatable=True) is None
        assert pool.take("bar", endpoint, repeatable=True) is None

    play(scenario)


@pytest.mark.parametrize(("repeatable", "age_s"), [(True, IDLE_S_MAX), (False, FRESH_S)])
def test_an_old_one_is_not_used(repeatable: bool, age_s: float) -> None:
    """Just under its age it is, just over it is closed; a request that cannot be repeated wants a fresher one."""

    async def scenario(pool: Pool, endpoint: Endpoint, _seen: list[Any]) -> None:
        young, old = [await pool.connect("foo", endpoint) for _ in range(2)]
        pool.give("foo", endpoint, young)
        await idle_for(young, age_s - 0.5)
        assert pool.take("foo", endpoint, repeatable=repeatable) is young
        pool.give("foo", endpoint, old)
        await idle_for(old, age_s + 0.1)

        assert pool.take("foo", endpoint, repeatable=repeatable) is None
        assert old.is_closed

    play(scenario)


def test_no_more_than_a_few_are_kept() -> None:
    """The rest are closed when they come back."""

    async def scenario(pool: Pool, endpoint: Endpoint, _seen: list[Any]) -> None:
        connections = [await pool.connect("foo", endpoint) for _ in range(IDLE_CONNECTIONS_MAX + 1)]
        for connection in connections:
            pool.give("foo", endpoint, connection)

        assert [False] * IDLE_CONNECTIONS_MAX + [True] == [c.is_closed for c in connections]

    play(scenario)


def test_another_generation_lets_go_of_the_last() -> None:
    """Whichever comes first, the taking or the giving; a late return of an earlier one is not kept."""

    async def scenario(pool: Pool, endpoint: Endpoint, _seen: list[Any]) -> None:
        newer = Endpoint(endpoint.port, generation=2)
        one, two, three = [await pool.connect("foo", endpoint) for _ in range(3)]
        pool.give("foo", endpoint, one)
        assert pool.take("foo", newer, repeatable=True) is None and one.is_closed
        pool.give("foo", newer, two)
        pool.give("foo", endpoint, three)

        assert (False, True) == (two.is_closed, three.is_closed)
        assert pool.take("foo", newer, repeatable=True) is two

    play(scenario)


def test_a_closed_pool_keeps_nothing() -> None:
    """What comes back is closed."""

    async def scenario(pool: Pool, endpoint: Endpoint, seen: list[Any]) -> None:
        connection = await pool.connect("foo", endpoint)
        pool.close()
        pool.give("foo", endpoint, connection)
        assert connection.is_closed
        await asyncio.sleep(0.05)

        assert [True] == [peer.is_closed for peer in seen]

    play(scenario)


def test_nobody_listening_is_reported() -> None:
    """With the endpoint that was tried."""

    async def scenario(pool: Pool, _endpoint: Endpoint, seen: list[Any]) -> None:
        with socket.create_server((HOST, 0)) as gone:
            nowhere = Endpoint(gone.getsockname()[1])
        with pytest.raises(ChildDied):
            await pool.connect("foo", nowhere)

        assert [nowhere] == seen

    play(scenario)


def test_a_core_out_of_descriptors_does_not_blame_the_child() -> None:
    """A child taken for dead would be ended."""

    async def scenario(pool: Pool, endpoint: Endpoint, seen: list[Any]) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(TooBusy):
                await pool.connect("foo", endpoint)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert [] == seen

    play(scenario)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_small_writes_are_not_held_back(run: Callable[[Any], Any]) -> None:
    """Both event loops set TCP_NODELAY on connections they make."""

    async def scenario(pool: Pool, endpoint: Endpoint, _seen: list[Any]) -> None:
        connection = await pool.connect("foo", endpoint)
        transport = connection._transport
        assert transport is not None
        raw = transport.get_extra_info("socket")

        assert 1 == raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()

    play(scenario, run=run)


def test_writing_waits_for_a_child_that_does_not_read() -> None:
    """And goes on when the connection is gone."""

    async def scenario(pool: Pool, endpoint: Endpoint, seen: list[Any]) -> None:
        connection = await pool.connect("foo", endpoint)
        connection.begin(b"x", Answer(asyncio.get_running_loop(), "foo", method="POST"))
        await asyncio.sleep(0.01)
        seen[0].transport.pause_reading()
        sent = 0

        async def write() -> None:
            nonlocal sent
            while sent < 100_000_000 and not connection.is_closed:
                await connection.write(b"x" * 65536)
                sent += 65536

        task = asyncio.create_task(write())
        await asyncio.sleep(0.3)
        assert not task.done() and sent < 30_000_000
        connection.close()
        await asyncio.wait_for(task, 5)

    play(scenario, run=uvloop.run)
