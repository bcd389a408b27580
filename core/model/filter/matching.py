"""A filter as a function on one record's `value` and `common`.

A name means `value`, else `common`; `common->at` looks in `common` alone, and a path that the type declares under
`index` in `value` alone. JSON null is nothing; a number as a name is a place in a list.

- `==` holds for equal values of one type; `!=` for whatever is there and not equal, of another type too;
  `< <= > >=` for values of one type. Texts are ordered by code point, numbers by their exact value, false before true.
- A date or time is compared as the text that it is written as, so it fits sources that write one form throughout.
- A ref, uri, symbol or number with a unit, and a date or time too, fits the object that Hayson writes for it:
  `{"_kind": "ref", "val": "a"}`. Where a list holds refs, one of them that fits is enough.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.model.filter.tree import And, Compare, Contains, Every, Filter, Has, In, Literal, Missing, Or, Path, Symbol
from core.model.manifest import TypeSpec

Predicate = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]

PLACE_DIGITS_MAX = 9

_Look = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]
_Test = Callable[[Any], bool]

_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TIME_KINDS = ("date", "time", "dateTime")


def predicate(tree: Filter, spec: TypeSpec | None = None) -> Predicate:
    """Whether a record matches, as a function on its `value` and its whole `common`; it never raises.

    `spec` is the record's type where it has one: it says which paths mean the value alone.

    >>> from core.model.filter import parse
    >>> starred = predicate(parse('stars > 100 and owner->login == "octocat"'))
    >>> starred({"stars": 101, "owner": {"login": "octocat"}}, {}), starred({"stars": "101"}, {})
    (True, False)
    """
    declared = value_alone(spec)
    return _node(tree, declared)


def value_alone(spec: TypeSpec | None) -> frozenset[tuple[str, ...]]:
    """The paths that mean the value alone: those the type declares under `index`."""
    return frozenset(tuple(path.split(".")) for path in spec.index) if spec is not None else frozenset()


def _node(tree: Filter, declared: frozenset[tuple[str, ...]]) -> Predicate:
    if isinstance(tree, And):
        terms = [_node(term, declared) for term in tree.terms]
        return lambda value, common: all(term(value, common) for term in terms)
    if isinstance(tree, Or):
        terms = [_node(term, declared) for term in tree.terms]
        return lambda value, common: any(term(value, common) for term in terms)
    if isinstance(tree, Every):
        return lambda _value, _common: True
    if isinstance(tree, Symbol):
        return _node(symbol_terms(tree), declared)
    if isinstance(tree, Has | Missing | Compare | In | Contains):
        look, test = _look(tree.path, declared), _test(tree)
        return lambda value, common: test(look(value, common))
    return lambda _value, _common: False


def symbol_terms(symbol: Symbol) -> And:
    """What a symbol asks where nothing defines it: all the names that it is made of."""
    return And(tuple(Has(Path((name,))) for name in symbol.name.split("-")))


def _look(path: Path, declared: frozenset[tuple[str, ...]]) -> _Look:
    steps = path.steps
    if path.is_shared:
        return lambda _value, common: found_at(common, steps)
    if steps in declared:
        return lambda value, _common: found_at(value, steps)

    def look(value: Mapping[str, Any], common: Mapping[str, Any]) -> Any:
        found = found_at(value, steps)
        return found_at(common, steps) if found is None else found

    return look


def found_at(document: Any, steps: Sequence[str]) -> Any:
    """What the names lead to from the top of a document; None for nothing."""
    for step in steps:
        if isinstance(document, Mapping):
            document = document.get(step)
        elif isinstance(document, list | tuple) and is_place(step) and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def is_place(step: str) -> bool:
    """Whether a name, where it meets a list, is a place in it."""
    return step.isascii() and step.isdecimal() and len(step) <= PLACE_DIGITS_MAX


def _test(tree: Has | Missing | Compare | In | Contains) -> _Test:
    if isinstance(tree, Has):
        return lambda found: found is not None
    if isinstance(tree, Missing):
        return lambda found: found is None
    if isinstance(tree, Compare):
        return _unequal(tree.literal) if tree.operator == "!=" else _related(tree.literal, tree.operator)
    if isinstance(tree, In):
        equals = [_related(literal, "==") for literal in tree.literals]
        return lambda found: any(equal(found) for equal in equals)
    return _containing(tree.literal)


def _containing(literal: Literal) -> _Test:
    equal, part = _one(literal, "=="), literal.value

    def test(found: Any) -> bool:
        if isinstance(found, list | tuple):
            return any(equal(item) for item in found)
        return isinstance(found, str) and literal.kind == "text" and isinstance(part, str) and part in found

    return test


def _related(literal: Literal, relation: str) -> _Test:
    test = _one(literal, relation)
    if literal.kind != "ref":
        return test
    return lambda found: any(test(ref) for ref in _refs(found)) if isinstance(found, list | tuple) else test(found)


def _unequal(literal: Literal) -> _Test:
    equal = _one(literal, "==")
    if literal.kind != "ref":
        return lambda found: found is not None and not equal(found)

    def test(found: Any) -> bool:
        refs = _refs(found) if isinstance(found, list | tuple) else []
        return found is not None and (any(not equal(ref) for ref in refs) if refs else not equal(found))

    return test


def _refs(found: list[Any] | tuple[Any, ...]) -> list[Any]:
    return [item for item in found if _of_kind(item, "ref") and isinstance(item.get("val"), str)]


def _one(literal: Literal, relation: str) -> _Test:
    """The relation to one value, lists not looked into."""
    compare, wanted, kind, unit = _RELATIONS[relation], literal.value, literal.kind, literal.unit
    if kind == "text":
        return lambda found: isinstance(found, str) and compare(found, wanted)
    if kind == "bool":
        return lambda found: isinstance(found, bool) and compare(found, wanted)
    if kind == "number" and not unit:
        return lambda found: _is_number(found) and compare(found, wanted)
    if kind == "number":
        return lambda found: (
            _of_kind(found, kind)
            and found.get("unit") == unit
            and _is_number(found.get("val"))
            and compare(found["val"], wanted)
        )

    def test(found: Any) -> bool:
        if kind in TIME_KINDS and isinstance(found, str):
            return compare(found, wanted)
        return _of_kind(found, kind) and isinstance(found.get("val"), str) and compare(found["val"], wanted)

    return test


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _of_kind(found: Any, kind: str) -> bool:
    return isinstance(found, Mapping) and found.get("_kind") == kind
