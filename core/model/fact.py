"""The unit of history: one immutable version of a record, or its tombstone."""

from __future__ import annotations

import hashlib
import math
from typing import Any, Literal

import msgspec

from core.model.canonical import canonical_json
from core.model.errors import BadRecord
from core.model.ids import KEY_BYTES_MAX

VALUE_BYTES_MAX = 4 * 1024 * 1024
PROVENANCE_BYTES_MAX = 16 * 1024

Action = Literal["put", "delete"]
JsonObject = dict[str, Any]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector or a caller wants stored: a record's new value, or its deletion.

    `order_key` is the source's own revision as an integer, where it has one; `valid_time` is the moment
    the record speaks of, in epoch seconds.
    """

    type: str
    key: str
    action: Action = "put"
    value: JsonObject = {}
    common: JsonObject = {}
    valid_time: float | None = None
    order_key: int | None = None
    derivation: JsonObject | None = None


class Fact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One committed version of a record.

    `seq` is the position in the store it was read from; `origin`, `origin_epoch` and `origin_seq` name the log
    it was made in; `known_at` is when the first device committed it; `rev` = (generation, order key) decides
    which fact of a key is current. Times are epoch seconds, UTC. Hashes are lower-case hex.
    """

    seq: int
    id: str
    type: str
    key: str
    action: Action
    value: JsonObject
    common: JsonObject
    value_hash: str
    causation: str | None
    transaction_time: float
    valid_time: float | None
    schema_version: int
    producer: JsonObject | None
    derivation: JsonObject | None
    origin: str
    origin_epoch: int
    origin_seq: int
    known_at: float
    rev: tuple[int, int]
    recorded_at: float


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The latest state of one record; `at` is its declared time if it has one, else when it became known."""

    type: str
    key: str
    value: JsonObject
    common: JsonObject
    at: float
    seq: int


def value_hash(value: Any) -> str:
    """SHA-256 over the canonical form, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def check_change(change: Change) -> None:
    """Raise BadRecord unless the change can be stored: a key, a JSON object within the size and depth limits."""
    size = len(change.key.encode("utf-8", "surrogatepass"))
    if not size:
        raise BadRecord(f"{change.type}: the record has no key")
    if size > KEY_BYTES_MAX:
        raise BadRecord(f"{change.type}: the key has {size} bytes, allowed are 1 to {KEY_BYTES_MAX}")
    if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in change.key):
        raise BadRecord(f"{change.type}: the key {change.key[:60]!r} has a control character or half a surrogate pair")
    for name, document in (("value", change.value), ("common", change.common)):
        if not isinstance(document, dict):
            raise BadRecord(f"{change.type} {change.key}: {name} must be a JSON object")
        size = len(canonical_json(document))
        if size > VALUE_BYTES_MAX:
            raise BadRecord(f"{change.type} {change.key}: {name} has {size} bytes, allowed are {VALUE_BYTES_MAX}")
    if change.valid_time is not None and not math.isfinite(change.valid_time):
        raise BadRecord(f"{change.type} {change.key}: valid_time must be a finite number of seconds")
