"""What is wrong with settings: beside the input or line where it was typed, and by the names people read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.web.dashboard.forms import Input, Schema, entries, escaped, kind_of
from core.web.dashboard.values import plain

LINE_LENGTH_MAX = 80
OWN_TITLES = {"/@id": "Id", "@id": "Id", "@title": "Name"}


@dataclass(frozen=True)
class Fault:
    """One fault as the form's head tells it: the setting's title, what is wrong, and the id of its input."""

    title: str
    what: str
    id: str = ""


def fault_names(fields: Schema, typed: Mapping[str, str], faults: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Faults by the names of their inputs; a path may be dotted or a pointer.

    Entries that came as lines of many have one input together: their faults name the lines.

    >>> feeds = {"feeds": {"type": "array", "items": {"type": "string", "format": "url"}}}
    >>> fault_names(feeds, {"/feeds/0": "", "/feeds/1": "x"}, [("feeds.0", "is no address")])
    {'/feeds/1': 'is no address'}
    """
    named: dict[str, str] = {}
    for path, what in faults:
        parts = path.removeprefix("/").split("/") if path.startswith("/") else path.split(".")
        name, line = _place({"type": "object", "properties": fields}, "", parts, typed)
        said = f"{line} {what}" if line else what
        named[name] = f"{named[name]}\n{said}" if line and name in named else said
    return named


def spoken(inputs: Sequence[Input], faults: Mapping[str, str]) -> list[Fault]:
    """The faults in the order of the form, each by its input's title; those without an input by their own name."""
    known: dict[str, Fault] = {}
    for one in inputs:
        _gather(one, "", known)
    others = [name for name in faults if name not in known]
    return [fault for name, fault in known.items() if name in faults] + [
        Fault(OWN_TITLES.get(name, name.removeprefix("/").replace("/", ", ")), faults[name]) for name in others
    ]


def _gather(one: Input, above: str, known: dict[str, Fault], number: int = 0) -> None:
    title = f"{above} {number}" if number else f"{above}, {one.title}" if above else one.title
    known[one.name] = Fault(title, one.fault, one.id)
    if one.kind == "list":
        for place, row in enumerate(one.inputs, start=1):
            _gather(row, title, known, place)
        known[f"{one.name}/@lines"] = Fault(title, one.lines_fault, f"{one.id}-lines")
    else:
        for inner in one.inputs:
            _gather(inner, title, known)


def _place(schema: Schema, name: str, parts: Sequence[str], typed: Mapping[str, str]) -> tuple[str, str]:
    """The input's name, and the line with its text where the input holds many."""
    if not parts:
        return name, ""
    head, rest = parts[0], parts[1:]
    if kind_of(schema) == "list" and head.isdecimal():
        items: Any = schema.get("items", {"type": "string"})
        found = entries(items, name, typed)
        if int(head) < len(found):
            entry = found[int(head)]
            if entry.line:
                return f"{name}/@lines", f"Line {entry.line}, {plain(entry.value, LINE_LENGTH_MAX)}:"
            return _place(items, entry.row, rest, typed)
    inner = schema.get("properties", {}).get(head)
    if inner is not None:
        return _place(inner, f"{name}/{escaped(head)}", rest, typed)
    return "/".join((name, *parts)), ""
