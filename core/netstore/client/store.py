"""A store that somebody else serves, with the interface of a store: `NetworkStore`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from core.model.clock import Clock, SystemClock
from core.model.errors import (
    BadRequest,
    BodyTooLarge,
    Conflict,
    ConflictingDuplicate,
    HashMismatch,
    InvalidFact,
    LockerError,
    SeqMoved,
)
from core.model.fact import Change, Fact, JsonObject
from core.model.frames import FRAME_BYTES_MAX
from core.model.ids import uuid7
from core.netstore import facts, protocol
from core.netstore.client import sendable
from core.netstore.client.care import DistantCare
from core.netstore.client.line import Address, Line, Transport
from core.netstore.client.reads import DistantReads
from core.netstore.client.replies import read, whole
from core.netstore.client.subscriber import Handler, Subscriber
from core.netstore.limits import WRITE_FACTS_MAX
from core.netstore.protocol import Cursor
from core.store import Appended, Aside, Commit, Entry, Run, Sample

TIMEOUT_S = 60.0
PATIENCE_S = 30.0
# What is wrong with one fact is its answer; everything else is wrong with the writing.
_ANSWERS = (InvalidFact, HashMismatch, ConflictingDuplicate, SeqMoved, Conflict)


class NetworkStore(DistantReads, DistantCare):
    """The store served at `address`: `127.0.0.1:7400`, `[::1]:7400`, or with `transport="unix"` a socket's path.

    Thread-safe, one request at a time. When the connection breaks it is made again, for up to `patience_s`, and what
    is harmless to repeat is sent again: reads, and writes of facts, since each has an id. `close` says goodbye.
    """

    def __init__(
        self,
        address: str,
        *,
        transport: Transport = "tcp",
        token: str | None = None,
        service: str | None = None,
        clock: Clock | None = None,
        patience_s: float = PATIENCE_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if transport not in ("tcp", "unix"):
            raise BadRequest(f"{transport!r} is no transport", remedy="Use tcp or unix.")
        self._address = Address(address=address, transport=transport, token=token, service=service)
        super().__init__(Line(self._address, timeout_s=timeout_s, patience_s=patience_s))
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._subscribers: list[Subscriber] = []

    def __enter__(self) -> NetworkStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"NetworkStore({self._address})"

    def close(self) -> None:
        """End the subscriptions, finish what is under way, say goodbye; again does nothing."""
        with self._lock:
            subscribers, self._subscribers = self._subscribers, []
        for subscriber in subscribers:
            subscriber.close()
        self._line.close()

    def append(self, entries: Sequence[Entry], *, atomic: bool = False) -> list[Appended | LockerError]:
        """Add facts (1000 at most) as somebody made them, in order; durable when it returns. As `Store.append`."""
        if len(entries) > WRITE_FACTS_MAX:
            raise BadRequest(f"{len(entries)} facts at once, allowed are {WRITE_FACTS_MAX}")
        return self._write(entries, partial(self._write_batch, atomic=atomic), atomic=atomic)

    def append_each(self, entries: Sequence[Entry]) -> list[Appended | LockerError]:
        """Add any number of facts by single requests, many of them under way at once."""
        return self._write(entries, self._write_each)

    def commit(
        self,
        changes: Sequence[Change],
        *,
        cursor: tuple[str, Any] | None = None,
        producer: JsonObject | None = None,
        bulk: bool = True,
        aside: Sequence[Aside] = (),
        samples: Sequence[Sample] = (),
    ) -> Commit:
        """Store what `changes` change, the stream's `cursor` and `samples` with them. As `Store.commit`.

        Raises Retry where the connection broke before the answer came: whether it was stored is not known then.
        """
        sendable.check("the cursor or the producer", (cursor, producer))
        good, bad = sendable.parted(changes)
        request = {
            "op": "commit",
            "changes": good,
            "aside": [*aside, *bad],
            "cursor": cursor,
            "producer": producer,
            "bulk": bulk,
            "samples": samples,
        }
        return read(self._line.ask(request, is_repeatable=False), "commit", Commit)

    def write_snapshot(self, snapshot: Sequence[Fact]) -> tuple[int, int]:
        """Check that facts are there and add those that are not, all or none; how many were known, how many added."""
        documents = [facts.document_of(_entry(fact)) for fact in snapshot]
        reply = self._line.ask({"op": "write_snapshot", "facts": documents})
        return read(reply, "known", int), read(reply, "added", int)

    def set_cursor(self, stream: str, value: Any) -> None:
        """Set where the stream resumes; None forgets it."""
        sendable.check("the cursor", value)
        self._line.ask({"op": "set_cursor", "stream": stream, "value": value})

    def note_run(self, run: Run) -> None:
        """Keep how a run went; the same id again replaces it."""
        self._line.ask({"op": "note_run", "run": run})

    def rebuild(self) -> None:
        """Fold all facts again."""
        self._line.ask({"op": "rebuild"})

    def ask(self, op: str, **members: Any) -> JsonObject:
        """The reply to any op of the wire; raises the error that a refusal stands for."""
        return self._line.ask({**members, "op": op})

    def subscribe(
        self,
        handler: Handler,
        *,
        stores: Sequence[str] = (),
        cursor: Cursor | None = None,
        on_lagged: Callable[[int, int], None] | None = None,
        on_ended: Callable[[LockerError], None] | None = None,
        heartbeat_s: float | None = None,
    ) -> Subscriber:
        """Have `handler` called with each fact of `stores` (all where none is named), in a thread of its own.

        With a `cursor` what followed it comes first; without, only what is committed from now on. It has begun when
        this returns; end it by its `close`. Of facts that retention took before they came `on_lagged` is told by the
        first and the last position, and it goes on behind them; without, they end it, of which `on_ended` is told.
        Raises CursorTooOld, CursorUnknown for a cursor that cannot be gone on from.
        """
        subscriber = Subscriber(
            self._address,
            handler,
            stores=stores,
            cursor=cursor,
            on_lagged=on_lagged,
            on_ended=on_ended,
            heartbeat_s=heartbeat_s,
        )
        subscriber.start()
        with self._lock:
            self._subscribers = [*(one for one in self._subscribers if one.is_alive), subscriber]
        return subscriber

    def _write(
        self, entries: Sequence[Entry], send: Callable[[list[JsonObject]], list[JsonObject]], *, atomic: bool = False
    ) -> list[Appended | LockerError]:
        """What became of each entry: `send` has the server's answers to those that JSON can carry, in order."""
        named = [entry if entry.id is not None else self._named(entry) for entry in entries]
        documents = [facts.document_of(entry) for entry in named]
        faults = [sendable.fault_in(document) for document in documents]
        if atomic and any(faults):
            return [fault or Conflict("Not added, since another fact could not be.") for fault in faults]
        good = [document for document, fault in zip(documents, faults, strict=True) if fault is None]
        replies = iter(send(good) if good else ())
        return [
            self._appended(entry, next(replies)) if fault is None else fault
            for entry, fault in zip(named, faults, strict=True)
        ]

    def _write_each(self, documents: list[JsonObject]) -> list[JsonObject]:
        return self._line.ask_all([{"op": "write_fact", "fact": document} for document in documents])

    def _write_batch(self, documents: list[JsonObject], *, atomic: bool) -> list[JsonObject]:
        if len(documents) == 1:
            return self._write_each(documents)
        requests = [
            {"op": "write_facts", "facts": some, "atomic": atomic} for some in _frames_full(documents, is_one=atomic)
        ]
        return [result for reply in self._line.ask_all(requests) for result in _results(reply)]

    def _named(self, entry: Entry) -> Entry:
        """The entry with an id, so that sending it twice adds it once."""
        return msgspec.structs.replace(entry, id=str(uuid7(self._clock.now())))

    @staticmethod
    def _appended(entry: Entry, reply: Mapping[str, Any]) -> Appended | LockerError:
        if reply.get("ok") is not True:
            error = protocol.error_of(reply)
            if not isinstance(error, _ANSWERS):
                raise error
            return error
        return whole({**reply, "id": entry.id}, Appended)


def _results(reply: Mapping[str, Any]) -> list[JsonObject]:
    if "results" not in reply:
        raise protocol.error_of(reply)
    return read(reply, "results", list[JsonObject])


def _frames_full(documents: Sequence[JsonObject], *, is_one: bool) -> Iterator[list[JsonObject]]:
    """The documents, as many to a request as a frame holds; raises BodyTooLarge where they must be one and are not."""
    some: list[JsonObject] = []
    size, room = 0, FRAME_BYTES_MAX - 1024
    for document in documents:
        weight = len(protocol.encode(document)) + 1
        if some and size + weight > room:
            if is_one:
                raise BodyTooLarge("these facts are more than one frame holds", remedy="Write them in smaller batches.")
            yield some
            some, size = [], 0
        some.append(document)
        size += weight
    yield some


def _entry(fact: Fact) -> Entry:
    return Entry(
        type=fact.type,
        key=fact.key,
        id=fact.id,
        action=fact.action,
        value=fact.value,
        common=fact.common,
        value_hash=fact.value_hash,
        causation=fact.causation,
        transaction_time=fact.transaction_time,
        valid_time=fact.valid_time,
        schema_version=fact.schema_version,
        producer=fact.producer,
        derivation=fact.derivation,
    )
