"""Dotted paths into a JSON document, as a manifest writes them: `author.name`, `photos.0.url`."""

from __future__ import annotations

from typing import Any

from core.model.fact import JsonObject
from core.model.filter import found_at, is_place


def value_at(document: Any, path: str) -> Any:
    """What `document` holds at `path`, a number being a place in a list; None where it holds nothing.

    >>> value_at({"photos": [{"url": "a"}]}, "photos.0.url")
    'a'
    """
    if "." not in path and isinstance(document, dict):
        return document.get(path)
    return found_at(document, path.split("."))


def without(document: JsonObject, paths: tuple[str, ...]) -> JsonObject:
    """`document` less what stands at `paths`; the original is untouched, lists keep their length.

    >>> without({"id": 1, "stats": {"views": 7, "likes": 2}}, ("stats.views",))
    {'id': 1, 'stats': {'likes': 2}}
    """
    for path in paths:
        document = _dropped(document, path)
    return document


def _dropped(document: Any, path: str) -> Any:
    """A copy along `path` only, so that a large document costs no more than its branch."""
    name, _, rest = path.partition(".")
    if isinstance(document, dict) and name in document:
        if not rest:
            return {kept: value for kept, value in document.items() if kept != name}
        return {**document, name: _dropped(document[name], rest)}
    if isinstance(document, (list, tuple)) and is_place(name) and (place := int(name)) < len(document):
        return [*document[:place], _dropped(document[place], rest) if rest else None, *document[place + 1 :]]
    return document


def json_path(path: str) -> str:
    """The path as SQLite's JSON functions write it; a number is a place in a list.

    >>> json_path("photos.0.url")
    '$."photos"[0]."url"'
    """
    return "$" + "".join(f"[{int(name)}]" if is_place(name) else f'."{_escaped(name)}"' for name in path.split("."))


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
