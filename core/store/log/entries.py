"""Facts that come as facts: each judged by itself, then given its place in the log."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import msgspec

from core.model.canonical import canonical_json
from core.model.errors import (
    BadRecord,
    ConflictingDuplicate,
    HashMismatch,
    InvalidFact,
    LockerError,
    SeqMoved,
)
from core.model.fact import VALUE_BYTES_MAX, Fact, JsonObject
from core.model.ids import KEY_BYTES_MAX
from core.model.manifest import TypeSpec, spec_of
from core.store.log import facts
from core.store.log.fold import declared_at
from core.store.log.hashes import is_hash_of
from core.store.log.prepare import TYPE_BYTES_MAX, change_hash, is_name, is_reserved, provenance
from core.store.log.receipts import TYPES
from core.store.log.shared import Source
from core.store.log.sheet import New, Sheet
from core.store.values import Appended, Entry

ID_LETTERS_MAX = 64
ORIGIN_BYTES_MAX = 512
CLOCK_AHEAD_S_MAX = 86_400.0
EPOCH_S_LIMIT = 1e12
HASH_HEX_LETTERS = 64
# Well below 2^63: a log that takes its own facts back goes on numbering behind them.
ORIGIN_SEQ_LIMIT = 2**62

_EMPTY = b"{}"
_RECEIPTS = frozenset(TYPES.values())


class Judged(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An entry that can be stored, with what storing it needs.

    `id` is its id as it is stored, `canonical` the canonical form of its value; `value`, `common`, `producer` and
    `derivation` are JSON. `change_hash` is None for a deletion.
    """

    entry: Entry
    id: bytes | str | None = None
    canonical: bytes
    value_hash: bytes
    change_hash: bytes | None
    value: str
    common: str | None = None
    producer: str | None = None
    derivation: str | None = None


def judge(entry: Entry, types: Mapping[str, TypeSpec]) -> Judged | LockerError:
    """The entry as the store takes it, or what is wrong with it: InvalidFact naming the field, or HashMismatch."""
    try:
        _check_names(entry)
        _check_numbers(entry)
        value, common = (entry.value, entry.common) if entry.action == "put" else ({}, {})
        canonical = _canonical(value, "value")
        _canonical(common, "common")
        volatile = spec_of(types, entry.type).volatile
        given = entry.value_hash
        # What was erased elsewhere has the hash of what it said, or none: neither is that of nothing.
        if given is not None and not _may_be_erased(entry) and not is_hash_of(value, canonical, given):
            return HashMismatch(f"{entry.type} {entry.key}: value_hash is not that of the value")
        return Judged(
            entry=entry,
            id=None if entry.id is None else facts.stored_id(entry.id),
            canonical=canonical,
            value_hash=hashlib.sha256(canonical).digest() if given is None else bytes.fromhex(given),
            change_hash=change_hash(value, common, volatile) if entry.action == "put" else None,
            value=facts.json_text(value),
            common=facts.json_text(common) if common else None,
            producer=_provenance(entry.producer, "producer"),
            derivation=_provenance(entry.derivation, "derivation"),
        )
    except LockerError as err:
        return err
    except (TypeError, ValueError, AttributeError, RecursionError):
        return InvalidFact("a field of the fact has the wrong type", field="fact")


def has_another_hash(entry: Entry) -> bool:
    """Whether nothing is wrong with the entry but a hash of a kind that cannot be checked here, as BLAKE3 is."""
    return entry.value_hash is not None and isinstance(judge(entry, {}), HashMismatch)


def own_fact(type_name: str, key: str, value: JsonObject) -> Judged:
    """A fact that the store itself has to say, under a type that nobody else may write."""
    canonical = canonical_json(value)
    return Judged(
        entry=Entry(type=type_name, key=key, value=value),
        canonical=canonical,
        value_hash=hashlib.sha256(canonical).digest(),
        change_hash=change_hash(value, {}, ()),
        value=facts.json_text(value),
    )


class Intake:
    """Judged entries, given their place one after the other on the sheet of a transaction."""

    def __init__(self, db: apsw.Connection, sheet: Sheet, *, types: Mapping[str, TypeSpec]) -> None:
        self._db = db
        self._sheet = sheet
        self._types = types
        self._taken: dict[bytes | str, tuple[Judged, Appended]] = {}
        self._stored: set[bytes | str] = set()

    def look_up(self, judged: Sequence[Judged]) -> None:
        """Learn what is known of the entries' records, and which of their ids are stored; only of these may be asked.

        Nearly every fact is a new one: asking for many at once is a tenth of the price of reading each.
        """
        self._sheet.look_up([(one.entry.type, one.entry.key) for one in judged])
        ids = [one.id for one in judged if one.id is not None]
        for start in range(0, len(ids), facts.IDS_AT_ONCE):
            self._stored.update(facts.stored_among(self._db, ids[start : start + facts.IDS_AT_ONCE]))

    def take(self, judged: Judged, *, producer: tuple[int, str] | None, source: Source | None) -> Appended:
        """Give one its place. Raises ConflictingDuplicate, or SeqMoved where it asked for another latest fact."""
        entry = judged.entry
        if judged.id is not None and (there := self._there(judged.id, judged)) is not None:
            return there
        fact_id = judged.id or self._sheet.fresh_id()
        latest = self._sheet.latest((entry.type, entry.key))
        if entry.if_seq is not None and entry.if_seq != (latest.seq if latest is not None else 0):
            raise SeqMoved(
                f"{entry.type} {entry.key} stands at another position than {entry.if_seq}",
                current_seq=latest.seq if latest is not None else 0,
            )
        replaced = self._sheet.replaced(latest) if latest is not None else None
        parent = replaced.id if replaced is not None else None
        given = None if entry.causation is None else facts.stored_id(entry.causation)
        new = self._new(judged, fact_id, given or parent, producer, source)
        try:
            seq = self._sheet.add(new, latest, replaced)
        except BadRecord as err:
            raise InvalidFact(str(err), field="store") from err
        warnings = ["clock_suspect"] if (entry.transaction_time or 0) > self._sheet.now + CLOCK_AHEAD_S_MAX else []
        if given is not None and given != parent:
            warnings.append("stale_parent")
        done = _appended(seq, new, entry.id or facts.id_text(fact_id), self._sheet.now, warnings)
        self._taken[fact_id] = judged, done
        return done

    def _new(
        self,
        judged: Judged,
        fact_id: bytes | str,
        causation: bytes | str | None,
        producer: tuple[int, str] | None,
        source: Source | None,
    ) -> New:
        entry = judged.entry
        declared = None if entry.action == "delete" else declared_at(spec_of(self._types, entry.type), entry.value)
        return New(
            id=fact_id,
            type_name=entry.type,
            key=entry.key,
            value=entry.value,
            common=entry.common,
            value_text=judged.value,
            common_text=judged.common,
            value_hash=judged.value_hash,
            change_hash=judged.change_hash,
            declared=declared,
            valid_time=entry.valid_time if entry.valid_time is not None or entry.rev is not None else declared,
            causation=causation,
            transaction_time=self._sheet.now if entry.transaction_time is None else entry.transaction_time,
            schema_version=entry.schema_version,
            producer=producer,
            derivation=judged.derivation,
            source=source,
            origin_seq=entry.origin_seq,
            known_at=entry.known_at,
            rev=entry.rev,
        )

    def _there(self, fact_id: bytes | str, judged: Judged) -> Appended | None:
        """The fact of this id that is stored already; raises ConflictingDuplicate where it says something else."""
        entry = judged.entry
        if (taken := self._taken.get(fact_id)) is not None:
            if _said(taken[0]) != _said(judged):
                raise ConflictingDuplicate(f"another fact has the id {entry.id}")
            return msgspec.structs.replace(taken[1], duplicate=True)
        if fact_id not in self._stored:
            return None
        for row in self._db.execute(facts.BY_ID, (fact_id,)):
            known = facts.fact_of(row)
            if not _is_same(known, judged, spec_of(self._types, entry.type)):
                raise ConflictingDuplicate(f"another fact has the id {entry.id}")
            return Appended(
                seq=known.seq,
                id=known.id,
                recorded_at=known.recorded_at,
                duplicate=True,
                causation=known.causation,
                value_hash=known.value_hash,
            )
        return None


def names(judged: Sequence[Judged]) -> list[tuple[str, str]]:
    """The records that the entries are of."""
    return [(one.entry.type, one.entry.key) for one in judged]


def _appended(seq: int, new: New, fact_id: str, now: float, warnings: list[str]) -> Appended:
    return Appended(
        seq=seq,
        id=fact_id,
        recorded_at=now,
        duplicate=False,
        causation=None if new.causation is None else facts.id_text(new.causation),
        value_hash=new.value_hash.hex(),
        warnings=tuple(warnings),
    )


def _said(judged: Judged) -> tuple[Any, ...]:
    entry = judged.entry
    return (
        entry.type, entry.key, entry.action, judged.canonical, _common(judged), entry.valid_time,
        entry.schema_version, judged.producer, judged.derivation,
    )  # fmt: skip


def _is_same(known: Fact, judged: Judged, spec: TypeSpec) -> bool:
    """Whether the stored fact says what the entry says; a valid time that the type declares is filled in by us."""
    entry = judged.entry
    valid_time = entry.valid_time
    if valid_time is None and entry.action == "put":
        valid_time = declared_at(spec, entry.value)
    return (
        (known.type, known.key, known.action) == (entry.type, entry.key, entry.action)
        and canonical_json(known.value) == judged.canonical
        and canonical_json(known.common) == _common(judged)
        and known.valid_time in (valid_time, entry.valid_time)
        and known.schema_version == entry.schema_version
        and _provenance(known.producer, "producer") == judged.producer
        and _provenance(known.derivation, "derivation") == judged.derivation
    )


def _common(judged: Judged) -> bytes:
    """The canonical form of its shared fields: Python takes true for 1, JSON does not."""
    return canonical_json(judged.entry.common) if judged.common is not None else _EMPTY


def _is_from_elsewhere(entry: Entry) -> bool:
    """Whether another store made it: only such facts say where they were made, or since when they were known."""
    return entry.origin is not None or entry.known_at is not None


def _may_be_erased(entry: Entry) -> bool:
    return entry.action == "delete" and _is_from_elsewhere(entry)


def _may_name(entry: Entry) -> bool:
    """Whether it may be of its type: another store's receipts are part of its log."""
    return not is_reserved(entry.type) or (entry.type in _RECEIPTS and _is_from_elsewhere(entry))


def _check_names(entry: Entry) -> None:
    if not is_name(entry.type, TYPE_BYTES_MAX) or not _may_name(entry):
        raise InvalidFact(f"{entry.type!r:.80} cannot be a type's name", field="store")
    if not is_name(entry.key, KEY_BYTES_MAX):
        raise InvalidFact(f"the key must be text of 1 to {KEY_BYTES_MAX} bytes without control characters", field="key")
    for field, text in (("id", entry.id), ("causation", entry.causation)):
        if (text is not None and not is_name(text, ID_LETTERS_MAX * 4)) or len(text or "") > ID_LETTERS_MAX:
            raise InvalidFact(f"{field} must be text of 1 to {ID_LETTERS_MAX} letters", field=field)
    if entry.origin is not None and not is_name(entry.origin, ORIGIN_BYTES_MAX):
        raise InvalidFact(f"origin must be text of 1 to {ORIGIN_BYTES_MAX} bytes", field="origin")
    if entry.action not in ("put", "delete"):
        raise InvalidFact("action must be put or delete", field="action")
    if entry.value_hash is not None and not _is_hash(entry.value_hash, may_be_none=_may_be_erased(entry)):
        raise InvalidFact(f"value_hash must be {HASH_HEX_LETTERS} lower-case hex digits", field="value_hash")


def _check_numbers(entry: Entry) -> None:
    for field in ("transaction_time", "valid_time", "known_at"):
        moment = getattr(entry, field)
        if moment is None:
            continue
        if isinstance(moment, bool) or not isinstance(moment, (int, float)) or not _is_moment(moment):
            raise InvalidFact(f"{field} must be a finite number of seconds", field=field)
    for field in ("schema_version", "origin_epoch", "origin_seq"):
        number = getattr(entry, field)
        if number is not None and (type(number) is not int or not 1 <= number < 2**63):
            raise InvalidFact(f"{field} must be a whole number from 1", field=field)
    if (entry.origin_seq or 0) >= ORIGIN_SEQ_LIMIT:
        raise InvalidFact(f"origin_seq must be below {ORIGIN_SEQ_LIMIT}", field="origin_seq")
    if entry.if_seq is not None and (type(entry.if_seq) is not int or entry.if_seq < 0):
        raise InvalidFact("if_seq must be a position, or 0 for none", field="if_seq")
    if entry.rev is not None and not _is_rev(entry.rev):
        raise InvalidFact("rev must be two whole numbers of at most 64 bits", field="rev")


def _is_hash(text: str, *, may_be_none: bool) -> bool:
    if not text:
        return may_be_none
    return len(text) == HASH_HEX_LETTERS and set(text) <= set("0123456789abcdef")


def _is_rev(rev: tuple[int, int]) -> bool:
    return len(rev) == 2 and all(type(part) is int and -(2**63) <= part < 2**63 for part in rev)


def _is_moment(number: float) -> bool:
    return math.isfinite(number) and abs(number) < EPOCH_S_LIMIT


def _canonical(document: JsonObject, field: str) -> bytes:
    if not isinstance(document, dict):
        raise InvalidFact(f"{field} must be a JSON object", field=field)
    try:
        encoded = canonical_json(document) if document else _EMPTY
    except BadRecord as err:
        raise InvalidFact(str(err), field=field) from err
    if len(encoded) > VALUE_BYTES_MAX:
        raise InvalidFact(f"{field} has {len(encoded)} bytes, allowed are {VALUE_BYTES_MAX}", field=field)
    return encoded


def _provenance(document: JsonObject | None, field: str) -> str | None:
    try:
        return provenance(document, field)
    except BadRecord as err:
        raise InvalidFact(str(err), field=field) from err
