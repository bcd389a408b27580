"""What differs between two versions of a record, as a person reads it: field by field, before and after. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.model.fact import Fact
from core.store import differences
from core.web.dashboard.values import plain

FIELDS_SHOWN = 20
# Of a long text: so much of what differs, and so much on either side of it.
PIECE_LETTERS_MAX = 280
AROUND_LETTERS = 60
NAMES_SHOWN = 6


@dataclass(frozen=True)
class Piece:
    """A part of a value; `is_marked` where it differs from the other version."""

    text: str
    is_marked: bool


@dataclass(frozen=True)
class FieldChange:
    """One field that differs; `before` is None where it was added, `after` where it was removed."""

    name: str
    before: Sequence[Piece] | None
    after: Sequence[Piece] | None


@dataclass(frozen=True)
class Changes:
    """What differs, at most twenty fields of it; `left_out` are those that are not shown, `is_more` where even more."""

    fields: Sequence[FieldChange]
    left_out: int = 0
    is_more: bool = False

    @property
    def names(self) -> str:
        """The fields that differ, in short."""
        names = list(dict.fromkeys(one.name.partition(" › ")[0] for one in self.fields))
        said = ", ".join(names[:NAMES_SHOWN])
        return said + (" …" if len(names) > NAMES_SHOWN or self.left_out else "")


@dataclass(frozen=True)
class Version:
    """One version of a record in its history; `changes` is None for a first one, for a deletion and after one.

    `is_oldest_kept` says that there was one before it, which is not kept any more.
    """

    fact: Fact
    changes: Changes | None
    is_first: bool
    is_oldest_kept: bool = False


def versions_of(facts: Sequence[Fact], *, shown_max: int) -> list[Version]:
    """The versions of a record, the newest first as they come, each compared with the one before it."""
    older = [*facts[1:], None]
    return [_version(fact, before) for fact, before in list(zip(facts, older, strict=True))[:shown_max]]


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """What differs between two states, each `{"value": …, "common": …}`."""
    found = differences(before, after)
    fields = [
        _field(one.path, one.op, None if one.op == "added" else one.before, None if one.op == "removed" else one.after)
        for one in found.differences[:FIELDS_SHOWN]
    ]
    return Changes(fields, max(0, len(found.differences) - FIELDS_SHOWN), not found.is_complete)


def _version(fact: Fact, before: Fact | None) -> Version:
    if before is None or "delete" in (fact.action, before.action):
        is_kept_alone = before is None and fact.causation is not None
        return Version(fact, None, is_first=before is None, is_oldest_kept=is_kept_alone)
    said = [{"value": one.value, "common": one.common} for one in (before, fact)]
    return Version(fact, changes_between(*said), is_first=False)


def _field(path: str, op: str, before: Any, after: Any) -> FieldChange:
    old, new = _text(before), _text(after)
    if op == "added":
        return FieldChange(name_of(path), None, (Piece(plain(new, PIECE_LETTERS_MAX), False),))
    if op == "removed":
        return FieldChange(name_of(path), (Piece(plain(old, PIECE_LETTERS_MAX), False),), None)
    first, last = _alike(old, new)
    return FieldChange(name_of(path), _pieces(old, first, last), _pieces(new, first, last))


def name_of(path: str) -> str:
    """A JSON pointer into a state as a person says it.

    >>> name_of("/value/owner/login"), name_of("/common/title"), name_of("/value/a~1b")
    ('owner › login', 'title (shared)', 'a/b')
    """
    _, part, *names = (step.replace("~1", "/").replace("~0", "~") for step in path.split("/"))
    said = " › ".join(names) or "everything"
    return said if part == "value" else f"{said} (shared)"


def _text(value: Any) -> str:
    return "null" if value is None else plain(value) or "“”"


def _alike(old: str, new: str) -> tuple[int, int]:
    """How many letters both begin and end with alike, in whole words; none where that is little of them."""
    first = _in_words(old, _common(old, new))
    rest = old[first:][::-1]
    last = _in_words(rest, _common(rest, new[first:][::-1]))
    return (first, last) if 3 * (first + last) >= min(len(old), len(new)) else (0, 0)


def _common(old: str, new: str) -> int:
    """How many letters both begin with alike."""
    return next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )


def _in_words(text: str, length: int) -> int:
    """The same, less the letters of a word that goes on."""
    while 0 < length < len(text) and _is_of_word(text[length - 1]) and _is_of_word(text[length]):
        length -= 1
    return length


def _is_of_word(letter: str) -> bool:
    return letter.isalnum() or not letter.isascii()


def _pieces(text: str, first: int, last: int) -> tuple[Piece, ...]:
    if not first and not last:
        return (Piece(plain(text, PIECE_LETTERS_MAX), False),)
    lead, differing, tail = text[:first], text[first : len(text) - last], text[len(text) - last :]
    if len(lead) > AROUND_LETTERS:
        lead = "…" + lead[-AROUND_LETTERS:]
    if len(tail) > AROUND_LETTERS:
        tail = tail[:AROUND_LETTERS] + "…"
    pieces = (Piece(lead, False), Piece(plain(differing, PIECE_LETTERS_MAX), True), Piece(tail, False))
    return tuple(piece for piece in pieces if piece.text)
