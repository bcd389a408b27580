"""The latest state: one row per record, one per fact that counts no more, and how both are rebuilt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import NoneType
from typing import Any, NamedTuple

import apsw
import msgspec

from core.model.errors import FileDamaged
from core.model.fact import JsonObject, Record
from core.model.manifest import TypeSpec, spec_of
from core.store.log.facts import KNOWN_AT, REV_ORDER, object_of
from core.store.log.fold import Span, Version, at_of, common_of, declared_at, weighed
from core.store.log.glance import Glance
from core.store.log.prepare import change_hash
from core.store.values import Verbatim

_SHAPES = {(str, str, str, str, float, int), (str, NoneType, str, str, float, int)}
COUNTS = "SELECT t.name, live FROM tally CROSS JOIN type t ON t.id = tally.type WHERE live > 0"

BEFORE_FIRST_KEY = ""

UPSERT = """
    INSERT INTO current (type, key, seq, deleted, change_hash, at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (type, key) DO UPDATE SET seq = excluded.seq, deleted = excluded.deleted,
        change_hash = excluded.change_hash, at = excluded.at
"""
PUT_PAST = """
    INSERT INTO past (type, key, seq, deleted, at, until_seq, until_known) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (type, key, seq) DO UPDATE SET until_seq = excluded.until_seq, until_known = excluded.until_known
"""
ADD_TO_TALLY = """
    INSERT INTO tally (type, live) VALUES (?, ?) ON CONFLICT (type) DO UPDATE SET live = live + excluded.live
"""
# One statement for a whole batch: asking key by key costs four times as much.
_LOOK_UP = """
    SELECT c.key, c.seq, c.deleted, c.change_hash, c.at FROM json_each(?) j
    CROSS JOIN current c ON c.type = ? AND c.key = j.value
"""
_LOOK_UP_ONE = "SELECT key, seq, deleted, change_hash, at FROM current WHERE key = ? AND type = ?"
COUNTING = """
    SELECT c.seq, f.recorded_at FROM type t CROSS JOIN current c ON c.type = t.id CROSS JOIN fact f ON f.seq = c.seq
    WHERE t.name = ? AND c.key = ?
"""
_TYPES = "SELECT id, name FROM type"
_VERSIONS = f"""
    SELECT f.type, f.key, f.seq, f.rev_generation, {REV_ORDER}, f.value_hash, {KNOWN_AT} FROM fact f
    ORDER BY f.type, f.key
"""
_FOLDED = f"""
    SELECT cast(f.value AS BLOB), cast(f.common AS BLOB), f.deleted, f.valid_time, {KNOWN_AT}
    FROM fact f WHERE f.seq = ?
"""
_OF_KEY = f"""
    SELECT f.seq, f.rev_generation, {REV_ORDER}, f.value_hash, {KNOWN_AT} FROM fact f WHERE f.seq IN (
        SELECT seq FROM current WHERE type = ?1 AND key = ?2
        UNION ALL SELECT seq FROM past WHERE type = ?1 AND key = ?2)
"""


class Row(NamedTuple):
    """A record's row: `type` by its number; `change_hash` is None while it is deleted."""

    type: int
    key: str
    seq: int
    deleted: bool
    change_hash: bytes | None
    at: float


class Past(NamedTuple):
    """The row of a fact that counts no more."""

    type: int
    key: str
    seq: int
    deleted: bool
    at: float
    until_seq: int
    until_known: float


class Latest(msgspec.Struct, frozen=True, gc=False):
    """What deciding about a change needs to know of the record it changes; `deleted` is 0 or 1."""

    seq: int
    deleted: int
    change_hash: bytes | None
    at: float


def record_of(row: tuple[Any, ...], spec: TypeSpec) -> Record:
    """The record in a row of value, common, type, key, time and position.

    Raises ValueError for one that no store of ours wrote.
    """
    _check(row)
    value = object_of(row[0])
    common = common_of(spec, value, object_of(row[1]))
    return Record(type=row[2], key=row[3], value=value, common=common, at=row[4], seq=row[5])


def verbatim_of(row: tuple[Any, ...], glance: Glance) -> Verbatim:
    """As `record_of`, the value left as it is stored."""
    _check(row)
    value, own, type_name, key, at, seq = row
    return Verbatim(type_name, key, msgspec.Raw(value), glance.common(value, own), at, seq)


def look_up(db: apsw.Connection, type_id: int, keys: Sequence[str]) -> Iterator[tuple[str, Latest]]:
    """The latest state of those records of one type that are known, each with its key."""
    # A single write is the one that somebody waits for: its record is found without a list.
    statement, named = (_LOOK_UP_ONE, keys[0]) if len(keys) == 1 else (_LOOK_UP, msgspec.json.encode(keys).decode())
    rows: list[tuple[Any, ...]] = db.execute(statement, (named, type_id)).fetchall()
    for key, seq, deleted, known, at in rows:
        yield key, Latest(seq, deleted, known, at)


def versions_of(db: apsw.Connection, type_id: int, key: str) -> list[Version]:
    """Every fact of one record, in no order."""
    return [Version(seq, (gen, order), known, at) for seq, gen, order, known, at in db.execute(_OF_KEY, (type_id, key))]


def rows_of(
    db: apsw.Connection, type_id: int, key: str, versions: Iterable[Version], spec: TypeSpec
) -> tuple[Row, list[Past]]:
    """The rows that the facts of one record fold into: the one that counts, and those that did."""
    seq, spans = weighed(versions)
    return _row(db, type_id, key, seq, spec), [_past(db, type_id, key, span, spec) for span in spans]


def rebuild(db: apsw.Connection, types: Mapping[str, TypeSpec]) -> None:
    """Fold every fact again into `current`, `past` and `tally`, within the caller's transaction. INV-01."""
    for table in ("current", "past", "tally"):
        db.execute(f"DELETE FROM {table}")
    for row, past in _folded(db, types):
        db.execute(UPSERT, row)
        db.executemany(PUT_PAST, past)
        db.execute(ADD_TO_TALLY, (row.type, 0 if row.deleted else 1))


def _folded(db: apsw.Connection, types: Mapping[str, TypeSpec]) -> Iterator[tuple[Row, list[Past]]]:
    specs = {number: spec_of(types, name) for number, name in db.execute(_TYPES)}
    for (type_id, key), rows in groupby(db.execute(_VERSIONS), key=lambda row: (row[0], row[1])):
        versions = [Version(seq, (gen, order), known, at) for _, _, seq, gen, order, known, at in rows]
        yield rows_of(db, type_id, key, versions, specs[type_id])


def _row(db: apsw.Connection, type_id: int, key: str, seq: int, spec: TypeSpec) -> Row:
    value, common, deleted, valid_time, known_at = _said(db, seq)
    at = at_of(declared_at(spec, value), valid_time=valid_time, known_at=known_at)
    known = None if deleted else change_hash(value, common, spec.volatile)
    return Row(type_id, key, seq, bool(deleted), known, at)


def _past(db: apsw.Connection, type_id: int, key: str, span: Span, spec: TypeSpec) -> Past:
    value, _, deleted, valid_time, known_at = _said(db, span.seq)
    at = at_of(declared_at(spec, value), valid_time=valid_time, known_at=known_at)
    return Past(type_id, key, span.seq, bool(deleted), at, span.until_seq, span.until_known)


def _said(db: apsw.Connection, seq: int) -> tuple[JsonObject, JsonObject, int, float | None, float]:
    """What a fact says, and when; raises FileDamaged with its position where its documents cannot be read."""
    value, common, deleted, valid_time, known_at = db.execute(_FOLDED, (seq,)).get
    try:
        return object_of(value), object_of(common), deleted, valid_time, known_at
    except (msgspec.MsgspecError, ValueError, RecursionError) as err:
        raise FileDamaged(f"fact {seq} cannot be read", remedy="Only a backup holds what it said.") from err


def _check(row: tuple[Any, ...]) -> None:
    if tuple(map(type, row)) not in _SHAPES:
        raise ValueError("a record's column has a type it cannot have")
