"""Requests reach a starting child in the order of their arrival, and no more than a bound may wait."""

from __future__ import annotations

import asyncio

import pytest

from core.gateway.line import Lines
from core.model.errors import TooBusy


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_turns_come_in_the_order_of_arrival() -> None:
    """Whatever order the waiters wake in."""

    async def scenario() -> list[int]:
        lines, went = Lines(10), []
        places = [lines.enter("foo") for _ in range(4)]

        async def go(number: int) -> None:
            with places[number] as place:
                await place.turn()
                went.append(number)
                await asyncio.sleep(0.002 * (4 - number))

        await asyncio.gather(*(go(number) for number in (3, 1, 0, 2)))
        return went

    assert asyncio.run(scenario()) == [0, 1, 2, 3]


def test_one_that_leaves_makes_room_and_lets_the_next_go() -> None:
    """From the front, the middle or the end."""

    async def scenario() -> tuple[list[int], int]:
        lines, went = Lines(10), []
        places = [lines.enter("foo") for _ in range(4)]

        async def go(number: int) -> None:
            await places[number].turn()
            went.append(number)

        tasks = [asyncio.create_task(go(number)) for number in (1, 3)]
        await settle()
        places[2].leave()
        places[0].leave()
        await settle()
        places[1].leave()
        places[1].leave()
        await asyncio.gather(*tasks)
        return went, lines.waiting("foo")

    assert asyncio.run(scenario()) == ([1, 3], 0)


def test_the_bound_holds_per_service() -> None:
    """At the bound the next is refused with a time to come back; another service's line is its own."""
    lines = Lines(2)
    first, _ = lines.enter("foo"), lines.enter("foo")

    with pytest.raises(TooBusy) as refusal:
        lines.enter("foo")
    assert refusal.value.retry_after_s is not None
    lines.enter("bar")
    first.leave()
    lines.enter("foo")
    assert (2, 1, 0) == (lines.waiting("foo"), lines.waiting("bar"), lines.waiting("baz"))


def test_one_alone_does_not_hold_up_the_next() -> None:
    """A request to a running child leaves the line before it is sent, so that a burst goes out side by side."""

    async def scenario() -> int:
        lines = Lines(10)
        await lines.enter("foo").turn()
        await lines.enter("foo").turn()
        return lines.waiting("foo")

    assert asyncio.run(scenario()) == 0
