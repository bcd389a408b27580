"""The store's file in ordinary tools: whatever SQLite they have reads all tables and views, and finds it whole."""

from __future__ import annotations

import http.client
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from core.model.clock import ManualClock
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import Store
from tests.contracts.waiting import wait_until
from tests.store.conftest import ORIGIN

DATASETTE = Path(sys.executable).with_name("datasette")
UP_S_MAX = 60.0
TYPES = {
    "note": TypeSpec(
        name="note",
        time="written",
        title="title",
        text=("body",),
        common={"author": "by.name", "summary": 'the "gist"'},
        index=("n", "it's", "a(b", "a[0]", "photos.0.url", "back\\slash", 'qu"ote', "tab\there", "größe", ""),
    ),
    "bare": TypeSpec(name="bare"),
}


def note(number: int) -> Change:
    """A note with something at each declared path."""
    value = dict.fromkeys(("n", "it's", "a(b", "a[0]", "back\\slash", 'qu"ote', "tab\there", "größe", ""), number)
    said = {
        "title": f"Note {number}",
        "body": "a lighthouse in the fog",
        "written": "2026-01-02",
        "by": {"name": "Ann"},
    }
    return Change(type="note", key=f"k{number}", value={**value, **said, "photos": [{"url": number / 3}]})


@pytest.fixture
def file(folder: Path, clock: ManualClock, tmp_path: Path) -> Iterator[Path]:
    """The file of a store that was edited, deleted from, pruned and erased, and has numbers; closed, and moved away."""
    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as store:
        store.commit([note(number) for number in range(40)], cursor=("notes", 1), producer={"name": "test"})
        store.commit([Change(type="note", key="k1", action="delete"), note(2), Change(type="bare", key="b", value={})])
        store.commit([Change(type="note", key="k3", value={"title": "Edited", "n": "text"})])
        store.prune([store.facts(9, limit=1)[0].id], actor="owner")
        store.erase(record=("note", "k4"), actor="owner")
        store.series.append([("temperature", 1.6e9, 20.5)])
    path = tmp_path / "away" / "store.db"
    path.parent.mkdir()
    shutil.copy(folder / "store.db", path)
    yield path


def read(path: Path, statement: str) -> list[tuple[object, ...]]:
    """The rows, by Python's own SQLite."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute(statement).fetchall()


def test_every_table_and_view_is_read(file: Path) -> None:
    """All rows and columns of each, the parts of the text index too."""
    names = [name for (name,) in read(file, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")]
    rows = {name: read(file, f'SELECT * FROM "{name}"') for name in names}

    assert {"fact", "current", "past", "text", "text_data", "facts", "current_note", "current_bare"} < set(names)
    assert 44 == len(rows["fact"]) == len(rows["facts"])
    assert [1] == [len(rows["current_bare"])]
    assert 37 == len(rows["current_note"])
    assert all(read(file, f'PRAGMA table_xinfo("{name}")') for name in names)


def test_it_is_found_whole(file: Path) -> None:
    """Indexes over declared paths too: what stands in them is what this SQLite finds there."""
    indexes = read(file, "SELECT path FROM field_index ORDER BY path")

    assert [("ok",)] == read(file, "PRAGMA integrity_check")
    assert [(path,) for path in sorted(set(TYPES["note"].index) - {'qu"ote', "tab\there"})] == indexes


def test_its_words_are_found(file: Path) -> None:
    """By position; those of what was pruned or erased are gone."""
    found = [seq for (seq,) in read(file, "SELECT rowid FROM text WHERE text MATCH 'title : note AND fog'")]

    assert set(range(1, 41)) - {5, 10} == set(found)
    assert [(1,)] == read(file, "SELECT count(*) FROM text WHERE text MATCH 'edited'")


def test_the_views_say_what_people_read(file: Path) -> None:
    """Names and times as text, a column for each declared path; what stands at an odd one too."""
    columns = ("key", "at", "title", "author", "n", "it's", "a(b", "photos.0.url", "größe")
    said = ", ".join(f'"{column}"' for column in columns)
    ours = read(file, f"SELECT {said} FROM current_note WHERE key IN ('k2', 'k3') ORDER BY key")
    facts = read(file, "SELECT seq, type, key, action, recorded_at, producer FROM facts WHERE seq IN (1, 5, 41)")

    at = "2026-01-02 00:00:00"
    assert ("k2", at, "Note 2", "Ann", 2, 2, 2, 2 / 3, 2) == ours[0]
    assert ("k3", "Edited", "text", None) == (ours[1][0], ours[1][2], ours[1][4], ours[1][5])
    recorded = ManualClock().now()
    moment = read(file, f"SELECT datetime({recorded}, 'unixepoch')")[0][0]
    assert (1, "note", "k0", "put", moment, '{"name":"test"}') == facts[0]
    assert [(5, "note", "k4", "delete", moment, None), (41, "note", "k1", "delete", moment, None)] == facts[1:]


@pytest.mark.skipif(not DATASETTE.exists(), reason="needs Datasette: tests/requirements.txt")
def test_datasette_shows_it(file: Path) -> None:
    """As a program beside the store, on whatever SQLite its Python has: each table and view has its page."""
    names = [name for (name,) in read(file, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    process = subprocess.Popen(
        [str(DATASETTE), "serve", str(file), "--host", "127.0.0.1", "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def status(path: str) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=UP_S_MAX)) as connection:
            with suppress(ConnectionRefusedError):
                connection.request("GET", path)
                return connection.getresponse().status
            return 0

    try:
        wait_until(lambda: process.poll() is not None or status("/store") == 200, deadline_s=UP_S_MAX)
        found = {name: status(f"/store/{name}") for name in names}
    finally:
        process.kill()
        process.wait()

    assert {"text", "facts", "current_note"} < set(names)
    assert dict.fromkeys(names, 200) == found
