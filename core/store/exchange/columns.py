"""◆ A type's records as a table: which columns they fill, and what stands in each row of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from core.model.fact import JsonObject
from core.model.manifest import TypeSpec
from core.store.paths import value_at

COLUMNS_MAX = 1000
INT_MAX = 2**63 - 1

Kind = Literal["int", "float", "bool", "text"]
Scalar = str | int | float | bool | None

# What a spreadsheet takes for a formula, also in the wide letters of the far east; a tab or a line end hides them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_FIRST = ("key", "at")


class Column(msgspec.Struct, frozen=True):
    """One column: its name, the part of a record that it shows, the path in there, and what kind of values it has."""

    name: str
    part: Literal["key", "at", "common", "value"]
    path: tuple[str, ...]
    kind: Kind


class Columns:
    """The columns of one type, gathered record by record: key, time, shared fields, declared paths, plain members.

    What is nested in a value is left out, unless a declared `index` path leads to it.
    """

    def __init__(self, spec: TypeSpec) -> None:
        self._indexed = spec.index
        self._common: dict[str, set[Kind]] = {}
        self._declared: dict[str, set[Kind]] = {path: set() for path in spec.index if "." in path}
        self._members: dict[str, set[Kind]] = {}
        self._left_out: set[str] = set()

    @property
    def left_out(self) -> int:
        """How many members have no column, as far as they are counted: to COLUMNS_MAX."""
        return len(self._left_out)

    def see(self, record: JsonObject) -> None:
        """Let the table have room for this record."""
        self._note(self._common, record["common"].items())
        self._note(self._members, record["value"].items())
        self._note(self._declared, ((path, value_at(record["value"], path)) for path in self._declared))

    def all(self) -> list[Column]:
        """The columns, in an order that does not depend on which record came first."""
        found = [Column("key", "key", (), "text"), Column("at", "at", (), "float")]
        names = set(_FIRST)
        for part, kinds in (("common", self._common), ("value", self._declared), ("value", self._members)):
            for member in sorted(name for name in kinds if kinds[name]):
                path = tuple(member.split(".")) if kinds is self._declared else (member,)
                name = member if member not in names else f"{part}.{member}"
                while name in names:
                    name += "_"
                names.add(name)
                found.append(Column(name, "common" if part == "common" else "value", path, _kind(kinds[member])))
        return found

    def _note(self, into: dict[str, set[Kind]], members: Iterable[tuple[str, Any]]) -> None:
        for name, value in members:
            if value is None or isinstance(value, (dict, list)):
                continue
            if name not in into:
                if len(self._common) + len(self._declared) + len(self._members) >= COLUMNS_MAX:
                    if len(self._left_out) < COLUMNS_MAX:
                        self._left_out.add(name)
                    continue
                into[name] = set()
            into[name].add(_kind_of(value))


def row(columns: Iterable[Column], record: JsonObject) -> list[Scalar]:
    """What the record has in each column; None where it has nothing plain there."""
    return [_cell(column, record) for column in columns]


def csv_row(columns: Iterable[Column], record: JsonObject) -> list[str]:
    """The same as texts that no spreadsheet takes for anything else: times as ISO 8601, no formula."""
    return [_text(column, cell) for column, cell in zip(columns, row(columns, record), strict=True)]


def safe_text(text: str) -> str:
    """`text` with an apostrophe before it where a spreadsheet would run it.

    >>> safe_text("=1+1"), safe_text("a=1")
    ("'=1+1", 'a=1')
    """
    return "'" + text if text.startswith(_FORMULA) else text


def moment_text(epoch_s: float) -> str:
    """The moment as ISO 8601 in UTC; where the calendar has no such day, the number itself.

    >>> moment_text(1795162969.25), moment_text(1e300)
    ('2026-11-20T08:22:49.250Z', '1e+300')
    """
    try:
        return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return repr(epoch_s)


def _cell(column: Column, record: JsonObject) -> Scalar:
    if column.part in _FIRST:
        plain: Scalar = record[column.part]
        return plain
    # A member's own name may hold dots; a declared path is made of several.
    of: JsonObject = record[column.part]
    found: Any = of.get(column.path[0]) if len(column.path) == 1 else value_at(of, ".".join(column.path))
    return None if isinstance(found, (dict, list)) else found


def _text(column: Column, cell: Scalar) -> str:
    if cell is None:
        return ""
    if column.part == "at" and isinstance(cell, float):
        return moment_text(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return safe_text(cell) if isinstance(cell, str) else repr(cell)


def _kind_of(value: Any) -> Kind:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -INT_MAX <= value <= INT_MAX else "text"
    return "float" if isinstance(value, float) else "text"


def _kind(kinds: set[Kind]) -> Kind:
    if len(kinds) == 1:
        return next(iter(kinds))
    return "float" if kinds == {"int", "float"} else "text"
