"""Ops that are methods of a store, under their own names, so that a client can be used where a store is."""

from __future__ import annotations

from typing import Any

import msgspec

from core.model.fact import Change, Fact
from core.netstore import protocol
from core.netstore.asked import filter_of, moment
from core.netstore.facts import fact_text
from core.netstore.limits import Seq
from core.netstore.server.call import Answer, Call
from core.netstore.server.reads import LIMIT_DEFAULT, fact_at
from core.netstore.server.writes import check_not_draining
from core.store import Aside, Commit, Run, Sample


class _Stores(msgspec.Struct):
    stores: list[str] = []


class _Count(msgspec.Struct):
    store: str
    where: Any = None
    as_of: Any = None


class _Changes(msgspec.Struct):
    start: Any = None
    end: Any = None
    limit: int = LIMIT_DEFAULT
    after: str | None = None
    store: str | None = None


class _Fact(msgspec.Struct):
    fact_id: str


class _Stream(msgspec.Struct):
    stream: str
    value: Any = None


class _Limit(msgspec.Struct):
    limit: int = LIMIT_DEFAULT
    stream: str | None = None


class _Commit(msgspec.Struct):
    changes: list[Change] = []
    aside: list[Aside] = []
    cursor: tuple[str, Any] | None = None
    producer: dict[str, Any] | None = None
    bulk: bool = True
    samples: list[tuple[Any, Any, Any]] = []


class _Place(msgspec.Struct):
    seq: Seq


class _NoteRun(msgspec.Struct):
    run: Run


def counts(call: Call) -> Answer:
    """How many records of each type there are, and the few numbers that a store keeps of itself, its floor for some."""
    types = protocol.params(call.request, _Stores).stores
    floor = call.ask("floor", types) if types else call.ask("floor")
    return protocol.success({"counts": call.ask("counts"), "opens": call.ask("opens"), "floor": floor})


def count(call: Call) -> Answer:
    """How many records there are, of those that match, at a moment."""
    asked = protocol.params(call.request, _Count)
    counted = call.ask("count", asked.store, where=filter_of(asked.where), as_of=moment(asked.as_of))
    return protocol.success(msgspec.to_builtins(counted))


def changes(call: Call) -> Answer:
    """What changed between two moments, record by record."""
    asked = protocol.params(call.request, _Changes)
    page = call.ask(
        "changes",
        moment(asked.start),
        moment(asked.end),
        limit=asked.limit,
        after=asked.after,
        type_name=asked.store,
    )
    return protocol.success(msgspec.to_builtins(page))


def fact(call: Call) -> Answer:
    """The fact of an id; null where there is none."""
    found: Fact | None = call.ask("fact", protocol.params(call.request, _Fact).fact_id)
    return protocol.success({"fact": None if found is None else msgspec.Raw(fact_text(found, is_full=True))})


def runs(call: Call) -> Answer:
    """The runs of one stream or of all, the latest first."""
    asked = protocol.params(call.request, _Limit)
    return protocol.success({"runs": call.ask("runs", asked.stream, limit=asked.limit)})


def quarantined(call: Call) -> Answer:
    """The records that could not be stored."""
    asked = protocol.params(call.request, _Limit)
    return protocol.success({"quarantined": call.ask("quarantined", asked.limit)})


def cursor(call: Call) -> Answer:
    """Where a stream resumes."""
    return protocol.success({"value": call.ask("cursor", protocol.params(call.request, _Stream).stream)})


def set_cursor(call: Call) -> Answer:
    """Set where a stream resumes."""
    check_not_draining(call)
    asked = protocol.params(call.request, _Stream)
    call.ask("set_cursor", asked.stream, asked.value)
    return protocol.success()


def note_run(call: Call) -> Answer:
    """Keep how a run went."""
    check_not_draining(call)
    call.ask("note_run", protocol.params(call.request, _NoteRun).run)
    return protocol.success()


def commit(call: Call) -> Answer:
    """Store what changes among these records, and the stream's cursor with them."""
    check_not_draining(call)
    asked = protocol.params(call.request, _Commit)
    done: Commit = call.ask(
        "commit",
        asked.changes,
        cursor=asked.cursor,
        producer=asked.producer,
        bulk=asked.bulk,
        aside=asked.aside,
        samples=[Sample(*one) for one in asked.samples],
    )
    call.counts.facts_written += done.new + done.updated + done.deleted
    return protocol.success({"commit": done})


def previous(call: Call) -> Answer:
    """The version that a fact replaced; null for the first."""
    found: Fact | None = call.ask("previous", fact_at(call, protocol.params(call.request, _Place).seq))
    return protocol.success({"fact": None if found is None else msgspec.Raw(fact_text(found, is_full=True))})


def shared(call: Call) -> Answer:
    """A fact's shared fields, those declared by path included."""
    return protocol.success({"common": call.ask("shared", fact_at(call, protocol.params(call.request, _Place).seq))})


def rebuild(call: Call) -> Answer:
    """Fold all facts again."""
    check_not_draining(call)
    call.ask("rebuild")
    return protocol.success()
