"""Which declared index narrows a filter down, and how far.

A range holds every fact that the filter can match; the filter itself is still asked of each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from core.model.filter import TIME_KINDS, And, Compare, Filter, In, Literal, is_place
from core.model.manifest import TypeSpec
from core.store.asking.where import Parameters
from core.store.log.declarations import field_expression, index_name, quoted_name
from core.store.rows import Rows

_INDEXES = "SELECT path, name FROM field_index WHERE type = ?"
_INT64 = 2**63
# What an object begins with in an index, and what begins after all of them.
_OBJECTS, _NO_MORE = "{", "|"
_Scalar = str | int | float


class Range(NamedTuple):
    """A part of the index `name`: these `values`, or all between two ends, each with whether it is included.

    `has_objects`: and all objects, as which days and times may stand there; they come after every other text of ours.
    """

    path: str
    name: str
    values: tuple[_Scalar, ...] = ()
    low: tuple[_Scalar, bool] | None = None
    high: tuple[_Scalar, bool] | None = None
    has_objects: bool = False

    @property
    def is_by_key(self) -> bool:
        """Whether its facts stand in the index by their keys: those of one value do."""
        return len(self.values) == 1 and not self.has_objects

    def facts(self, type_id: int, parameters: Parameters) -> str:
        """What selects the positions of its facts."""
        return " UNION ALL ".join(
            f"SELECT f.seq FROM fact f INDEXED BY {quoted_name(self.name)} WHERE f.type = {type_id} AND {stretch}"
            for stretch in self.stretches(parameters)
        )

    def source(self, type_id: int, parameters: Parameters) -> tuple[str, str]:
        """Its facts as a source of a selection, and the condition that they alone meet."""
        stretch, *others = self.stretches(parameters)
        if others:
            return "fact f", f"f.seq IN ({self.facts(type_id, parameters)})"
        return f"fact f INDEXED BY {quoted_name(self.name)}", f"f.type = {type_id} AND {stretch}"

    def stretches(self, parameters: Parameters) -> list[str]:
        """What holds of the field in the facts of each stretch that lies together in the index, in its order."""
        found = [" AND ".join(self._bounds(parameters))]
        if self.has_objects:
            expression = field_expression(self.path)
            found.append(f"{expression} >= {parameters.add(_OBJECTS)} AND {expression} < {parameters.add(_NO_MORE)}")
        return found

    def _bounds(self, parameters: Parameters) -> list[str]:
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
    """The name of the index of each path that the type declares and this store has indexed as this version does."""
    there = rows(_INDEXES, (type_id,))
    return {str(path): str(name) for path, name in there if path in spec.index and name == index_name(type_id, path)}


def narrowest(rows: Rows, given: Sequence[Range], type_id: int, *, most: int) -> tuple[Range, int] | None:
    """The range of the fewest facts, and how many they are; None where each has more than `most`, or there is none."""
    best: tuple[Range, int] | None = None
    ceiling = most
    for one in given:
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
        for one in _given(term, indexes):
            known = found.get(one.path, one)
            # Each term alone holds all that can match, so the values or the end of one of them are enough.
            found[one.path] = known._replace(
                values=known.values or one.values,
                low=known.low or one.low,
                high=known.high or one.high,
                has_objects=known.has_objects or one.has_objects,
            )
    return sorted(map(_closed, found.values()), key=lambda one: not one.values)


def _given(term: Filter, indexes: dict[str, str]) -> Iterator[Range]:
    """What a term gives for an index, if anything."""
    if not isinstance(term, Compare | In) or term.path.is_shared or any(map(is_place, term.path.steps)):
        return
    path = next((path for path in indexes if tuple(path.split(".")) == term.path.steps), None)
    if path is None:
        return
    if isinstance(term, In):
        values = [_scalar(literal) for literal in term.literals]
        if None not in values:
            yield Range(path, indexes[path], values=tuple(value for value in values if value is not None))
        return
    # A day or a time may stand there as a text, or in an object of its own.
    is_time = term.literal.kind in TIME_KINDS
    value = str(term.literal.value) if is_time else _scalar(term.literal)
    if value is None:
        return
    end = (value, term.operator in ("<=", ">="))
    if term.operator == "==":
        yield Range(path, indexes[path], values=(value,), has_objects=is_time)
    elif term.operator in (">", ">="):
        yield Range(path, indexes[path], low=end, has_objects=is_time)
    elif term.operator in ("<", "<="):
        yield Range(path, indexes[path], high=end, has_objects=is_time)


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
    """With single values, no ends; with one end, the other where the type of the value ends: texts follow numbers.

    Where objects are in it as well, none of them stands in two stretches.
    """
    if one.values:
        values = tuple(value for value in one.values if not (one.has_objects and _is_object(value)))
        if values:
            return one._replace(values=values, low=None, high=None)
        return one._replace(values=(), low=(_OBJECTS, True), high=(_NO_MORE, False), has_objects=False)
    if one.low is not None and one.high is None:
        if isinstance(one.low[0], str):  # All objects come after it.
            return one._replace(low=min(one.low, (_OBJECTS, True)) if one.has_objects else one.low, has_objects=False)
        return one._replace(high=("", False))
    if one.high is not None and isinstance(one.high[0], str):
        low = ("", True) if one.low is None else one.low
        if one.has_objects and one.high[0] >= _OBJECTS:
            return one._replace(low=low, high=max(one.high, (_NO_MORE, False)), has_objects=False)
        return one._replace(low=low)
    return one


def _is_object(value: _Scalar) -> bool:
    return isinstance(value, str) and _OBJECTS <= value < _NO_MORE
