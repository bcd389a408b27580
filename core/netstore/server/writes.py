"""Ops that add facts. Each is answered once it is durable."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from core.model.errors import BadRequest, ConflictingDuplicate, InvalidFact, LeftOut, LockerError
from core.model.fact import JsonObject
from core.model.ids import uuid7
from core.netstore import protocol
from core.netstore.facts import entry_of, written
from core.netstore.limits import SEQ_MAX, WRITE_FACTS_MAX
from core.netstore.protocol import Refusal
from core.netstore.server.call import Answer, Call, Refused
from core.netstore.server.door import ADMIN
from core.store import Appended, Entry, has_another_hash

SINGLE = "write_fact"
HASH_UNVERIFIED = "hash_unverified"

_DRAINING = Refusal("draining", "The server is about to stop; write again when it is back.")


class _Batch(msgspec.Struct):
    facts: list[Any]
    atomic: bool = False


class _Write(msgspec.Struct):
    store: str
    key: str
    value: Any = None
    producer: Any = None
    valid_time: Any = None
    schema_version: int = 1
    if_seq: int | None = None
    idempotency_key: str | None = None


class _Append(msgspec.Struct):
    history: str
    event: Any = None
    idempotency_key: str | None = None
    producer: Any = None
    valid_time: Any = None


class _Unverified(Entry, frozen=True, kw_only=True):
    """An entry whose own hash could not be checked, and was left out."""


class Singles(msgspec.Struct, frozen=True):
    """`write_fact` requests of one caller that came together."""

    call: Call
    requests: Sequence[JsonObject]


# The replies, or what kept all of the writes from being done.
Told = list[bytes] | Exception


def write_together(singles: Singles) -> list[bytes]:
    """The replies to a caller's single writes, which are committed together."""
    if singles.call.desk.is_draining:
        return [protocol.refused(_DRAINING)] * len(singles.requests)
    return [_result(result) for result in _append(singles.call, _entries_of(singles))]


def told(singles: Singles) -> Told:
    """The same, and what `write_together` raises as an answer."""
    try:
        return write_together(singles)
    except Exception as error:
        return error


def told_each(many: Sequence[Singles]) -> list[Told]:
    """What each of several callers of one store is told, whose writes share a flush: it can `append_together`."""
    with contextlib.suppress(Exception):  # Whoever is to blame, the others are not: each is told alone.
        return _told_together(many[0].call, many)
    return [told(singles) for singles in many]


def _told_together(call: Call, many: Sequence[Singles]) -> list[Told]:
    check_not_draining(call)
    entries = [_entries_of(singles) for singles in many]
    added = call.ask("append_together", [[one for one in of if isinstance(one, Entry)] for of in entries])
    return [
        answers if isinstance(answers, LockerError) else [_result(one) for one in _results(singles.call, of, answers)]
        for singles, of, answers in zip(many, entries, added, strict=True)
    ]


def write_fact(call: Call) -> Answer:
    """Add one fact."""
    return write_together(Singles(call, [call.request]))[0]


def write_facts(call: Call) -> Answer:
    """Add facts with one durable answer; `atomic`: all of them or none."""
    batch = protocol.params(call.request, _Batch)
    if len(batch.facts) > WRITE_FACTS_MAX:
        raise BadRequest(f"{len(batch.facts)} facts in one request, allowed are {WRITE_FACTS_MAX}.")
    check_not_draining(call)
    entries = _entries(call, batch.facts)
    results = _append_all(call, entries) if batch.atomic else _append(call, entries)
    failed = _first_fault(results) if batch.atomic else None
    if failed is None:
        return protocol.spliced({"ok": True}, "results", [_result(result) for result in results], {})
    texts = [_result(result) for result in results]
    return protocol.spliced({"ok": False, **_refusal_of(failed).members()}, "results", texts, {})


def write_snapshot(call: Call) -> Answer:
    """Check that facts are here, and add those that are not: all or none."""
    documents = protocol.params(call.request, _Batch).facts
    check_not_draining(call)
    entries = _entries(call, documents)
    if len(entries) > WRITE_FACTS_MAX:
        _check_all(call, entries)
    results: list[Appended | LockerError] = []
    for start in range(0, len(entries), WRITE_FACTS_MAX):
        results += _append_all(call, entries[start : start + WRITE_FACTS_MAX])
        if (failed := _first_fault(results)) is not None:
            raise failed
    known = sum(1 for result in results if isinstance(result, Appended) and result.duplicate)
    return protocol.success({"known": known, "added": len(results) - known})


def write(call: Call) -> Answer:
    """Build a fact of a record and add it; the receipt says what became of it."""
    asked = protocol.params(call.request, _Write)
    document = {
        "id": _id_of(call, asked.store, asked.key, asked.idempotency_key),
        "store": asked.store,
        "key": asked.key,
        "value": asked.value,
        "producer": asked.producer,
        "valid_time": asked.valid_time,
        "schema_version": asked.schema_version,
    }
    return _receipt(call, entry_of(document, if_seq=asked.if_seq), str(document["id"]))


def append(call: Call) -> Answer:
    """Build a fact of a history, where each has a key of its own, and add it; the receipt says what became of it."""
    asked = protocol.params(call.request, _Append)
    own_id = _id_of(call, asked.history, "", asked.idempotency_key)
    document = {
        "id": own_id,
        "store": asked.history,
        "key": own_id,
        "value": asked.event,
        "producer": asked.producer,
        "valid_time": asked.valid_time,
    }
    return _receipt(call, entry_of(document), own_id)


def _entries(call: Call, documents: Sequence[object]) -> list[Entry | InvalidFact]:
    is_trusted = _is_trusted(call)
    return [_by_value(call, entry_of(document, may_be_foreign=is_trusted)) for document in documents]


def _entries_of(singles: Singles) -> list[Entry | InvalidFact]:
    is_trusted = _is_trusted(singles.call)
    entries = [
        entry_of(request.get("fact"), if_seq=request.get("if_seq"), may_be_foreign=is_trusted)
        for request in singles.requests
    ]
    return entries if not singles.call.caller.door.any_hash else [_by_value(singles.call, one) for one in entries]


def _by_value(call: Call, entry: Entry | InvalidFact) -> Entry | InvalidFact:
    """The entry as this door takes it: without a hash that cannot be checked, where it takes any."""
    if not call.caller.door.any_hash or isinstance(entry, InvalidFact) or not has_another_hash(entry):
        return entry
    return _Unverified(**{**msgspec.structs.asdict(entry), "value_hash": None})


def _is_trusted(call: Call) -> bool:
    """Whether this caller may say where a fact was made; from others such fields are ignored."""
    grant = call.caller.grant
    return grant is not None and ADMIN in grant.scopes


def _receipt(call: Call, entry: Entry | InvalidFact, fact_id: str) -> bytes:
    check_not_draining(call)
    result = _append(call, [entry])[0]
    if isinstance(result, LockerError):
        error = _refusal_of(result).members()
        return protocol.encode(
            {"ok": False, **error, "status": "rejected", "fact_id": fact_id, "warnings": [], "errors": [error]}
        )
    return protocol.success(
        {
            "status": "duplicate" if result.duplicate else "accepted",
            "fact_id": result.id,
            "seq": result.seq,
            "value_hash": result.value_hash,
            "warnings": result.warnings,
            "errors": [],
        }
    )


def _append(
    call: Call, entries: Sequence[Entry | InvalidFact], *, atomic: bool = False
) -> list[Appended | LockerError]:
    """Add what can be read as facts; the others stand in the answer as they are."""
    good = [entry for entry in entries if isinstance(entry, Entry)]
    return _results(call, entries, call.store.append(good, atomic=atomic) if good else ())


def _results(
    call: Call, entries: Sequence[Entry | InvalidFact], added: Iterable[Appended | LockerError]
) -> list[Appended | LockerError]:
    """What became of each: of those that can be read as facts, what `added` says in their order."""
    answers = iter(added)
    results = [_marked(entry, next(answers)) if isinstance(entry, Entry) else entry for entry in entries]
    call.counts.facts_written += sum(1 for one in results if isinstance(one, Appended) and not one.duplicate)
    return results


def _marked(entry: Entry, answer: Appended | LockerError) -> Appended | LockerError:
    """The answer, with the warning that belongs to the entry."""
    if not isinstance(entry, _Unverified) or isinstance(answer, LockerError):
        return answer
    return msgspec.structs.replace(answer, warnings=(*answer.warnings, HASH_UNVERIFIED))


def _append_all(call: Call, entries: Sequence[Entry | InvalidFact]) -> list[Appended | LockerError]:
    """All or none: one that cannot be read keeps the others out too."""
    if any(isinstance(entry, InvalidFact) for entry in entries):
        return [entry if isinstance(entry, InvalidFact) else LeftOut() for entry in entries]
    return _append(call, entries, atomic=True)


def _check_all(call: Call, entries: Sequence[Entry | InvalidFact]) -> None:
    """Raise the first fault among more entries than are added together, before any is.

    Each piece is offered with one entry that cannot be added: so all of it is judged, and nothing is stored.
    """
    said: dict[str | None, Entry] = {}
    for entry in entries:
        if isinstance(entry, InvalidFact):
            raise entry
        if said.setdefault(entry.id, entry) != entry:
            raise ConflictingDuplicate(f"two facts of the request have the id {entry.id}")
    good = list(said.values())
    for start in range(0, len(good), WRITE_FACTS_MAX - 1):
        piece = good[start : start + WRITE_FACTS_MAX - 1]
        never = Entry(type=piece[0].type, key=piece[0].key, if_seq=SEQ_MAX)
        results = call.store.append([*piece, never], atomic=True)[:-1]
        if (failed := _first_fault(results)) is not None:
            raise failed


def _first_fault(results: Sequence[Appended | LockerError]) -> LockerError | None:
    return next((one for one in results if isinstance(one, LockerError) and not isinstance(one, LeftOut)), None)


def _result(result: Appended | LockerError) -> bytes:
    if isinstance(result, LockerError):
        return protocol.refused(_refusal_of(result))
    return written(result)


def _refusal_of(error: LockerError) -> Refusal:
    """How one fact's error travels; one of ours has no words for outside."""
    return protocol.refusal_of(error) or Refusal("internal_error", "The fact could not be added; see the server's log.")


def _id_of(call: Call, store: str, key: str, idempotency_key: str | None) -> str:
    """A fresh id, or the one that this key stands for in this store for ever."""
    if idempotency_key is None:
        return str(uuid7(call.desk.clock.now()))
    said: list[JsonObject | str] = [store, key, idempotency_key]
    return str(uuid.UUID(bytes=hashlib.sha256(protocol.encode(said)).digest()[:16], version=5))


def check_not_draining(call: Call) -> None:
    """Raise what a write is answered with once the server is about to stop."""
    if call.desk.is_draining:
        raise Refused(_DRAINING)
