"""The log: one row per fact, and how a row reads as a Fact."""

from __future__ import annotations

from types import NoneType
from typing import Any, NamedTuple

import apsw
import msgspec

from core.model.fact import Fact, JsonObject

# The two documents come first, so that a page can be weighed by its first two columns.
_COLUMNS = """
    f.value, f.common, f.seq, f.id, f.type, f.key, f.action, f.value_hash, f.causation, f.transaction_time,
    f.valid_time, f.schema_version, p.document, f.derivation, o.log, o.epoch, f.origin_seq, f.known_at,
    f.rev_generation, f.rev_order, f.recorded_at
"""
_SHAPE: tuple[Any, ...] = (
    str, (str, NoneType), int, (bytes, str), str, str, str, bytes, (bytes, str, NoneType), float,
    (float, NoneType), int, (str, NoneType), (str, NoneType), str, int, int, float,
    int, int, float,
)  # fmt: skip
# CROSS JOIN fixes the order: a foreign file's statistics must not talk the planner into another.
_FROM = "FROM fact f CROSS JOIN origin o ON o.id = f.origin LEFT JOIN producer p ON p.id = f.producer"

HEAD = "SELECT seq FROM sqlite_sequence WHERE name = 'fact'"
SINCE = f"SELECT {_COLUMNS} {_FROM} WHERE f.seq > ? ORDER BY f.seq LIMIT ?"
HISTORY = f"SELECT {_COLUMNS} {_FROM} WHERE f.type = ? AND f.key = ? AND f.seq < ? ORDER BY f.seq DESC LIMIT ?"

LAST_RECORDED_AT = "SELECT recorded_at FROM fact ORDER BY seq DESC LIMIT 1"
LAST_ORIGIN_SEQ = "SELECT max(origin_seq) FROM fact WHERE origin = ?"
REPLACED = "SELECT id, rev_generation, rev_order, value, common FROM fact WHERE seq = ?"
INSERT = """
    INSERT INTO fact (seq, id, type, key, action, value, common, value_hash, causation, transaction_time,
        valid_time, schema_version, producer, derivation, origin, origin_seq, known_at,
        rev_generation, rev_order, recorded_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

SEQ_MAX = 2**63 - 1

_decode_object = msgspec.json.Decoder(JsonObject).decode
_encode = msgspec.json.encode


class Row(NamedTuple):
    """A fact as it is inserted; `producer` and `origin` are row numbers of their tables."""

    seq: int
    id: bytes | str
    type: str
    key: str
    action: str
    value: str
    common: str | None
    value_hash: bytes
    causation: bytes | str | None
    transaction_time: float
    valid_time: float | None
    schema_version: int
    producer: int | None
    derivation: str | None
    origin: int
    origin_seq: int
    known_at: float
    rev_generation: int
    rev_order: int
    recorded_at: float


class Replaced(NamedTuple):
    """What a new fact must know of the one it follows."""

    id: bytes | str
    rev: tuple[int, int]
    value: JsonObject
    common: JsonObject


def fact_of(row: tuple[Any, ...]) -> Fact:
    """The fact in a row of this module's statements; raises ValueError for one that no store of ours wrote."""
    if not all(map(isinstance, row, _SHAPE)):
        raise ValueError("a fact's column has a type it cannot have")
    return Fact(
        seq=row[2],
        id=_id_text(row[3]),
        type=row[4],
        key=row[5],
        action=row[6],
        value=_decode_object(row[0]),
        common=object_of(row[1]),
        value_hash=row[7].hex(),
        causation=None if row[8] is None else _id_text(row[8]),
        transaction_time=row[9],
        valid_time=row[10],
        schema_version=row[11],
        producer=None if row[12] is None else _decode_object(row[12]),
        derivation=None if row[13] is None else _decode_object(row[13]),
        origin=row[14],
        origin_epoch=row[15],
        origin_seq=row[16],
        known_at=row[17],
        rev=(row[18], row[19]),
        recorded_at=row[20],
    )


def replaced(db: apsw.Connection, seq: int) -> Replaced:
    """The fact at `seq`, as far as its successor must know it."""
    for fact_id, generation, order, value, common in db.execute(REPLACED, (seq,)):
        return Replaced(fact_id, (generation, order), _decode_object(value), object_of(common))
    raise apsw.CorruptError(f"current names fact {seq}, which is not there")


def json_text(document: JsonObject) -> str:
    """The document as it is stored: its own order of names kept."""
    return _encode(document).decode()


def object_of(text: str | None) -> JsonObject:
    """The JSON object in `text`, empty where there is none."""
    return {} if text is None else _decode_object(text)


def _id_text(stored: bytes | str) -> str:
    """Ids that are UUIDs are stored as their 16 bytes, all others as they came."""
    if isinstance(stored, str):
        return stored
    if len(stored) != 16:
        raise ValueError("an id has not 16 bytes")
    text = stored.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
