"""Deliveries to listening services: everything they asked for, at least once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.events import DeliveryLimits
from core.events.cursor import Position
from core.events.patience import TRIES_MAX
from core.model.errors import AuthRequired, ChildDied, NotFound, ServiceDisabled
from core.model.event import Idr
from tests.events.desk import QUICK, EventDesk, open_desk, until


def test_two_callbacks_one_type(tmp_path: Path) -> None:
    """Two paths of one service that want the same type both get every event, as JSON lines."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/a")
            await desk.deliveries.listen("people", type="contact", path="/b")
            desk.put("github", "1", "2")
            await until(lambda: len(desk.taken) == 4)

            assert ["1", "2"] == desk.heard("/a") == desk.heard("/b")
            assert [{"content-type": "application/jsonl"}] * 2 == desk.headers

    asyncio.run(scene())


def test_overlapping_types_deliver_once(tmp_path: Path) -> None:
    """A path that wants contact, contact/twitter and the stream they came by gets each event once."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            for wanted in ("contact", "contact/twitter", "timeline", "contact://twitter/timeline"):
                await desk.deliveries.listen("people", type=wanted, path="/cb")
            desk.put("twitter", "1", "2", "3")
            await until(lambda: len(desk.taken) >= 3)
            desk.put("twitter", "end")
            await until(lambda: "end" in desk.heard())

            assert ["1", "2", "3", "end"] == desk.heard()

    asyncio.run(scene())


def test_same_url_plain_and_batched(tmp_path: Path) -> None:
    """However a path was registered, by manifest, by call or both, it gets one form: JSON lines."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.declare("people", {"contact": "/cb"})
            await desk.deliveries.listen("people", type="link", path="/cb")
            desk.put("github", "1")
            desk.put("github", "2", type="link")
            await until(lambda: len(desk.taken) == 2)

            assert ["1", "2"] == sorted(desk.heard())
            assert {("content-type", "application/jsonl")} == {item for each in desk.headers for item in each.items()}

    asyncio.run(scene())


def test_an_event_carries_its_record(tmp_path: Path) -> None:
    """An event names its address, its service, its place and time, and holds the value."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "a/b", name="Ada")
            await until(lambda: desk.taken)
            [(_, event)] = desk.taken

            assert "contact://github/timeline?id=me#a%2Fb" == event["idr"]
            assert ("new", "github", "contact", "a/b", 1) == tuple(
                event[name] for name in ("action", "service", "type", "key", "seq")
            )
            assert {"id": "a/b", "name": "Ada"} == event["value"]
            assert (None, desk.clock.now()) == (event["before"], event["at"])
            assert desk.shelf("github").facts(0, limit=1)[0].id == event["id"]

    asyncio.run(scene())


def test_update_event_carries_new_object(tmp_path: Path) -> None:
    """An update holds the value after it, and the one before it beside."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1", name="Ada")
            desk.put("github", "1", name="Grace")
            await until(lambda: len(desk.taken) == 2)
            event = desk.taken[1][1]

            assert ("update", "Grace", "Ada") == (event["action"], event["value"]["name"], event["before"]["name"])

    asyncio.run(scene())


def test_delete_event_after_delete_stored(tmp_path: Path) -> None:
    """Whoever hears of a deletion and reads back finds no record, and a record that comes back is new."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            there: list[bool] = []

            def read_back(path: str, events: list[dict[str, Any]]) -> int:
                there.extend(
                    desk.shelf("github").reader.record("contact", event["key"]) is not None
                    for event in events
                    if event["action"] == "delete"
                )
                return 200

            desk.answer = read_back
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1", name="Ada")
            desk.delete("github", "1")
            await until(lambda: len(desk.taken) == 2)
            desk.put("github", "1", name="Ada again")
            await until(lambda: len(desk.taken) == 3)

            assert [False] == there
            assert ["new", "delete", "new"] == [event["action"] for _, event in desk.taken]
            assert {"id": "1", "name": "Ada"} == desk.taken[1][1]["before"]

    asyncio.run(scene())


def test_event_survives_core_restart(tmp_path: Path) -> None:
    """What was stored while the core was down, and what nobody told, is delivered after the start."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1")
            await until(lambda: desk.taken)
            desk.answer = lambda path, events: 503
            desk.put("github", "2")
            await until(lambda: len(desk.posts) > 2)
            await desk.deliveries.close()
            desk.put("github", "3", tell=False)
            desk.answer = lambda path, events: 200
            await desk.restart()
            await until(lambda: len(desk.taken) == 3)

            assert ["1", "2", "3"] == desk.heard()

    asyncio.run(scene())


def test_a_lost_tell_is_found_by_looking(tmp_path: Path) -> None:
    """When a child ends, its log is compared with what is known, and what was not told is delivered."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/cb")
            await desk.bus.check()
            desk.put("github", "1", tell=False)
            await desk.bus.check("github")
            await until(lambda: desk.taken)
            tells = desk.bus.tells
            await desk.bus.check("github")

            assert (["1"], tells) == (desk.heard(), desk.bus.tells)

    asyncio.run(scene())


def test_listener_500_is_retried(tmp_path: Path) -> None:
    """A listener that fails a few times gets the same events until it takes them, and its trouble is shown."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            answers: Iterator[int | Exception] = iter([500, ConnectionRefusedError(), 500, 200])
            gate = asyncio.Event()

            def answer(path: str, events: list[dict[str, Any]]) -> int | Exception:
                if len(desk.posts) == 3:
                    gate.set()
                return next(answers)

            desk.answer = answer
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1")
            await gate.wait()
            await until(lambda: desk.taken)
            [shown] = await desk.deliveries.listeners()

            assert (["1"], 4) == (desk.heard(), len(desk.posts))
            assert (0, None, 0) == (shown.tries, shown.problem, shown.behind)

    asyncio.run(scene())


def test_batch_failure_is_retried(tmp_path: Path) -> None:
    """A batch that fails once comes again whole, and nothing of it is lost or swapped."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            answers = iter([500])
            desk.answer = lambda path, events: next(answers, 200)
            await desk.deliveries.listen("people", type="contact", path="/cb")
            keys = [f"{number:03}" for number in range(40)]
            desk.put("github", *keys)
            await until(lambda: len(desk.taken) >= 40)

            assert keys == desk.heard()
            assert [40, 40] == [len(events) for _, _, events in desk.posts]

    asyncio.run(scene())


def test_ack_only_after_applied(tmp_path: Path) -> None:
    """Nothing but 200 moves the position: events taken by halves, or accepted for later, come again."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            answers: Iterator[int | Exception] = iter([202, 204, 302, ChildDied("died while it applied them"), 200])
            desk.answer = lambda path, events: next(answers, 200)
            await desk.deliveries.listen("people", type="contact", path="/cb")
            before = desk.positions()
            desk.put("github", "1")
            await until(lambda: desk.taken)
            uid = desk.shelf("github").uid
            await until(lambda: desk.positions().get(("/cb", uid)) == 1)

            assert ("/cb", uid) not in before
            assert [["1"]] * 5 == [[event["key"] for event in events] for _, _, events in desk.posts]
            assert ["1"] == desk.heard()

    asyncio.run(scene())


def test_event_to_dead_child_spares_core(tmp_path: Path) -> None:
    """A listener that cannot be reached at all harms nobody: the other one hears, and it hears in the end."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.answer = lambda path, events: ConnectionRefusedError() if path == "/dead" else 200
            await desk.deliveries.listen("dead", type="contact", path="/dead")
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1")
            await until(lambda: desk.taken)
            await until(lambda: len(desk.posts) > 3 * TRIES_MAX)
            shown = {each.service: each for each in await desk.deliveries.listeners()}
            letters = await desk.deliveries.dead_letters()
            desk.answer = lambda path, events: 200
            await until(lambda: desk.heard("/dead"))

            assert [] == letters
            assert ("an unexpected ConnectionRefusedError", 1) == (shown["dead"].problem, shown["dead"].behind)
            assert ["1"] == desk.heard() == desk.heard("/dead")

    asyncio.run(scene())


@pytest.mark.parametrize("answer", [401, 429, 503, ServiceDisabled("off"), AuthRequired("not signed in"), NotFound()])
def test_waiting_for_a_person_loses_nothing(tmp_path: Path, answer: int | Exception) -> None:
    """A listener that is off, signed out or busy is waited for without a dead letter, and resumed at once."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            slow = DeliveryLimits(batch_wait_s=0.0, backoff_first_s=3600, backoff_max_s=3600)
            await desk.restart(slow)
            desk.answer = lambda path, events: answer
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1")
            await until(lambda: desk.posts)
            desk.answer = lambda path, events: 200
            while not desk.taken:
                desk.deliveries.resume("people")
                await asyncio.sleep(0.002)

            assert ([], ["1"]) == (await desk.deliveries.dead_letters(), desk.heard())

    asyncio.run(scene())


def test_a_restored_store_is_delivered_from_its_beginning(tmp_path: Path) -> None:
    """A log with another epoch may hold other facts under the old numbers, so all of it is delivered."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1", "2")
            await until(lambda: len(desk.taken) == 2)
            old = desk.shelves.pop("github")
            old.close()
            (desk.folder / "github").rename(desk.folder / "old")
            desk.shelf("github").uid = old.uid
            desk.put("github", "3")
            await until(lambda: desk.positions()["/cb", old.uid] == 1)

            assert ["1", "2", "3"] == desk.heard()

    asyncio.run(scene())


def test_one_damaged_log_keeps_no_other_back(tmp_path: Path) -> None:
    """A store that cannot be read is passed over, and the events of the others arrive."""

    class Damaged:
        uid = "019a0000-0000-7000-8000-000000000000"
        account = None

        def network_of(self, type_name: str, /) -> str:
            return "github"

        def epoch(self) -> str:
            return "00"

        def head(self) -> int:
            return 5

        def floor(self) -> int:
            return 0

        def facts(self, since: int, /, *, limit: int) -> list[Any]:
            raise ValueError("not a store")

        def previous(self, fact: Any, /) -> None:
            raise ValueError("not a store")

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.broken["aaa"] = Damaged()
            desk.bus.committed("aaa", 5)
            desk.put("github", "1")
            await until(lambda: desk.taken)

            assert ["1"] == desk.heard()

    asyncio.run(scene())


def test_published_events_are_delivered_like_others(tmp_path: Path) -> None:
    """What a service says without a fact is kept, delivered after a restart too, and has no place in its log."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="alarm", path="/cb")
            await desk.deliveries.close()
            event = await desk.bus.publish(
                "house", idr=Idr("alarm", "house", "door", key="front/1"), action="new", value={"open": True}
            )
            await desk.restart()
            await until(lambda: desk.taken)
            [(_, heard)] = desk.taken

            assert (event.id, "alarm://house/door#front%2F1", 0) == (heard["id"], heard["idr"], heard["seq"])
            assert ({"open": True}, "house", None) == (heard["value"], heard["service"], heard["before"])

    asyncio.run(scene())


def test_batches_are_gathered_and_bounded(tmp_path: Path) -> None:
    """Events that come within the wait go out together, and never more than the bound at once."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.restart(DeliveryLimits(batch_wait_s=0.3, batch_events_max=50))
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "a")
            desk.put("twitter", "b")
            await until(lambda: len(desk.taken) == 2)
            keys = [f"{number:03}" for number in range(120)]
            desk.put("github", *keys)
            await until(lambda: len(desk.taken) == 122)

            assert [2, 50, 50, 20] == [len(events) for _, _, events in desk.posts]
            assert keys == desk.heard()[2:]

    asyncio.run(scene())


def test_a_busy_log_does_not_keep_back_the_others(tmp_path: Path) -> None:
    """While one log holds thousands of events, another's single one arrives within the first batches."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/cb")
            await desk.deliveries.close()
            for page in range(6):
                desk.put("aaa", *(f"{page}-{number}" for number in range(500)))
            desk.put("zzz", "mine")
            await desk.restart()
            await until(lambda: len(desk.taken) == 3001)

            assert desk.heard().index("mine") < 1000

    asyncio.run(scene())


def test_what_nobody_asked_for_costs_no_write_each(tmp_path: Path) -> None:
    """A position passes facts of other types in memory, and is kept when the listener stops."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="tweet", path="/cb")
            uid = desk.shelf("github").uid
            for number in range(20):
                desk.put("github", f"{number}")
            shelf = desk.shelf("github")
            courier = desk.deliveries._couriers["people", "/cb"]
            await until(lambda: courier._positions.get(uid) == Position(shelf.epoch(), 20))
            during = desk.positions().get(("/cb", uid))
            await desk.deliveries.close()

            assert (None, 20) == (during, desk.positions()["/cb", uid])
            assert [] == desk.posts

    asyncio.run(scene())


def test_a_core_db_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    """While positions cannot be kept they are known in memory, and after a crash the same events come again."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/cb")
            jam = "CREATE INDEX jam ON position (json(path)) WHERE seq > 0"  # No path is JSON, so no row goes in.
            desk.coredb.write(lambda connection: connection.execute(jam).fetchall())
            desk.put("github", "1")
            await until(lambda: desk.taken)
            desk.put("github", "2")
            await until(lambda: len(desk.taken) == 2)
            await desk.restart()
            await until(lambda: len(desk.taken) == 4)
            desk.coredb.write(lambda connection: connection.execute("DROP INDEX jam").fetchall())
            desk.put("github", "3")
            await until(lambda: desk.positions().get(("/cb", desk.shelf("github").uid)) == 3)

            assert ["1", "2", "1", "2", "3"] == desk.heard()

    asyncio.run(scene())


def test_desks_close_while_deliveries_wait(tmp_path: Path) -> None:
    """Closing ends a delivery in its wait at once, however long that is."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.answer = lambda path, events: 500
            await desk.restart(DeliveryLimits(batch_wait_s=0.0, backoff_first_s=3600, backoff_max_s=3600))
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1")
            await until(lambda: desk.posts)
            async with asyncio.timeout(5):
                await desk.deliveries.close()

    asyncio.run(scene())


def test_limits_are_those_given() -> None:
    """The quick limits of these tests stand in for a second and minutes."""
    assert (500, 1.0) == (DeliveryLimits().batch_events_max, DeliveryLimits().batch_wait_s)
    assert QUICK.batch_events_max == DeliveryLimits().batch_events_max
    assert EventDesk.post is not None
