"""What a filter says, as frozen values: it cannot be wrong, whoever evaluates it."""

from __future__ import annotations

from typing import Literal as OneOf

import msgspec

Operator = OneOf["==", "!=", "<", "<=", ">", ">="]
Kind = OneOf["text", "number", "bool", "ref", "uri", "symbol", "date", "time", "dateTime"]


class Path(msgspec.Struct, frozen=True, tag="path"):
    """Names to follow from the top of a record, at least one; `is_shared` looks for them in `common` alone."""

    steps: tuple[str, ...]
    is_shared: bool = False

    def __str__(self) -> str:
        """The path as it is written in a filter.

        >>> print(Path(("Any Name", "b"), is_shared=True))
        common->`Any Name`->b
        """
        forced = ("common",) if self.is_shared else ()
        shown = (_written(step, first=not self.is_shared and not at) for at, step in enumerate(self.steps))
        return "->".join((*forced, *shown))


class Literal(msgspec.Struct, frozen=True, tag="literal"):
    """What a name is compared with. `value` is a number, a bool or text by `kind`; only numbers have a `unit`."""

    kind: Kind
    value: str | int | float | bool
    unit: str = ""


class Every(msgspec.Struct, frozen=True, tag="every"):
    """Every record."""


class Has(msgspec.Struct, frozen=True, tag="has"):
    """The path holds something."""

    path: Path


class Missing(msgspec.Struct, frozen=True, tag="missing"):
    """The path holds nothing."""

    path: Path


class Compare(msgspec.Struct, frozen=True, tag="compare"):
    """What the path holds stands in this relation to the literal."""

    path: Path
    operator: Operator
    literal: Literal


class In(msgspec.Struct, frozen=True, tag="in"):
    """The path holds one of the literals."""

    path: Path
    literals: tuple[Literal, ...]


class Contains(msgspec.Struct, frozen=True, tag="contains"):
    """The path holds a list with the literal in it, or a text with that text in it."""

    path: Path
    literal: Literal


class Symbol(msgspec.Struct, frozen=True, tag="symbol"):
    """`^a-b`: what the symbol defines; without definitions, records that have all the names it is made of."""

    name: str


class Spec(msgspec.Struct, frozen=True, tag="spec"):
    """A type of a Haystack library, as in `lib.ph::Site`; without libraries it matches nothing."""

    name: str


class And(msgspec.Struct, frozen=True, tag="and"):
    """All of the terms hold."""

    terms: tuple[Filter, ...]


class Or(msgspec.Struct, frozen=True, tag="or"):
    """One of the terms holds."""

    terms: tuple[Filter, ...]


Filter = Every | Has | Missing | Compare | In | Contains | Symbol | Spec | And | Or

RESERVED = frozenset({"and", "or", "not", "true", "false"})


def is_plain_name(text: str) -> bool:
    """Whether a name needs no quotes: a lower-case letter, then letters, digits and `_`; no word of the language."""
    plain = text[:1].isalpha() and text[:1].islower() and text.replace("_", "a").isalnum()
    return plain and text.isascii() and text not in RESERVED


def _written(step: str, *, first: bool) -> str:
    if is_plain_name(step) and not (first and step == "common"):
        return step
    escaped = step.replace("\\", "\\\\").replace("`", "\\`")
    return "`" + "".join(f"\\u{ord(sign):04x}" if ord(sign) < 32 else sign for sign in escaped) + "`"
