"""Idleness, holds and memory: when the supervisor ends a child on its own account."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from core.model.clock import ManualClock
from core.model.errors import Forbidden, TooBusy
from core.process import Running, Stopped
from tests.process.yard import BRISK, Yard, until

MakeYard = Callable[..., Yard]
IDLE_S = 100.0
SEVERAL_ROUNDS_S = 10 * BRISK.watch_s


def test_idle_child_is_stopped(make_yard: MakeYard) -> None:
    """After its idle time without a request it is ended, and says that it was idle."""

    async def scenario() -> None:
        clock = ManualClock()
        async with make_yard(clock=clock) as yard:
            name = yard.add("obedient", idle_stop_s=IDLE_S)
            await yard.supervisor.ensure_running(name)
            clock.advance(IDLE_S - 1)
            await asyncio.sleep(SEVERAL_ROUNDS_S)
            before = yard.supervisor.state(name)
            clock.advance(1)
            await until(lambda: isinstance(yard.supervisor.state(name), Stopped))
            state = yard.supervisor.state(name)

            assert isinstance(before, Running)
            assert isinstance(state, Stopped) and "it was idle" == state.reason

    asyncio.run(scenario())


def test_idle_stop_spares_open_download(make_yard: MakeYard) -> None:
    """Idle time counts from the end of the last lease, however long that was; every lease counts."""

    async def scenario() -> None:
        clock = ManualClock()
        async with make_yard(clock=clock) as yard:
            name = yard.add("obedient", idle_stop_s=IDLE_S)
            await yard.supervisor.ensure_running(name)
            with yard.supervisor.lease(name):
                with yard.supervisor.lease(name):
                    clock.advance(10 * IDLE_S)
                clock.advance(10 * IDLE_S)
                await asyncio.sleep(SEVERAL_ROUNDS_S)
                during = yard.supervisor.state(name)
                leases = yard.supervisor.details(name).leases
            clock.advance(IDLE_S - 1)
            await asyncio.sleep(SEVERAL_ROUNDS_S)
            after = yard.supervisor.state(name)
            clock.advance(1)
            await until(lambda: isinstance(yard.supervisor.state(name), Stopped))

            assert isinstance(during, Running) and isinstance(after, Running)
            assert 1 == leases

    asyncio.run(scenario())


def test_resident_child_stays(make_yard: MakeYard) -> None:
    """A resident service is never idle."""

    async def scenario() -> None:
        clock = ManualClock()
        async with make_yard(clock=clock) as yard:
            name = yard.add("obedient", idle_stop_s=IDLE_S, resident=True)
            await yard.supervisor.ensure_running(name)
            clock.advance(1000 * IDLE_S)
            await asyncio.sleep(SEVERAL_ROUNDS_S)

            assert isinstance(yard.supervisor.state(name), Running)

    asyncio.run(scenario())


def test_hold_keeps_the_child_until_its_time(make_yard: MakeYard) -> None:
    """A hold counts until its moment, and idle time from there."""

    async def scenario() -> None:
        clock = ManualClock()
        async with make_yard(clock=clock) as yard:
            name = yard.add("obedient", idle_stop_s=IDLE_S)
            await yard.supervisor.ensure_running(name)
            yard.supervisor.hold(name, reason="a sync runs", until=clock.now() + 10 * IDLE_S)
            clock.advance(10 * IDLE_S - 1)
            await asyncio.sleep(SEVERAL_ROUNDS_S)
            held = (yard.supervisor.state(name), yard.supervisor.details(name).holds)
            clock.advance(1 + IDLE_S - 1)
            await asyncio.sleep(SEVERAL_ROUNDS_S)
            lapsed = (yard.supervisor.state(name), yard.supervisor.details(name).holds)
            clock.advance(1)
            await until(lambda: isinstance(yard.supervisor.state(name), Stopped))

            assert isinstance(held[0], Running) and ("a sync runs",) == held[1]
            assert isinstance(lapsed[0], Running) and () == lapsed[1]

    asyncio.run(scenario())


def test_a_hold_is_released(make_yard: MakeYard) -> None:
    """Releasing ends the hold, and idle time counts from that moment; an unknown reason is no matter."""

    async def scenario() -> None:
        clock = ManualClock()
        async with make_yard(clock=clock) as yard:
            name = yard.add("obedient", idle_stop_s=IDLE_S)
            await yard.supervisor.ensure_running(name)
            yard.supervisor.hold(name, reason="watch", until=clock.now() + 1000 * IDLE_S)
            clock.advance(5 * IDLE_S)
            yard.supervisor.release(name, "watch")
            yard.supervisor.release(name, "never held")
            await asyncio.sleep(SEVERAL_ROUNDS_S)
            just_after = yard.supervisor.state(name)
            clock.advance(IDLE_S)
            await until(lambda: isinstance(yard.supervisor.state(name), Stopped))

            assert isinstance(just_after, Running)

    asyncio.run(scenario())


def test_holds_are_bounded(make_yard: MakeYard) -> None:
    """INV-10: a hold lasts a set time at most, there are so many, and a reason is a short text."""

    async def scenario() -> None:
        clock = ManualClock()
        async with make_yard(clock=clock, limits=replace(BRISK, hold_s_max=50.0, holds_max=2)) as yard:
            name = yard.add("obedient", idle_stop_s=IDLE_S)
            await yard.supervisor.ensure_running(name)
            yard.supervisor.hold(name, reason="for ever", until=clock.now() + 1e9)
            yard.supervisor.hold(name, reason="r" * 200, until=clock.now() + 1e9)
            yard.supervisor.hold(name, reason="for ever", until=float("nan"))
            with pytest.raises(TooBusy):
                yard.supervisor.hold(name, reason="a third", until=clock.now() + 1)
            yard.supervisor.release(name, "r" * 200)
            with pytest.raises(Forbidden):
                yard.supervisor.hold(name, reason="r" * 201, until=clock.now() + 1)
            clock.advance(50.0)

            assert () == yard.supervisor.details(name).holds

    asyncio.run(scenario())


def test_holds_end_with_their_child(make_yard: MakeYard) -> None:
    """What a dead child held does not keep the next one."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("obedient")
            await yard.supervisor.ensure_running(name)
            yard.supervisor.hold(name, reason="watch", until=yard.clock.now() + 3600)
            await yard.supervisor.stop(name, reason="test")
            await yard.supervisor.ensure_running(name)

            assert () == yard.supervisor.details(name).holds

    asyncio.run(scenario())


def test_a_clock_that_is_set_neither_keeps_nor_ends_a_child(make_yard: MakeYard) -> None:
    """Setting the machine's clock back or forth an hour is no idleness."""

    async def scenario() -> None:
        clock = ManualClock()
        async with make_yard(clock=clock) as yard:
            name = yard.add("obedient", idle_stop_s=IDLE_S)
            await yard.supervisor.ensure_running(name)
            clock.step(3600)
            await asyncio.sleep(SEVERAL_ROUNDS_S)
            ahead = yard.supervisor.state(name)
            clock.step(-7200)
            clock.advance(IDLE_S)
            await until(lambda: isinstance(yard.supervisor.state(name), Stopped))

            assert isinstance(ahead, Running)

    asyncio.run(scenario())


def test_memory_over_the_limit_stops_the_child(make_yard: MakeYard) -> None:
    """INV-09: a child that grows past its limit is stopped with the figures as reason; its neighbour is not."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("eats_memory", settings={"megabytes": 100}, memory_bytes=90 * 1024 * 1024)
            endpoint = await yard.supervisor.ensure_running(name)
            await yard.supervisor.ensure_running(yard.add("obedient"))
            await asyncio.sleep(5 * BRISK.memory_watch_s)
            before = yard.supervisor.state(name)
            with contextlib.suppress(OSError):
                await yard.get(endpoint)
            await until(lambda: isinstance(yard.supervisor.state(name), Stopped))
            state = yard.supervisor.state(name)

            assert isinstance(before, Running)
            assert isinstance(state, Stopped) and state.reason.endswith("MB, its limit is 90 MB")
            assert isinstance(yard.supervisor.state("obedient"), Running)

    asyncio.run(scenario())


def test_details_of_a_running_and_of_an_unknown_service(make_yard: MakeYard) -> None:
    """What the owner sees of a process: its memory and time, and nothing where there is none."""

    async def scenario() -> None:
        async with make_yard() as yard:
            endpoint = await yard.supervisor.ensure_running(yard.add("obedient"))
            running = yard.supervisor.details("obedient")
            unknown = yard.supervisor.details("unknown")

            assert endpoint.pid == running.pid and endpoint.started_at == running.started_at
            assert 1024 * 1024 < running.memory_bytes and 0 <= running.cpu_s
            assert (None, 0, None, 0) == (unknown.pid, unknown.memory_bytes, unknown.started_at, unknown.leases)

    asyncio.run(scenario())


def test_tokens_name_their_service(make_yard: MakeYard) -> None:
    """INV-11: a child's token is known while it lives, to the last; nothing else is."""

    async def scenario() -> None:
        async with make_yard() as yard:
            one = await yard.supervisor.ensure_running(yard.add("obedient"))
            two = await yard.supervisor.ensure_running(yard.add("obedient", service_id="obedient-2"))
            living = [
                yard.supervisor.service_of_token(token) for token in (one.token, two.token, "", "x", one.token[:-1])
            ]
            await yard.supervisor.stop("obedient", reason="test")

            assert ["obedient", "obedient-2", None, None, None] == living
            assert None is yard.supervisor.service_of_token(one.token)
            assert len(one.token) >= 43 and one.token not in repr(one)

    asyncio.run(scenario())
