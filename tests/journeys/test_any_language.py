"""Connectors that are not Python, and the simplest one there can be, under a real core."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

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
    assert 200 == house.ask("DELETE", "/Me/node-notes/notes/b").status_code
    assert 404 == house.get("/Me/node-notes/records/note/b").status_code
    assert 413 == house.post("/Me/node-notes/notes", data=b"x" * 70_000).status_code


def test_notes_in_node_tell_of_events(house: House) -> None:
    """Who follows the event stream hears of a note written in another language."""
    house.install("node-notes")
    with house.get("/events?types=note", stream=True) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        house.post("/Me/node-notes/notes", json={"id": "a", "text": "Buy milk"})
        event = json.loads(next(line for line in lines if line.startswith("data: "))[6:])

    assert ("new", "a", "Buy milk") == (event["action"], event["key"], event["value"]["text"])
    assert event["idr"].startswith("note://node-notes/") and event["idr"].endswith("#a")


def facts_of(house: House, query: str = "") -> list[dict[str, Any]]:
    """The lines of the change feed."""
    answer = house.get(f"/Me/node-notes/facts{query}")
    assert (200, "application/jsonl") == (answer.status_code, answer.headers["content-type"])
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_change_feed_of_notes_in_node(house: House) -> None:
    """From the first fact without a cursor, on from each cursor, over a restart; a foreign cursor is told so."""
    house.install("node-notes")
    assert [] == facts_of(house)
    for text in ("Buy milk", "Buy oat milk"):
        house.post("/Me/node-notes/notes", json={"id": "a", "text": text})
    first, second = facts_of(house)
    house.post("/core/node-notes/restart")
    house.ask("DELETE", "/Me/node-notes/notes/a")
    (third,) = facts_of(house, f"?since={second['cursor']}")

    assert [("put", "Buy milk"), ("put", "Buy oat milk")] == [
        (fact["action"], fact["value"]["text"]) for fact in (first, second)
    ]
    assert ("delete", "a", "note") == (third["action"], third["key"], third["type"])
    assert [second] == facts_of(house, f"?since={first['cursor']}&limit=1")
    assert [] == facts_of(house, f"?since={third['cursor']}")
    epoch, _, seq = third["cursor"].partition(".")
    for since, status in ((f"{'0' * 32}.1", 410), (f"{epoch}.{int(seq) + 1}", 410), ("x", 400), ("1.x", 400)):
        answer = house.get(f"/Me/node-notes/facts?since={since}")
        assert (since, status) == (since, answer.status_code)
        assert answer.json()["remedy"]


def test_a_receipt_names_who_asked(house: House) -> None:
    """The owner, by the core's own address or by the service's."""
    house.install("node-notes")
    house.post("/Me/node-notes/notes", json={"id": "a", "text": "Buy milk"})
    house.post("/Me/node-notes/notes", json={"id": "a", "text": "Buy oat milk"})
    policies = {"policies": {"note": {"kind": "ephemeral"}}}
    assert 200 == house.ask("PUT", "/Me/node-notes/retention", json=policies).status_code

    receipts = house.post("/Me/node-notes/retention/compact").json()["receipts"]

    assert {"owner"} == {receipt["actor"] for receipt in receipts}


def test_the_readme_of_notes_in_node(tmp_path: Path) -> None:
    """Its configuration finds the connector beside Locker's own, and its request writes a note."""
    page = (ROOT / "docs" / "examples" / "node-notes" / "README.md").read_text()
    (paths,) = re.findall(r"```toml\n(.*?)```", page, flags=re.S)
    (body,) = re.findall(r"-d '(.*?)'", page)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "locker.toml").write_text(paths)
    with open_house(tmp_path) as started:
        available = {connector["name"] for connector in started.get("/available").json()["connectors"]}
        started.install("node-notes")
        written = started.post("/Me/node-notes/notes", data=body)

        assert {"feeds", "node-notes"} <= available
        assert (201, json.loads(body)["text"]) == (written.status_code, written.json()["value"]["text"])


def test_the_simplest_child_there_can_be(house: House) -> None:
    """A shell script that answers `{}` and serves on the suggested port is a connector."""
    house.install("shell-minimal")

    assert house.get("/Me/shell-minimal/").ok
