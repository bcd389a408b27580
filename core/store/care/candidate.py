"""A new store made of everything that can be read and proves to be what was written, out of a damaged one."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec

from core.store.care.carving import Leaves, PageAt, carved
from core.store.care.seal import is_sealed
from core.store.care.soundness import head_of
from core.store.care.verify import fetch, is_good, readable
from core.store.durable import CREATE, FILE_MODE
from core.store.log import facts
from core.store.log.receipts import COMPACT, ERASE, FROM_STORE, PRUNE, SALVAGE, TYPES
from core.store.migrate import migrate
from core.store.rows import Row
from core.store.schema import APPLICATION_ID, MIGRATIONS

# A head farther from the last good fact, or from the last mark before it, is itself damaged: no commit is so large.
GAP_MAX = 100_000

View = Callable[[], AbstractContextManager[apsw.Connection]]

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
# What an erased fact has: whether it is a deletion, value, common, producer and derivation; and a hash that is erased.
_BLANK = (1, "{}", None, None, None)
_NO_HASH = b""
_FOLDED_META = ("declarations", "indexed_seq", "words")
_NUMBERED = {
    "type": ("INSERT INTO type (name) VALUES (?)", "SELECT id FROM type WHERE name = ?"),
    "origin": ("INSERT INTO origin (log, epoch) VALUES (?, ?)", "SELECT id FROM origin WHERE log = ? AND epoch = ?"),
    "producer": ("INSERT INTO producer (document) VALUES (?)", "SELECT id FROM producer WHERE document = ?"),
}
_MARKS = "SELECT seq, facts FROM checkpoint ORDER BY seq"
_INDEXED = "SELECT value FROM meta WHERE name = 'indexed_seq'"
_RECEIPTS = "SELECT verb, document FROM receipt"
_VALUE = "SELECT value FROM fact WHERE seq = ?"
_VERBS = {name: verb for verb, name in TYPES.items()}
_PUT_LOST_UNTIL = """
    INSERT INTO meta (name, value) VALUES ('lost_until', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_SET_HEAD = "INSERT INTO sqlite_sequence (name, seq) VALUES ('fact', ?)"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate holds: how many facts, up to which position, and the positions that are gone.

    `is_lost_known`: nothing else is gone. `head` is the last position that anything speaks of.
    """

    facts: int
    head: int
    lost: list[int]
    is_lost_known: bool


class Rest(msgspec.Struct, frozen=True):
    """The pages themselves: `leaves(is_newest)` are those that a fact may stand in, `lookups` what rows go on in.

    `is_newest`: of each page what it was last, so that nothing comes back that was taken away.
    """

    leaves: Callable[[bool], Leaves]
    lookups: Sequence[PageAt]


def build(path: Path, views: Sequence[View], rest: Rest, *, kept_head: int, is_end_known: bool) -> Candidate:
    """Make the candidate at `path` from several views of the damaged store, the first of which counts most, and `rest`.

    Every position is expected to hold a fact that no receipt says was removed. Where receipts cannot be read, or do
    not account for what is not there, it is every position after `kept_head`, the head that SQLite would see, and
    before it those that any index or fold of any view names. `is_end_known`: the first view speaks of the last fact.
    """
    candidate, removed = _built(path, views, rest, _NOTHING, kept_head=kept_head, is_end_known=is_end_known)
    if removed is not None:
        # Made anew rather than deleted from: not a byte of what was erased is to stay.
        path.unlink()
        candidate, _ = _built(path, views, rest, removed, kept_head=kept_head, is_end_known=is_end_known)
    return candidate


def _built(
    path: Path, views: Sequence[View], rest: Rest, removed: _Removed, *, kept_head: int, is_end_known: bool
) -> tuple[Candidate, _Removed | None]:
    """The candidate without what is `removed`, and what receipts say was removed where some of that came back."""
    os.close(os.open(path, CREATE, FILE_MODE))
    target = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
    try:
        target.pragma("synchronous", "off")
        target.pragma("foreign_keys", True)
        migrate(target, path, application_id=APPLICATION_ID, steps=MIGRATIONS)
        maker = _Maker(target, removed)
        with target:
            for view in views:
                with view() as source:
                    maker.take(source)
            maker.carve(rest)
            lost, head, is_lost_known = maker.lost(kept_head, is_end_known=is_end_known)
            if target.execute(facts.HEAD).get is None:
                target.execute(_SET_HEAD, (0,))
            target.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'fact'", (head,))
            if head > max(maker.there, default=0):
                target.execute(_PUT_LOST_UNTIL, (head,))
            told = maker.removed()
            came_back = maker.has_any(told)
        candidate = Candidate(facts=len(maker.there), head=head, lost=lost, is_lost_known=is_lost_known)
        return candidate, told if came_back else None
    finally:
        target.close()


class _Maker:
    """Takes what each view adds to those before."""

    def __init__(self, target: apsw.Connection, removed: _Removed) -> None:
        self._target = target
        self._barred = [removed]
        self._noted: list[tuple[str, int]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._named: set[int] = set()
        self._heads: set[int] = set()
        self._first: _First | None = None
        self._whole: set[str] = set()
        self._views = 0
        self.there: set[int] = set()

    def take(self, source: apsw.Connection) -> None:
        """Add the good facts of a view that are not there yet, and the rows of the other tables."""
        self._views += 1
        if not _has_facts(source):
            return
        if self._views == 1:
            self._first = _first_of(source)
        head = seen_head(source)
        self._heads.add(head)
        self._heads.update(seq for seq, _ in _each(source, _MARKS) if isinstance(seq, int))
        self._heads.update(seq for (seq,) in _each(source, _INDEXED) if isinstance(seq, int))
        for statement in _SEQS:
            self._named.update(seq for (seq,) in _each(source, statement) if isinstance(seq, int) and seq > 0)
        for since, until in _stretches({head, *self._named}):
            for row in readable(fetch(source), since, until):
                if isinstance(row, tuple) and row[0] not in self.there and is_good(row):
                    self._put(row)
        for table, columns in _TABLES.items():
            self._copy(source, table, columns)

    def carve(self, rest: Rest) -> None:
        """Add the good facts that no view leads to."""
        has_receipts = self._first is not None and self._first.has_receipts
        self._barred.append(self.removed())
        for row in carved(rest.leaves(not has_receipts), rest.lookups, self.there):
            self._put(row)

    def removed(self) -> _Removed:
        """What the receipts that are here say was removed."""
        return _Removed(
            self._receipted((COMPACT, PRUNE)), self._receipted((ERASE,)), self._receipted((ERASE,), bare=True)
        )

    def has_any(self, removed: _Removed) -> bool:
        """Whether facts are here as they were before they were removed."""
        named = (seq for seq in self.there if seq in removed.gone or seq in removed.erased)
        rows = (row for seq in named for row in readable(fetch(self._target), seq - 1, seq))
        return any(isinstance(row, tuple) and removed.bars(row) for row in rows)

    def lost(self, kept_head: int, *, is_end_known: bool) -> tuple[list[int], int, bool]:
        """The positions that should hold a fact and do not, the last one that is spoken of, and whether that is all."""
        head = max(self.there, default=0)
        for seq in sorted(self._heads | self._named):
            head = seq if head < seq <= head + GAP_MAX else head
        first, removed = self._first, self._receipted((COMPACT, PRUNE, SALVAGE))
        if first is not None and first.has_receipts:
            lost = [seq for seq in range(1, head + 1) if seq not in self.there and seq not in removed]
            seq, facts_then = first.mark or (0, 0)
            if sum(one <= seq for one in self.there) + bisect_right(lost, seq) == facts_then:
                return lost, head, is_end_known and first.head == head
        expected = {seq for seq in self._named if seq <= head} | set(range(kept_head + 1, head + 1))
        return sorted(expected - self.there), head, False

    def _receipted(self, verbs: Sequence[str], *, bare: bool = False) -> _Spans:
        """The positions that this store's receipts of these verbs name; `bare`: whose hashes went too."""
        spans: list[tuple[int, int]] = []
        for verb, text in _each(self._target, _RECEIPTS):
            if verb in verbs:
                spans += _named_in(text, bare=bare)
        for verb, seq in self._noted:
            if verb in verbs:
                spans += _named_in(self._target.execute(_VALUE, (seq,)).get, bare=bare)
        return _Spans(spans)

    def _put(self, row: Row) -> None:
        if any(removed.bars(row) for removed in self._barred):
            return
        # One with a number of its own may be another store's, and speak of other positions.
        if row[2] in _VERBS and row[16] is None:
            self._noted.append((_VERBS[row[2]], row[0]))
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
        """Add the rows of a table that no view before had whole: what such a one lacks was taken away."""
        if table in self._whole:
            return
        marks = ", ".join("?" * len(columns.split(",")))
        with suppress(apsw.Error, ValueError):
            for row in source.execute(f"SELECT {columns} FROM {table}"):
                if table == "meta" and row[0] in _FOLDED_META:
                    continue
                # A row that no table of ours takes is none of ours.
                with suppress(apsw.Error):
                    self._target.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", row)
            self._whole.add(table)


class _First(msgspec.Struct, frozen=True):
    """What the most promising view says of the whole: its head, where that can be told, its last mark, and whether
    all receipts can be read.
    """

    head: int | None
    mark: tuple[int, int] | None
    has_receipts: bool


class _Spans:
    """Positions, as stretches of them."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(spans):
            self._firsts.append(first)
            self._lasts.append(max(last, self._lasts[-1] if self._lasts else 0))

    def __contains__(self, seq: object) -> bool:
        if not isinstance(seq, int):
            return False
        place = bisect_right(self._firsts, seq)
        return place > 0 and seq <= self._lasts[place - 1]


class _Removed(msgspec.Struct, frozen=True):
    """The positions of facts that are gone, of those that are erased, and of those erased with their hashes."""

    gone: _Spans
    erased: _Spans
    bare: _Spans

    def bars(self, row: Row) -> bool:
        """Whether a row of `verify.COLUMNS` is what was removed; an erased one says nothing any more."""
        seq = row[0]
        if seq in self.erased and ((*row[4:7], *row[12:14]) != _BLANK or (seq in self.bare and row[7] != _NO_HASH)):
            return True
        return seq in self.gone


_NOTHING = _Removed(_Spans(()), _Spans(()), _Spans(()))


def _stretches(seqs: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Where there may be facts, given some positions: after a first one up to a last one, none of them endless."""
    since = until = 0
    for seq in sorted(seqs):
        if seq > until + GAP_MAX:
            yield since, until
            since = seq - 1
        until = seq
    yield since, until


def _first_of(source: apsw.Connection) -> _First:
    head = mark = None
    has_receipts = False
    with suppress(apsw.Error, ValueError, TypeError):
        rows: Any = source.execute(_MARKS).fetchall()
        mark = next(((seq, facts_then) for seq, facts_then in reversed(rows)), None)
    with suppress(apsw.Error, ValueError, TypeError):
        source.execute(_RECEIPTS).fetchall()
        has_receipts = True
    with suppress(apsw.Error, ValueError, TypeError):
        head = mark[0] if mark is not None and is_sealed(source) else None
    with suppress(apsw.Error, ValueError, TypeError):
        head = head_of(source)
    return _First(head, mark, has_receipts)


def _named_in(text: Any, *, bare: bool = False) -> list[tuple[int, int]]:
    """The stretches of positions that a receipt names; none where it came from another store, or is none of ours.

    `bare`: only those of facts that were erased with their hashes.
    """
    try:
        document = msgspec.json.decode(text, type=dict[str, Any])
        if FROM_STORE in document or (bare and document.get("drop_hash") is not True):
            return []
        ranges = [(first, last) for first, last in document.get("ranges", ())]
        ranges += [(span["first"], span["last"]) for span in document.get("lost", ())]
    except (msgspec.MsgspecError, TypeError, ValueError, KeyError):
        return []
    return [(first, last) for first, last in ranges if isinstance(first, int) and isinstance(last, int)]


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
