"""The orders in which records are listed: how each walks an index, from one place to another, now or at a moment.

A walk gives statements whose rows are those of `current.record_of`. It never sorts more than one slice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from core.model.errors import BadRequest
from core.store.asking.asof import AsOf, had, spanned
from core.store.asking.narrow import Range
from core.store.asking.where import Parameters
from core.store.log.declarations import field_expression, quoted_name
from core.store.log.facts import SEQ_MAX
from core.store.pages import place_of, word_of
from core.store.rows import Row, Rows

_BELOW_ALL = -float("inf")
_ABOVE_ALL = b""


class Scope(NamedTuple):
    """Which records: of a type, with its number in this store, now or at a moment."""

    type_id: int
    type_name: str
    as_of: AsOf | None


class KeyPlace(msgspec.Struct, frozen=True, array_like=True, tag="key"):
    """The end of a page in the order of keys."""

    key: str


class NewestPlace(msgspec.Struct, frozen=True, array_like=True, tag="newest"):
    """The end of a page of the newest first."""

    at: float
    seq: int


class FieldPlace(msgspec.Struct, frozen=True, array_like=True, tag="field"):
    """The end of a page in the order of a field; `value` and `key` are looked up in the fact, which never changes."""

    order: str
    seq: int
    value: Any = None
    key: str = ""


Place = KeyPlace | NewestPlace | FieldPlace


class Slice(NamedTuple):
    """A part of a walk: `size` rows after one place, `end` the last of them; None where the walk ends before."""

    place: Place | None
    end: Place | None
    size: int


class Walk(ABC):
    """One order of the records in a scope."""

    def __init__(self, rows: Rows, scope: Scope) -> None:
        self._rows = rows
        self._scope = scope

    @property
    @abstractmethod
    def seq(self) -> str:
        """What names the position of a fact in `statement` before the fact is read."""

    @abstractmethod
    def place(self, after: str | None) -> Place | None:
        """The place where a page ended; BadRequest for a word that no page in this order gave."""

    @abstractmethod
    def place_of_row(self, row: Row) -> Place:
        """The place of a row."""

    @abstractmethod
    def end(self, place: Place | None, size: int) -> Place | None:
        """The last place of the `size` rows to be looked at after `place`; None where there are not so many."""

    @abstractmethod
    def statement(self, part: Slice, parameters: Parameters, *, conditions: Sequence[str], limit: int) -> str:
        """What lists the records in `part` of the walk that meet the conditions on `f`."""

    @abstractmethod
    def sorted(self, place: Place | None, parameters: Parameters) -> tuple[str, str]:
        """For facts `f` that come in any order, joined by `counting`: what lies after `place`, and the order."""


class ByKey(Walk):
    """Records by the code points of their keys."""

    def place(self, after: str | None) -> KeyPlace | None:
        return None if after is None else place_of(after, KeyPlace)

    @property
    def seq(self) -> str:
        return self._of_either("seq")

    def sorted(self, place: Place | None, parameters: Parameters) -> tuple[str, str]:
        return _beyond_key("f", place, parameters), "f.key"

    def place_of_row(self, row: Row) -> KeyPlace:
        return KeyPlace(row[3])

    def end(self, place: Place | None, size: int) -> KeyPlace | None:
        parameters = Parameters()
        beyond = _beyond_key("c", place, parameters)
        statement = (
            f"SELECT c.key FROM current c WHERE c.type = {self._scope.type_id} AND {beyond}"
            f" ORDER BY c.key LIMIT 1 OFFSET {parameters.add(size - 1)}"
        )
        found = self._rows(statement, parameters.values)
        return KeyPlace(found[0][0]) if found else None

    def statement(self, part: Slice, parameters: Parameters, *, conditions: Sequence[str], limit: int) -> str:
        name = parameters.add(self._scope.type_name)
        columns = f"f.value, f.common, {name}, c.key, {self._of_either('at')}, f.seq"
        source = f"CROSS JOIN fact f ON f.seq = {self.seq}"
        return self._select(columns, source, part, parameters, conditions=conditions, limit=limit)

    def heads(self, part: Slice, parameters: Parameters, *, limit: int) -> str:
        """What lists the positions of the records in `part`, without reading any fact."""
        return self._select(self.seq, "", part, parameters, conditions=(), limit=limit)

    def _of_either(self, column: str) -> str:
        return f"c.{column}" if self._scope.as_of is None else f"coalesce(p.{column}, c.{column})"

    def _select(
        self, columns: str, source: str, part: Slice, parameters: Parameters, *, conditions: Sequence[str], limit: int
    ) -> str:
        conditions = [f"c.type = {self._scope.type_id}", _beyond_key("c", part.place, parameters), *conditions]
        if isinstance(part.end, KeyPlace):
            conditions.append(f"c.key <= {parameters.add(part.end.key)}")
        past = ""
        if self._scope.as_of is None:
            conditions.append("c.deleted = 0")
        else:
            # Only where the present fact was not there yet is there anything to look for in the past.
            there = had(self._scope.as_of, "c", parameters)
            spans = spanned(self._scope.as_of, "p", parameters)
            past = f"LEFT JOIN past p ON p.type = iif({there}, NULL, c.type) AND p.key = c.key AND {spans}"
            conditions.append(f"iif({there}, c.deleted, p.deleted) = 0")
        return (
            f"SELECT {columns} FROM current c {past} {source} WHERE {every(conditions)}"
            f" ORDER BY c.key LIMIT {parameters.add(limit)}"
        )


class ByKeyOfValue(ByKey):
    """Of the records by key those that can have one value of a field: an index has their facts together, by key too."""

    def __init__(self, rows: Rows, scope: Scope, within: Range) -> None:
        super().__init__(rows, scope)
        self._within = within

    @property
    def seq(self) -> str:
        return "f.seq"

    def reach(self, place: Place | None, size: int) -> KeyPlace | None:
        """As `end`, but before the key whose versions would be more than `size` together with those before it.

        Where those of the first key are too many, that is `place` itself.
        """
        parameters = Parameters()
        source, held = self._within.source(self._scope.type_id, parameters)
        ahead = f"SELECT f.key FROM {source} WHERE {held} AND {_beyond_key('f', place, parameters)}"
        statement = (
            f"SELECT ({ahead} AND f.key < e.key ORDER BY f.key DESC LIMIT 1)"
            f" FROM ({ahead} ORDER BY f.key LIMIT 1 OFFSET {parameters.add(size)}) e"
        )
        found = self._rows(statement, parameters.values)
        if not found:
            return None
        return KeyPlace(found[0][0]) if found[0][0] is not None else _key_place(place)

    def statement(self, part: Slice, parameters: Parameters, *, conditions: Sequence[str], limit: int) -> str:
        name, most = parameters.add(self._scope.type_name), parameters.add(limit)
        source, held = self._within.source(self._scope.type_id, parameters)
        joined, counts = counting(self._scope, parameters)
        spans = [held, _beyond_key("f", part.place, parameters)]
        if isinstance(part.end, KeyPlace):
            spans.append(f"f.key <= {parameters.add(part.end.key)}")
        return (
            f"SELECT f.value, f.common, {name}, f.key, {time_of(self._scope)}, f.seq FROM {source} {joined}"
            f" WHERE {every([*spans, counts, *conditions])} ORDER BY f.key LIMIT {most}"
        )


class Newest(Walk):
    """Records by their time, the newest first; of one time the one recorded last."""

    def place(self, after: str | None) -> NewestPlace | None:
        return None if after is None else place_of(after, NewestPlace)

    @property
    def seq(self) -> str:
        return "c.seq"

    def sorted(self, place: Place | None, parameters: Parameters) -> tuple[str, str]:
        at = time_of(self._scope)
        return _before_time(at, "f.seq", place, parameters), f"{at} DESC, f.seq DESC"

    def place_of_row(self, row: Row) -> NewestPlace:
        return NewestPlace(row[4], row[5])

    def end(self, place: Place | None, size: int) -> NewestPlace | None:
        tables = ("current",) if self._scope.as_of is None else ("current", "past")
        ends = []
        for table in tables:
            parameters = Parameters()
            statement = (
                f"SELECT c.at, c.seq FROM {table} c INDEXED BY {table}_newest WHERE c.type = {self._scope.type_id}"
                f" AND c.deleted = 0 AND {_before_time('c.at', 'c.seq', place, parameters)}"
                f" ORDER BY c.at DESC, c.seq DESC LIMIT 1 OFFSET {parameters.add(size - 1)}"
            )
            ends += self._rows(statement, parameters.values)
        return NewestPlace(*max(ends)) if ends else None

    def statement(self, part: Slice, parameters: Parameters, *, conditions: Sequence[str], limit: int) -> str:
        name, most = parameters.add(self._scope.type_name), parameters.add(limit)

        def of(table: str, *further: str) -> str:
            within = [_before_time("c.at", "c.seq", part.place, parameters), *further]
            if isinstance(part.end, NewestPlace):
                within.append(f"(c.at, c.seq) >= ({parameters.add(part.end.at)}, {parameters.add(part.end.seq)})")
            return (
                f"SELECT f.value, f.common, {name}, c.key, c.at AS at, c.seq AS seq"
                f" FROM {table} c INDEXED BY {table}_newest CROSS JOIN fact f ON f.seq = c.seq"
                f" WHERE c.type = {self._scope.type_id} AND c.deleted = 0 AND {every([*within, *conditions])}"
            )

        if self._scope.as_of is None:
            return f"{of('current')} ORDER BY at DESC, seq DESC LIMIT {most}"
        present = of("current", had(self._scope.as_of, "c", parameters))
        past = of("past", spanned(self._scope.as_of, "c", parameters))
        return f"{present} UNION ALL {past} ORDER BY at DESC, seq DESC LIMIT {most}"


class ByField(Walk):
    """Records by a field that their type declares under `index`: those without it, numbers and booleans, texts.

    Of one value, by key.
    """

    def __init__(
        self, rows: Rows, scope: Scope, path: str, index: str, *, is_descending: bool, within: Range | None = None
    ) -> None:
        """`within` is a stretch of that very index beyond which nothing need be looked at."""
        super().__init__(rows, scope)
        self.within = within
        self._order = f"-{path}" if is_descending else path
        self._expression = field_expression(path)
        self._index = quoted_name(index)
        self._way = "DESC" if is_descending else "ASC"
        self._by_key = f"f.key {self._way}, f.seq {self._way}"
        self._is_descending = is_descending

    def place(self, after: str | None) -> FieldPlace | None:
        if after is None:
            return None
        place = place_of(after, FieldPlace)
        found = self._rows(f"SELECT {self._expression}, f.key FROM fact f WHERE f.seq = ?", (place.seq,))
        if place.order != self._order or not found:
            raise BadRequest("after is no page's end in this order", remedy="Use the next of the page before.")
        return FieldPlace(self._order, place.seq, *found[0])

    @property
    def seq(self) -> str:
        return "i.seq"

    def sorted(self, place: Place | None, parameters: Parameters) -> tuple[str, str]:
        parts = " OR ".join(f"({part})" for part, _ in self._parts(place, parameters))
        return parts, f"{self._expression} {self._way}, {self._by_key}"

    def place_of_row(self, row: Row) -> FieldPlace:
        return FieldPlace(self._order, row[5])

    def end(self, place: Place | None, size: int) -> FieldPlace | None:
        parameters = Parameters()
        statement = f"SELECT seq, e, key FROM ({self._facts(place, size, parameters)})"
        found = self._rows(f"{statement} LIMIT 1 OFFSET {parameters.add(size - 1)}", parameters.values)
        return FieldPlace(self._order, *found[0]) if found else None

    def statement(self, part: Slice, parameters: Parameters, *, conditions: Sequence[str], limit: int) -> str:
        name, most = parameters.add(self._scope.type_name), parameters.add(limit)
        joined, counts = counting(self._scope, parameters)
        return (
            f"SELECT f.value, f.common, {name}, f.key, {time_of(self._scope)}, f.seq"
            f" FROM ({self._facts(part.place, part.size, parameters)} LIMIT {parameters.add(part.size)}) i"
            f" CROSS JOIN fact f ON f.seq = i.seq {joined} WHERE {every([counts, *conditions])}"
            f" ORDER BY i.e {self._way}, i.key {self._way}, i.seq {self._way} LIMIT {most}"
        )

    def _facts(self, place: Place | None, size: int, parameters: Parameters) -> str:
        """The facts of the index after the place, in its order: first the rest of those with the same value."""
        arms = (
            f"SELECT * FROM (SELECT {self._expression} AS e, f.key, f.seq FROM fact f INDEXED BY {self._index}"
            f" WHERE f.type = {self._scope.type_id} AND {part} ORDER BY {order} LIMIT {parameters.add(size)})"
            for part, order in self._parts(place, parameters)
        )
        return f"SELECT * FROM ({' UNION ALL '.join(arms)})"

    def _parts(self, place: Place | None, parameters: Parameters) -> list[tuple[str, str]]:
        """The stretches of the index after the place, each with the order that it has there by itself."""
        e, sign = self._expression, "<" if self._is_descending else ">"
        by_value = f"{e} {self._way}, {self._by_key}"
        start = place if isinstance(place, FieldPlace) else None
        stretches = [] if self.within is None else self.within.stretches(parameters)
        if self._is_descending:
            stretches.reverse()
        if start is not None and start.value is not None:
            value = parameters.add(start.value)
            same = self._rest(f"{e} = {value}", start, parameters)
            beyond = f"{e} {sign} {value}"
            if stretches:
                return [*same, *((every([beyond, stretch]), by_value) for stretch in stretches)]
            parts = [*same, (beyond, by_value)]
            return [*parts, (f"{e} IS NULL", self._by_key)] if self._is_descending else parts
        if stretches and not (start is not None and self._is_descending):  # What has no value lies in none.
            return [(stretch, by_value) for stretch in stretches]
        nothing = [(f"{e} IS NULL", self._by_key)] if start is None else self._rest(f"{e} IS NULL", start, parameters)
        if start is not None and self._is_descending:
            return nothing
        # Every number and text is greater than the one and less than the other, and NULL is neither.
        something = (f"{e} {sign} {parameters.add(_ABOVE_ALL if self._is_descending else _BELOW_ALL)}", by_value)
        return [something, *nothing] if self._is_descending else [*nothing, something]

    def _rest(self, alike: str, start: FieldPlace, parameters: Parameters) -> list[tuple[str, str]]:
        """What comes after the place among the facts with the same value: versions of the same record, then others."""
        sign = "<" if self._is_descending else ">"
        key = f"{alike} AND f.key = {parameters.add(start.key)} AND f.seq {sign} {parameters.add(start.seq)}"
        return [(key, f"f.seq {self._way}"), (f"{alike} AND f.key {sign} {parameters.add(start.key)}", self._by_key)]


def time_of(scope: Scope) -> str:
    """The time of a record whose fact is joined by `counting`."""
    return "c.at" if scope.as_of is None else "coalesce(c.at, p.at)"


def counting(scope: Scope, parameters: Parameters) -> tuple[str, str]:
    """For a fact `f`: joins to where it counts, and the condition that it does."""
    of_current = "JOIN current c ON c.type = f.type AND c.key = f.key AND c.seq = f.seq"
    if scope.as_of is None:
        return f"CROSS {of_current}", "c.deleted = 0"
    of_past = "LEFT JOIN past p ON p.type = f.type AND p.key = f.key AND p.seq = f.seq"
    present = f"c.seq IS NOT NULL AND {had(scope.as_of, 'c', parameters)}"
    counts = f"f.deleted = 0 AND (({present}) OR ({spanned(scope.as_of, 'p', parameters)}))"
    return f"LEFT {of_current} {of_past}", counts


def word(place: Place) -> str:
    """The place as the `next` of a page."""
    return word_of(FieldPlace(place.order, place.seq) if isinstance(place, FieldPlace) else place)


def every(conditions: Sequence[str]) -> str:
    """That all of the conditions hold."""
    return " AND ".join(f"({condition})" for condition in conditions)


def _beyond_key(row: str, place: Place | None, parameters: Parameters) -> str:
    return f"{row}.key > {parameters.add(_key_place(place).key)}"


def _key_place(place: Place | None) -> KeyPlace:
    """The place, the beginning where there is none."""
    return place if isinstance(place, KeyPlace) else KeyPlace("")


def _before_time(at: str, seq: str, place: Place | None, parameters: Parameters) -> str:
    last = (place.at, place.seq) if isinstance(place, NewestPlace) else (float("inf"), SEQ_MAX)
    return f"({at}, {seq}) < ({parameters.add(last[0])}, {parameters.add(last[1])})"
