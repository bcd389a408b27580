"""Facts that were made elsewhere, taken into a store as they are: ids, times, origins and revisions kept.

A fact that is there already is known by its id and adds nothing, so an import may be broken off and begun again. One
that cannot be taken is listed with its reason, the others go on; and what was done leaves a receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf, nextafter
from typing import Any, Protocol, TypeVar

import msgspec

from core.model.errors import (
    BadRecord,
    Broken,
    ConflictingDuplicate,
    HashMismatch,
    InvalidFact,
    LockerError,
    Reject,
)
from core.model.fact import JsonObject
from core.store.log.quarantine import ROWS_MAX, Waiting
from core.store.log.receipts import RECEIPT_BYTES_MAX, Left, Verb
from core.store.log.refused import WHOLE_BYTES_MAX
from core.store.numbers.recorder import Recorder
from core.store.numbers.samples import Sample
from core.store.numbers.series import READ_MAX
from core.store.values import Appended, Entry, TakenIn

BATCH_FACTS = 500
BATCH_SAMPLES = 1000
BATCH_ASIDE = 1000
BATCH_BYTES_MAX = 4 * 1024 * 1024
# Each batch is compared with all that are here: so many are one import's.
RECEIPTS_MAX = 50_000
RECEIPTS_BYTES_MAX = 256 * 1024 * 1024
# A line has what is kept, and the rest of its columns.
RECEIPT_LINE_BYTES_MAX = RECEIPT_BYTES_MAX + 64 * 1024
SET_ASIDE_LINE_BYTES_MAX = WHOLE_BYTES_MAX + 64 * 1024
PROBLEMS_TOLD_MAX = 50
T = TypeVar("T")
# A line and how many bytes it had.
Line = tuple[JsonObject, int]
RECEIPT: Verb = "import"

# Before it had times of its own, the incumbent called them so; its term was 0 where there was none.
_TIME_ONCE, _VALID_ONCE = "timestamp", "term"
_PLAIN = (
    "id", "key", "value_hash", "causation", "transaction_time", "valid_time", "schema_version", "producer",
    "derivation", "origin", "origin_epoch", "origin_seq", "known_at",
)  # fmt: skip


class Target(Protocol):
    """Where facts are taken in: the writer of a store."""

    def append(self, entries: Sequence[Entry], *, atomic: bool = False) -> list[Appended | LockerError]:
        """Add facts as somebody made them; durable when it returns."""

    def take_waiting(self, waiting: Sequence[Waiting]) -> TakenIn:
        """Let wait what waits in another store's quarantine."""

    def take_receipts(self, left: Sequence[Left]) -> int:
        """Keep what was left in another store; how many came."""

    def leave_receipt(self, verb: Verb, *, actor: str, document: JsonObject) -> int:
        """Keep for good what was done."""


class Problem(msgspec.Struct, frozen=True):
    """A fact that was not taken: which, the code of the reason, and the reason."""

    id: str
    code: str
    reason: str


class _Number(msgspec.Struct, frozen=True):
    point: str
    at: float
    value: float


class Imported(msgspec.Struct, kw_only=True):
    """What an import did, as its receipt says it too."""

    source: str
    added: int = 0
    known: int = 0
    conflicting: int = 0
    refused: int = 0
    rehashed: int = 0
    unreadable: int = 0
    files: int = 0
    samples: int = 0
    set_aside: int = 0
    no_room: int = 0
    receipts: int = 0
    receipts_left_out: int = 0
    first_seq: int | None = None
    last_seq: int | None = None
    problems: list[Problem] = []
    #: What is wrong with the source itself, in sentences.
    damages: list[str] = []

    @property
    def is_whole(self) -> bool:
        """Whether everything that was ever in the source is in the store now."""
        lost = self.conflicting + self.refused + self.unreadable + self.no_room + self.receipts_left_out
        return not (lost or self.damages)

    @property
    def told_left_out(self) -> list[str]:
        """What there was no room for, in sentences."""
        told = []
        if self.no_room:
            told.append(f"{self.no_room:,} records had no room among those set aside, which are {ROWS_MAX:,} at most")
        if self.receipts_left_out:
            most = f"{RECEIPTS_MAX:,} with {RECEIPTS_BYTES_MAX // 1024**2} MiB at most"
            told.append(f"{self.receipts_left_out:,} receipts were left out: an import takes {most}")
        return told


def entry_of(document: JsonObject) -> Entry:
    """The fact that a JSON object says, in our words or in the incumbent's; raises InvalidFact naming the field.

    What the incumbent's facts lack is theirs by nature: the first device that knew one is the one that made it.
    """
    said: dict[str, Any] = {name: document[name] for name in _PLAIN if document.get(name) is not None}
    for field in ("id", "key"):
        if not isinstance(said.get(field), str):
            raise InvalidFact(f"{field} must be text", field=field)
    said["type"] = document.get("type", document.get("store"))
    if not isinstance(said["type"], str):
        raise InvalidFact("store must be text", field="store")
    said.setdefault("transaction_time", document.get(_TIME_ONCE))
    if "valid_time" not in said and document.get(_VALID_ONCE):
        said["valid_time"] = document[_VALID_ONCE]
    for field in ("transaction_time", "valid_time", "known_at"):
        if type(said.get(field)) is int:
            said[field] = float(said[field])
    said.setdefault("known_at", said["transaction_time"])
    said["action"] = document.get("action", "put")
    said["value"] = document.get("value", {} if said["action"] == "delete" else None)
    said["common"] = {} if document.get("common") is None else document["common"]
    for field in ("value", "common"):
        if not isinstance(said[field], dict):
            raise InvalidFact(f"{field} must be a JSON object", field=field)
    rev = document.get("rev")
    if rev is not None:
        if not isinstance(rev, (list, tuple)) or len(rev) != 2:
            raise InvalidFact("rev must be two whole numbers", field="rev")
        said["rev"] = tuple(rev)
    return Entry(**said)


class Import:
    """Facts on their way into a store, a bounded batch at a time; `finish` ends it and leaves the receipt."""

    def __init__(self, target: Target, *, source: str, actor: str, any_hash: bool = False) -> None:
        self._target = target
        self._any_hash = any_hash
        self._actor = actor
        self._waiting: list[Entry] = []
        self._waiting_bytes = 0
        self.done = Imported(source=source)

    def take(self, document: JsonObject, *, size_bytes: int) -> None:
        """Take one fact, which had so many bytes as JSON; it is stored with its batch."""
        try:
            self._waiting.append(entry_of(document))
        except InvalidFact as err:
            self._refuse(document.get("id"), err)
            return
        self._waiting_bytes += size_bytes
        if len(self._waiting) >= BATCH_FACTS or self._waiting_bytes >= BATCH_BYTES_MAX:
            self._store()

    def take_samples(self, series: Recorder, samples: Iterable[JsonObject]) -> None:
        """Take numbers of points, in the order of an export; for a moment that has one already, that one stays."""
        waiting: list[Sample] = []
        for document in samples:
            try:
                said = msgspec.convert(document, _Number)
            except msgspec.ValidationError:
                self.note_unreadable()
                continue
            sample = Sample(said.point, said.at, said.value)
            if waiting and (waiting[-1].point != sample.point or len(waiting) >= BATCH_SAMPLES):
                self._record(series, waiting)
                waiting = []
            waiting.append(sample)
        self._record(series, waiting)

    def take_set_aside(self, lines: Iterable[Line]) -> None:
        """Take records that were in quarantine; behind the facts, which say whether one has gone on since."""
        self._store()
        for waiting in _batches(self._converted(lines, Waiting, Waiting.is_of_its_record)):
            came = self._target.take_waiting(waiting)
            self.done.set_aside += came.set_aside
            self.done.no_room += came.no_room

    def take_receipts(self, lines: Iterable[Line]) -> None:
        """Take what was left where facts were let go, with its time and the store that it is of."""
        for left in _batches(self._as_many_as_fit(self._converted(lines, Left, Left.can_be_kept))):
            self.done.receipts += self._target.take_receipts(left)

    def note_unreadable(self, count: int = 1) -> None:
        """Count what is no fact at all."""
        self.done.unreadable += count

    def note_damage(self, sentence: str) -> None:
        """Say what is wrong with the source."""
        if len(self.done.damages) < PROBLEMS_TOLD_MAX:
            self.done.damages.append(sentence)

    def finish(self) -> Imported:
        """Store what waits, leave the receipt; what was done."""
        self._store()
        self._target.leave_receipt(RECEIPT, actor=self._actor, document=msgspec.to_builtins(self.done))
        return self.done

    def _converted(self, lines: Iterable[Line], kind: type[T], is_ours: Callable[[T], bool]) -> Iterator[tuple[T, int]]:
        for document, size in lines:
            try:
                one = msgspec.convert(document, kind)
                if is_ours(one):
                    yield one, size
                    continue
            except (msgspec.ValidationError, RecursionError):
                pass
            self.note_unreadable()

    def _as_many_as_fit(self, receipts: Iterable[tuple[T, int]]) -> Iterator[tuple[T, int]]:
        count = total = 0
        for one, size in receipts:
            count, total = count + 1, total + size
            if count > RECEIPTS_MAX or total > RECEIPTS_BYTES_MAX:
                self.done.receipts_left_out += 1
            else:
                yield one, size

    def _store(self) -> None:
        batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not batch:
            return
        try:
            # In one transaction, which is twice as fast as in several; where one cannot be taken, the others are.
            answers = self._target.append(batch, atomic=True)
            if not all(isinstance(answer, Appended) for answer in answers):
                answers = self._target.append(batch)
        except Broken:
            # One that the database itself refuses takes its batch down: alone, it goes alone.
            answers = [self._alone(entry) for entry in batch]
        for entry, answer in zip(batch, answers, strict=True):
            self._count(entry, self._by_value(entry) if self._is_of_another_kind(answer) else answer)

    def _is_of_another_kind(self, answer: Appended | LockerError) -> bool:
        return self._any_hash and isinstance(answer, HashMismatch)

    def _by_value(self, entry: Entry) -> Appended | LockerError:
        """Take the fact with a hash of our own: the one that it came with cannot be checked here."""
        self.done.rehashed += 1
        return self._alone(msgspec.structs.replace(entry, value_hash=None))

    def _record(self, series: Recorder, samples: list[Sample]) -> None:
        if not samples:
            return
        known = _moments_of(series, samples)
        new = {sample.at: sample for sample in samples if sample.at not in known}
        if not new:
            return
        kept = series.append(list(new.values())).kept
        self.done.samples += kept
        if kept < len(new):
            self.done.refused += len(new) - kept
            self._tell(samples[0].point, BadRecord(f"{len(new) - kept} numbers of the point are none that can be kept"))

    def _alone(self, entry: Entry) -> Appended | LockerError:
        try:
            return self._target.append([entry])[0]
        except Broken as err:
            return err

    def _count(self, entry: Entry, answer: Appended | LockerError) -> None:
        if isinstance(answer, Appended):
            if answer.duplicate:
                self.done.known += 1
                return
            self.done.added += 1
            self.done.first_seq = self.done.first_seq or answer.seq
            self.done.last_seq = answer.seq
        elif isinstance(answer, ConflictingDuplicate):
            self.done.conflicting += 1
            self._tell(entry.id, answer)
        elif isinstance(answer, (Reject, Broken)):
            self._refuse(entry.id, answer)
        else:
            raise answer

    def _refuse(self, fact_id: object, err: LockerError) -> None:
        self.done.refused += 1
        self._tell(fact_id, err)

    def _tell(self, fact_id: object, err: LockerError) -> None:
        if len(self.done.problems) < PROBLEMS_TOLD_MAX:
            self.done.problems.append(Problem(str(fact_id)[:64], err.code, err.detail))


def _moments_of(series: Recorder, samples: Sequence[Sample]) -> set[float]:
    """The moments for which the point has a number already, from the first of these samples to their last."""
    moments = [sample.at for sample in samples]
    since: float | None = min(moments)
    until = nextafter(max(moments), inf)
    known: set[float] = set()
    while since is not None:
        page = series.samples(samples[0].point, limit=READ_MAX, since=since, until=until)
        known.update(moment.at for moment in page.moments)
        since = page.next
    return known


def _batches(items: Iterable[tuple[T, int]]) -> Iterator[list[T]]:
    batch: list[T] = []
    total = 0
    for one, size in items:
        batch.append(one)
        total += size
        if len(batch) >= BATCH_ASIDE or total >= BATCH_BYTES_MAX:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
