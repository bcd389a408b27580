"""The bus: who is woken, and when."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.events.bus import IDR_CHARS_MAX
from core.model.errors import BadRequest
from core.model.event import Idr
from tests.events.desk import new_desk, until


def test_everyone_who_waits_is_woken_once(tmp_path: Path) -> None:
    """One tell wakes all; who has seen it already waits for the next; many at once are as good as one."""

    async def scene() -> None:
        with new_desk(tmp_path) as desk:
            woken: list[int] = []

            async def wait(tells: int) -> None:
                await desk.bus.grown(tells)
                woken.append(tells)

            tasks = [asyncio.create_task(wait(0)) for _ in range(100)]
            late = asyncio.create_task(wait(3))
            await asyncio.sleep(0)
            for seq in (1, 2, 3):
                desk.bus.committed("github", seq)
            await asyncio.gather(*tasks)
            still_waiting = not late.done()
            desk.bus.committed("github", 4)
            await late

            assert still_waiting
            assert (100, 1) == (woken.count(0), woken.count(3))
            assert (4, 4, 0) == (desk.bus.tells, desk.bus.told("github"), desk.bus.told("mail"))

    asyncio.run(scene())


def test_one_waiter_that_gives_up_leaves_the_others(tmp_path: Path) -> None:
    """Cancelling one wait does not end or break another."""

    async def scene() -> None:
        with new_desk(tmp_path) as desk:
            first = asyncio.create_task(desk.bus.grown(0))
            second = asyncio.create_task(desk.bus.grown(0))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            desk.bus.committed("github", 1)
            await until(second.done)

            assert first.cancelled() and not second.cancelled()

    asyncio.run(scene())


def test_check_tells_only_what_has_grown(tmp_path: Path) -> None:
    """Looking at all logs tells of those that moved since the last look, and of no other."""

    async def scene() -> None:
        with new_desk(tmp_path) as desk:
            desk.put("github", "1", tell=False)
            desk.put("twitter", "1", tell=False)
            await desk.bus.check()
            first = desk.bus.tells
            desk.put("twitter", "2", tell=False)
            await desk.bus.check("github")
            nothing_new = desk.bus.tells
            await desk.bus.check()

            assert (first, first + 1) == (nothing_new, desk.bus.tells)
            assert desk.bus.told("twitter") == desk.bus.tells

    asyncio.run(scene())


def test_published_events_are_checked(tmp_path: Path) -> None:
    """An action that is none and an endless address are refused, and so is a kind that could break a frame."""

    async def scene() -> None:
        with new_desk(tmp_path) as desk:
            with pytest.raises(BadRequest):
                await desk.bus.publish("github", idr=Idr("a", "b"), action="same", value={})  # type: ignore[arg-type]
            with pytest.raises(BadRequest):
                await desk.bus.publish("github", idr=Idr("a", "b", key="x" * IDR_CHARS_MAX), action="new", value={})
            with pytest.raises(BadRequest):
                desk.bus.announce("github", "a\nid: 7", {})
            event = await desk.bus.publish("github", idr=Idr("a", "b"), action="delete", value={})

            assert ("a://b/", "delete", "github") == (event.idr, event.action, event.service)

    asyncio.run(scene())
