"""Connectors that are not Python, and the simplest one there can be, under a real core."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.house import ROOT, House, open_house


def _house(folder: Path) -> House:
    house = House(folder)
    paths = [str(ROOT / "connectors"), str(ROOT / "docs" / "examples"), str(ROOT / "tests" / "fakes" / "programs")]
    (house.config / "locker.toml").write_text(f"connector_paths = {json.dumps(paths)}\n")
    return house


@pytest.fixture
def house(tmp_path: Path):
    """A core that knows the examples and the misbehaving programs too."""
    _house(tmp_path)
    with open_house(tmp_path) as started:
        yield started


def test_notes_in_node(house: House) -> None:
    """The Node example stores, serves, keeps history, tells of events, and survives a restart."""
    house.install("node-notes")
    written = house.post("/Me/node-notes/notes", json={"id": "a", "text": "Buy milk"})
    house.post("/Me/node-notes/notes", json={"id": "a", "text": "Buy oat milk"})
    house.post("/Me/node-notes/notes", json={"id": "b", "text": "Ünï ☂"})
    house.post("/core/node-notes/restart")

    assert 201 == written.status_code
    assert {"a": "Buy oat milk", "b": "Ünï ☂"} == {
        key: record["value"]["text"] for key, record in house.records("node-notes", "note").items()
    }
    assert ["Buy oat milk", "Buy milk"] == [
        fact["value"]["text"] for fact in house.get("/Me/node-notes/records/note/a/history").json()["facts"]
    ]
    assert 200 == house.ask("DELETE", "/Me/node-notes/records/note/b").status_code
    assert 404 == house.get("/Me/node-notes/records/note/b").status_code
    assert 413 == house.post("/Me/node-notes/notes", data=b"x" * 70_000).status_code


def test_notes_in_node_tell_of_events(house: House) -> None:
    """Who follows the event stream hears of a note written in another language."""
    house.install("node-notes")
    with house.get("/events?types=note", stream=True) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        house.post("/Me/node-notes/notes", json={"id": "a", "text": "Buy milk"})
        event = json.loads(next(line for line in lines if line.startswith("data: "))[6:])

    assert ("new", "note://node-notes/#a", "Buy milk") == (event["action"], event["idr"], event["value"]["text"])


def test_the_simplest_child_there_can_be(house: House) -> None:
    """A shell script that answers `{}` and serves on the suggested port is a connector."""
    house.install("shell-minimal")

    assert house.get("/Me/shell-minimal/").ok
