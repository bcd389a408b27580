"""An exchange under watch ends by itself, by a limit, or by somebody."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from core.gateway.watch import Watch
from core.model.errors import ChildMute, TooBusy

LONG_S = 30.0


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Bounded: a watch that does not end is a failure, not a hang."""
    return asyncio.run(asyncio.wait_for(coroutine, LONG_S))


def mute() -> ChildMute:
    """A reason."""
    return ChildMute("foo is silent")


def test_a_limit_that_runs_out_ends_the_block_with_its_reason() -> None:
    """And the task goes on unharmed."""

    async def scenario() -> str:
        with pytest.raises(ChildMute), Watch(asyncio.get_running_loop()) as watch:
            watch.expect(0.01, mute)
            await asyncio.sleep(LONG_S)
        await asyncio.sleep(0)
        return "on"

    assert run(scenario()) == "on"


def test_a_later_expectation_replaces_an_earlier_one() -> None:
    """Also when the timer of the earlier one is already running; a shorter one counts from now."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with Watch(loop) as watch:
            watch.expect(0.02, mute)
            watch.expect(LONG_S, mute)
            await asyncio.sleep(0.06)
            watch.expect(None)
            await asyncio.sleep(0.02)
        with pytest.raises(ChildMute), Watch(loop) as watch:
            watch.expect(LONG_S, mute)
            watch.expect(0.01, mute)
            await asyncio.sleep(LONG_S)

    run(scenario())


def test_a_touch_gives_the_present_expectation_its_full_time_again() -> None:
    """Without saying what is expected."""

    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(ChildMute), Watch(loop) as watch:
            watch.expect(0.1, mute)
            await asyncio.sleep(0.07)
            watch.touch()
            await asyncio.sleep(LONG_S)
        return loop.time() - begun

    assert run(scenario()) >= 0.16


def test_the_first_reason_given_stands() -> None:
    """Two ends at once are one end."""

    async def scenario() -> None:
        with pytest.raises(TooBusy), Watch(asyncio.get_running_loop()) as watch:
            asyncio.get_running_loop().call_soon(watch.end, TooBusy("first"))
            asyncio.get_running_loop().call_soon(watch.end, mute())
            asyncio.get_running_loop().call_soon(watch.leave)
            await asyncio.sleep(LONG_S)

    run(scenario())


def test_a_client_that_leaves_ends_the_block_quietly() -> None:
    """What follows the block still runs."""

    async def scenario() -> bool:
        with Watch(asyncio.get_running_loop()) as watch:
            asyncio.get_running_loop().call_soon(watch.leave)
            await asyncio.sleep(LONG_S)
        await asyncio.sleep(0)
        return watch.client_left

    assert run(scenario())


def test_a_cancellation_from_outside_goes_through() -> None:
    """Even when the watch ends the block in the same moment."""

    async def watched(started: asyncio.Event) -> None:
        with Watch(asyncio.get_running_loop()) as watch:
            asyncio.get_running_loop().call_later(0.02, watch.leave)
            started.set()
            await asyncio.sleep(LONG_S)

    async def scenario() -> None:
        for pause in (0.0, 0.02):
            started = asyncio.Event()
            task = asyncio.get_running_loop().create_task(watched(started))
            await started.wait()
            asyncio.get_running_loop().call_later(pause, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task

    run(scenario())


def test_nothing_is_left_behind() -> None:
    """A block that ends in time is not reached by its timer; ending it later does nothing."""

    async def scenario() -> None:
        with Watch(asyncio.get_running_loop()) as watch:
            watch.expect(0.01, mute)
        watch.end(mute())
        watch.leave()
        await asyncio.sleep(0.03)

    run(scenario())


def test_an_error_of_the_block_passes() -> None:
    """It says more than the watch could."""

    async def scenario() -> None:
        with pytest.raises(TooBusy), Watch(asyncio.get_running_loop()):
            raise TooBusy("of its own")

    run(scenario())
