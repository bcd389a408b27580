"""Lists of records: filtered, in an order, now or at a moment, a page at a time, each within a bound of work.

A filter that an index narrows down to few facts is answered from these. Otherwise the order is walked, and the filter
asked of one fact after the other; with more to look at than a page should take, the page ends early, and its `next`
goes on where it stopped. So a page may hold fewer records than its limit, or none, and still have a `next`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import NamedTuple

import apsw
import msgspec

from core.model.errors import BadRequest, FileDamaged, TooBusy
from core.model.filter import Filter, parse_path
from core.model.manifest import TypeSpec, is_indexable
from core.store.asking.asof import AsOf, settled
from core.store.asking.narrow import Range, indexes_of, narrowest, ranges
from core.store.asking.walk import (
    ByField,
    ByKey,
    ByKeyOfValue,
    KeyPlace,
    Newest,
    Place,
    Scope,
    Slice,
    Walk,
    counting,
    every,
    time_of,
    word,
)
from core.store.asking.where import Parameters, condition
from core.store.rows import BoundedRows, Row, weight

COUNTED_MAX = 10_000
# How many facts of an index are put in order at once, and how many are looked up while an order is walked.
GATHERED_MAX = 2_000
LISTED_MAX = 25_000
# What is looked at for one page: facts that are read, else places of an index; and how long it goes on.
READ_MAX = 20_000
PASSED_MAX = 400_000
PAGE_S_MAX = 0.25

_SLICE_FIRST = 256
_SLICE_GROWS = 4
_SLICE_QUICK_S = 0.02
# How many times as much as the first slice is walked through straight away where what it held lets that be enough.
_LIKELY_MAX = 8
# How many facts one statement asks a filter of 1000 letters of SQL; of a longer one, fewer. A reader ends a statement
# after 20 million steps.
_ASKED_MAX = 150_000
_TYPE = "SELECT id FROM type WHERE name = ?"
_IS_JSON = "json_valid(f.value) AND (f.common IS NULL OR json_valid(f.common))"
_LIVE = "SELECT live FROM tally WHERE type = ?"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which records of one type: those that `where` matches, as of a moment, in an order.

    The order is `key`, `newest`, or a path that the type declares under `index`, falling with `-` before it.
    """

    type: str
    where: Filter | None = None
    order: str = "key"
    as_of: AsOf | None = None


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many records there are; at least so many where it is not exact."""

    count: int
    is_exact: bool


class Listed(NamedTuple):
    """The rows of a page, as `current.record_of` reads them, and the word for its end where there may be more."""

    rows: list[Row]
    next: str | None


def page(
    rows: BoundedRows, spec: TypeSpec, question: Question, *, limit: int, after: str | None, bytes_max: int
) -> Listed:
    """At most `limit` records, weighing about `bytes_max`, after the end of the page before.

    Raises BadRequest for an unknown order or an `after` of another one, CursorTooOld below the retained floor.
    """
    plan = _Plan(rows, spec, question)
    found: list[Row] = []
    end: Place | None = None
    for step in plan.steps(plan.walk.place(after), found, want=limit + 1):
        got = plan.answered(step, limit + 1 - len(found), bytes_max=bytes_max)
        found += got
        if len(found) <= limit:
            bytes_max -= sum(map(weight, got))
        if len(found) > limit or bytes_max <= 0:
            return Listed(found[:limit], word(plan.walk.place_of_row(found[:limit][-1])))
        end = step.end
    return Listed(found, None if end is None else word(end))


def one(rows: BoundedRows, type_name: str, key: str, as_of: AsOf | None) -> list[Row]:
    """The row of one record, if there is such a one then; raises CursorTooOld below the retained floor."""
    scope = Scope(_number(rows(_TYPE, (type_name,))), type_name, settled(rows, as_of, (type_name,)))
    parameters = Parameters()
    conditions = [f"c.key = {parameters.add(key)}"]
    statement = ByKey(rows, scope).statement(Slice(None, None, 1), parameters, conditions=conditions, limit=1)
    return rows(statement, parameters.values)


def count(rows: BoundedRows, spec: TypeSpec, question: Question) -> Count:
    """How many records there are, as far as one page's work and 10 001 records reach; without a filter, today's all."""
    plan = _Plan(rows, spec, msgspec.structs.replace(question, order="key"))
    if question.where is None and plan.scope.as_of is None:
        return Count(count=plan.live(), is_exact=True)
    total = 0
    end: Place | None = None
    for step in plan.counts():
        total += _number(plan.answered(step, COUNTED_MAX + 1 - total, asked="SELECT count(*) FROM ({})"))
        end = step.end
        if total > COUNTED_MAX:
            break
    return Count(count=total, is_exact=end is None and total <= COUNTED_MAX)


class _Plan:
    """How a question is answered in this store: the order that is walked, and what an index narrows the filter to."""

    def __init__(self, rows: BoundedRows, spec: TypeSpec, question: Question) -> None:
        number = _number(rows(_TYPE, (question.type,)))  # 0, of which there is nothing, where the type is not known.
        self.scope = Scope(number, question.type, settled(rows, question.as_of, (question.type,)))
        self._spec = spec
        self._where = question.where
        self._is_by_field = question.order not in ("key", "newest")
        indexes = indexes_of(rows, number, spec) if self._is_by_field or question.where is not None else {}
        self.walk = _walk(rows, self.scope, question, spec, indexes)
        self._rows = rows
        self._ranges = [] if question.where is None else ranges(question.where, indexes)
        # Of the records by key those of one value stand in its index in just that order.
        by_key = (one for one in self._ranges if question.order == "key" and one.is_by_key)
        self._alike = next(by_key, None)
        self._within = self.walk.within if isinstance(self.walk, ByField) else None
        said = "" if question.where is None else condition(question.where, Parameters(), spec)
        self._most = max(1, 1000 * _ASKED_MAX // max(1000, len(said)))
        self._passes_over = False

    def live(self) -> int:
        """How many records of the type there are today."""
        return _number(self._rows(_LIVE, (self.scope.type_id,)))

    def answered(self, step: _Step, limit: int, *, asked: str = "{}", bytes_max: int | None = None) -> list[Row]:
        """What `asked` of the step's records says; a filter passes over those that are damaged so as to be no JSON.

        To look for that in each record takes a third more of a filter's time: it is done where one has been met.
        """
        parameters = Parameters()
        statement = asked.format(step.statement(parameters, limit))
        try:
            return _answered(self._rows, statement, parameters, bytes_max=bytes_max)
        except FileDamaged as err:
            if self._where is None or self._passes_over or not isinstance(err.__cause__, apsw.SQLError):
                raise
        self._passes_over = True
        return self.answered(step, limit, asked=asked, bytes_max=bytes_max)

    def steps(self, place: Place | None, found: Sequence[Row], *, want: int) -> Iterator[_Step]:
        """What is to be asked, one after the other, while `found` has too few and the page's work is not done."""
        kept_to = (self._alike, self._within)
        few = self._narrowed([one for one in self._ranges if one not in kept_to], min(GATHERED_MAX, self._most))
        if few is not None:
            yield _Step(partial(self._gather, few[0], place), None)
            return
        is_sparse = self._where is not None or self.scope.as_of is not None or self._is_by_field
        first = self._first(want)
        walk, part = self._ahead(place, first) if is_sparse else (self.walk, Slice(place, None, first))
        yield self._step(walk, part)
        rest = first * (want - len(found)) * 5 // (4 * max(1, len(found)))
        if part.end is not None and rest <= first * _LIKELY_MAX:
            walk, part = self._ahead(part.end, max(1, min(rest, self._most)))
            yield self._step(walk, part)
        if part.end is None:
            return
        # The beginning held too little: only now is it worth the look which of the rest can match at all.
        besides = [] if walk is not self.walk else [one for one in self._ranges if one != self._within]
        some = self._narrowed(besides, min(LISTED_MAX, self._most))
        if some is not None:
            # Enough where they are spread evenly over the order. Where they are not, all of them are put in order.
            size = max(1, min(2 * want * self.live() // max(1, some[1]), PASSED_MAX))
            part = Slice(part.end, self.walk.end(part.end, size), size)
            yield self._step(self.walk, part, within=some[0])
            if part.end is not None:
                yield _Step(partial(self._gather, some[0], part.end), None)
        else:
            most = PASSED_MAX if self._where is None else READ_MAX
            yield from self._slices(part.end, first, most=most, at_once=self._most, ask=self._walk_on)

    def counts(self) -> Iterator[_Step]:
        """What is to be asked to count; the order does not matter."""
        some = self._narrowed(self._ranges, min(LISTED_MAX, self._most))
        if some is not None:
            yield _Step(partial(self._gather, some[0], None), None)
        elif self._where is not None:
            yield from self._slices(None, _SLICE_FIRST, most=READ_MAX, at_once=self._most, ask=self._walk_on)
        else:
            yield from self._slices(None, 2 * COUNTED_MAX, most=PASSED_MAX, at_once=PASSED_MAX, ask=self._heads)

    def _slices(
        self,
        place: Place | None,
        size: int,
        *,
        most: int,
        at_once: int,
        ask: Callable[[Walk, Slice, Parameters, int], str],
    ) -> Iterator[_Step]:
        """The walk on from `place`, in slices that grow while they are quick, up to `at_once`; `most` together."""
        looked_at, until = 0, monotonic() + PAGE_S_MAX
        while True:
            size = max(1, min(size, most - looked_at, at_once))
            begun = monotonic()
            walk, part = self._ahead(place, size)
            yield _Step(partial(ask, walk, part), part.end)
            looked_at += size
            if part.end is None or looked_at >= most or monotonic() > until:
                return
            place = part.end
            if monotonic() - begun < _SLICE_QUICK_S:
                size *= _SLICE_GROWS

    def _first(self, want: int) -> int:
        """How much is looked at first: of an order that is kept to the span of the filter, most matches."""
        if self._where is None:
            return max(_SLICE_FIRST, 2 * want)
        return min(_SLICE_FIRST if self._within is None else want + want // 4, self._most)

    def _ahead(self, place: Place | None, size: int) -> tuple[Walk, Slice]:
        """The next part of the order, and the walk that comes further in it by as many steps."""
        end = self.walk.end(place, size)
        if self._alike is not None and isinstance(end, KeyPlace):
            shorter = ByKeyOfValue(self._rows, self.scope, self._alike)
            reached = shorter.reach(place, size)
            if reached is None or reached.key > end.key:
                return shorter, Slice(place, reached, size)
        return self.walk, Slice(place, end, size)

    def _narrowed(self, given: Sequence[Range], most: int) -> tuple[Range, int] | None:
        return narrowest(self._rows, given, self.scope.type_id, most=most)

    def _step(self, walk: Walk, part: Slice, within: Range | None = None) -> _Step:
        return _Step(partial(self._walk_on, walk, part, within=within), part.end)

    def _heads(self, _walk: Walk, part: Slice, parameters: Parameters, limit: int) -> str:
        return ByKey(self._rows, self.scope).heads(part, parameters, limit=limit)

    def _walk_on(
        self, walk: Walk, part: Slice, parameters: Parameters, limit: int, *, within: Range | None = None
    ) -> str:
        conditions = []
        if within is not None:
            conditions.append(f"{walk.seq} IN ({within.facts(self.scope.type_id, parameters)})")
        if self._where is not None:
            conditions.append(self._condition(self._where, parameters))
        return walk.statement(part, parameters, conditions=conditions, limit=limit)

    def _condition(self, where: Filter, parameters: Parameters) -> str:
        said = condition(where, parameters, self._spec)
        return f"CASE WHEN {_IS_JSON} THEN {said} END" if self._passes_over else said

    def _gather(self, few: Range, place: Place | None, parameters: Parameters, limit: int) -> str:
        joined, counts = counting(self.scope, parameters)
        beyond, order = self.walk.sorted(place, parameters)
        source, within = few.source(self.scope.type_id, parameters)
        conditions = [within, counts, beyond]
        if self._where is not None:
            conditions.append(self._condition(self._where, parameters))
        name, at = parameters.add(self.scope.type_name), time_of(self.scope)
        return (
            f"SELECT f.value, f.common, {name}, f.key, {at}, f.seq FROM {source} {joined}"
            f" WHERE {every(conditions)} ORDER BY {order} LIMIT {parameters.add(limit)}"
        )


class _Step(NamedTuple):
    """One statement to ask, made for as many records as are wanted still, and the place that it reaches."""

    statement: Callable[[Parameters, int], str]
    end: Place | None


def _answered(rows: BoundedRows, statement: str, parameters: Parameters, *, bytes_max: int | None = None) -> list[Row]:
    try:
        return rows(statement, parameters.values, bytes_max=bytes_max)
    except FileDamaged as err:
        if isinstance(err.__cause__, apsw.InterruptError):
            raise BadRequest("the filter asks too much of each record", remedy="Ask for less at once.") from err
        raise


def _walk(rows: BoundedRows, scope: Scope, question: Question, spec: TypeSpec, indexes: dict[str, str]) -> Walk:
    order = question.order
    if order == "key":
        return ByKey(rows, scope)
    if order == "newest":
        return Newest(rows, scope)
    asked = parse_path(order.removeprefix("-"))
    paths = [path for path in spec.index if is_indexable(path)]
    path = next((path for path in paths if tuple(path.split(".")) == asked.steps and not asked.is_shared), None)
    if path is None:
        known = ", ".join(("key", "newest", *("->".join(path.split(".")) for path in paths)))
        raise BadRequest(f"{order[:80]!r} is no order of {spec.name}", remedy=f"Order by one of {known}.")
    if scope.type_id == 0:
        return ByKey(rows, scope)
    if path not in indexes:
        raise TooBusy(
            f"{path} is not indexed yet", remedy="Start its service once: whoever writes the store indexes it."
        )
    given = [] if question.where is None else ranges(question.where, {path: indexes[path]})
    # Single values lie apart: walking from one to the next would be sorting.
    within = next((one for one in given if not one.values), None)
    return ByField(rows, scope, path, indexes[path], is_descending=order.startswith("-"), within=within)


def _number(found: list[Row]) -> int:
    return int(found[0][0]) if found else 0
