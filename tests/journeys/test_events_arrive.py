"""What one service stores, another hears: at least once, in order, whatever dies in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.feed_source import FeedSource
from tests.fakes.house import ROOT, House, open_house


@pytest.fixture
def source() -> Iterator[FeedSource]:
    """A feed to write."""
    with FeedSource() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A core that knows the little programs too, and does not wait long before it tries again."""
    (tmp_path / "config").mkdir()
    paths = json.dumps([str(ROOT / "connectors"), str(ROOT / "tests" / "fakes" / "programs")])
    limits = "[limits]\nevent_batch_wait_s = 0.05\nbackoff_first_s = 0.05\nbackoff_max_s = 0.2\n"
    (tmp_path / "config" / "locker.toml").write_text(f"connector_paths = {paths}\n{limits}")
    with open_house(tmp_path) as started:
        yield started


def _heard(house: House) -> list[dict]:
    return [json.loads(line) for line in house.get("/Me/collects/").text.splitlines()]


def _titles(house: House) -> list[str]:
    return [event["common"]["title"] for event in _heard(house)]


def test_listener_hears_what_is_stored(house: House, source: FeedSource) -> None:
    """INV-03: new entries and edits arrive in the order of the log, an edit with what it replaced."""
    source.entries["news"] = {str(n): f"Entry {n}" for n in range(20)}
    house.install("collects")
    house.install("feeds", settings={"urls": [source.url("news")]})
    house.sync("feeds")
    house.wait(lambda: len(_heard(house)) >= 20, what="twenty events")
    source.entries["news"] = {**source.entries["news"], "3": "Entry 3, mended"}
    house.sync("feeds")
    house.wait(lambda: len(_heard(house)) >= 21, what="the edit")
    events = _heard(house)

    assert sorted(event["seq"] for event in events) == [event["seq"] for event in events]
    assert {"new"} == {event["action"] for event in events[:20]}
    assert ("update", "Entry 3, mended") == (events[20]["action"], events[20]["common"]["title"])
    assert "mended" not in json.dumps(events[20]["before"])
    assert all(event["idr"].startswith("entry://feeds/") for event in events)


def test_batch_failure_is_retried(house: House, source: FeedSource) -> None:
    """A listener that refuses three times gets the same events again, and nothing is lost."""
    source.entries["news"] = {str(n): f"Entry {n}" for n in range(10)}
    house.install("collects", settings={"refusals": 3})
    house.install("feeds", settings={"urls": [source.url("news")]})
    house.sync("feeds")
    house.wait(lambda: len(_heard(house)) >= 10, what="ten events after three refusals")

    assert {f"Entry {n}" for n in range(10)} == set(_titles(house))


def test_event_survives_core_restart(house: House, source: FeedSource) -> None:
    """INV-03: kill -9 of the core between commit and delivery: after the next start the listener hears of it."""
    source.entries["news"] = {str(n): f"Entry {n}" for n in range(100)}
    house.install("collects")
    house.install("feeds", settings={"urls": [source.url("news")]})
    house.sync("feeds")
    house.kill()
    house.start()
    house.wait(lambda: len(set(_titles(house))) == 100, what="a hundred events")

    assert {f"Entry {n}" for n in range(100)} == set(_titles(house))


def test_events_stream_resumes_where_it_was(house: House, source: FeedSource) -> None:
    """A viewer that lost its connection gets the rest by Last-Event-ID: no gap, nothing twice."""
    source.entries["news"] = {str(n): f"Entry {n}" for n in range(5)}
    with house.get("/events?types=entry", stream=True) as stream:
        house.install("feeds", settings={"urls": [source.url("news")]})
        house.sync("feeds")
        first, last_id = _read(stream, 3)
    source.entries["news"] = {str(n): f"Entry {n}" for n in range(8)}
    house.sync("feeds")
    with house.get("/events?types=entry", stream=True, headers={"Last-Event-ID": last_id}) as stream:
        rest, _ = _read(stream, 5)

    assert [f"Entry {n}" for n in range(8)] == sorted(first + rest)


def _read(stream, count: int) -> tuple[list[str], str]:
    titles, last_id = [], ""
    for line in stream.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("id: "):
            last_id = line[4:]
        if line.startswith("data: "):
            titles.append(json.loads(line[6:])["common"]["title"])
        if not line and len(titles) == count:
            break
    return titles, last_id
