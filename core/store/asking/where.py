"""A filter as a condition in SQL over `fact.value` and `fact.common`, which agrees with the filter's predicate.

Every name, text and number goes as a parameter. What takes care to agree: JSON true is 1 to SQLite, so types are
asked for; numbers are compared exactly; a shared field that is declared by path is looked up where its path leads.
Facts are called `f`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import msgspec

from core.model.filter import (
    TIME_KINDS,
    And,
    Compare,
    Contains,
    Every,
    Filter,
    Has,
    In,
    Literal,
    Missing,
    Or,
    Path,
    Symbol,
    is_place,
    symbol_terms,
    value_alone,
)
from core.model.manifest import TypeSpec
from core.store.asking.exact import is_small, number_test, sql_of


class Parameters:
    """The values of one statement, each under its number."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._numbers: dict[tuple[type, Any], str] = {}

    def add(self, value: str | int | float | bytes | None) -> str:
        """How the statement names `value`; equal ones share a number."""
        known = (type(value), value)
        if known not in self._numbers:
            self._values.append(value)
            self._numbers[known] = f"?{len(self._values)}"
        return self._numbers[known]

    @property
    def values(self) -> tuple[Any, ...]:
        """All of them, in the order of their numbers."""
        return tuple(self._values)


class _Spot:
    """One JSON value inside a fact, as the expressions that tell its type and what it is.

    `digits` is its text where it is an integer; `member` gives the spot of one of its members where it is an object.
    """

    def __init__(self, *, type_: str, value: str, digits: str, member: Callable[[str], _Spot]) -> None:
        self.type, self.value, self.digits, self.member = type_, value, digits, member

    @property
    def holds(self) -> str:
        """That something is there: 1 or 0, never NULL."""
        return f"coalesce({self.type}, 'null') <> 'null'"


class _Place:
    """A column and a path in it, under the conditions that make it what the filter's path means."""

    def __init__(self, column: str, path: str, guards: Sequence[str], add: Callable[[Any], str]) -> None:
        self.guards = tuple(guards)
        self.spot = _in_column(column, path, add)
        named = add(path)
        self.items = f"json_each({column}, {named}) e"
        self.item = _Spot(
            type_="e.type",
            value="e.value",
            digits=f"({column} -> ({named} || '[' || e.key || ']'))",
            # What is no object is no JSON document either, so its members must not be asked for.
            member=lambda name: _in_column("CASE e.type WHEN 'object' THEN e.value END", "$" + _step(name), add),
        )

    def under(self, test: str) -> str:
        return " AND ".join((*self.guards, f"({test})"))


def _in_column(column: str, path: str, add: Callable[[Any], str]) -> _Spot:
    named = add(path)
    return _Spot(
        type_=f"json_type({column}, {named})",
        value=f"json_extract({column}, {named})",
        digits=f"({column} -> {named})",
        member=lambda name: _in_column(column, path + _step(name), add),
    )


def condition(tree: Filter, parameters: Parameters, spec: TypeSpec) -> str:
    """The filter as an SQL expression that is true for just those facts, of the type of `spec`, that match."""
    return _Where(parameters, spec).node(tree)


class _Where:
    def __init__(self, parameters: Parameters, spec: TypeSpec) -> None:
        self._add = parameters.add
        self._value_alone = value_alone(spec)
        self._declared = {"title": spec.title, **spec.common} if spec.title is not None else spec.common

    def node(self, tree: Filter) -> str:
        if isinstance(tree, And):
            return " AND ".join(f"({self.node(term)})" for term in tree.terms)
        if isinstance(tree, Or):
            return " OR ".join(f"({self.node(term)})" for term in tree.terms)
        if isinstance(tree, Symbol):
            return self.node(symbol_terms(tree))
        if isinstance(tree, Has | Missing):
            held = " OR ".join(place.under(place.spot.holds) for place in self._places(tree.path))
            return held if isinstance(tree, Has) else f"NOT ({held})"
        if isinstance(tree, Compare | In | Contains):
            return " OR ".join(place.under(self._test(tree, place)) for place in self._places(tree.path))
        return "1" if isinstance(tree, Every) else "0"

    def _places(self, path: Path) -> Iterator[_Place]:
        """Where the path may lead, each under the condition that it leads there and nowhere before."""
        of_value = [] if path.is_shared else list(_ways(path.steps))
        yield from (_Place("f.value", way, (), self._add) for way in of_value)
        if of_value and path.steps in self._value_alone:
            return
        nothing = [f"coalesce(json_type(f.value, {self._add(way)}), 'null') = 'null'" for way in of_value]
        guards = ["f.common IS NOT NULL", *nothing]
        yield from (_Place("f.common", way, guards, self._add) for way in _ways(path.steps))
        name, *rest = path.steps
        if name in self._declared:
            # A field that code computed wins over the one declared by path, even where it is null.
            own = f"json_type(f.common, {self._add('$' + _step(name))})"
            guards = [*nothing, f"(f.common IS NULL OR {own} IS NULL)"]
            ways = _ways((*str(self._declared[name]).split("."), *rest))
            yield from (_Place("f.value", way, guards, self._add) for way in ways)

    def _test(self, tree: Compare | In | Contains, place: _Place) -> str:
        if isinstance(tree, In):
            return self._among(tree.literals, place)
        if isinstance(tree, Contains):
            return self._containing(tree.literal, place)
        if tree.operator == "!=":
            return self._unequal(tree.literal, place)
        return self._related(tree.literal, tree.operator, place)

    def _among(self, literals: Sequence[Literal], place: _Place) -> str:
        """One of many values: texts, numbers and refs are looked for together, so that a long list is a short test."""
        texts = [literal.value for literal in literals if literal.kind == "text" or literal.kind in TIME_KINDS]
        numbers = [literal.value for literal in literals if literal.kind == "number" and is_small(literal)]
        refs = [literal.value for literal in literals if literal.kind == "ref"]
        tests = [
            self._related(literal, "==", place)
            for literal in literals
            if literal.kind not in ("text", "ref") and not (literal.kind == "number" and is_small(literal))
        ]
        if texts:
            tests.append(f"{place.spot.value} IN ({self._list(texts)}) AND {place.spot.type} = 'text'")
        if numbers:
            tests.append(f"{place.spot.value} IN ({self._list(numbers)}) AND {place.spot.type} IN ('integer', 'real')")
        if refs:
            tests.append(self._is_ref(place.spot, refs))
            tests.append(_some(place, self._is_ref(place.item, refs)))
        return " OR ".join(f"({test})" for test in tests)

    def _is_ref(self, spot: _Spot, names: Sequence[Any]) -> str:
        val = spot.member("val")
        return f"{self._is_kind('ref', spot)} AND {val.value} IN ({self._list(names)}) AND {val.type} = 'text'"

    def _list(self, values: Sequence[Any]) -> str:
        return ", ".join(map(self._add, values))

    def _containing(self, literal: Literal, place: _Place) -> str:
        among = _some(place, self._one(literal, "==", place.item))
        if literal.kind != "text":
            return among
        return f"{among} OR ({place.spot.type} = 'text' AND instr({place.spot.value}, {self._add(literal.value)}) > 0)"

    def _related(self, literal: Literal, relation: str, place: _Place) -> str:
        test = self._one(literal, relation, place.spot)
        if literal.kind != "ref":
            return test
        return f"({test}) OR {_some(place, self._one(literal, relation, place.item))}"

    def _unequal(self, literal: Literal, place: _Place) -> str:
        unequal = f"{place.spot.holds} AND NOT coalesce({self._one(literal, '==', place.spot)}, 0)"
        if literal.kind != "ref":
            return unequal
        is_ref = f"{self._is_kind('ref', place.item)} AND {place.item.member('val').type} = 'text'"
        other = f"{is_ref} AND NOT coalesce({self._one(literal, '==', place.item)}, 0)"
        return f"CASE WHEN {_some(place, is_ref)} THEN {_some(place, other)} ELSE {unequal} END"

    def _one(self, literal: Literal, relation: str, spot: _Spot) -> str:
        """The relation to one value, lists not looked into; NULL or 0 where it does not hold."""
        kind = literal.kind
        if isinstance(literal.value, bool):
            truth = self._add(int(literal.value))
            return f"({spot.value} {sql_of(relation)} {truth} AND {spot.type} IN ('true', 'false'))"
        if not isinstance(literal.value, str):
            if not literal.unit:
                return self._number(literal.value, relation, spot)
            unit = f"{spot.member('unit').value} IS {self._add(literal.unit)}"
            number = self._number(literal.value, relation, spot.member("val"))
            return f"({self._is_kind(kind, spot)} AND {unit} AND {number})"
        if kind == "text":
            return self._text(literal.value, relation, spot)
        of_kind = f"({self._is_kind(kind, spot)} AND {self._text(literal.value, relation, spot.member('val'))})"
        return f"({self._text(literal.value, relation, spot)} OR {of_kind})" if kind in TIME_KINDS else of_kind

    def _text(self, text: str, relation: str, spot: _Spot) -> str:
        return f"({spot.value} {sql_of(relation)} {self._add(text)} AND {spot.type} = 'text')"

    def _is_kind(self, kind: str, spot: _Spot) -> str:
        return f"{spot.member('_kind').value} IS {self._add(kind)}"

    def _number(self, number: int | float, relation: str, spot: _Spot) -> str:
        return number_test(number, relation, type_=spot.type, value=spot.value, digits=spot.digits, add=self._add)


def _some(place: _Place, test: str) -> str:
    """That the place holds a list, and in it an item of which the test is true."""
    return f"({place.spot.type} = 'array' AND EXISTS (SELECT 1 FROM {place.items} WHERE {test}))"


def _ways(steps: Sequence[str]) -> Iterator[str]:
    """The path as SQLite writes it; a number is a name or a place in a list, as what stands there has it."""
    choices = [(_step(step), f"[{int(step)}]") if is_place(step) else (_step(step),) for step in steps]
    yield from ("$" + "".join(way) for way in product(*choices))


def _step(name: str) -> str:
    return f".{msgspec.json.encode(name).decode()}"
