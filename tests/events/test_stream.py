"""GET /events over a real server."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.events import stream
from core.events.cursor import CURSOR_CHARS_MAX, Position, decode_cursor, encode_cursor
from core.events.viewer import FRAMES_BYTES_MAX, FRAMES_MAX, Filter, Viewer
from core.model.errors import BodyTooLarge
from core.model.event import Idr
from tests.events.desk import Shelf, until
from tests.events.wire import StreamDesk, Viewing, open_streams

ROOT = Path(__file__).resolve().parents[2]
IDLE_STREAMS = 500
IDLE_BYTES_MAX = 30 * 1024 * 1024


def test_what_happens_is_seen(tmp_path: Path) -> None:
    """An open stream shows each new fact with its whole event, as text/event-stream that nothing may keep."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            streams.desk.put("github", "before")
            viewing = await streams.view()
            streams.desk.put("github", "1", name="Ada\nLovelace")
            frame = await viewing.event()

            assert "text/event-stream; charset=utf-8" == viewing.headers["content-type"]
            assert "no-store" == viewing.headers["cache-control"]
            assert ("new", "1", {"id": "1", "name": "Ada\nLovelace"}) == tuple(
                frame.data[name] for name in ("action", "key", "value")
            )
            shelf = streams.desk.shelf("github")
            assert frame.id is not None
            assert Position(shelf.epoch(), 2) == decode_cursor(frame.id)[shelf.uid]

    asyncio.run(scene())


def test_types_and_services_filter(tmp_path: Path) -> None:
    """Only the types and services that were asked for come; a type is not the stream that bears its name."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            by_type = await streams.view("types=contact,tweet://twitter")
            by_service = await streams.view("services=twitter&types=contact&types=tweet")
            by_stream = await streams.view("types=timeline,link://twitter/timeline")
            streams.desk.put("github", "1")
            streams.desk.put("github", "2", type="tweet")
            streams.desk.put("twitter", "3", type="tweet")
            streams.desk.put("twitter", "4")
            streams.desk.put("twitter", "5", type="link")

            assert ["1", "3", "4"] == await by_type.keys(3)
            assert ["3", "4"] == await by_service.keys(2)
            assert ["5"] == await by_stream.keys(1)

    asyncio.run(scene())


@pytest.mark.parametrize("by", ["header", "query", "both"])
def test_last_event_id_resumes_exactly(tmp_path: Path, by: str) -> None:
    """After the cursor every event of every log comes once, then live ones; the header is the later word."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            desk = streams.desk
            first = await streams.view()
            start = first.last_id
            desk.put("github", "1", "2")
            desk.put("twitter", "3")
            await first.events(2)
            cursor = first.last_id
            await first.close()
            desk.put("github", "4")
            desk.put("late", "5")
            query = {"header": "", "query": f"since={cursor}", "both": f"since={start}"}[by]
            again = await streams.view(query, last_id=None if by == "query" else cursor, live=False)
            seen = await again.keys(3)
            await again.live()
            desk.put("github", "6")

            assert {"3", "4", "5"} == set(seen)
            assert ["6"] == await again.keys(1)

    asyncio.run(scene())


def test_zero_shows_everything_there_is(tmp_path: Path) -> None:
    """since=0 begins at the beginning of every log."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            streams.desk.put("github", "1", "2")
            await streams.desk.bus.publish("github", idr=Idr("alarm", "house", key="3"), action="new", value={})
            viewing = await streams.view("since=0", live=False)

            assert {"1", "2", "3"} == set(await viewing.keys(3))

    asyncio.run(scene())


@pytest.mark.parametrize("seed", range(4))
def test_resume_under_concurrent_writes(tmp_path: Path, seed: int) -> None:
    """A client that is cut again and again while services write sees each event of each log once, in order."""
    dice = random.Random(seed)

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            services = ("github", "twitter", "mail")
            for service in services:
                streams.desk.put(service, "before")
            viewing = await streams.view()
            writing = asyncio.create_task(write(streams, services))
            seen: list[tuple[str, int]] = []
            while len(seen) < 600:
                events = await viewing.events(min(dice.randint(1, 90), 600 - len(seen)))
                seen += [(event["service"], event["seq"]) for event in events]
                if dice.random() < 0.7:
                    await viewing.close()
                    viewing = await streams.view(last_id=viewing.last_id, live=False)
            await writing

            assert len(seen) == len(set(seen))
            for service in services:
                assert list(range(2, 202)) == [seq for name, seq in seen if name == service]

    async def write(streams: StreamDesk, services: tuple[str, ...]) -> None:
        left = dict.fromkeys(services, 200)
        while any(left.values()):
            service = dice.choice([name for name, count in left.items() if count])
            count = min(left[service], dice.randint(1, 40))
            left[service] -= count
            keys = [f"{left[service]}-{number}" for number in range(count)]
            streams.desk.put(service, *keys, tell=dice.random() < 0.8 or not left[service])
            await asyncio.sleep(dice.random() * 0.005)

    asyncio.run(scene())


def test_foreign_cursors_are_refused(tmp_path: Path) -> None:
    """Another epoch, a place past the end, another Locker's logs: 410 before the stream starts, with the cure."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            streams.desk.put("github", "1")
            shelf = streams.desk.shelf("github")
            elsewhere = Shelf(tmp_path / "elsewhere", streams.desk.clock, network="x")
            foreign = [
                {shelf.uid: Position("00ff", 1)},
                {shelf.uid: Position(shelf.epoch(), 2)},
                {elsewhere.uid: Position(elsewhere.epoch(), 1)},
                {"": Position("", 7)},
            ]
            elsewhere.close()
            for positions in foreign:
                viewing = await streams.view(last_id=encode_cursor(positions))
                problem = await viewing.body()

                assert (410, "cursor_unknown") == (viewing.status, problem["type"])
                assert problem["remedy"]

    asyncio.run(scene())


def test_a_restored_store_ends_the_stream(tmp_path: Path) -> None:
    """When a log begins anew its streams end, and their cursors are refused: the client knows to look afresh."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            desk = streams.desk
            desk.put("github", "1")
            viewing = await streams.view()
            other = await streams.view("services=twitter")
            old = desk.shelves.pop("github")
            old.close()
            (desk.folder / "github").rename(desk.folder / "old")
            desk.shelf("github").uid = old.uid
            desk.put("github", "2")
            with pytest.raises(EOFError):
                await viewing.event()
            again = await streams.view(last_id=viewing.last_id)
            desk.put("twitter", "3")

            assert 410 == again.status
            assert ["3"] == await other.keys(1)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("query", "last_id", "status"),
    [
        ("types=a/b/c", None, 400),
        ("services=Not+An+Id", None, 400),
        ("since=nonsense", None, 400),
        ("", "nonsense", 400),
        ("since=" + "A" * (CURSOR_CHARS_MAX + 1), None, 400),
        ("types=" + "a," * 101, None, 400),
        ("types=" + "a," * 100, None, 200),
        ("&".join(["types=a"] * 101), None, 400),
        ("services=owner,github", None, 200),
    ],
)
def test_questions_are_checked(tmp_path: Path, query: str, last_id: str | None, status: int) -> None:
    """What cannot be understood is a problem document, not an empty stream."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            viewing = await streams.view(query, last_id=last_id)

            assert status == viewing.status
            if status == 400:
                assert "bad_request" == (await viewing.body())["type"]

    asyncio.run(scene())


def test_only_get_is_answered(tmp_path: Path) -> None:
    """Any other method is told which one to use."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            viewing = await Viewing.open(streams.port, method="POST")
            streams.open.append(viewing)

            assert (405, "GET") == (viewing.status, viewing.headers["allow"])

    asyncio.run(scene())


def test_a_caller_hears_only_what_it_may(tmp_path: Path) -> None:
    """Types that a caller may not hear never reach it, live or from the logs, announcements neither."""

    async def scene() -> None:
        def may_hear(caller: Any, name: str) -> bool:
            return caller == "app:1" and name == "tweet/twitter"

        async with open_streams(tmp_path, may_hear=may_hear, caller="app:1") as streams:
            streams.desk.put("github", "1", type="tweet")
            streams.desk.put("twitter", "2", "3", type="tweet")
            viewing = await streams.view("since=0", live=False)
            caught_up = await viewing.keys(2)
            await viewing.live()
            streams.desk.bus.announce("github", "service", {"state": "running"})
            streams.desk.put("twitter", "4")
            streams.desk.put("twitter", "5", type="tweet")

            assert (["2", "3"], ["5"]) == (caught_up, await viewing.keys(1))

    asyncio.run(scene())


def test_announcements_are_of_the_moment(tmp_path: Path) -> None:
    """They come as events of their own kind without an id, within the filter, and are never replayed."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            viewing = await streams.view()
            narrow = await streams.view("services=twitter")
            streams.desk.bus.announce("github", "service", {"state": "starting"})
            streams.desk.bus.announce("twitter", "service", {"state": "failed"})
            first = await viewing.event()
            again = await streams.view(last_id=viewing.last_id)
            streams.desk.put("twitter", "1")

            assert (None, "service", {"service": "github", "state": "starting"}) == (first.id, first.event, first.data)
            assert {"service": "twitter", "state": "failed"} == (await narrow.event()).data
            assert ["1"] == await again.keys(1)
            with pytest.raises(BodyTooLarge):
                streams.desk.bus.announce("github", "service", {"text": "x" * stream.ANNOUNCEMENT_BYTES_MAX})

    asyncio.run(scene())


def test_signs_of_life_carry_the_cursor(tmp_path: Path) -> None:
    """An idle stream gets comments, and with them the place that events it did not want have moved it to."""

    async def scene() -> None:
        async with open_streams(tmp_path, comment_s=0.05) as streams:
            viewing = await streams.view("types=tweet")
            streams.desk.put("github", "1")
            shelf = streams.desk.shelf("github")
            while shelf.uid not in decode_cursor(viewing.last_id or "0"):
                await viewing.next()
            frame = viewing.frames[-1]
            while (quiet := await viewing.next()).id is not None:
                pass

            assert ("still here", None) == (frame.comment, frame.data)
            assert Position(shelf.epoch(), 1) == decode_cursor(frame.id or "")[shelf.uid]
            assert "still here" == quiet.comment

    asyncio.run(scene())


def test_a_client_that_leaves_is_noticed_at_once(tmp_path: Path) -> None:
    """Its stream is gone within a second, with nothing written meanwhile."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            viewings = [await streams.view() for _ in range(3)]
            await viewings[0].close()
            await until(lambda: streams.streams.count == 2, timeout_s=1.0)

    asyncio.run(scene())


def test_a_slow_client_costs_a_bounded_buffer_and_misses_nothing(tmp_path: Path) -> None:
    """While one client does not read, the others go on; when it reads again it gets everything from the logs."""

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            slow = await streams.view()
            quick = await streams.view()
            text = "x" * 20_000
            keys = [f"{page}-{number}" for page in range(10) for number in range(100)]
            for page in range(10):
                streams.desk.put("github", *keys[page * 100 : page * 100 + 100], text=text)
            quick_keys = await quick.keys(1000)
            waiting = max(viewer._bytes for viewer in streams.streams._viewers)

            assert keys == quick_keys
            assert waiting <= FRAMES_BYTES_MAX
            assert keys == await slow.keys(1000)

    asyncio.run(scene())


def test_streams_are_ended_when_their_caller_is_gone(tmp_path: Path) -> None:
    """The streams of a revoked token end; at the close all do, and no new one is taken."""

    async def scene() -> None:
        async with open_streams(tmp_path, caller="app:1") as streams:
            viewing = await streams.view()
            streams.streams.end(lambda caller: caller == "app:2")
            still_open = streams.streams.count
            streams.streams.end(lambda caller: caller == "app:1")
            with pytest.raises(EOFError):
                await viewing.event()
            await streams.streams.close()
            refused = await streams.view()

            assert (1, 503) == (still_open, refused.status)

    asyncio.run(scene())


def test_the_number_of_streams_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than the bound is asked to come again later."""
    monkeypatch.setattr(stream, "STREAMS_MAX", 3)

    async def scene() -> None:
        async with open_streams(tmp_path) as streams:
            for _ in range(3):
                await streams.view()
            refused = await streams.view()

            assert (503, "2") == (refused.status, refused.headers["retry-after"])
            assert "too_busy" == (await refused.body())["type"]

    asyncio.run(scene())


def test_a_bounded_number_of_frames_waits() -> None:
    """The buffer holds so many frames and not one more; then the viewer is behind and keeps none."""
    full = viewer_with(FRAMES_MAX)
    over = viewer_with(FRAMES_MAX + 1)

    assert (False, FRAMES_MAX) == (full.behind, full.take().count(b"x"))
    assert (True, b"", "start") == (over.behind, over.take(), over.cursor)


def viewer_with(frames: int) -> Viewer:
    """A live viewer for whom so many frames have come."""
    viewer = Viewer(Filter(None, None), lambda name: True, "start")
    viewer.behind = False
    for number in range(frames):
        viewer.push(f"c{number}", b"x")
    return viewer


def test_five_hundred_idle_streams_are_cheap(tmp_path: Path) -> None:
    """In a server of its own they take less than 30 MB, and one event reaches them all."""
    command = [sys.executable, "-m", "tests.events.driver", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            port = int(process.stdout.readline())
            used_bytes = asyncio.run(watch_idle(port, process))
        finally:
            process.kill()

    assert used_bytes < IDLE_BYTES_MAX


async def watch_idle(port: int, process: subprocess.Popen[str]) -> int:
    """The memory that so many streams take; each must then show the one event that is put."""
    server = psutil.Process(process.pid)
    warm = await (await Viewing.open(port)).live()
    before = server.memory_info().rss
    viewings = [await (await Viewing.open(port)).live() for _ in range(IDLE_STREAMS)]
    used = server.memory_info().rss - before
    assert process.stdin is not None
    process.stdin.write("put\n")
    process.stdin.flush()
    keys = [(await viewing.keys(1))[0] for viewing in [warm, *viewings]]
    assert ["1"] * (IDLE_STREAMS + 1) == keys
    for viewing in [warm, *viewings]:
        await viewing.close()
    return used
