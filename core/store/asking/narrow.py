"""Which declared index narrows a filter down, and how far.

A range holds every fact that the filter can match; the filter itself is still asked of each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from core.model.filter import And, Compare, Filter, In, Literal, is_place
from core.model.manifest import TypeSpec
from core.store.asking.where import Parameters
from core.store.log.declarations import field_expression, quoted_name
from core.store.rows import Rows

_INDEXES = "SELECT path, name FROM field_index WHERE type = ?"
_INT64 = 2**63
_Scalar = str | int | float


class Range(NamedTuple):
    """A stretch of the index `name`: these `values`, or all between two ends, each with whether it is included."""

    path: str
    name: str
    values: tuple[_Scalar, ...] = ()
    low: tuple[_Scalar, bool] | None = None
    high: tuple[_Scalar, bool] | None = None

    def facts(self, type_id: int, parameters: Parameters, columns: str = "f.seq") -> str:
        """What selects the columns of its facts."""
        return f"SELECT {columns} FROM {self.source} WHERE {self.condition(type_id, parameters)}"

    @property
    def source(self) -> str:
        """The index as a source of facts."""
        return f"fact f INDEXED BY {quoted_name(self.name)}"

    def condition(self, type_id: int, parameters: Parameters) -> str:
        """What holds of its facts alone."""
        return " AND ".join([f"f.type = {type_id}", *self.bounds(parameters)])

    def bounds(self, parameters: Parameters) -> list[str]:
        """What holds of the field in its facts."""
        expression = field_expression(self.path)
        parts = []
        if self.values:
            parts.append(f"{expression} IN ({', '.join(map(parameters.add, self.values))})")
        if self.low is not None:
            parts.append(f"{expression} {'>=' if self.low[1] else '>'} {parameters.add(self.low[0])}")
        if self.high is not None:
            parts.append(f"{expression} {'<=' if self.high[1] else '<'} {parameters.add(self.high[0])}")
        return parts


def indexes_of(rows: Rows, type_id: int, spec: TypeSpec) -> dict[str, str]:
    """The name of the index of each path that the type declares and this store has indexed."""
    return {str(path): str(name) for path, name in rows(_INDEXES, (type_id,)) if path in spec.index}


def narrowest(
    rows: Rows, tree: Filter, type_id: int, indexes: dict[str, str], *, most: int
) -> tuple[Range, int] | None:
    """The range of the fewest facts, and how many they are; None where each has more than `most`, or there is none."""
    best: tuple[Range, int] | None = None
    ceiling = most
    for one in ranges(tree, indexes):
        if ceiling < 0:
            break
        parameters = Parameters()
        counted = f"SELECT count(*) FROM ({one.facts(type_id, parameters)} LIMIT {parameters.add(ceiling + 1)})"
        count = int(rows(counted, parameters.values)[0][0])
        if count <= ceiling:
            best, ceiling = (one, count), count - 1
    return best


def ranges(tree: Filter, indexes: dict[str, str]) -> list[Range]:
    """The ranges that the filter's terms give, the ends of one path put together, those of single values first."""
    found: dict[str, Range] = {}
    for term in tree.terms if isinstance(tree, And) else (tree,):
        for path, values, low, high in _given(term, indexes):
            before = found.get(path) or Range(path, indexes[path])
            found[path] = Range(path, before.name, before.values or values, before.low or low, before.high or high)
    return sorted(map(_closed, found.values()), key=lambda one: not one.values)


_End = tuple[_Scalar, bool] | None


def _given(term: Filter, indexes: dict[str, str]) -> Iterator[tuple[str, tuple[_Scalar, ...], _End, _End]]:
    """What a term gives for an index, if anything: its path, the values, and the two ends."""
    if not isinstance(term, Compare | In) or term.path.is_shared or any(map(is_place, term.path.steps)):
        return
    path = next((path for path in indexes if tuple(path.split(".")) == term.path.steps), None)
    if path is None:
        return
    if isinstance(term, In):
        values = [_scalar(literal) for literal in term.literals]
        if None not in values:
            yield path, tuple(value for value in values if value is not None), None, None
        return
    value = _scalar(term.literal)
    if value is None:
        # A day or time may stand in an object of its own, which its index has after all digits.
        if term.literal.kind == "date" and term.operator in (">", ">="):
            yield path, (), (str(term.literal.value), True), None
        return
    end = (value, term.operator in ("<=", ">="))
    if term.operator == "==":
        yield path, (value,), None, None
    elif term.operator in (">", ">="):
        yield path, (), end, None
    elif term.operator in ("<", "<="):
        yield path, (), None, end


def _scalar(literal: Literal) -> _Scalar | None:
    """The literal as an index has it; None where it has other things too that are equal to it."""
    if literal.kind == "text" and isinstance(literal.value, str):
        return literal.value
    if literal.kind == "bool":
        return int(literal.value)
    if literal.kind == "number" and not literal.unit and not isinstance(literal.value, str):
        return literal.value if -_INT64 <= literal.value < _INT64 else None
    return None


def _closed(one: Range) -> Range:
    """With single values, no ends; with one end, the other where the type of the value ends: texts follow numbers."""
    if one.values:
        return Range(one.path, one.name, one.values)
    if one.high is not None and one.low is None and isinstance(one.high[0], str):
        return one._replace(low=("", True))
    if one.low is not None and one.high is None and not isinstance(one.low[0], str):
        return one._replace(high=("", False))
    return one
