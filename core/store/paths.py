"""Dotted paths into a JSON document, as a manifest writes them: `author.name`, `photos.0.url`."""

from __future__ import annotations

from typing import Any

from core.model.fact import JsonObject

_PLACE_DIGITS_MAX = 9


def value_at(document: Any, path: str) -> Any:
    """What `document` holds at `path`, a number being a place in a list; None where it holds nothing.

    >>> value_at({"photos": [{"url": "a"}]}, "photos.0.url")
    'a'
    """
    if "." not in path and isinstance(document, dict):
        return document.get(path)
    for name in path.split("."):
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, (list, tuple)) and _is_place(name, document):
            document = document[int(name)]
        else:
            return None
    return document


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
    if isinstance(document, (list, tuple)) and _is_place(name, document):
        place = int(name)
        return [*document[:place], _dropped(document[place], rest) if rest else None, *document[place + 1 :]]
    return document


def _is_place(name: str, items: list[Any] | tuple[Any, ...]) -> bool:
    return name.isdecimal() and len(name) <= _PLACE_DIGITS_MAX and int(name) < len(items)


def json_path(path: str) -> str:
    """The path as SQLite's JSON functions write it; a number is a place in a list.

    >>> json_path("photos.0.url")
    '$."photos"[0]."url"'
    """
    return "$" + "".join(f"[{int(name)}]" if _is_number(name) else f'."{_escaped(name)}"' for name in path.split("."))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) <= _PLACE_DIGITS_MAX


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
