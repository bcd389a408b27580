"""Events that a listener cannot take are found, set aside, and kept until somebody decides."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from core.events.letters import LETTERS_PER_SERVICE_MAX
from core.events.patience import SPLIT_TRIES_MAX, TRIES_MAX
from core.model.errors import NotFound, Retry
from tests.events.desk import open_desk, until


@pytest.mark.parametrize("answer", [400, 500])
def test_a_poisoned_event_is_found_and_set_aside(tmp_path: Path, answer: int) -> None:
    """Of a hundred events the one that the listener cannot take becomes a dead letter, and the others arrive."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:

            def choke(path: str, events: list[dict[str, Any]]) -> int:
                return answer if any(event["key"] == "037" for event in events) else 200

            desk.answer = choke
            await desk.deliveries.listen("people", type="contact", path="/cb")
            keys = [f"{number:03}" for number in range(100)]
            desk.put("github", *keys)
            await until(lambda: len(desk.taken) >= 99)
            [letter] = await desk.deliveries.dead_letters()

            assert [key for key in keys if key != "037"] == desk.heard()
            assert ("people", "/cb", f"answered {answer}") == (letter.service, letter.path, letter.problem)
            assert len(desk.posts) < TRIES_MAX + 2 * 8 * SPLIT_TRIES_MAX

    asyncio.run(scene())


def test_a_dead_letter_is_retried_and_dropped(tmp_path: Path) -> None:
    """A dead letter is delivered on demand and gone then; what is refused again stays; one can be dropped."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.answer = lambda path, events: 422
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1", "2")
            await until(lambda: desk.coredb.read("SELECT count(*) FROM dead_letter") == [(2,)])
            first, second = await desk.deliveries.dead_letters("people")
            with pytest.raises(Retry):
                await desk.deliveries.retry(first.id)
            again = (await desk.deliveries.dead_letters())[0]
            desk.answer = lambda path, events: 200
            await desk.deliveries.retry(first.id)
            await desk.deliveries.drop(second.id)

            assert first.tries + 1 == again.tries
            assert (["1"], []) == (desk.heard(), await desk.deliveries.dead_letters())
            with pytest.raises(NotFound):
                await desk.deliveries.drop(second.id)
            with pytest.raises(NotFound):
                await desk.deliveries.retry(second.id)

    asyncio.run(scene())


def test_dead_letters_are_bounded(tmp_path: Path) -> None:
    """With as many dead letters as are kept, the next event waits instead of pushing one out."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            row = ("people", "/old", 0.0, 0.0, 1, "answered 500", "[]")
            columns = "service, path, first_seen, last_tried, tries, problem, events"
            statement = f"INSERT INTO dead_letter ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)"
            rows = [row] * (LETTERS_PER_SERVICE_MAX - 1)
            desk.coredb.write(lambda connection: connection.executemany(statement, rows).fetchall())
            desk.answer = lambda path, events: 400
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1", "2")
            await until(lambda: len(desk.posts) > 10)
            [shown] = await desk.deliveries.listeners()
            while not (shown.problem or "").startswith("too many"):  # Between two tries it is the answer alone.
                await asyncio.sleep(0.001)
                [shown] = await desk.deliveries.listeners()
            count = desk.coredb.read("SELECT count(*) FROM dead_letter")
            desk.answer = lambda path, events: 200
            await until(lambda: desk.taken)

            assert ([(LETTERS_PER_SERVICE_MAX,)], 1) == (count, shown.behind)
            assert "too many dead letters; answered 400" == shown.problem
            assert ["2"] == desk.heard()

    asyncio.run(scene())


def test_an_erased_service_stands_in_nobodys_dead_letters(tmp_path: Path) -> None:
    """What others could not take of it goes, what they could not take of others stays; all stays where it is kept."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.answer = lambda path, events: 400
            await desk.deliveries.listen("people", type="contact", path="/cb")
            for service in ("github", "gitlab"):
                desk.put(service, "1")
            await until(lambda: len(desk.coredb.read("SELECT 1 FROM dead_letter")) == 2)
            await desk.deliveries.purge("github")
            kept = await desk.deliveries.dead_letters()
            await desk.deliveries.purge("github", log=desk.shelf("github").uid)
            [left] = await desk.deliveries.dead_letters()

            assert 2 == len(kept)
            assert ("people", True, False) == (left.service, "gitlab" in left.events, "github" in left.events)

    asyncio.run(scene())


def test_an_erased_record_stands_in_nobodys_dead_letters(tmp_path: Path) -> None:
    """By its type and key, or by the facts' ids; what tells of others stays."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.answer = lambda path, events: 400
            await desk.deliveries.listen("people", type="contact", path="/cb")
            for key in ("1", "2", "3"):
                desk.put("github", key)
            desk.put("gitlab", "1")
            await until(lambda: len(desk.coredb.read("SELECT 1 FROM dead_letter")) == 4)
            [second] = desk.shelf("github").store.history("contact", "2", limit=1).facts
            await desk.deliveries.forget_erased("github", record=("contact", "1"), ids=())
            await desk.deliveries.forget_erased("github", record=None, ids=[second.id])
            left = [json.loads(each.events)[0] for each in await desk.deliveries.dead_letters()]

            assert {("github", "3"), ("gitlab", "1")} == {(event["service"], event["key"]) for event in left}

    asyncio.run(scene())
