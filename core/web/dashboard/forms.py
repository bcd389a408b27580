"""A form made from a manifest's settings schema, and settings made from what comes back. Pure.

Every input is named by the JSON pointer of its setting: `/feeds/0`, `/accounts/1/password`. Names that begin with
`@` after the pointer are the form's own: `@row` keeps an empty row, `@sealed` the mark of a secret that stays,
`@clear` removes one, `@lines` takes many entries at once; `@focus` names the row where typing goes on. What was typed
is kept as text until it is judged, so a form can be shown again exactly as it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ROWS_MAX = 1000
ROWS_SHOWN_EMPTY = 1
Schema = Mapping[str, Any]
Typed = dict[str, str]


@dataclass(frozen=True)
class Input:
    """One setting as it is shown: `kind` is text, url, password, number, checkbox, choice, list or group."""

    name: str
    kind: str
    title: str
    about: str = ""
    text: str = ""
    is_required: bool = False
    has_secret: bool = False
    sealed: str = ""
    fault: str = ""
    choices: Sequence[str] = ()
    step: str = ""
    least: str = ""
    most: str = ""
    example: str = ""
    inputs: Sequence[Input] = ()
    is_simple_list: bool = False
    has_focus: bool = False
    lines: str = ""
    lines_fault: str = ""

    @property
    def id(self) -> str:
        """An id for the HTML element."""
        return "f" + self.name.replace("/", "-").replace("~", "_")


def inputs(fields: Schema, typed: Mapping[str, str], faults: Mapping[str, str]) -> list[Input]:
    """The inputs of a settings table, filled with what was typed and marked with what is wrong."""
    return _inputs(fields, "", typed, faults, required=())


def typed_of(fields: Schema, settings: Mapping[str, Any]) -> Typed:
    """Settings as the form would send them; a secret's mark `{"sealed": …}` as the form's own."""
    typed: Typed = {}
    for name, schema in fields.items():
        value = settings.get(name, schema.get("default"))
        if value is not None:
            _type_in(schema, f"/{escaped(name)}", value, typed)
    return typed


def settings_of(fields: Schema, typed: Mapping[str, str]) -> dict[str, Any]:
    """The settings that were typed; what is no number stays text, for the check to name it."""
    return _object(fields, "", typed)


def with_row(typed: Mapping[str, str], name: str) -> Typed:
    """What was typed, with an empty row more in the list of that name."""
    rows = _row_numbers(typed, name)
    if len(rows) >= ROWS_MAX:
        return dict(typed)
    row = f"{name}/{rows[-1] + 1 if rows else 0}"
    return {**typed, f"{row}/@row": "", "@focus": row}


def without_row(typed: Mapping[str, str], name: str) -> Typed:
    """What was typed, without the row of that name; the rows after it move up."""
    listing, _, number = name.rpartition("/")
    if not number.isdecimal() or len(number) > 6:
        return dict(typed)
    kept: Typed = {}
    for key, text in typed.items():
        match = re.fullmatch(re.escape(listing) + r"/(\d{1,6})(/.*)?", key)
        if match is None or int(match[1]) < int(number):
            kept[key] = text
        elif int(match[1]) > int(number):
            kept[f"{listing}/{int(match[1]) - 1}{match[2] or ''}"] = text
    return kept


@dataclass(frozen=True)
class Entry:
    """One entry of a list that was typed: in the row of that name, or on that line of many."""

    value: Any
    row: str = ""
    line: int = 0


def entries(items: Schema, name: str, typed: Mapping[str, str]) -> list[Entry]:
    """The entries of a list as they were typed, without empty ones; of one address the first counts, once."""
    rows = [Entry(_value(items, f"{name}/{row}", typed), f"{name}/{row}") for row in _row_numbers(typed, name)]
    found = [entry for entry in rows if not _is_untouched(items, entry.value)]
    lines = enumerate(typed.get(f"{name}/@lines", "").splitlines(), start=1)
    found += [Entry(text.strip(), line=number) for number, text in lines if text.strip()]
    return _once(found, is_address=kind_of(items) == "url")[: ROWS_MAX + 1]


def _once(found: Sequence[Entry], *, is_address: bool) -> list[Entry]:
    known: set[str] = set()
    kept = []
    for entry in found:
        is_said_again = isinstance(entry.value, str) and entry.value in known and (is_address or entry.line)
        if not is_said_again:
            kept.append(entry)
        if isinstance(entry.value, str):
            known.add(entry.value)
    return kept


def _inputs(
    fields: Schema, prefix: str, typed: Mapping[str, str], faults: Mapping[str, str], *, required: Sequence[str]
) -> list[Input]:
    return [
        _input(
            schema,
            f"{prefix}/{escaped(name)}",
            typed,
            faults,
            title=name,
            is_required=name in required or schema.get("required") is True,
        )
        for name, schema in fields.items()
    ]


def _input(
    schema: Schema, name: str, typed: Mapping[str, str], faults: Mapping[str, str], *, title: str, is_required: bool
) -> Input:
    kind = kind_of(schema)
    nested: list[Input] = []
    if kind == "group":
        typed = _focus_inside(schema, name, typed)
        nested = _inputs(schema.get("properties", {}), name, typed, faults, required=_required_of(schema))
    elif kind == "list":
        items = schema.get("items", {"type": "string"})
        nested = [
            _input(items, row, _with_defaults(items, row, typed), faults, title="Entry", is_required=False)
            for row in _rows_shown(typed, name)
        ]
    sealed = typed.get(f"{name}/@sealed", "")
    return Input(
        name=name,
        kind=kind,
        title=str(schema.get("title") or title.replace("_", " ").capitalize()),
        about=str(schema.get("description", "")),
        text=typed.get(name, ""),
        is_required=is_required,
        has_secret=bool(sealed),
        sealed=sealed,
        fault=faults.get(name, ""),
        choices=[str(choice) for choice in schema.get("enum", ())],
        step="1" if schema.get("type") == "integer" else "any",
        least=str(schema.get("minimum", "")),
        most=str(schema.get("maximum", "")),
        example=str((schema.get("examples") or [""])[0]),
        inputs=nested,
        is_simple_list=kind == "list" and kind_of(schema.get("items", {})) in ("text", "url"),
        has_focus=typed.get("@focus") == name,
        lines=typed.get(f"{name}/@lines", ""),
        lines_fault=faults.get(f"{name}/@lines", ""),
    )


def _focus_inside(schema: Schema, name: str, typed: Mapping[str, str]) -> Mapping[str, str]:
    """What was typed; where a group is to have the focus, its first input has it."""
    first = next(iter(schema.get("properties", {})), None)
    return {**typed, "@focus": f"{name}/{escaped(first)}"} if first and typed.get("@focus") == name else typed


def _required_of(schema: Schema) -> Sequence[str]:
    """The fields that an object's schema lists as required; `required = true` is said of a field itself."""
    required = schema.get("required", ())
    return required if isinstance(required, list | tuple) else ()


def kind_of(schema: Schema) -> str:
    """As what a setting is shown."""
    if "enum" in schema:
        return "choice"
    if schema.get("secret") is True or schema.get("format") == "password":
        return "password"
    by_type = {"boolean": "checkbox", "integer": "number", "number": "number", "array": "list", "object": "group"}
    if schema.get("type") in by_type:
        return by_type[schema["type"]]
    return "url" if schema.get("format") in ("url", "uri") else "text"


def _rows_shown(typed: Mapping[str, str], name: str) -> list[str]:
    return [f"{name}/{row}" for row in _row_numbers(typed, name) or range(ROWS_SHOWN_EMPTY)]


def _with_defaults(items: Schema, row: str, typed: Mapping[str, str]) -> Mapping[str, str]:
    """What was typed; in a row that is new, what its fields have from the start."""
    if any(key == row or (key.startswith(f"{row}/") and key != f"{row}/@row") for key in typed):
        return typed
    defaults: Typed = {}
    _type_in(items, row, items.get("default", {} if kind_of(items) == "group" else ""), defaults)
    return {**defaults, **typed}


def _row_numbers(typed: Mapping[str, str], name: str) -> list[int]:
    pattern = re.compile(re.escape(name) + r"/(\d{1,6})(?:/|$)")
    return sorted({int(match[1]) for match in map(pattern.match, typed) if match})[:ROWS_MAX]


def _type_in(schema: Schema, name: str, value: Any, typed: Typed) -> None:
    kind = kind_of(schema)
    if isinstance(value, Mapping) and set(value) == {"sealed"}:
        typed[f"{name}/@sealed"] = str(value["sealed"])
    elif kind == "group" and isinstance(value, Mapping):
        for field, inner in schema.get("properties", {}).items():
            given = value.get(field, inner.get("default"))
            if given is not None:
                _type_in(inner, f"{name}/{escaped(field)}", given, typed)
    elif kind == "list" and isinstance(value, list | tuple):
        for row, item in enumerate(value):
            typed[f"{name}/{row}/@row"] = ""
            _type_in(schema.get("items", {}), f"{name}/{row}", item, typed)
    elif kind == "checkbox":
        if value:
            typed[name] = "on"
    elif kind != "password":
        typed[name] = str(value)


def _object(fields: Schema, prefix: str, typed: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, schema in fields.items():
        value = _value(schema, f"{prefix}/{escaped(name)}", typed)
        if value is not None:
            found[name] = value
    return found


def _value(schema: Schema, name: str, typed: Mapping[str, str]) -> Any:
    kind = kind_of(schema)
    if kind == "group":
        return _object(schema.get("properties", {}), name, typed)
    if kind == "list":
        return _list(schema.get("items", {"type": "string"}), name, typed)
    if kind == "checkbox":
        return name in typed
    if kind == "password":
        return _secret(name, typed)
    text = typed.get(name, "").strip()
    if kind == "choice":
        return next((choice for choice in schema["enum"] if str(choice) == text), text or None)
    return (_number(text, schema["type"]) if kind == "number" else text) if text else None


def _secret(name: str, typed: Mapping[str, str]) -> Any:
    if typed.get(name):
        return typed[name]
    sealed = typed.get(f"{name}/@sealed")
    return {"sealed": sealed} if sealed and f"{name}/@clear" not in typed else None


def _list(items: Schema, name: str, typed: Mapping[str, str]) -> list[Any]:
    return [entry.value for entry in entries(items, name, typed)]


def _is_untouched(items: Schema, row: Any) -> bool:
    """Whether nobody typed anything into the row: what its fields have from the start does not count."""
    if not isinstance(row, Mapping) or kind_of(items) != "group":
        return row is None
    fields = items.get("properties", {})
    return all(value in (None, "", False, [], {}, fields.get(n, {}).get("default")) for n, value in row.items())


def _number(text: str, kind: str) -> int | float | str:
    try:
        number = int(text) if kind == "integer" else float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def escaped(name: str) -> str:
    """A name as part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
