"""A change judged before it meets the database: fit to be stored and hashed, or refused with its reason."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence

import msgspec

from core.model.canonical import canonical_json, is_canonical, sorted_json
from core.model.errors import BadRecord, BadRequest, Skip
from core.model.fact import PROVENANCE_BYTES_MAX, VALUE_BYTES_MAX, Change, JsonObject, check_change
from core.model.ids import KEY_BYTES_MAX
from core.model.manifest import TypeSpec, spec_of
from core.store.log.receipts import OWN_TYPES
from core.store.log.refused import whole_change, whole_value
from core.store.paths import value_at, without
from core.store.values import BATCH_CHANGES_MAX, Aside

TYPE_BYTES_MAX = 128
RESERVED_TYPES = "__locker_"
SAMPLE_LETTERS_MAX = 4096
REASON_LETTERS_MAX = 500
ORDER_KEY_LIMIT = 2**63
CHANGE_HASH_BYTES = 16

_EMPTY = b"{}"
_sha256 = hashlib.sha256
_LETTER_BYTES_MAX = 4
_NULL = b"null"
# MessagePack says every float in full behind 0xcb: sign, exponent, and the rest. Those of NaN and the infinities are
# all ones; so are those of a few very great numbers, and of other bytes that look so.
_FLOAT = b"\xcb"
_ODD = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]", re.DOTALL).search
_packed = msgspec.msgpack.Encoder().encode
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A change whose names fit, with what tells whether it changes anything; `change_hash` is None for a deletion.

    Its value is judged only where it does: an unchanged record costs one encoding and one hash. `sorted` is the whole
    value with its names sorted, and `digest` its SHA-256, where that is what was hashed.
    """

    change: Change
    size_bytes: int
    change_hash: bytes | None
    sorted: bytes | None = None
    digest: bytes | None = None


class Refusal(msgspec.Struct, frozen=True):
    """A change that cannot be stored: its reason, the beginning of what came, and where it can be kept all of it."""

    type: str
    key: str
    code: str
    reason: str
    sample: str
    whole: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What goes in together: judged changes, a stream's cursor as JSON, the producer as JSON, the caller's clock."""

    prepared: list[Prepared]
    refused: list[Refusal]
    cursor: tuple[str, str | None] | None
    producer: str | None
    transaction_time: float


def prepare_all(changes: Sequence[Change], types: Mapping[str, TypeSpec]) -> tuple[list[Prepared], list[Refusal]]:
    """The changes in order, the good apart from the bad; one bad change never stops the rest."""
    good: list[Prepared] = []
    bad: list[Refusal] = []
    for change in changes:
        try:
            good.append(prepare(change, volatile=spec_of(types, change.type).volatile))
        except Skip as bad_one:  # INV-09.
            bad.append(refusal_of(change, explained(change, bad_one, types)))
        except (TypeError, AttributeError, ValueError, RecursionError):
            err = BadRecord("a field of the change has the wrong type, or the value is no JSON")
            bad.append(refusal_of(change, err))
    if _may_be_odd(changes):
        return _without_odd(good, bad)
    return good, bad


def _may_be_odd(changes: Sequence[Change]) -> bool:
    """Whether some number may be none. What is hashed says null for it: it would pass for a null that is stored.

    All at once, in a form that costs a twentieth of what an unchanged record does.
    """
    try:
        packed = _packed([change.value for change in changes])
        if commons := [change.common for change in changes if change.common]:
            packed += _packed(commons)
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return True  # Another form might not say it: an integer of more than 64 bits.
    return _FLOAT in packed and _ODD(packed) is not None


def _without_odd(prepared: Sequence[Prepared], bad: list[Refusal]) -> tuple[list[Prepared], list[Refusal]]:
    """As `prepare_all`, with each looked at that has a null, or a number that is none."""
    good: list[Prepared] = []
    for one in prepared:
        try:
            if one.change_hash is not None and (one.sorted is None or _NULL in one.sorted):
                canonical_json(one.change.value)
                canonical_json(one.change.common)
            good.append(one)
        except BadRecord as err:
            bad.append(refusal_of(one.change, err))
    return good, bad


def explained(change: Change, err: Skip, types: Mapping[str, TypeSpec]) -> Skip:
    """Why the change was refused; of one without a key, what stands where its type declares the key."""
    if change.key != "" or change.action != "put" or not isinstance(change.value, dict) or change.type not in types:
        return err
    path = types[change.type].key
    found = value_at(change.value, path)
    if found is None:
        return BadRecord(f"{change.type}: the record has nothing at {path!r}, where connector.toml says its key is")
    if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
        return err  # Another path was looked at.
    return BadRecord(f"{change.type}: what the record has at {path!r} is no key, which is a text or a whole number")


def set_aside(records: Sequence[Aside]) -> list[Refusal]:
    """What somebody else refused already, as it is kept."""
    return [
        refusal(one.type, one.key, BadRecord(one.reason), one.value, whole=whole_value(one.value)) for one in records
    ]


def refusal_of(change: Change, err: Skip) -> Refusal:
    """The refusal of a change, kept whole so that it can be tried again."""
    return refusal(change.type, change.key, err, change.value, whole=whole_change(change))


def refusal(type_name: object, key: object, err: Skip, value: object, *, whole: str | None = None) -> Refusal:
    """A refusal in a form that can be stored whatever came: names shortened and escaped, the value cut."""
    return Refusal(
        _shown(type_name, TYPE_BYTES_MAX),
        key_shown(key),
        err.code,
        _plain(str(err))[:REASON_LETTERS_MAX],
        _sample(value),
        whole,
    )


def prepare(change: Change, *, volatile: tuple[str, ...]) -> Prepared:
    """The change with its hash; raises BadRecord naming what is wrong with it, as far as hashing it tells."""
    _check_type(change.type)
    _check_fields(change)
    if change.action == "delete":
        return Prepared(change, len(_EMPTY), None)
    value, common = change.value, change.common
    if not isinstance(value, dict) or not isinstance(common, dict):
        raise BadRecord(f"{change.type} {change.key}: value and common must be JSON objects")
    is_whole = not volatile and not common
    try:
        encoded = sorted_json(value) if is_whole else _compared(value, common, volatile)
    except (TypeError, ValueError, OverflowError, RecursionError):
        canonical_json(value)  # It names what is wrong.
        canonical_json(common)
        raise
    if len(encoded) > VALUE_BYTES_MAX:
        check_change(change)
    digest = _sha256(encoded).digest()
    if not is_whole:
        return Prepared(change, len(encoded), digest[:CHANGE_HASH_BYTES])
    return Prepared(change, len(encoded), digest[:CHANGE_HASH_BYTES], encoded, digest)


def change_hash(value: JsonObject, common: JsonObject, volatile: tuple[str, ...]) -> bytes:
    """16 bytes of SHA-256 over the value less its volatile fields, names sorted, and `common`, where there is any.

    Equal means that nothing worth a fact changed. Different may still mean so: 1 and 1.0 are one number.
    """
    return _sha256(_compared(value, common, volatile)).digest()[:CHANGE_HASH_BYTES]


def is_same(
    first: tuple[JsonObject, JsonObject], second: tuple[JsonObject, JsonObject], volatile: tuple[str, ...]
) -> bool:
    """Whether two (value, common) say the same apart from volatile fields, however their numbers are written."""
    kept, other = without(first[0], volatile), without(second[0], volatile)
    return canonical_json(kept) == canonical_json(other) and canonical_json(first[1]) == canonical_json(second[1])


def value_hash_of(prepared: Prepared) -> bytes:
    """SHA-256 of the canonical form of a put's value; raises BadRecord for what JSON has no form for."""
    change = prepared.change
    if prepared.digest is not None and prepared.sorted is not None and is_canonical(prepared.sorted, change.value):
        return prepared.digest
    return _sha256(canonical_value(change)).digest()


def canonical_value(change: Change) -> bytes:
    """The canonical form of a put's value; raises BadRecord for a value or common that JSON has no form for."""
    encoded = canonical_json(change.value)
    common = canonical_json(change.common) if change.common else _EMPTY
    if len(encoded) > VALUE_BYTES_MAX or len(common) > VALUE_BYTES_MAX:
        check_change(change)
    return encoded


def provenance(document: JsonObject | None, name: str) -> str | None:
    """A producer or derivation as JSON text; raises BadRecord unless it is an object within its bound."""
    if document is None:
        return None
    if not isinstance(document, dict):
        raise BadRecord(f"{name} must be a JSON object")
    encoded = canonical_json(document)
    if len(encoded) > PROVENANCE_BYTES_MAX:
        raise BadRecord(f"{name} has {len(encoded)} bytes, allowed are {PROVENANCE_BYTES_MAX}")
    return encoded.decode()


def check_count(count: int) -> None:
    """Raise BadRequest for more changes than one transaction takes."""
    if count > BATCH_CHANGES_MAX:
        raise BadRequest(
            f"{count} changes in one commit, allowed are {BATCH_CHANGES_MAX}", remedy="Commit smaller batches."
        )


def _compared(value: JsonObject, common: JsonObject, volatile: tuple[str, ...]) -> bytes:
    """What is hashed of a record to tell whether it changed."""
    encoded = sorted_json(without(value, volatile) if volatile else value)
    return b"%b\n%b" % (encoded, sorted_json(common)) if common else encoded


@functools.lru_cache(maxsize=256)
def _check_type(name: str) -> None:
    if not is_name(name, TYPE_BYTES_MAX) or is_reserved(name):
        raise BadRecord(f"{name[:60]!r} cannot be a type's name")


def _check_fields(change: Change) -> None:
    """What plainly fits is let through at once; the model judges the rest."""
    key = change.key
    if not (0 < len(key) <= KEY_BYTES_MAX // _LETTER_BYTES_MAX and key.isprintable()) or change.valid_time is not None:
        check_change(change)
    if change.action not in ("put", "delete"):
        raise BadRecord(f"{change.type} {key}: the action must be put or delete")
    order = change.order_key
    if order is not None and not (type(order) is int and -ORDER_KEY_LIMIT <= order < ORDER_KEY_LIMIT):
        raise BadRecord(f"{change.type} {key}: the order key must be an integer of at most 64 bits")
    if change.derivation is not None:
        provenance(change.derivation, f"{change.type} {key}: derivation")


def is_reserved(type_name: str) -> bool:
    """Whether the type is the store's own, under which nobody else may write."""
    return type_name.startswith(RESERVED_TYPES) or type_name in OWN_TYPES


def is_name(name: object, bytes_max: int) -> bool:
    """Whether `name` is text without control characters or half surrogate pairs, of 1 to `bytes_max` bytes."""
    return isinstance(name, str) and not _CONTROL.search(name) and 1 <= len(name.encode()) <= bytes_max


def key_shown(key: object) -> str:
    """Under which key a change with this one waits in quarantine."""
    return _shown(key, KEY_BYTES_MAX)


def _shown(name: object, bytes_max: int) -> str:
    """`name` itself where it can name a record, so that a good version clears it; else a text as good as unique."""
    if is_name(name, bytes_max):
        return str(name)
    text = ascii(name)
    return f"{text[:60]} ({hashlib.sha256(text.encode()).hexdigest()[:16]})"


def _sample(value: object) -> str:
    try:
        return _plain(json.dumps(value, default=repr, ensure_ascii=False, skipkeys=True))[:SAMPLE_LETTERS_MAX]
    except (TypeError, ValueError, RecursionError):
        return ""


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
