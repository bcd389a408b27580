"""The unit of history: one immutable version of a record, or its tombstone, and its canonical form."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from core.model.errors import BadRecord
from core.model.ids import KEY_BYTES_MAX

VALUE_BYTES_MAX = 4 * 1024 * 1024
VALUE_DEPTH_MAX = 64
PROVENANCE_BYTES_MAX = 16 * 1024

Action = Literal["put", "delete"]
JsonObject = dict[str, Any]

_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_encode_text = msgspec.json.Encoder().encode


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


class Fact(msgspec.Struct, frozen=True, kw_only=True):
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


def canonical_json(value: Any) -> bytes:
    """`value` in the one form that is hashed: RFC 8785, with integers as exact decimal digits of any size.

    Raises BadRecord for what JSON cannot say: NaN, infinities, keys that are not text, lone surrogates.
    """
    try:
        if _is_plain(value, 0):
            return _encode_sorted(value)
        return _canonical(value).encode("utf-8")
    except (TypeError, UnicodeEncodeError, OverflowError) as err:
        raise BadRecord(f"the value is not JSON: {err}") from err


def value_hash(value: Any) -> str:
    """SHA-256 over the canonical form, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def check_change(change: Change) -> None:
    """Raise BadRecord unless the change can be stored: a key, a JSON object within the size and depth limits."""
    size = len(change.key.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= KEY_BYTES_MAX:
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


def _is_plain(value: Any, depth: int) -> bool:
    """Whether the fast encoder writes `value` canonically: no floats, keys without astral or private letters."""
    if depth > VALUE_DEPTH_MAX:
        raise BadRecord(f"the value is nested deeper than {VALUE_DEPTH_MAX} levels")
    if isinstance(value, dict):
        return all(isinstance(k, str) and k.isascii() and _is_plain(v, depth + 1) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(v, depth + 1) for v in value)
    return value is None or type(value) in (str, bool) or (type(value) is int and -(2**63) <= value < 2**63)


def _canonical(value: Any, depth: int = 0) -> str:
    if depth > VALUE_DEPTH_MAX:
        raise BadRecord(f"the value is nested deeper than {VALUE_DEPTH_MAX} levels")
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise BadRecord(f"the key {name!r} is not text")
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{_text(n)}:{_canonical(value[n], depth + 1)}" for n in names) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_canonical(item, depth + 1) for item in value) + "]"
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    raise BadRecord(f"the value holds a {type(value).__name__}, which JSON has no form for")


def _text(text: str) -> str:
    return _encode_text(text).decode("utf-8")


def _number(number: float) -> str:
    """A float as ECMAScript's Number::toString writes it (RFC 8785 section 3.2.2.3)."""
    if not math.isfinite(number):
        raise BadRecord(f"{number} is not a JSON number")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = f"{point - 1:+d}"
    return f"{sign}{digits[0]}{'.' + digits[1:] if digits[1:] else ''}e{power}"
