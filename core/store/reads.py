"""What can be asked of a store, the same of the writer's own and of one that another process writes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from core.model.errors import BadRequest, FileDamaged
from core.model.fact import Fact, JsonObject, Record
from core.model.manifest import TypeSpec
from core.store import current, facts, quarantine, streams
from core.store.files import Files
from core.store.fold import common_of
from core.store.series import Series
from core.store.values import LIMIT_MAX, FactPage, Order, Page, Quarantined, Run

T = TypeVar("T")
Row = tuple[Any, ...]

PAGE_BYTES_MAX = 16 * 1024 * 1024
_META = "SELECT value FROM meta WHERE name = ?"


class _ByKey(msgspec.Struct, frozen=True, array_like=True, tag="key"):
    key: str


class _ByTime(msgspec.Struct, frozen=True, array_like=True, tag="newest"):
    at: float
    seq: int


class _ByVersion(msgspec.Struct, frozen=True, array_like=True, tag="history"):
    seq: int


_NEWEST = _ByTime(float("inf"), facts.SEQ_MAX)


class Reads:
    """Answers from the latest commit; no read outlives its call, so it never keeps the write-ahead log from ending.

    Where the store is not there yet, answers are empty. Raises FileDamaged for what no store of ours wrote, and
    BadRequest for a limit outside 1 to 1000 or an `after` that no page gave. A page of large documents ends early,
    after about 16 MiB.
    """

    def __init__(self, path: Path, types: Mapping[str, TypeSpec]) -> None:
        self.path = path
        self.files = Files(path.parent)
        self.series = Series(self.rows)
        self._types = dict(types)

    def rows(self, statement: str, parameters: Row = (), *, bytes_max: int | None = None) -> list[Row]:
        """The rows of one of this room's statements, at most until their first two columns weigh `bytes_max`."""
        raise NotImplementedError

    def head(self) -> int:
        """The position of the last fact; 0 in an empty store."""
        return self._one(lambda row: int(row[0]), facts.HEAD) or 0

    def epoch(self) -> str:
        """The store's incarnation as hex: positions are comparable within it alone. Empty where there is no store."""
        return self._one(_hex, _META, ("store_epoch",)) or ""

    def opens(self) -> int:
        """How often a writer opened this store."""
        return self._one(lambda row: int(row[0]), _META, ("opens",)) or 0

    def counts(self) -> dict[str, int]:
        """How many records of each type there are, deleted ones left out."""
        return dict(self._all(lambda row: (str(row[0]), int(row[1])), current.COUNTS))

    def record(self, type_name: str, key: str) -> Record | None:
        """The record's latest state; None when there is none or it is deleted."""
        return self._one(self._record, current.ONE, (type_name, key))

    def records(self, type_name: str, *, limit: int, after: str | None = None, order: Order = "key") -> Page:
        """A page of records, by key or the newest first; `after` is the `next` of the page before.

        By key, paging while others write skips and repeats no record; by time, a record that changes moves.
        """
        if order == "key":
            key = current.BEFORE_FIRST_KEY if after is None else _place(after, _ByKey).key
            found, more = self._page(self._record, current.BY_KEY, (type_name, key), limit=limit)
            return Page(records=found, next=_after(_ByKey(found[-1].key)) if more else None)
        if order != "newest":
            raise BadRequest(f"{order!r} is no order", remedy="Order by key or newest.")
        place = _NEWEST if after is None else _place(after, _ByTime)
        found, more = self._page(self._record, current.NEWEST, (type_name, place.at, place.seq), limit=limit)
        return Page(records=found, next=_after(_ByTime(found[-1].at, found[-1].seq)) if more else None)

    def history(self, type_name: str, key: str, *, limit: int, after: str | None = None) -> FactPage:
        """The versions of one record, newest first, its tombstones included."""
        seq = facts.SEQ_MAX if after is None else _place(after, _ByVersion).seq
        found, more = self._page(facts.fact_of, facts.HISTORY, (type_name, key, seq), limit=limit)
        return FactPage(facts=found, next=_after(_ByVersion(found[-1].seq)) if more else None)

    def facts(self, since: int, *, limit: int) -> list[Fact]:
        """The facts after position `since`, in order; only an empty answer means that there are no more."""
        return self._page(facts.fact_of, facts.SINCE, (since,), limit=limit)[0]

    def previous(self, fact: Fact) -> Fact | None:
        """The version of the record that `fact` replaced, tombstones included; None for the first."""
        return self._one(facts.fact_of, facts.HISTORY, (fact.type, fact.key, fact.seq, 1))

    def shared(self, fact: Fact) -> JsonObject:
        """The fact's shared fields, those declared by path included; a tombstone has none."""
        if fact.action == "delete":
            return {}
        return common_of(self._types.get(fact.type) or TypeSpec(name=fact.type), fact.value, fact.common)

    def cursor(self, stream: str) -> Any:
        """Where the stream resumes, as it was last committed; None before its first commit."""
        return self._one(lambda row: msgspec.json.decode(row[0]), streams.CURSOR, (stream,))

    def runs(self, stream: str | None = None, *, limit: int) -> list[Run]:
        """The runs of one stream or of all, the latest first."""
        statement, of = (streams.RUNS, ()) if stream is None else (streams.RUNS_OF_STREAM, (stream,))
        return self._all(streams.run_of, statement, (*of, bounded(limit)))

    def quarantined(self, limit: int) -> list[Quarantined]:
        """The records that could not be stored, the latest first."""
        return self._all(quarantine.quarantined_of, quarantine.LIST, (bounded(limit),))

    def _record(self, row: Row) -> Record:
        return current.record_of(row, self._types.get(row[2]) or TypeSpec(name=row[2]))

    def _page(self, read: Callable[[Row], T], statement: str, parameters: Row, *, limit: int) -> tuple[list[T], bool]:
        """At most `limit` answers, and whether there may be more."""
        rows = self.rows(statement, (*parameters, bounded(limit) + 1), bytes_max=PAGE_BYTES_MAX)
        more = len(rows) > limit or sum(map(weight, rows)) >= PAGE_BYTES_MAX
        return self._read(read, rows[:limit]), more

    def _all(self, read: Callable[[Row], T], statement: str, parameters: Row = ()) -> list[T]:
        return self._read(read, self.rows(statement, parameters))

    def _one(self, read: Callable[[Row], T], statement: str, parameters: Row = ()) -> T | None:
        found = self._all(read, statement, parameters)
        return found[0] if found else None

    def _read(self, read: Callable[[Row], T], rows: list[Row]) -> list[T]:
        try:
            return [read(row) for row in rows]
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as err:
            raise FileDamaged(f"{self.path} holds a row that cannot be read") from err


def weight(row: Row) -> int:
    """The letters of a row's two documents, as far as they are texts."""
    return sum(len(column) for column in row[:2] if isinstance(column, str))


def _hex(row: Row) -> str:
    if not isinstance(row[0], bytes):
        raise ValueError("the store's epoch is not bytes")
    return row[0].hex()


def bounded(limit: int) -> int:
    """`limit` where it is one that may be asked for; raises BadRequest."""
    if not 1 <= limit <= LIMIT_MAX:
        raise BadRequest(f"limit is {limit}", remedy=f"Ask for 1 to {LIMIT_MAX}.")
    return limit


def _after(place: msgspec.Struct) -> str:
    """A page's end as one opaque word that fits into a query."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(after: str, form: type[T]) -> T:
    try:
        text = base64.b64decode(after + "=" * (-len(after) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=form)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as err:
        raise BadRequest("after is no page's end in this order", remedy="Use the next of the page before.") from err
