"""The log: one row per fact, and how a row reads as a Fact."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import NoneType
from typing import Any

import apsw
import msgspec

from core.model.errors import FactDamaged
from core.model.fact import Action, Fact, JsonObject
from core.store.log.digest import digest_of
from core.store.log.fold import Version

KNOWN_AT = "coalesce(f.known_at, f.recorded_at)"
REV_ORDER = f"coalesce(f.rev_order, cast({KNOWN_AT} * 1000 AS INTEGER))"

COLUMNS = """
    f.value, f.common, f.seq, f.id, t.name, f.key, f.deleted, f.value_hash, f.causation,
    f.transaction_time, f.valid_time, f.schema_version, p.document, f.derivation,
    o.log, o.epoch, f.origin_seq, f.known_at, f.rev_generation, f.rev_order, f.recorded_at, f.row_digest
"""
_SHAPE: tuple[Any, ...] = (
    str, (str, NoneType), int, (bytes, str), str, str, int, bytes, (bytes, str, NoneType),
    (float, NoneType), (float, NoneType), int, (str, NoneType), (str, NoneType),
    str, int, (int, NoneType), (float, NoneType), int, (int, NoneType), float, bytes,
)  # fmt: skip
_NAMED = """
    CROSS JOIN type t ON t.id = f.type CROSS JOIN origin o ON o.id = f.origin LEFT JOIN producer p ON p.id = f.producer
"""
# CROSS JOIN fixes the order: a foreign file's statistics must not talk the planner into another.
FROM = f"FROM fact f {_NAMED}"
OF_TYPE_1 = "(SELECT id FROM type WHERE name = ?1)"

HEAD = "SELECT seq FROM sqlite_sequence WHERE name = 'fact'"
SINCE = f"SELECT {COLUMNS} {FROM} WHERE f.seq > ? ORDER BY f.seq LIMIT ?"
HISTORY = f"""
    WITH version (seq) AS (
        SELECT c.seq FROM current c WHERE c.type = {OF_TYPE_1} AND c.key = ?2 AND c.seq < ?3
        UNION ALL
        SELECT * FROM (
            SELECT b.seq FROM past b WHERE b.type = {OF_TYPE_1} AND b.key = ?2 AND b.seq < ?3
            ORDER BY b.seq DESC LIMIT ?4
        )
    )
    SELECT {COLUMNS} FROM version v CROSS JOIN fact f ON f.seq = v.seq {_NAMED} ORDER BY f.seq DESC LIMIT ?4
"""
IDS_AT_ONCE = 32
_STORED_IDS = f"SELECT id FROM fact WHERE id IN ({', '.join('?' * IDS_AT_ONCE)})"
_STORED_ID = "SELECT id FROM fact WHERE id = ?"
AT = f"SELECT {COLUMNS} {FROM} WHERE f.seq = ?"
BY_ID = f"SELECT {COLUMNS} {FROM} WHERE f.id = ?"

LAST_RECORDED_AT = "SELECT recorded_at FROM fact ORDER BY seq DESC LIMIT 1"
# Facts without a number of their own are the first origin's: nobody else's stand where this store puts them.
LAST_ORIGIN_SEQ = """
    SELECT coalesce(max(origin_seq), 0) FROM fact INDEXED BY fact_of_origin WHERE origin = ? AND origin_seq IS NOT NULL
"""
LAST_UNNUMBERED = "SELECT seq FROM fact WHERE origin = ? AND origin_seq IS NULL ORDER BY seq DESC LIMIT 1"
FIRST_ORIGIN = 1
REPLACED = f"""
    SELECT f.id, {KNOWN_AT}, f.rev_generation, {REV_ORDER}, f.value_hash, f.value, f.common FROM fact f WHERE f.seq = ?
"""
INSERT = """
    INSERT INTO fact (seq, id, type, key, deleted, value, common, value_hash, causation, transaction_time,
        valid_time, schema_version, producer, derivation, origin, origin_seq, known_at,
        rev_generation, rev_order, recorded_at, row_digest)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

SEQ_MAX = 2**63 - 1

_ACTIONS: tuple[Action, Action] = ("put", "delete")
_UUID_BYTES = 16

_decode_object = msgspec.json.Decoder(JsonObject).decode
_encode = msgspec.json.encode


def fact_of(row: tuple[Any, ...]) -> Fact:
    """The fact in a row of this module's statements.

    Raises FactDamaged for one that is not what was written, and ValueError for one that no store of ours wrote.
    """
    if digest_of(row[2:7] + row[:2] + row[7:21]) != row[21]:
        raise FactDamaged(f"fact {row[2]} is not what was written", seq=row[2])
    if not all(map(isinstance, row, _SHAPE)) or not 0 <= row[6] <= 1:
        raise ValueError("a fact's column has a type it cannot have")
    (
        value, common, seq, fact_id, type_name, key, deleted, value_hash, causation,
        transaction_time, valid_time, schema_version, producer, derivation,
        log, epoch, origin_seq, known_at, rev_generation, rev_order, recorded_at, _,
    ) = row  # fmt: skip
    if known_at is None:
        known_at = recorded_at
    return Fact(
        seq=seq,
        id=id_text(fact_id),
        type=type_name,
        key=key,
        action=_ACTIONS[deleted],
        value=_decode_object(value),
        common=object_of(common),
        value_hash=value_hash.hex(),
        causation=None if causation is None else id_text(causation),
        transaction_time=recorded_at if transaction_time is None else transaction_time,
        valid_time=valid_time,
        schema_version=schema_version,
        producer=None if producer is None else _decode_object(producer),
        derivation=None if derivation is None else _decode_object(derivation),
        origin=log,
        origin_epoch=epoch,
        origin_seq=seq if origin_seq is None else origin_seq,
        known_at=known_at,
        rev=(rev_generation, int(known_at * 1000) if rev_order is None else rev_order),
        recorded_at=recorded_at,
    )


class Replaced(msgspec.Struct, frozen=True, gc=False):
    """What a new fact must know of the one it follows; `value` and `common` as the JSON they are stored as."""

    id: bytes | str
    version: Version
    value: str
    common: str | None


def replaced(db: apsw.Connection, seq: int) -> Replaced:
    """The fact at `seq`, as far as its successor must know it."""
    for fact_id, known_at, generation, order, value_hash, value, common in db.execute(REPLACED, (seq,)):
        return Replaced(fact_id, Version(seq, (generation, order), value_hash, known_at), value, common)
    raise apsw.CorruptError(f"current names fact {seq}, which is not there")


def replaced_in(row: tuple[Any, ...], *, now: float) -> Replaced:
    """As `replaced`, from the row of a fact that was made at `now` and is yet to be inserted."""
    known_at = now if row[16] is None else row[16]
    order = int(known_at * 1000) if row[18] is None else row[18]
    return Replaced(row[1], Version(row[0], (row[17], order), row[7], known_at), row[5], row[6])


def stored_among(db: apsw.Connection, ids: Sequence[bytes | str]) -> list[bytes | str]:
    """Those of `ids`, at most IDS_AT_ONCE, that facts have."""
    if len(ids) == 1:
        return [row[0] for row in db.execute(_STORED_ID, tuple(ids))]
    nothing = (None,) * (IDS_AT_ONCE - len(ids))
    return [row[0] for row in db.execute(_STORED_IDS, (*ids, *nothing))]


def json_text(document: JsonObject) -> str:
    """The document as it is stored: its own order of names kept."""
    return _encode(document).decode()


def object_of(text: str | bytes | None) -> JsonObject:
    """The JSON object in `text`, empty where there is none."""
    return {} if text is None else _decode_object(text)


def id_text(stored: bytes | str) -> str:
    """A stored id as it is written: UUIDs are stored as their 16 bytes, all others as they came."""
    if isinstance(stored, str):
        return stored
    if len(stored) != _UUID_BYTES:
        raise ValueError("an id has not 16 bytes")
    text = stored.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def stored_id(text: str) -> bytes | str:
    """An id as it is stored: the 16 bytes of a UUID in its usual form, else the text itself."""
    if len(text) == 36 and text[8] == text[13] == text[18] == text[23] == "-":
        digits = text.replace("-", "")
        with contextlib.suppress(ValueError):
            read = bytes.fromhex(digits)
            if read.hex() == digits and len(read) == _UUID_BYTES:
                return read
    return text
