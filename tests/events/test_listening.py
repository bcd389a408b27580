"""Who may listen to what, from where, and what is left when they go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.events.cursor import Position, encode_cursor
from core.events.listeners import LISTENERS_PER_SERVICE_MAX
from core.model.errors import BadRequest, Conflict, CursorUnknown, Forbidden, ServiceDisabled, TooBusy
from tests.events.desk import open_desk, until


def test_only_declared_types_are_heard(tmp_path: Path) -> None:
    """What the manifest does not declare is refused when asked for, and withheld when it comes under another name."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.uses["people"] = {"contact", "timeline"}
            with pytest.raises(Forbidden):
                await desk.deliveries.listen("people", type="tweet", path="/cb")
            with pytest.raises(Forbidden):
                await desk.deliveries.listen("people", type="tweet://twitter", path="/cb")
            await desk.deliveries.listen("people", type="contact/twitter", path="/cb")
            await desk.deliveries.listen("people", type="timeline", path="/cb")
            desk.put("twitter", "secret", type="tweet")
            desk.put("twitter", "1")
            await until(lambda: desk.taken)

            assert ["1"] == desk.heard()

    asyncio.run(scene())


def test_own_events_only_when_meant(tmp_path: Path) -> None:
    """A collection that stores contacts and listens to contacts does not hear itself, unless it names itself."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.shelf("people", network="people")
            await desk.deliveries.listen("people", type="contact", path="/others")
            await desk.deliveries.listen("people", type="contact/people", path="/mine")
            desk.put("people", "own")
            desk.put("github", "foreign")
            await until(lambda: desk.heard("/others") and desk.heard("/mine"))

            assert (["foreign"], ["own"]) == (desk.heard("/others"), desk.heard("/mine"))

    asyncio.run(scene())


def test_a_new_listener_starts_at_the_head(tmp_path: Path) -> None:
    """Without a cursor only what comes after the call is heard; a service installed later is heard from its start."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.put("github", "before")
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "after")
            await until(lambda: desk.taken)
            desk.put("twitter", "first", tell=False)
            desk.put("twitter", "second")
            await until(lambda: len(desk.taken) == 3)

            assert ["after", "first", "second"] == desk.heard()

    asyncio.run(scene())


def test_since_replays(tmp_path: Path) -> None:
    """With a cursor a listener hears from there, with 0 from the beginning, also when it listens already."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.put("github", "1", "2", "3")
            shelf = desk.shelf("github")
            cursor = encode_cursor({shelf.uid: Position(shelf.epoch(), 2)})
            await desk.deliveries.listen("people", type="contact", path="/cb", since=cursor)
            await until(lambda: desk.taken)
            await desk.deliveries.listen("people", type="contact", path="/cb", since="0")
            await until(lambda: len(desk.taken) == 4)
            foreign = encode_cursor({shelf.uid: Position("00ff", 2)})
            with pytest.raises(CursorUnknown):
                await desk.deliveries.listen("people", type="contact", path="/cb", since=foreign)
            with pytest.raises(BadRequest):
                await desk.deliveries.listen("people", type="contact", path="/cb", since="yesterday")

            assert ["3", "1", "2", "3"] == desk.heard()

    asyncio.run(scene())


def test_manifest_and_calls_side_by_side(tmp_path: Path) -> None:
    """The manifest's events follow the manifest, calls stay; only calls can be withdrawn; both survive a restart."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.declare("people", {"contact": "/contacts", "link": "/links"})
            await desk.deliveries.listen("people", type="tweet", path="tweets")
            await desk.restart()
            await desk.deliveries.declare("people", {"contact": "/contacts/new"})
            shown = {(each.type, each.path, each.source) for each in await desk.deliveries.listeners()}
            with pytest.raises(Conflict):
                await desk.deliveries.deafen("people", type="contact", path="/contacts/new")

            assert {("contact", "/contacts/new", "manifest"), ("tweet", "/tweets", "call")} == shown
            assert await desk.deliveries.deafen("people", type="tweet", path="/tweets")
            assert not await desk.deliveries.deafen("people", type="tweet", path="/tweets")
            assert {"/contacts/new"} == {path for path, _ in desk.positions()}

    asyncio.run(scene())


def test_a_manifest_is_taken_as_far_as_it_goes(tmp_path: Path) -> None:
    """An event that cannot be understood, or is one too many, does not keep the service's others from being heard."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            many = {f"t{number}": "/cb" for number in range(LISTENERS_PER_SERVICE_MAX)}
            await desk.deliveries.declare("people", {"a/b/c": "/cb", **many, "one_more": "/cb"})
            await desk.deliveries.listen("people", type="contact", path="/cb")
            heard = {each.type for each in await desk.deliveries.listeners()}

            assert {*many, "contact"} == heard

    asyncio.run(scene())


def test_deafen_ends_deliveries_and_a_later_listen_starts_anew(tmp_path: Path) -> None:
    """What happened while nobody listened is not made up for."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "1")
            await until(lambda: desk.taken)
            await desk.deliveries.deafen("people", type="contact", path="/cb")
            desk.put("github", "2")
            await desk.deliveries.listen("people", type="contact", path="/cb")
            desk.put("github", "3")
            await until(lambda: len(desk.taken) == 2)

            assert ["1", "3"] == desk.heard()

    asyncio.run(scene())


def test_an_uninstalled_service_leaves_nothing(tmp_path: Path) -> None:
    """Its listeners, positions and dead letters go, and how far others had heard it."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.answer = lambda path, events: 400 if path == "/cb" else 200
            await desk.deliveries.listen("people", type="contact", path="/cb")
            await desk.deliveries.listen("other", type="contact", path="/other")
            desk.put("github", "1")
            await until(lambda: desk.coredb.read("SELECT 1 FROM dead_letter") and desk.heard("/other"))
            uid = desk.shelf("github").uid
            await until(lambda: ("/other", uid) in desk.positions())
            await desk.deliveries.purge("people")
            await desk.deliveries.purge("github", log=uid)

            assert {("/other", "")} == set(desk.positions())
            assert [] == await desk.deliveries.dead_letters()
            assert ["other"] == [each.service for each in await desk.deliveries.listeners()]

    asyncio.run(scene())


def test_a_service_may_listen_a_hundredfold_and_no_more(tmp_path: Path) -> None:
    """The bound is met exactly, and the same registration again costs nothing."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            for number in range(LISTENERS_PER_SERVICE_MAX):
                await desk.deliveries.listen("people", type=f"t{number}", path="/cb")
            await desk.deliveries.listen("people", type="t0", path="/cb")
            with pytest.raises(TooBusy):
                await desk.deliveries.listen("people", type="more", path="/cb")

            assert LISTENERS_PER_SERVICE_MAX == len(await desk.deliveries.listeners())

    asyncio.run(scene())


@pytest.mark.parametrize("path", ["", "//x", "/../other", "/a b", "http://x/", "/" + "a" * 201])
def test_a_callback_path_stays_inside_the_service(tmp_path: Path, path: str) -> None:
    """Whatever could lead elsewhere is refused; a missing slash is added."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            if path:
                with pytest.raises(BadRequest):
                    await desk.deliveries.listen("people", type="contact", path=path)
            else:
                await desk.deliveries.listen("people", type="contact", path="cb")
                assert ["/cb"] == [each.path for each in await desk.deliveries.listeners()]

    asyncio.run(scene())


def test_a_service_that_is_switched_off_may_not_listen(tmp_path: Path) -> None:
    """ServiceDisabled: a child that is being stopped leaves no listener behind."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.switched_off = {"mail"}
            with pytest.raises(ServiceDisabled):
                await desk.deliveries.listen("mail", type="contact", path="/cb")

            assert [] == await desk.deliveries.listeners()

    asyncio.run(scene())


def test_listeners_of_missing_services_are_forgotten(tmp_path: Path) -> None:
    """orphan_schedule_purged, for listeners: their rows and positions go, those of the others stay."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.put("feeds", "a")
            for service in ("mail", "notes"):
                await desk.deliveries.listen(service, type="contact", path="/cb")
            await desk.deliveries.keep_only(["notes"])

            assert ["notes"] == [listener.service for listener in await desk.deliveries.listeners()]
            rows = desk.coredb.read("SELECT DISTINCT listener_service FROM position")
            assert [("notes",)] == rows

    asyncio.run(scene())
