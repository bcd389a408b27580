"""Many who wait, and many who wake at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from core.model.errors import ServiceDisabled
from core.process import Running, Stopped
from core.process.lifecycle import Starting
from tests.process.yard import BRISK, Yard, until

MakeYard = Callable[..., Yard]


def test_client_leaves_while_waiting(make_yard: MakeYard) -> None:
    """The only caller goes away; the start goes on, and the next caller finds the child."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("slow", settings={"delay_s": 0.2})
            caller = asyncio.create_task(yard.supervisor.ensure_running(name))
            await until(lambda: isinstance(yard.supervisor.state(name), Starting))
            caller.cancel()
            await until(lambda: isinstance(yard.supervisor.state(name), Running))
            endpoint = await yard.supervisor.ensure_running(name)

            assert 1 == endpoint.generation

    asyncio.run(scenario())


def test_slow_starter(make_yard: MakeYard) -> None:
    """Two requests wait together for a slow child; it leaves; two more wait together for the next one."""

    async def scenario() -> None:
        async with make_yard() as yard:
            name = yard.add("ends_in_order")
            first = await asyncio.gather(*(yard.supervisor.ensure_running(name) for _ in range(2)))
            await yard.get(first[0], "/leave")
            await until(lambda: isinstance(yard.supervisor.state(name), Stopped))
            second = await asyncio.gather(*(yard.supervisor.ensure_running(name) for _ in range(2)))

            assert [1, 1, 2, 2] == [e.generation for e in (*first, *second)]
            assert ["starting", "running", "stopped", "starting", "running"] == yard.states(name)

    asyncio.run(scenario())


def test_twenty_services_woken_at_once(make_yard: MakeYard) -> None:
    """On two cores every one of twenty starts arrives, a few at a time, in the order they came."""

    async def scenario() -> None:
        async with make_yard() as yard:
            names = [yard.add("obedient", service_id=f"service-{n}") for n in range(20)]
            endpoints = await asyncio.gather(*(yard.supervisor.ensure_running(name) for name in names))

            assert 20 == len({e.port for e in endpoints}) == len({e.pid for e in endpoints})
            assert names == [greeting.id for greeting in yard.greetings]

    asyncio.run(scenario())


def test_sleepers_do_not_keep_others_from_starting(make_yard: MakeYard) -> None:
    """Children that take long give their place to the next after a while."""

    async def scenario() -> None:
        limits = replace(BRISK, starts_at_once=2, start_slot_s=0.1)
        async with make_yard(limits=limits) as yard:
            sleepers = [
                asyncio.create_task(yard.supervisor.ensure_running(yard.add("silent", service_id=f"silent-{n}")))
                for n in range(4)
            ]
            await until(lambda: len(yard.greetings) == 4)
            endpoint = await asyncio.wait_for(yard.supervisor.ensure_running(yard.add("obedient")), 5)
            for n in range(4):
                yard.refusals[f"silent-{n}"] = ServiceDisabled("switched off")
                await yard.supervisor.stop(f"silent-{n}", reason="switched off")
            outcomes = await asyncio.gather(*sleepers, return_exceptions=True)

            assert 1 == endpoint.generation
            assert [ServiceDisabled] * 4 == [type(outcome) for outcome in outcomes]

    asyncio.run(scenario())
