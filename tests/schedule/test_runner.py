"""Calls at their times, through restarts, failures and clocks that jump."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.model.errors import BadRequest, ChildDied, NotFound, ServiceDisabled, TooBusy
from core.schedule import Scheduler
from core.schedule.plan import CALLS_MAX, CALLS_PER_SERVICE_MAX, TRIES_MAX
from core.schedule.table import PENDING_PER_SERVICE_MAX
from tests.schedule.desk import DAY, HOUR, MINUTE, open_desk, until


def test_firing_one_keeps_the_others(tmp_path: Path) -> None:
    """Of three pending calls the due one is made and the other two stay."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            for path, wait in (("/a", 10), ("/b", 100), ("/c", 1000)):
                await desk.scheduler.at("feeds", path, desk.clock.now() + wait)
            desk.clock.advance(11)
            await desk.settle()

            assert [("feeds", "/a")] == desk.calls
            assert {"/b", "/c"} == set(desk.entries())

    asyncio.run(scene())


def test_same_uri_dedupes(tmp_path: Path) -> None:
    """A second request for a path replaces the first, other services' paths are their own, and one can be cancelled."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            now = desk.clock.now()
            await desk.scheduler.at("feeds", "/a", now + 10)
            await desk.scheduler.at("feeds", "/a", now + 20)
            await desk.scheduler.at("mail", "/a", now + 30)

            assert [now + 20, now + 30] == [each.at for each in await desk.scheduler.pending()]
            assert await desk.scheduler.cancel("feeds", "/a")
            assert not await desk.scheduler.cancel("feeds", "/a")
            assert ["mail"] == [each.service for each in await desk.scheduler.pending()]

    asyncio.run(scene())


def test_pending_survive_restart(tmp_path: Path) -> None:
    """What was asked before a restart is called after it, at its time."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.scheduler.at("feeds", "/a", desk.clock.now() + 100)
            await desk.restart()
            desk.clock.advance(99)
            await desk.settle()
            before = list(desk.calls)
            desk.clock.advance(2)
            await desk.settle()

            assert ([], [("feeds", "/a")]) == (before, desk.calls)

    asyncio.run(scene())


def test_orphan_schedule_purged(tmp_path: Path) -> None:
    """Entries of services that are gone go at start, and those of one that is being uninstalled at once."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            for service in desk.services:
                await desk.scheduler.at(service, "/a", desk.clock.now() + 100)
            await desk.scheduler.purge("mail")
            desk.services.remove("github")
            await desk.restart()

            assert ["feeds"] == [each.service for each in await desk.scheduler.pending()]

    asyncio.run(scene())


def test_a_service_that_is_leaving_asks_for_nothing(tmp_path: Path) -> None:
    """What a service asks for while it is purged is purged too, and once it is switched off it is refused."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            for number in range(50):
                asked = desk.scheduler.at("mail", f"/{number}", desk.clock.now() + HOUR)
                desk.frequencies = [("mail", "message", HOUR)]
                ensured = asyncio.create_task(desk.scheduler.ensure_streams())
                first = asyncio.create_task(asked)
                await asyncio.sleep(0)
                desk.frequencies = []
                desk.switched_off = {"mail"}
                await asyncio.gather(ensured, first, desk.scheduler.purge("mail"), return_exceptions=True)
                assert {} == desk.entries("mail")
                desk.switched_off = set()
            desk.switched_off = {"mail"}
            with pytest.raises(ServiceDisabled):
                await desk.scheduler.at("mail", "/x", desk.clock.now())

            assert {} == desk.entries("mail")

    asyncio.run(scene())


def test_a_service_that_vanishes_before_its_call_is_purged(tmp_path: Path) -> None:
    """When the door knows no such service, nothing more is called of it; one that is only broken stays."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.answers["feeds", "/a"] = desk.answers["mail", "/a"] = NotFound("no such folder")
            await desk.scheduler.at("feeds", "/b", desk.clock.now() + 100)
            await desk.scheduler.at("mail", "/a", desk.clock.now() + MINUTE)
            await desk.scheduler.at("feeds", "/a", desk.clock.now() + MINUTE)
            desk.services.remove("feeds")
            desk.clock.advance(MINUTE)
            await desk.settle()

            assert [("feeds", "/a"), ("mail", "/a")] == sorted(desk.calls)
            assert ["not_found: no such folder"] == [each.last_problem for each in desk.entries().values()]

    asyncio.run(scene())


def test_at_checks_what_it_is_given(tmp_path: Path) -> None:
    """A missing service, a foreign path and a time that is none leave the list as it is."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            with pytest.raises(NotFound):
                await desk.scheduler.at("nobody", "/a", desk.clock.now())
            with pytest.raises(BadRequest):
                await desk.scheduler.at("feeds", "/../mail/sync", desk.clock.now())
            with pytest.raises(BadRequest):
                await desk.scheduler.at("feeds", "/a", "soon")

            assert [] == await desk.scheduler.pending()

    asyncio.run(scene())


def test_failed_sync_reschedules(tmp_path: Path) -> None:
    """A stream that answers 500 is tried again with growing waits, shown with its problem, and never forgotten."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.frequencies.append(("feeds", "entry", 6 * HOUR))
            desk.answers["feeds", "/sync/entry"] = 500
            await desk.scheduler.at("feeds", "/sync/entry", 0)
            waits = []
            for _ in range(4):
                await desk.settle()
                shown = desk.entries()["/sync/entry"]
                waits.append(shown.at - desk.clock.now())
                desk.clock.advance(waits[-1] + 0.01)
            await desk.settle()

            assert [15.0, 30.0, 60.0, 120.0] == [round(wait, 1) for wait in waits]
            assert (5, "it answered 500") == (len(desk.calls), desk.entries()["/sync/entry"].last_problem)
            desk.answers.clear()
            desk.clock.advance(HOUR)
            await desk.settle()
            assert (0, None) == (desk.entries()["/sync/entry"].tries, desk.entries()["/sync/entry"].last_problem)

    asyncio.run(scene())


def test_crash_timeout_or_garbage_reschedules(tmp_path: Path) -> None:
    """A child that dies, hangs or breaks in any way leaves its streams in the list."""

    async def scene() -> None:
        async with open_desk(tmp_path, start=False) as desk:
            desk.scheduler = Scheduler(
                desk.coredb,
                desk.clock,
                desk.call,
                lambda: desk.frequencies,
                services=lambda: desk.services,
                check=desk.check,
                call_s_max=0.05,
                pulse_s=0.02,
            )
            desk.frequencies += [("feeds", "died", HOUR), ("github", "garbage", HOUR), ("mail", "hung", HOUR)]
            desk.answers["feeds", "/sync/died"] = ChildDied("feeds died")
            desk.answers["github", "/sync/garbage"] = ValueError("not a status")
            await desk.scheduler.start()
            desk.gate.clear()
            desk.clock.advance(MINUTE)
            desk.scheduler.replan()
            await until(lambda: desk.entries("mail")["/sync/hung"].last_problem)
            desk.gate.set()
            await until(lambda: all(each.last_problem for each in desk.entries().values()))
            problems = {each.path: each.last_problem for each in desk.entries().values()}

            assert {"/sync/died", "/sync/garbage", "/sync/hung"} == set(problems)
            assert problems["/sync/hung"] == "it did not answer within 0 s"
            assert all(each.at <= desk.clock.now() + HOUR for each in desk.entries().values())

    asyncio.run(scene())


def test_the_childs_own_at_wins_over_the_fallback(tmp_path: Path) -> None:
    """What a child asks while its run is called replaces the turn that the core had put there."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.frequencies.append(("feeds", "entry", HOUR))
            desk.gate.clear()
            await desk.scheduler.at("feeds", "/sync/entry", 0)
            await until(lambda: desk.calls)
            standing_in = desk.entries()["/sync/entry"]
            mine = desk.clock.now() + 5 * MINUTE
            await desk.scheduler.at("feeds", "/sync/entry", mine)
            desk.gate.set()
            await desk.settle()

            assert ("fallback", desk.clock.now() + HOUR) == (standing_in.kind, standing_in.at)
            assert ("asked", mine) == (desk.entries()["/sync/entry"].kind, desk.entries()["/sync/entry"].at)

    asyncio.run(scene())


@pytest.mark.parametrize("answer", [401, ServiceDisabled("feeds is switched off")])
def test_what_waits_for_the_owner_is_not_hammered(tmp_path: Path, answer: int | Exception) -> None:
    """A stream that is not signed in or switched off is asked by its frequency, and at once when that is over."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.frequencies.append(("feeds", "entry", HOUR))
            desk.answers["feeds", "/sync/entry"] = answer
            await desk.scheduler.ensure_streams()
            await desk.pass_time(4 * HOUR + MINUTE)
            calls_meanwhile = len(desk.calls)
            desk.answers.clear()
            await desk.scheduler.resume("feeds")
            await desk.settle()

            assert (5, 6) == (calls_meanwhile, len(desk.calls))
            assert desk.entries()["/sync/entry"].last_problem is None

    asyncio.run(scene())


def test_a_plain_path_is_given_up_and_shown(tmp_path: Path) -> None:
    """After its last try it is called no more, stays in the list with its problem, and a new request revives it."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.answers["feeds", "/poll"] = 500
            await desk.scheduler.at("feeds", "/poll", 0)
            await desk.pass_time(12 * HOUR)
            [shown] = await desk.scheduler.pending("feeds")
            calls_meanwhile = len(desk.calls)
            desk.answers.clear()
            await desk.scheduler.at("feeds", "/poll", 0)
            await desk.settle()

            assert (TRIES_MAX, TRIES_MAX, "it answered 500") == (calls_meanwhile, shown.tries, shown.last_problem)
            assert shown.is_given_up
            assert ({}, TRIES_MAX + 1) == (desk.entries(), len(desk.calls))

    asyncio.run(scene())


def test_streams_without_an_entry_start_by_frequency(tmp_path: Path) -> None:
    """A stream that nobody asked for runs at once, then by its frequency, and its next run is known."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.frequencies += [("feeds", "entry", HOUR), ("github", "repo", 2 * HOUR)]
            await desk.scheduler.ensure_streams()
            await desk.settle()
            next_run = (await asyncio.to_thread(desk.scheduler.next_runs, "feeds"))["entry"]
            await desk.pass_time(4 * HOUR + 2 * MINUTE)

            assert HOUR == next_run - desk.clock.now() + 4 * HOUR + 2 * MINUTE
            assert {("feeds", "/sync/entry"): 5, ("github", "/sync/repo"): 3} == {
                place: desk.calls.count(place) for place in set(desk.calls)
            }

    asyncio.run(scene())


def test_what_a_changed_manifest_dropped_is_purged(tmp_path: Path) -> None:
    """Calls of its streams go, whoever asked for them and though one is under way; all other paths stay."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.gate.clear()
            desk.frequencies += [("feeds", "entry", HOUR), ("feeds", "old", HOUR)]
            await desk.scheduler.ensure_streams()
            await until(lambda: desk.open_calls["feeds", "/sync/old"])
            later = desk.clock.now() + DAY
            for path in ("/sync/older", "/sync", "/hear"):
                await desk.scheduler.at("feeds", path, later)
            await desk.scheduler.at("mail", "/sync/old", later)
            desk.frequencies.pop()
            await desk.scheduler.keep_streams("feeds", ["entry"])
            desk.gate.set()
            await desk.settle()

            assert {"/sync/entry", "/sync", "/hear"} == set(desk.entries("feeds"))
            assert {"/sync/old"} == set(desk.entries("mail"))

    asyncio.run(scene())


def test_a_stream_that_nobody_knows_is_not_tried_again(tmp_path: Path) -> None:
    """Dropped while the core was down: neither manifest nor child has it. A declared one is tried."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.frequencies.append(("feeds", "entry", HOUR))
            for path in ("/sync/old", "/sync/entry", "/hear"):
                desk.answers["feeds", path] = 404
                await desk.scheduler.at("feeds", path, desk.clock.now())
            await desk.settle()

            assert {"/sync/entry", "/hear"} == set(desk.entries("feeds"))

    asyncio.run(scene())


def test_calls_are_bounded_and_never_doubled(tmp_path: Path) -> None:
    """A thousand due calls are made a few at once, never two of one path, and a hanging service stops no other."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.services += [f"s{number}" for number in range(20)]
            for number in range(PENDING_PER_SERVICE_MAX // 20):
                for service in desk.services[-20:]:
                    await desk.scheduler.at(service, f"/{number}", desk.clock.now() + MINUTE)
            desk.gate.clear()
            desk.clock.advance(MINUTE)
            desk.scheduler.replan()
            await until(lambda: desk.open_calls.total() == CALLS_MAX)
            desk.gate.set()
            await desk.settle()

            assert PENDING_PER_SERVICE_MAX == len(desk.calls) == len(set(desk.calls))
            assert CALLS_MAX == desk.most_open

    asyncio.run(scene())


def test_a_hanging_service_leaves_the_others_alone(tmp_path: Path) -> None:
    """With every call of one service open, another one's is made."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.gate.clear()
            for number in range(20):
                await desk.scheduler.at("feeds", f"/{number}", 0)
            await until(lambda: len(desk.calls) == CALLS_PER_SERVICE_MAX)
            await desk.scheduler.at("mail", "/a", 0)
            await until(lambda: ("mail", "/a") in desk.calls)

            assert CALLS_PER_SERVICE_MAX + 1 == desk.open_calls.total()

    asyncio.run(scene())


def test_a_call_asked_during_itself_comes_after_it(tmp_path: Path) -> None:
    """A path that asks for itself at once while it runs is called again when it has answered."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.gate.clear()
            await desk.scheduler.at("feeds", "/a", 0)
            await until(lambda: desk.calls)
            await desk.scheduler.at("feeds", "/a", 0)
            await desk.scheduler.at("mail", "/b", 0)
            await until(lambda: len(desk.calls) == 2)
            during = list(desk.calls)
            desk.gate.set()
            await desk.settle()

            assert [("feeds", "/a"), ("mail", "/b")] == during
            assert 2 == desk.calls.count(("feeds", "/a"))

    asyncio.run(scene())


def test_a_service_may_have_a_thousand_entries_and_no_more(tmp_path: Path) -> None:
    """The bound is met exactly; a path that is pending already may still be moved."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            later = desk.clock.now() + DAY
            for number in range(PENDING_PER_SERVICE_MAX):
                await desk.scheduler.at("feeds", f"/{number}", later)
            await desk.scheduler.at("feeds", "/0", later + 1)
            await desk.scheduler.at("mail", "/0", later)
            with pytest.raises(TooBusy):
                await desk.scheduler.at("feeds", "/one-more", later)

            assert PENDING_PER_SERVICE_MAX == len(await desk.scheduler.pending("feeds"))

    asyncio.run(scene())


def test_stop_breaks_off_and_the_next_start_tries_again(tmp_path: Path) -> None:
    """A call under way at the stop is shown as broken off and made again soon after the start."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.gate.clear()
            await desk.scheduler.at("feeds", "/a", 0)
            await until(lambda: desk.calls)
            await desk.restart()
            shown = desk.entries()["/a"]
            desk.gate.set()
            desk.clock.advance(MINUTE / 2)
            await desk.settle()

            assert "Locker stopped during the call" == shown.last_problem
            assert (2, {}) == (len(desk.calls), desk.entries())

    asyncio.run(scene())


def test_what_was_broken_off_comes_near(tmp_path: Path) -> None:
    """Its regular turn alone: other streams, what met a problem and what comes sooner anyway stay where they are."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            now = desk.clock.now()
            for path, wait in (("/sync/entry", HOUR), ("/sync/other", HOUR), ("/sync/soon", 1), ("/entry", HOUR)):
                await desk.scheduler.at("feeds", path, now + wait)
            seen = await desk.scheduler.pending()
            await desk.scheduler.go_on("feeds", ["entry", "soon"], seen=seen)
            waits = {path: round(entry.at - now) for path, entry in desk.entries().items()}

        assert {"/sync/entry": 5, "/sync/other": 3600, "/sync/soon": 1, "/entry": 3600} == waits

    asyncio.run(scene())


def test_what_went_on_meanwhile_is_not_brought_near_again(tmp_path: Path) -> None:
    """A turn that was called after its run was seen to be broken off is the going on; it comes no second time."""

    async def scene() -> None:
        async with open_desk(tmp_path) as desk:
            desk.frequencies = [("feeds", "entry", HOUR)]
            await desk.scheduler.at("feeds", "/sync/entry", desk.clock.now() + MINUTE)
            seen = await desk.scheduler.pending()
            await desk.pass_time(2 * MINUTE)
            await desk.scheduler.go_on("feeds", ["entry"], seen=seen)
            await desk.pass_time(2 * MINUTE)

        assert [("feeds", "/sync/entry")] == desk.calls

    asyncio.run(scene())
