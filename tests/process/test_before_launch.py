"""What has to be done before a child starts: waited for, and a start that fails where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from core.model.errors import Retry
from tests.process.yard import Yard

MakeYard = Callable[..., Yard]


def test_the_child_starts_when_it_is_done(make_yard: MakeYard) -> None:
    """The service counts as starting meanwhile, and no process is there."""

    async def scenario() -> None:
        seen: list[tuple[str, str, int | None]] = []
        begun, go = asyncio.Event(), asyncio.Event()

        async def before(service_id: str) -> None:
            supervisor = yard.supervisor
            seen.append((service_id, supervisor.state(service_id).name, supervisor.pid_of(service_id)))
            begun.set()
            await go.wait()

        async with make_yard(before_launch=before) as yard:
            starting = asyncio.create_task(yard.supervisor.ensure_running(yard.add("obedient")))
            await begun.wait()
            go.set()
            endpoint = await starting

            assert [("obedient", "starting", None)] == seen
            assert endpoint.pid == yard.supervisor.pid_of("obedient")

    asyncio.run(scenario())


def test_what_it_raises_the_caller_gets(make_yard: MakeYard) -> None:
    """No child is started; the next request tries again."""

    async def scenario() -> None:
        faults = [Retry("not yet")]

        async def before(_: str) -> None:
            if faults:
                raise faults.pop()

        async with make_yard(before_launch=before) as yard:
            name = yard.add("obedient")
            with pytest.raises(Retry):
                await yard.supervisor.ensure_running(name)
            endpoint = await yard.supervisor.ensure_running(name)

            assert 1 == endpoint.generation

    asyncio.run(scenario())


def test_a_stop_overtakes_it(make_yard: MakeYard) -> None:
    """What never ends holds up no stop."""

    async def scenario() -> None:
        begun = asyncio.Event()

        async def before(_: str) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with make_yard(before_launch=before) as yard:
            name = yard.add("obedient")
            starting = asyncio.create_task(yard.supervisor.ensure_running(name))
            await begun.wait()
            await yard.supervisor.stop(name, reason="the test says so")
            starting.cancel()

            assert ["starting", "stopping", "stopped"] == yard.states(name)[:3]

    asyncio.run(scenario())
