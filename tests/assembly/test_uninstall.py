"""Uninstalling at a whole core: nothing of a service is left that the next one of its name could find."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path

import pytest

from tests.fakes.house import ROOT, House, open_house


@pytest.fixture(autouse=True)
def programs(tmp_path: Path) -> None:
    """The core of each test knows the little programs too."""
    (tmp_path / "config").mkdir()
    paths = json.dumps([str(ROOT / "connectors"), str(ROOT / "tests" / "fakes" / "programs")])
    (tmp_path / "config" / "locker.toml").write_text(f"connector_paths = {paths}\n")


def _uninstall(house: House, service: str, data: str) -> None:
    answer = house.post(f"/core/{service}/uninstall", json={"data": data})
    assert answer.ok, answer.text


def _rows(house: House, service: str) -> list[tuple[str, str]]:
    """What core.db holds of the service's calls and listeners, looked at when the core has ended."""
    with sqlite3.connect(f"file:{house.me / 'core.db'}?mode=ro", uri=True) as db:
        tables = [(table, "listener_service" if table == "position" else "service")
                  for table in ("pending_at", "listener", "position", "dead_letter")]  # fmt: skip
        found = [
            (table, str(path))
            for table, column in tables
            for (path,) in db.execute(f"SELECT path FROM {table} WHERE {column} = ?", (service,))
        ]
    db.close()
    return found


@pytest.mark.parametrize("data", ["keep", "erase"])
def test_what_a_child_asks_for_while_it_is_stopped_is_not_inherited(tmp_path: Path, data: str) -> None:
    """uninstall_erases_everything_it_should: a call and a listener that a dying child asks for are refused and gone."""
    with open_house(tmp_path, environment={"LOCKER_LIMITS_STOP_GRACE_S": "30"}) as house:
        house.install("parting-words")
        assert house.get("/Me/parting-words/").ok
        house.post("/core/parting-words/at", json={"at": 4e9 / 2 - 1e8, "path": "/later"})
        _uninstall(house, "parting-words", data)
        told = tmp_path / "Me" / "parting-words" / "told.json"
        answers = json.loads(told.read_text()) if data == "keep" else None
        house.stop()

        assert [] == _rows(house, "parting-words")
        if answers is not None:
            assert {"at": 503, "listen": 503} == answers


@pytest.mark.parametrize("path", ["at", "listen"])
def test_a_service_that_is_switched_off_asks_for_nothing(tmp_path: Path, path: str) -> None:
    """ServiceDisabled: neither call nor listener is taken until the owner enables it."""
    body = {"at": {"at": 1.0, "path": "/x"}, "listen": {"type": "entry", "path": "/x"}}[path]
    with open_house(tmp_path) as house:
        house.install("parting-words")
        assert house.post("/core/parting-words/disable").ok
        refused = house.post(f"/core/parting-words/{path}", json=body)
        assert house.post("/core/parting-words/enable").ok

        assert (503, "service_disabled") == (refused.status_code, refused.json()["type"])
        assert house.post(f"/core/parting-words/{path}", json=body).ok


def test_listeners_of_missing_services_go_at_start(tmp_path: Path) -> None:
    """orphan_schedule_purged, for listeners too: rows that nobody is left for are gone after a start."""
    with open_house(tmp_path) as house:
        house.stop()
        with sqlite3.connect(house.me / "core.db") as db:
            db.execute("INSERT INTO listener (service, type, path, source) VALUES ('gone', 'entry', '/x', 'call')")
            db.execute("INSERT INTO pending_at (service, path, at, kind) VALUES ('gone', '/x', 1.0, 'asked')")
            db.execute("INSERT INTO position (listener_service, path, log, epoch, seq) VALUES ('gone','/x','u','e',1)")
        db.close()
        house.start()
        house.stop()

        assert [] == _rows(house, "gone")


def test_an_erased_store_is_not_kept_open(tmp_path: Path) -> None:
    """After an erase the core holds no file of the service, so that its blocks are free and nothing can be read."""
    with open_house(tmp_path) as house:
        house.install("feeds")
        assert house.get("/Me/feeds/status").ok
        assert house.get("/Me/feeds/records/entry").ok
        with house.get("/events", stream=True):
            _uninstall(house, "feeds", "erase")
            assert house.get("/map").ok
            assert house.process is not None
            handles = Path(f"/proc/{house.process.pid}/fd")
            held = [os.readlink(handle) for handle in handles.iterdir() if handle.is_symlink()]

        assert [] == [name for name in held if "/Me/feeds/" in name or ".erasing" in name or "feeds.log" in name]
        assert [] == [path for path in house.me.rglob("*") if "feeds" in path.name]


def test_erased_words_stand_nowhere(tmp_path: Path) -> None:
    """What a service published and wrote into the diary goes with it, and another of the same id inherits none."""
    with open_house(tmp_path) as house:
        for connector in ("parting-words", "feeds"):
            house.install(connector)
            house.post(f"/core/{connector}/diary", json={"message": f"words of {connector}", "level": 1})
            idr = f"entry://{connector}/#1"
            house.post(f"/core/{connector}/event", json={"idr": idr, "action": "new", "data": {"secret": connector}})
        _uninstall(house, "parting-words", "erase")
        house.install("parting-words")
        words = {entry["message"] for entry in house.get("/diary").json()["entries"]}
        house.stop()
        with contextlib.closing(sqlite3.connect(house.me / "core.db")) as db:
            published = {row[0] for row in db.execute("SELECT service FROM published WHERE value != ''")}

        assert "words of feeds" in words
        assert "words of parting-words" not in words
        assert {"feeds"} == published
