"""The latest state: one row per record naming the fact that counts, how a row reads as a Record, and the rebuild."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from types import NoneType
from typing import Any, NamedTuple

import apsw
import msgspec

from core.model.fact import Record
from core.model.manifest import TypeSpec
from core.store.facts import object_of
from core.store.fold import at_of, common_of
from core.store.prepare import change_hash

_COLUMNS = "f.value, f.common, c.type, c.key, c.at, c.seq"
_SHAPE: tuple[Any, ...] = (str, (str, NoneType), str, str, float, int)
_FROM = "FROM current c CROSS JOIN fact f ON f.seq = c.seq"

ONE = f"SELECT {_COLUMNS} {_FROM} WHERE c.type = ? AND c.key = ? AND c.deleted = 0"
BY_KEY = f"SELECT {_COLUMNS} {_FROM} WHERE c.type = ? AND c.key > ? AND c.deleted = 0 ORDER BY c.key LIMIT ?"
NEWEST = f"""
    SELECT {_COLUMNS} {_FROM} WHERE c.type = ? AND c.deleted = 0 AND (c.at, c.seq) < (?, ?)
    ORDER BY c.at DESC, c.seq DESC LIMIT ?
"""
COUNTS = "SELECT type, live FROM tally WHERE live > 0 ORDER BY type"

BEFORE_FIRST_KEY = ""

UPSERT = """
    INSERT INTO current (type, key, seq, deleted, change_hash, at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (type, key) DO UPDATE SET seq = excluded.seq, deleted = excluded.deleted,
        change_hash = excluded.change_hash, at = excluded.at
"""
SET_CHANGE_HASH = "UPDATE current SET change_hash = ? WHERE type = ? AND key = ?"
ADD_TO_TALLY = """
    INSERT INTO tally (type, live) VALUES (?, ?) ON CONFLICT (type) DO UPDATE SET live = live + excluded.live
"""
# One statement for a whole batch: asking key by key costs four times as much.
_LOOK_UP = """
    SELECT c.key, c.seq, c.deleted, c.change_hash FROM json_each(?) j
    CROSS JOIN current c ON c.type = ? AND c.key = j.value
"""
_CANDIDATES = """
    SELECT type, key, seq, action, rev_generation, rev_order, value_hash FROM fact INDEXED BY fact_of_record
    ORDER BY type, key
"""
_FOLDED = "SELECT value, common, valid_time, known_at FROM fact WHERE seq = ?"


class Row(NamedTuple):
    """A record's row: `change_hash` is None while it is deleted."""

    type: str
    key: str
    seq: int
    deleted: bool
    change_hash: bytes | None
    at: float


class Latest(NamedTuple):
    """What deciding about a change needs to know of the record it changes."""

    seq: int
    deleted: bool
    change_hash: bytes | None


def record_of(row: tuple[Any, ...], spec: TypeSpec) -> Record:
    """The record in a row of this module's statements; raises ValueError for one that no store of ours wrote."""
    if not all(map(isinstance, row, _SHAPE)):
        raise ValueError("a record's column has a type it cannot have")
    value = object_of(row[0])
    common = common_of(spec, value, object_of(row[1]))
    return Record(type=row[2], key=row[3], value=value, common=common, at=row[4], seq=row[5])


def look_up(db: apsw.Connection, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Latest]:
    """The latest state of those records of `wanted` (type, key) that are known."""
    keys: dict[str, list[str]] = {}
    for type_name, key in wanted:
        keys.setdefault(type_name, []).append(key)
    found: dict[tuple[str, str], Latest] = {}
    for type_name, names in keys.items():
        for key, seq, deleted, known in db.execute(_LOOK_UP, (msgspec.json.encode(names).decode(), type_name)):
            found[type_name, key] = Latest(seq, bool(deleted), known)
    return found


def rebuild(db: apsw.Connection, types: Mapping[str, TypeSpec]) -> None:
    """Fold every fact again into `current` and `tally`, within the caller's transaction. INV-01."""
    db.execute("DELETE FROM current")
    db.execute("DELETE FROM tally")
    for row in _folded(db, types):
        db.execute(UPSERT, row)
        db.execute(ADD_TO_TALLY, (row.type, 0 if row.deleted else 1))


def _folded(db: apsw.Connection, types: Mapping[str, TypeSpec]) -> Iterator[Row]:
    """The fact of each key with the greatest (rev, value_hash)."""
    for (type_name, key), versions in groupby(db.execute(_CANDIDATES), key=lambda version: (version[0], version[1])):
        _, _, seq, action, *_ = max(versions, key=lambda version: version[4:])
        spec = types.get(type_name) or TypeSpec(name=type_name)
        value, common, valid_time, known_at = db.execute(_FOLDED, (seq,)).get
        document = object_of(value)
        at = at_of(spec, document, valid_time=valid_time, known_at=known_at)
        known = change_hash(document, object_of(common), spec.volatile) if action == "put" else None
        yield Row(type_name, key, seq, known is None, known, at)
