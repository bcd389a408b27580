"""A record's value as a tree to look at, and as a piece of text. Pure and bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.web.dashboard.links import link

NODES_MAX = 2000
TEXT_LENGTH_MAX = 4000
OPEN_DEPTH = 2
DEPTH_MAX = 40


@dataclass(frozen=True)
class Node:
    """One value in the tree: `text` of a leaf, or `children` of an object or a list."""

    name: str
    kind: str
    text: str = ""
    href: str | None = None
    children: Sequence[Node] = ()
    is_open: bool = True
    left_out: int = 0


def tree(name: str, value: Any) -> Node:
    """The value as nodes, at most two thousand; what is left out is counted."""
    return _node(name, value, _Budget(NODES_MAX), 0)


def at_path(value: Any, path: str | None) -> Any:
    """What stands at a dotted path, or None."""
    for part in path.split(".") if path else ():
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if path else None


def plain(value: Any, length_max: int = TEXT_LENGTH_MAX) -> str:
    """A value in one piece of text: as it is when it is text, else as JSON; cut where it is too long."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def first_words(text: str, length_max: int) -> str:
    """The whole words at the text's beginning that fit.

    >>> first_words("The lighthouse keepers kept time", 20)
    'The lighthouse…'
    """
    if len(text) <= length_max:
        return text
    cut = text[:length_max]
    return (cut.rpartition(" ")[0] if " " in cut else cut[:-1]).rstrip(" ,;:-–") + "…"


@dataclass
class _Budget:
    left: int


def _node(name: str, value: Any, budget: _Budget, depth: int) -> Node:
    budget.left -= 1
    if isinstance(value, Mapping):
        return _branch(name, "object", value.items(), len(value), budget, depth)
    if isinstance(value, list | tuple):
        return _branch(name, "list", ((str(i), item) for i, item in enumerate(value)), len(value), budget, depth)
    kind = {bool: "flag", int: "number", float: "number", type(None): "null"}.get(type(value), "text")
    return Node(name, kind, plain(value) if value is not None else "null", link(value))


def _branch(name: str, kind: str, items: Any, length: int, budget: _Budget, depth: int) -> Node:
    children = list(_children(items, budget, depth + 1)) if depth < DEPTH_MAX else []
    noun = "field" if kind == "object" else "item"
    text = f"{length} {noun}{'' if length == 1 else 's'}"
    return Node(
        name, kind, text, children=children, is_open=depth < OPEN_DEPTH, left_out=max(0, length - len(children))
    )


def _children(items: Iterator[tuple[str, Any]], budget: _Budget, depth: int) -> Iterator[Node]:
    for name, value in items:
        if budget.left <= 0:
            return
        yield _node(str(name), value, budget, depth)
