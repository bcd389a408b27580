"""The ways to load the same records into a file, each timed batch by batch: Locker's store, and what else does that.

Only what each does with a batch is timed; making the records is not. All commit durably, 500 records at a time, where
they can be told to.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import apsw
import sqlite_utils
import tinydb

from core.model.clock import SystemClock
from core.model.fact import Change, JsonObject
from core.model.manifest import TypeSpec
from core.store import Commit, Origin, Store
from core.store.connection import CHECKPOINT_PAGES
from core.store.words.letters import fold
from core.store.words.text import Reading, type_mark
from tests.bench._repos import ONE_INDEX, REPO, change_of, key_of

ORIGIN = Origin(log="bench", epoch=1)
_DURABLE = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
_TABLES = ("type", "origin", "producer", "fact", "current", "past", "tally", "meta")


class Lane(Protocol):
    """One way to load records."""

    def put(self, batch: Sequence[JsonObject]) -> None:
        """Store a batch: durable when it returns."""

    def close(self) -> None:
        """End it properly."""


def open_store(folder: Path, types: Mapping[str, TypeSpec] = ONE_INDEX) -> Store:
    """The store in `folder` as a connector opens it."""
    return Store.open(folder, types=types, origin=ORIGIN, clock=SystemClock())


class Locker:
    """A connector's own store, with its whole history, its index and its text index."""

    def __init__(self, folder: Path, types: Mapping[str, TypeSpec] = ONE_INDEX) -> None:
        self._store = open_store(folder, types)
        self.did: list[Commit] = []

    def put(self, batch: Sequence[JsonObject]) -> None:
        self.did.append(self._store.commit([change_of(record) for record in batch]))

    def delete(self, batch: Sequence[JsonObject]) -> None:
        """Let records go from today's state; their history stays."""
        changes = [Change(type=REPO.name, key=key_of(record), action="delete") for record in batch]
        self.did.append(self._store.commit(changes))

    def close(self) -> None:
        self._store.close()


class SqliteUtils:
    """`sqlite-utils`: upserts into a table with the same index and, where `has_text`, the same words searchable."""

    def __init__(self, folder: Path, *, has_text: bool) -> None:
        self._db = sqlite_utils.Database(folder / "utils.db")
        for pragma in _DURABLE:
            self._db.execute(pragma)
        columns = {"id": int, "name": str, "description": str, "language": str, "stars": int, "fork": bool}
        self._table = self._db["repo"].create({**columns, "pushed_at": str}, pk="id")
        self._table.create_index(["language"])
        if has_text:
            self._table.enable_fts(["name", "description"], create_triggers=True)

    def put(self, batch: Sequence[JsonObject]) -> None:
        self._table.upsert_all(batch, pk="id", batch_size=len(batch))
        assert not self._db.conn.in_transaction

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self._table.count)

    def close(self) -> None:
        self._db.conn.close()


class Tiny:
    """TinyDB: a JSON file, which each call writes anew."""

    def __init__(self, folder: Path) -> None:
        self._db = tinydb.TinyDB(folder / "tiny.json")

    def put(self, batch: Sequence[JsonObject]) -> None:
        self._db.insert_multiple(batch)

    def upsert(self, batch: Sequence[JsonObject]) -> None:
        """Put records in place of those that are there."""
        for record in batch:
            self._db.upsert(record, tinydb.where("id") == record["id"])

    def close(self) -> None:
        self._db.close()


class Apsw:
    """The very rows that Locker made, put into the same tables and indexes by `executemany`, through apsw."""

    def __init__(self, folder: Path, rows: Rows) -> None:
        self._db = apsw.Connection(str(folder / "apsw.db"))
        self._rows = rows
        _prepare(self._db.execute, rows)

    def put_rows(self, tables: Sequence[Sequence[tuple[Any, ...]]]) -> None:
        """One batch of rows: of each table its own."""
        with self._db:
            for statement, rows in zip(self._rows.statements, tables, strict=True):
                self._db.executemany(statement, rows)

    def close(self) -> None:
        self._db.close()


class Sqlite3:
    """The same through Python's own sqlite3."""

    def __init__(self, folder: Path, rows: Rows) -> None:
        self._db = sqlite3.connect(folder / "sqlite3.db", isolation_level=None)
        self._rows = rows
        _prepare(self._db.execute, rows)

    def put_rows(self, tables: Sequence[Sequence[tuple[Any, ...]]]) -> None:
        """One batch of rows: of each table its own."""
        self._db.execute("BEGIN IMMEDIATE")
        for statement, rows in zip(self._rows.statements, tables, strict=True):
            self._db.executemany(statement, rows)
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class Rows:
    """What a store holds after a first load, as rows ready to be put into tables of the same make."""

    statements = (
        f"INSERT INTO fact VALUES ({','.join('?' * 21)})",
        "INSERT INTO current VALUES (?, ?, ?, ?, ?, ?)",
        "INSERT INTO text (rowid, title, body) VALUES (?, ?, ?)",
    )

    def __init__(self, path: Path) -> None:
        self._db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self.schema: list[str] = [
            sql
            for name, table, sql in self._db.execute("SELECT name, tbl_name, sql FROM sqlite_schema WHERE sql NOT NULL")
            if table in _TABLES or name == "text"
        ]
        self.merges: list[tuple[str, int]] = self._db.execute(
            "SELECT k, v FROM text_config WHERE k IN ('automerge', 'crisismerge')"
        ).fetchall()
        self.shared: dict[str, list[tuple[Any, ...]]] = {
            table: self._db.execute(f"SELECT * FROM {table}").fetchall() for table in ("type", "origin", "producer")
        }
        self._reading = Reading(REPO)

    def between(self, since: int, until: int) -> tuple[list[tuple[Any, ...]], ...]:
        """The rows of facts after `since` up to `until`, by table."""
        span = (since, until)
        facts = self._db.execute("SELECT * FROM fact WHERE seq > ? AND seq <= ?", span).fetchall()
        current = self._db.execute(
            "SELECT c.* FROM fact f JOIN current c ON c.type = f.type AND c.key = f.key WHERE f.seq > ? AND f.seq <= ?",
            span,
        ).fetchall()
        return facts, current, [self._words(row) for row in facts]

    def close(self) -> None:
        self._db.close()

    def _words(self, fact: tuple[Any, ...]) -> tuple[int, str, str]:
        seq, _, type_id, _, _, value = fact[:6]
        document = json.loads(value)
        title = fold(self._reading.title(document, {}))
        return seq, f"{title} {type_mark(type_id)}", fold(self._reading.body(document, {}))


def _prepare(execute: Callable[..., Any], rows: Rows) -> None:
    for pragma in (*_DURABLE, f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"):
        execute(pragma)
    for sql in rows.schema:
        execute(sql)
    for table, shared in rows.shared.items():
        for row in shared:
            execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    for name, value in rows.merges:
        with contextlib.suppress(sqlite3.OperationalError):
            execute("INSERT INTO text (text, rank) VALUES (?, ?)", (name, value))


def timed(put: Callable[[Any], None], batches: Iterable[Any]) -> float:
    """The seconds that `put` took for all batches; making them is not counted."""
    took_s = 0.0
    for batch in batches:
        begun = time.perf_counter()
        put(batch)
        took_s += time.perf_counter() - begun
    return took_s
