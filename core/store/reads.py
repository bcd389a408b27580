"""What can be asked of a store, the same of the writer's own and of one that another process writes."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Any, TypeVar

import msgspec

from core.model.errors import BadRequest, FactDamaged, FileDamaged
from core.model.fact import Fact, JsonObject, Record
from core.model.filter import Filter, Path
from core.model.manifest import TypeSpec, spec_of
from core.store.asking import changes, query
from core.store.asking.asof import AsOf, AtSeq, AtTime, floor_of, settled
from core.store.asking.changes import ChangePage
from core.store.asking.projection import projected
from core.store.asking.query import Count, Listed, Question
from core.store.binaries.files import Files
from core.store.care.condition import Condition, condition_of
from core.store.care.retention import EXPENDABLE, POLICIES, Policy, policies_of
from core.store.care.verify import Verification, verify
from core.store.log import current, facts, quarantine, streams
from core.store.log.fold import common_of
from core.store.log.glance import Glance
from core.store.log.prepare import is_reserved
from core.store.log.receipts import LIST, OWN_TYPES, SALVAGE, Receipt, receipt_of
from core.store.numbers.series import Series
from core.store.pages import place_of, word_of
from core.store.rows import Row, weight
from core.store.values import LIMIT_MAX, FactPage, Page, Quarantined, Run, VerbatimPage
from core.store.words.search import Found, Search
from core.store.words.wanted import parse_query

T = TypeVar("T")

PAGE_BYTES_MAX = 16 * 1024 * 1024
EXPENDABLE_MAX = 100_000
_FACTS = "SELECT count(*) FROM fact"
_SALVAGES = "SELECT count(*) FROM receipt WHERE verb = ?"
_HAS_TYPE = "SELECT count(*) FROM type WHERE name = ?"
_META = "SELECT value FROM meta WHERE name = ?"


class _ByVersion(msgspec.Struct, frozen=True, array_like=True, tag="history"):
    seq: int


class Reads(ABC):
    """Answers from the latest commit; no read outlives its call, so it never keeps the write-ahead log from ending.

    Where the store is not there yet, answers are empty. Raises FileDamaged for what no store of ours wrote, and
    BadRequest for a limit outside 1 to 1000 or an `after` that no page gave. A page of large documents ends early,
    after about 16 MiB.
    """

    def __init__(self, path: FilePath, types: Mapping[str, TypeSpec]) -> None:
        self.path = path
        self.files = Files(path.parent)
        self.series = Series(self.rows)
        self._types = dict(types)
        self._glances: dict[str, Glance] = {}

    @abstractmethod
    def rows(self, statement: str, parameters: Row = (), *, bytes_max: int | None = None) -> list[Row]:
        """The rows of one of this room's statements, at most until they weigh `bytes_max`."""

    def head(self) -> int:
        """The position of the last fact; 0 in an empty store."""
        return self._one(lambda row: int(row[0]), facts.HEAD) or 0

    def epoch(self) -> str:
        """The store's incarnation as hex: positions are comparable within it alone. Empty where there is no store."""
        return self._one(_hex, _META, ("store_epoch",)) or ""

    def opens(self) -> int:
        """How often a writer opened this store."""
        return self._one(lambda row: int(row[0]), _META, ("opens",)) or 0

    def fact_count(self) -> int:
        """How many facts are held; counted one by one only where some were let go or lost."""
        is_whole = not self.floor() and not self._one(lambda row: int(row[0]), _SALVAGES, (SALVAGE,))
        return self.head() if is_whole else self._one(lambda row: int(row[0]), _FACTS) or 0

    def counts(self) -> dict[str, int]:
        """How many records of each type there are, deleted ones and the store's own receipts left out."""
        counted = self._all(lambda row: (str(row[0]), int(row[1])), current.COUNTS)
        return {name: count for name, count in sorted(counted) if name not in OWN_TYPES}

    def has_type(self, type_name: str) -> bool:
        """Whether there ever was a record of the type, deleted or not; the store's own receipts are none."""
        return not is_reserved(type_name) and bool(self._one(lambda row: int(row[0]), _HAS_TYPE, (type_name,)))

    def count(self, type_name: str, *, where: Filter | None = None, as_of: AsOf | None = None) -> Count:
        """How many records of the type there are, of those that match, at a moment: counted up to 10 001."""
        with self._reading():
            return query.count(self.rows, self._spec(type_name), Question(type=type_name, where=where, as_of=as_of))

    def floor(self, types: Sequence[str] = ()) -> int:
        """The first position that the store can be asked for, about these types or all; 0: it retained everything."""
        with self._reading():
            return floor_of(self.rows, types)

    def record(self, type_name: str, key: str, *, as_of: AsOf | None = None) -> Record | None:
        """The record's state, the latest or that of a moment; None when there is none or it is deleted.

        Raises FactDamaged where it is not what was written; lists and counts do not look so closely.
        """
        with self._reading():
            found = query.one(self.rows, type_name, key, as_of)
        if not found:
            return None
        record = self._read(self._record, found)[0]
        self._all(facts.fact_of, facts.AT, (record.seq,))
        return record

    def records(
        self,
        type_name: str,
        *,
        limit: int,
        after: str | None = None,
        order: str = "key",
        where: Filter | None = None,
        as_of: AsOf | None = None,
        fields: Sequence[Path] = (),
    ) -> Page:
        """A page of records; `after` is the `next` of the page before.

        `order` is `key`, `newest`, or a path that the type declares under `index`, falling with `-` before it. Only
        what `where` matches; as of a moment; of each record only `fields`, where some are named. By key, paging while
        others write skips and repeats no record; in other orders, a record that changes moves. A page of a filter that
        no index serves, or far back in the past, may end early, even empty: `next` then goes on.
        """
        question = Question(type=type_name, where=where, order=order, as_of=as_of)
        found = self._listed(question, limit=limit, after=after)
        records = self._read(self._record, found.rows)
        if fields:
            spec = self._spec(type_name)
            records = [projected(record, fields, spec) for record in records]
        return Page(records=records, next=found.next)

    def verbatim(
        self,
        type_name: str,
        *,
        limit: int,
        after: str | None = None,
        order: str = "key",
        where: Filter | None = None,
        as_of: AsOf | None = None,
    ) -> VerbatimPage:
        """As `records`, for whoever hands the values on as JSON: they are not taken apart for that."""
        question = Question(type=type_name, where=where, order=order, as_of=as_of)
        found = self._listed(question, limit=limit, after=after)
        glance = self._glance(type_name)
        records = self._read(lambda row: current.verbatim_of(row, glance), found.rows)
        return VerbatimPage(records=records, next=found.next)

    def history(
        self, type_name: str, key: str, *, limit: int, after: str | None = None, as_of: AsOf | None = None
    ) -> FactPage:
        """The versions of one record, newest first, its tombstones included; those of a moment's past alone."""
        with self._reading():
            moment = settled(self.rows, as_of, (type_name,))
        last = facts.SEQ_MAX if after is None else place_of(after, _ByVersion).seq
        last = min(last, moment.seq + 1) if isinstance(moment, AtSeq) else last
        found, more = self._page(facts.fact_of, facts.HISTORY, (type_name, key, last), limit=limit)
        following = word_of(_ByVersion(found[-1].seq)) if more else None
        if isinstance(moment, AtTime):
            found = [fact for fact in found if fact.known_at <= moment.time]
        return FactPage(facts=found, next=following)

    def search(
        self,
        text: str,
        *,
        limit: int,
        types: Sequence[str] = (),
        after: str | None = None,
        as_of: AsOf | None = None,
    ) -> Found:
        """The records that fit the words of `text`, the best first; of these types, where some are named."""
        return Search(self.rows, self._types, parse_query(text), only=types, as_of=as_of).page(limit=limit, after=after)

    def changes(
        self,
        start: AsOf | None,
        end: AsOf | None,
        *,
        limit: int,
        after: str | None = None,
        type_name: str | None = None,
    ) -> ChangePage:
        """What changed after one moment (None: the beginning), up to another (None: the present), record by record."""
        with self._reading():
            return changes.between(self.rows, start, end, limit=_bounded(limit), after=after, only=type_name)

    def facts(self, since: int, *, limit: int) -> list[Fact]:
        """The facts after position `since`, in order; only an empty answer means that there are no more.

        Where the first of them is not what was written, or cannot be read, FactDamaged names its position `seq`; those
        after it are read by asking again since then.
        """
        try:
            return self._page(facts.fact_of, facts.SINCE, (since,), limit=limit)[0]
        except FileDamaged:
            return self._fact_after(since)

    def fact(self, fact_id: str) -> Fact | None:
        """The fact of this id; None where there is none."""
        return self._one(facts.fact_of, facts.BY_ID, (facts.stored_id(fact_id),))

    def previous(self, fact: Fact) -> Fact | None:
        """The version of the record that `fact` replaced, tombstones included; None for the first."""
        return self._one(facts.fact_of, facts.HISTORY, (fact.type, fact.key, fact.seq, 1))

    def shared(self, fact: Fact) -> JsonObject:
        """The fact's shared fields, those declared by path included; a tombstone has none."""
        if fact.action == "delete":
            return {}
        return common_of(self._spec(fact.type), fact.value, fact.common)

    def cursor(self, stream: str) -> Any:
        """Where the stream resumes, as it was last committed; None before its first commit."""
        return self._one(lambda row: msgspec.json.decode(row[0]), streams.CURSOR, (stream,))

    def runs(self, stream: str | None = None, *, limit: int) -> list[Run]:
        """The runs of one stream or of all, the latest first."""
        statement, of = (streams.RUNS, ()) if stream is None else (streams.RUNS_OF_STREAM, (stream,))
        return self._all(streams.run_of, statement, (*of, _bounded(limit)))

    def quarantined(self, limit: int) -> list[Quarantined]:
        """The records that could not be stored, the latest first."""
        return self._all(quarantine.quarantined_of, quarantine.LIST, (_bounded(limit),))

    def receipts(self, limit: int, *, before: int | None = None) -> list[Receipt]:
        """The receipts of what left this store or came by other than the usual way, the latest first.

        Large ones may be fewer than `limit`; only an empty answer means that there are no more.
        """
        place = (facts.SEQ_MAX if before is None else before, _bounded(limit))
        return self._read(receipt_of, self.rows(LIST, place, bytes_max=PAGE_BYTES_MAX))

    def expendable(self, type_name: str, policy: Policy, *, now: float) -> Count:
        """How many facts of the type that policy would let go at this time: counted up to 100 001."""
        until = policy.until(now)
        if until is None:
            return Count(count=0, is_exact=True)
        found = self._one(lambda row: int(row[0]), EXPENDABLE, (type_name, until, EXPENDABLE_MAX + 1)) or 0
        return Count(count=found, is_exact=found <= EXPENDABLE_MAX)

    def policies(self) -> dict[str, Policy]:
        """The retention policies of the types that have one; all others are permanent."""
        return self._one(policies_of, POLICIES) or {}

    def verify(self, *, wait: Callable[[float], object] = time.sleep) -> Verification:
        """Every fact checked against its digest, the log against its chain; slowly, so that others go on beside it."""
        return verify(self.rows, wait=wait)

    def storage_status(self) -> Condition:
        """Where the log stands, how large it is, and what is wrong with it."""
        return condition_of(self.path, self.rows)

    def _fact_after(self, since: int) -> list[Fact]:
        """The one fact after `since`, where not all of a page can be read."""
        try:
            return self._all(facts.fact_of, facts.SINCE, (since, 1))
        except FileDamaged as err:
            if since >= self.head():
                raise
            self.rows(facts.SINCE, (facts.SEQ_MAX, 1))  # Raises where no fact at all can be read.
            raise FactDamaged(f"fact {since + 1} of {self.path} cannot be read", seq=since + 1) from err

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What cannot be read as a row of ours is the file's fault."""
        try:
            yield
        except (KeyError, IndexError, ValueError, TypeError) as err:
            raise FileDamaged(f"{self.path} holds a row that cannot be read") from err

    def _listed(self, question: Question, *, limit: int, after: str | None) -> Listed:
        limit, spec = _bounded(limit), self._spec(question.type)
        with self._reading():
            return query.page(self.rows, spec, question, limit=limit, after=after, bytes_max=PAGE_BYTES_MAX)

    def _glance(self, type_name: str) -> Glance:
        name = type_name if type_name in self._types else ""
        return self._glances.get(name) or self._glances.setdefault(name, Glance(self._spec(name)))

    def _record(self, row: Row) -> Record:
        return current.record_of(row, self._spec(row[2]))

    def _spec(self, type_name: str) -> TypeSpec:
        return spec_of(self._types, type_name)

    def _page(self, read: Callable[[Row], T], statement: str, parameters: Row, *, limit: int) -> tuple[list[T], bool]:
        """At most `limit` answers, and whether there may be more."""
        rows = self.rows(statement, (*parameters, _bounded(limit) + 1), bytes_max=PAGE_BYTES_MAX)
        found = self._read(read, rows[:limit])
        more = len(rows) > limit or len(found) < len(rows) or sum(map(weight, rows)) >= PAGE_BYTES_MAX
        return found, more

    def _all(self, read: Callable[[Row], T], statement: str, parameters: Row = ()) -> list[T]:
        return self._read(read, self.rows(statement, parameters))

    def _one(self, read: Callable[[Row], T], statement: str, parameters: Row = ()) -> T | None:
        found = self._all(read, statement, parameters)
        return found[0] if found else None

    def _read(self, read: Callable[[Row], T], rows: list[Row]) -> list[T]:
        """What the rows say, up to the first that is not what was written; that one, standing first, is FactDamaged."""
        found: list[T] = []
        try:
            for row in rows:
                found.append(read(row))  # noqa: PERF401 (what was read before a bad one stays)
        except FactDamaged:
            if not found:
                raise
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as err:
            raise FileDamaged(f"{self.path} holds a row that cannot be read") from err
        return found


def _hex(row: Row) -> str:
    if not isinstance(row[0], bytes):
        raise ValueError("the store's epoch is not bytes")
    return row[0].hex()


def _bounded(limit: int) -> int:
    """`limit` where it is one that may be asked for; raises BadRequest."""
    if not 1 <= limit <= LIMIT_MAX:
        raise BadRequest(f"limit is {limit}", remedy=f"Ask for 1 to {LIMIT_MAX}.")
    return limit
