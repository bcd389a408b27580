"""Whatever goes wrong on the way: every fact that was asked for, at least once, in order."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from core.events import DeliveryLimits
from core.model.errors import ChildDied, CoolingDown
from tests.events.desk import EventDesk, open_desk, until

SERVICES = ("github", "mail", "twitter")
FACTS = 300
ROUGH = DeliveryLimits(batch_wait_s=0.0, batch_events_max=20, backoff_first_s=0.001, backoff_max_s=0.002)


@pytest.mark.parametrize("seed", range(6))
def test_every_listener_hears_every_fact_in_order(tmp_path: Path, seed: int) -> None:
    """With failing answers, restarts and lost tells at random, each path hears each log's facts without a gap."""
    dice = random.Random(seed)

    def answer(path: str, events: list[dict[str, Any]]) -> int | Exception:
        fates: list[int | Exception] = [200, 200, 200, 500, 503, ChildDied(), CoolingDown(), ConnectionResetError()]
        return dice.choice(fates)

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.restart(ROUGH)
            desk.answer = answer
            await desk.deliveries.listen("people", type="contact", path="/contacts")
            await desk.deliveries.listen("people", type="tweet/twitter", path="/tweets")
            left = dict.fromkeys(SERVICES, FACTS)
            while any(left.values()):
                service = dice.choice([name for name, count in left.items() if count])
                write(desk, service, left, dice)
                if dice.random() < 0.1:
                    await desk.restart(ROUGH)
                await asyncio.sleep(dice.random() * 0.01)
            desk.answer = lambda path, events: 200
            await desk.bus.check()
            expected = {path: facts_of(desk, path) for path in ("/contacts", "/tweets")}
            await until(lambda: all(len(first_heard(desk, path)) >= len(expected[path]) for path in expected))

            assert [] == await desk.deliveries.dead_letters()
            for path, facts in expected.items():
                for service in SERVICES:
                    assert [f for f in facts if f[0] == service] == [
                        f for f in first_heard(desk, path) if f[0] == service
                    ]

    asyncio.run(scene())


def write(desk: EventDesk, service: str, left: dict[str, int], dice: random.Random) -> None:
    """Store a few of what is left of the service's facts, and perhaps tell."""
    count = min(left[service], dice.randint(1, 50))
    keys = [f"{left[service] - number}" for number in range(count)]
    desk.put(service, *keys, type=dice.choice(["contact", "tweet"]), tell=dice.random() < 0.8)
    left[service] -= count


def facts_of(desk: EventDesk, path: str) -> list[tuple[str, int]]:
    """The service and position of every fact that the path asked for."""
    wanted = {"/contacts": "contact", "/tweets": "tweet"}[path]
    return [
        (service, fact.seq)
        for service in (SERVICES if path == "/contacts" else ("twitter",))
        for fact in desk.shelf(service).reader.facts(0, limit=1000)
        if fact.type == wanted
    ]


def first_heard(desk: EventDesk, path: str) -> list[tuple[str, int]]:
    """The service and position of each event that the path has taken, where it came first."""
    return list(dict.fromkeys((event["service"], event["seq"]) for at, event in desk.taken if at == path))
