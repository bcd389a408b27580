"""A new store made of everything that can be read and proves to be what was written, out of a damaged one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec

from core.store.care.soundness import head_of
from core.store.care.verify import fetch, is_good, readable
from core.store.durable import CREATE, FILE_MODE
from core.store.log import facts
from core.store.migrate import migrate
from core.store.rows import Row
from core.store.schema import APPLICATION_ID, MIGRATIONS

# A head farther from the last good fact is itself damaged: no commit is so large.
GAP_MAX = 100_000

View = AbstractContextManager[apsw.Connection]

_SEQS = (
    "SELECT seq FROM fact", "SELECT seq FROM fact INDEXED BY sqlite_autoindex_fact_1",
    "SELECT seq FROM current", "SELECT seq FROM past",
)  # fmt: skip
# What is kept beside the facts and cannot be made of them. Folds and checkpoints are made anew.
_TABLES = {
    "meta": "name, value",
    "cursor": "stream, value, changed_at",
    "run": "position, id, stream, started_at, ended_at, status, new, updated, same, deleted, quarantined, problem",
    "quarantine": "position, type, key, code, reason, sample, first_seen, last_seen, times, value",
    "point": "id, name",
    "sample": "point, at, value",
    "receipt": "seq, verb, at, actor, document",
}
_FOLDED_META = ("declarations", "indexed_seq")
_NUMBERED = {
    "type": ("INSERT INTO type (name) VALUES (?)", "SELECT id FROM type WHERE name = ?"),
    "origin": ("INSERT INTO origin (log, epoch) VALUES (?, ?)", "SELECT id FROM origin WHERE log = ? AND epoch = ?"),
    "producer": ("INSERT INTO producer (document) VALUES (?)", "SELECT id FROM producer WHERE document = ?"),
}
_SET_HEAD = "INSERT INTO sqlite_sequence (name, seq) VALUES ('fact', ?)"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate holds: how many facts, up to which position, and the positions that are gone."""

    facts: int
    head: int
    lost: list[int]


def build(path: Path, views: Sequence[View], *, kept_head: int) -> Candidate:
    """Make the candidate at `path` from several views of the damaged store; the first view counts most.

    Every position after `kept_head`, the head that SQLite would see, is expected to hold a fact; before it those that
    any index or fold of any view names.
    """
    os.close(os.open(path, CREATE, FILE_MODE))
    target = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
    try:
        target.pragma("synchronous", "off")
        target.pragma("foreign_keys", True)
        migrate(target, path, application_id=APPLICATION_ID, steps=MIGRATIONS)
        maker = _Maker(target)
        with target:
            for view in views:
                with view as source:
                    maker.take(source)
            lost, head = maker.lost(kept_head)
            if target.execute(facts.HEAD).get is None:
                target.execute(_SET_HEAD, (0,))
            target.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'fact'", (head,))
        return Candidate(facts=len(maker.there), head=head, lost=lost)
    finally:
        target.close()


class _Maker:
    """Takes what each view adds to those before."""

    def __init__(self, target: apsw.Connection) -> None:
        self._target = target
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._named: set[int] = set()
        self._heads: list[int] = [0]
        self.there: set[int] = set()

    def take(self, source: apsw.Connection) -> None:
        """Add the good facts of a view that are not there yet, and the rows of the other tables."""
        if not _has_facts(source):
            return
        head = seen_head(source)
        self._heads.append(head)
        for statement in _SEQS:
            self._named.update(seq for (seq,) in _each(source, statement) if isinstance(seq, int) and seq > 0)
        for row in readable(fetch(source), 0, max([head, *self._named])):
            if isinstance(row, tuple) and row[0] not in self.there and is_good(row):
                self._put(row)
        for table, columns in _TABLES.items():
            self._copy(source, table, columns)

    def lost(self, kept_head: int) -> tuple[list[int], int]:
        """The positions that should hold a fact and do not, and the last position ever given."""
        proven = max(self.there, default=0)
        head = max(seq for seq in [proven, *self._heads, *self._named] if seq <= proven + GAP_MAX)
        expected = {seq for seq in self._named if seq <= head} | set(range(kept_head + 1, head + 1))
        return sorted(expected - self.there), head

    def _put(self, row: Row) -> None:
        seq, fact_id, type_name, key, *said, producer, derivation, log, epoch = row[:16]
        type_id = self._number("type", (type_name,))
        origin = self._number("origin", (log, epoch))
        number = None if producer is None else self._number("producer", (producer,))
        self._target.execute(facts.INSERT, (seq, fact_id, type_id, key, *said, number, derivation, origin, *row[16:]))
        self.there.add(seq)

    def _number(self, table: str, what: tuple[Any, ...]) -> int:
        number = self._numbers.get((table, *what))
        if number is None:
            make, find = _NUMBERED[table]
            number = self._target.execute(find, what).get
            if number is None:
                self._target.execute(make, what)
                number = self._target.last_insert_rowid()
            self._numbers[table, *what] = number
        return number

    def _copy(self, source: apsw.Connection, table: str, columns: str) -> None:
        marks = ", ".join("?" * len(columns.split(",")))
        for row in _each(source, f"SELECT {columns} FROM {table}"):
            if table == "meta" and row[0] in _FOLDED_META:
                continue
            try:
                self._target.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", row)
            except apsw.Error:
                continue  # A row that no table of ours takes is none of ours.


def _has_facts(source: apsw.Connection) -> bool:
    try:
        return source.execute("SELECT row_digest FROM fact LIMIT 0").fetchall() == []
    except (apsw.Error, ValueError):
        return False


def _each(source: apsw.Connection, statement: str) -> Iterator[tuple[Any, ...]]:
    """The rows as far as they can be read."""
    try:
        yield from source.execute(statement)
    except (apsw.Error, ValueError):
        return


def seen_head(source: apsw.Connection) -> int:
    """The last position that the view speaks of, by its sequence or by its rows."""
    heads = [0]
    for (seq,) in _each(source, "SELECT max(seq) FROM fact"):
        heads.append(seq if isinstance(seq, int) else 0)
    with suppress(apsw.Error, ValueError, TypeError):
        heads.append(head_of(source))
    return max(heads)
