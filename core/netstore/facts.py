"""Facts as they stand on the wire: read from a request, written into a reply.

The wire's `store` is the type. Names that the Ruby client once used are taken, unknown ones are ignored; in a reply
the fields that it knows come first, in its order, then ours, `seq` and `recorded_at` last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import msgspec

from core.model.errors import InvalidFact
from core.model.fact import Fact, JsonObject
from core.store import Appended, Entry

_NUMBER = (int, float)
# By the wire's name: the entry's name, what JSON type it has, and whether it must be there.
_FIELDS: tuple[tuple[str, str, type | tuple[type, ...], bool], ...] = (
    ("id", "id", str, True),
    ("store", "type", str, True),
    ("key", "key", str, True),
    ("value", "value", dict, True),
    ("value_hash", "value_hash", str, False),
    ("causation", "causation", str, False),
    ("transaction_time", "transaction_time", _NUMBER, False),
    ("valid_time", "valid_time", _NUMBER, False),
    ("schema_version", "schema_version", int, False),
    ("producer", "producer", dict, False),
    ("derivation", "derivation", dict, False),
    ("action", "action", str, False),
    ("common", "common", dict, False),
    ("if_seq", "if_seq", int, False),
)
# Of facts that another store made: who may add them as they are, says so by a scope of their own.
_FOREIGN: tuple[tuple[str, str, type | tuple[type, ...], bool], ...] = (
    ("origin", "origin", str, False),
    ("origin_epoch", "origin_epoch", int, False),
    ("origin_seq", "origin_seq", int, False),
    ("known_at", "known_at", _NUMBER, False),
    ("rev", "rev", list, False),
)
_REV_PARTS = 2
_EARLIER_NAMES = (("timestamp", "transaction_time"), ("term", "valid_time"))
_UNUSUAL = frozenset({*(name for name, _ in _EARLIER_NAMES), *(name for name, _, _, _ in _FOREIGN)})
_ACTIONS = ("put", "delete")


class _Wired(Entry, kw_only=True, frozen=True):
    """What a fact of the usual shape is read as at once; every other is looked at field by field."""

    # Named here: a field that is inherited keeps the name it came with.
    type: str = msgspec.field(name="store")
    id: str
    value: JsonObject


class _Head(msgspec.Struct, gc=False):
    """What every reader of facts knows; `store` is the type."""

    id: str
    store: str
    key: str
    value: JsonObject
    value_hash: str
    causation: str | None
    transaction_time: float
    valid_time: float | None
    schema_version: int
    producer: JsonObject | None
    derivation: JsonObject | None


class _Text(_Head, omit_defaults=True, gc=False):
    """A fact as it is written into a reply; what is ours is left out where it says nothing."""

    action: str = "put"
    common: JsonObject = {}
    origin: str | None = None
    origin_epoch: int | None = None
    origin_seq: int | None = None
    known_at: float | None = None
    rev: tuple[int, int] | None = None
    seq: int = 0
    recorded_at: float = -1.0


class WireFact(_Head, kw_only=True):
    """A fact as it is read from a reply, with everything that replication needs where it was asked for `full`."""

    action: str = "put"
    common: JsonObject = {}
    origin: str = ""
    origin_epoch: int = 0
    origin_seq: int = 0
    known_at: float = 0.0
    rev: tuple[int, int] = (0, 0)
    seq: int
    recorded_at: float


class Written(msgspec.Struct, gc=False):
    """The reply to a fact that is stored."""

    ok: bool
    seq: int
    recorded_at: float
    duplicate: bool
    causation: str | None
    warnings: tuple[str, ...]
    value_hash: str


def entry_of(document: object, *, if_seq: object = None, may_be_foreign: bool = False) -> Entry | InvalidFact:
    """The entry that a wire's fact stands for, or what is wrong with it, the field named.

    Only the JSON types are judged here; what may stand in a field the store judges, for all who write. Where another
    store made it is read only if it `may_be_foreign`.
    """
    if not isinstance(document, dict):
        return InvalidFact("fact must be a JSON object", field="fact")
    if if_seq is None and _UNUSUAL.isdisjoint(document):
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.convert(document, _Wired)
    return _entry_by_field(document, if_seq=if_seq, may_be_foreign=may_be_foreign)


def _entry_by_field(document: JsonObject, *, if_seq: object, may_be_foreign: bool) -> Entry | InvalidFact:
    for earlier, name in _EARLIER_NAMES:
        if earlier in document and document.get(name) is None:
            document[name] = document[earlier]
    given: dict[str, Any] = {}
    for name, ours, kind, is_required in (*_FIELDS, *_FOREIGN) if may_be_foreign else _FIELDS:
        part = document.get(name)
        if part is None:
            if is_required:
                return InvalidFact(f"{name} is missing", field=name)
        elif not isinstance(part, kind) or part is True or part is False:
            return InvalidFact(f"{name} has the wrong type", field=name)
        else:
            given[ours] = part
    if given.get("action", "put") not in _ACTIONS:
        return InvalidFact("action must be put or delete", field="action")
    if if_seq is not None:
        if type(if_seq) is not int:
            return InvalidFact("if_seq must be a position", field="if_seq")
        given["if_seq"] = if_seq
    if "rev" in given:
        if len(given["rev"]) != _REV_PARTS:
            return InvalidFact("rev must be two whole numbers", field="rev")
        given["rev"] = tuple(given["rev"])
    return Entry(**given)


def document_of(entry: Entry) -> JsonObject:
    """The wire's fact for `entry`; what is not said is left out."""
    said = zip(_NAMES, _parts(entry), strict=True)
    return {name: part for name, part in said if part is not None and (name != "common" or part)}


def written(appended: Appended) -> bytes:
    """The reply's body for a stored fact."""
    return _encode(
        Written(
            True,
            appended.seq,
            appended.recorded_at,
            appended.duplicate,
            appended.causation,
            appended.warnings,
            appended.value_hash,
        )
    )


def fact_text(fact: Fact, *, is_full: bool) -> bytes:
    """The fact as JSON; `is_full` adds what only another store needs."""
    text = _Text(
        fact.id,
        fact.type,
        fact.key,
        fact.value,
        fact.value_hash,
        fact.causation,
        fact.transaction_time,
        fact.valid_time,
        fact.schema_version,
        fact.producer,
        fact.derivation,
        fact.action,
        fact.common,
    )
    if is_full:
        text.origin, text.origin_epoch, text.origin_seq = fact.origin, fact.origin_epoch, fact.origin_seq
        text.known_at, text.rev = fact.known_at, fact.rev
    text.seq, text.recorded_at = fact.seq, fact.recorded_at
    return _encode(text)


def fact_of(document: Mapping[str, Any]) -> Fact:
    """The fact in a reply; raises msgspec.ValidationError for what is none."""
    return fact_from(msgspec.convert(document, WireFact))


def fact_from(read: WireFact) -> Fact:
    """The same, of one that was read already."""
    return Fact(
        seq=read.seq,
        id=read.id,
        type=read.store,
        key=read.key,
        action="delete" if read.action == "delete" else "put",
        value=read.value,
        common=read.common,
        value_hash=read.value_hash,
        causation=read.causation,
        transaction_time=read.transaction_time,
        valid_time=read.valid_time,
        schema_version=read.schema_version,
        producer=read.producer,
        derivation=read.derivation,
        origin=read.origin,
        origin_epoch=read.origin_epoch,
        origin_seq=read.origin_seq,
        known_at=read.known_at,
        rev=read.rev,
        recorded_at=read.recorded_at,
    )


_NAMES = tuple(name for name, _, _, _ in (*_FIELDS, *_FOREIGN))
_parts = attrgetter(*(ours for _, ours, _, _ in (*_FIELDS, *_FOREIGN)))
_encode = msgspec.json.Encoder().encode
