"""What requests say of moments and filters, read into a store's own words, and written for the way there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from core.model.errors import BadRequest
from core.model.fact import JsonObject
from core.model.filter import (
    DEPTH_MAX,
    NODES_MAX,
    And,
    Compare,
    Filter,
    Literal,
    Missing,
    Path,
    parse,
    parse_path,
)
from core.store import AsOf, AtSeq, AtTime

_LEVELS_MAX = 3 * DEPTH_MAX


def moment(as_of: object) -> AsOf | None:
    """The moment that `{"seq": n}`, `{"time": t}` or a bare time names; None for the present."""
    if as_of is None:
        return None
    if isinstance(as_of, (int, float)) and not isinstance(as_of, bool):
        return AtTime(float(as_of))
    if isinstance(as_of, dict) and len(as_of) == 1:
        ((name, value),) = as_of.items()
        if name == "seq" and type(value) is int and value >= 0:
            return AtSeq(value)
        if name == "time" and isinstance(value, (int, float)) and not isinstance(value, bool):
            return AtTime(float(value))
    raise BadRequest('as_of is a position, {"seq": n}, or a time in epoch seconds.')


def moment_document(as_of: AsOf | None) -> JsonObject | None:
    """How a moment is asked for."""
    if as_of is None:
        return None
    return {"seq": as_of.seq} if isinstance(as_of, AtSeq) else {"time": as_of.time}


def filter_of(where: object) -> Filter | None:
    """The filter that a text in the filter language, `{field: value}` or a tree `{"tree": …}` asks for."""
    if where is None or where == {} or where == "":
        return None
    if isinstance(where, str):
        return parse(where)
    if not isinstance(where, dict):
        raise BadRequest("where is a filter, or an object of fields and their values.")
    if set(where) == {"tree"} and isinstance(where["tree"], dict):
        return _tree(where["tree"])
    if len(where) > NODES_MAX:
        raise BadRequest(f"where names {len(where)} fields, allowed are {NODES_MAX}.")
    terms = tuple(_equals(name, value) for name, value in where.items())
    return terms[0] if len(terms) == 1 else And(terms)


def filter_document(where: Filter | None) -> JsonObject | None:
    """How a filter is asked for."""
    return None if where is None else {"tree": msgspec.to_builtins(where)}


def _equals(name: str, value: object) -> Filter:
    path = parse_path(name) if "->" in name else Path((name,))
    if value is None:
        return Missing(path)
    if isinstance(value, bool):
        return Compare(path, "==", Literal("bool", value))
    if isinstance(value, (int, float)):
        return Compare(path, "==", Literal("number", value))
    if isinstance(value, str):
        return Compare(path, "==", Literal("text", value))
    raise BadRequest(f"where: {name!r:.80} is compared with a {type(value).__name__}; take a text, number or bool.")


def _tree(document: Mapping[str, Any]) -> Filter:
    """A tree as large as a filter's text can make one, and no larger."""
    nodes: list[tuple[object, int]] = [(document, 1)]
    seen = 0
    while nodes:
        node, level = nodes.pop()
        seen += isinstance(node, dict) and node.get("type") not in ("path", "literal")
        if seen > NODES_MAX or level > _LEVELS_MAX:
            raise BadRequest(f"The filter is larger than {NODES_MAX} terms or deeper than {DEPTH_MAX}.")
        if isinstance(node, dict):
            nodes += [(inner, level + 1) for inner in node.values()]
        elif isinstance(node, list):
            nodes += [(inner, level + 1) for inner in node]
    try:
        tree: Filter = msgspec.convert(document, Filter)
    except msgspec.ValidationError as err:
        raise BadRequest(f"The filter is none: {err}") from err
    return tree
