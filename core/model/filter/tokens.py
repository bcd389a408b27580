"""The words and signs of a filter's text, each with its place; and what quoted and bare literals say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time
from typing import NamedTuple

from core.model.errors import BadRequest
from core.model.filter.tree import Kind, Literal

SHOWN_MAX = 40

_SIGNS = re.compile(
    r"""
    (?P<blank>\s+)
    | (?P<comment>//.*)
    | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<tick>`(?:[^`\\]|\\.)*`)
    | (?P<sign>->|==|!=|<=|>=|[<>()\[\],*])
    | (?P<ref>@[A-Za-z0-9_:\-.~]+)
    | (?P<symbol>\^[A-Za-z0-9_:\-.~]+)
    | (?P<spec>(?:[a-z][A-Za-z0-9_]*(?:\.[a-z][A-Za-z0-9_]*)*::)?[A-Z][A-Za-z0-9_]*)
    | (?P<name>[a-z][A-Za-z0-9_]*)
    | (?P<scalar>-?[0-9](?:[0-9A-Za-z_%$.:+\-\u0081-\U0010ffff]|/(?!/))*)
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"(-?\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)([A-Za-z_%/$\u0081-\U0010ffff]*)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,9})?)?", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_MOMENTS: tuple[tuple[Kind, re.Pattern[str], Callable[[str], object]], ...] = (
    ("date", _DATE, date.fromisoformat),
    ("time", _TIME, time.fromisoformat),
    ("dateTime", _DATE_TIME, datetime.fromisoformat),
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$", "`": "`"}
_KEPT_IN_URI = ":/?#[]@&=;"
_CURES = {
    ".": "Follow a path with an arrow: owner->login.",
    "=": "Write == for equal.",
    "&": "Write and.",
    "|": "Write or.",
    "!": "Write != for unequal, and not before a name for missing.",
    "'": 'Put text in double quotes: "open".',
    '"': 'Close the text with a double quote; inside it, write \\" for one.',
    "`": "Close the name with a backquote; inside it, write \\` for one.",
}
_QUOTE = "Put a name that does not begin with a small letter in backquotes: `Any Name`."


class Token(NamedTuple):
    """One word or sign: `kind` is a group of the grammar, or `end`; `place` counts letters from 0."""

    kind: str
    text: str
    place: int


def fault(place: int, what: str, cure: str = "") -> BadRequest:
    """What is wrong with a filter, and where: the first letter stands at position 1."""
    return BadRequest(f"the filter cannot be read at position {place + 1}: {what}", remedy=cure or None)


def tokens(text: str) -> list[Token]:
    """Everything in `text` that says something, and the end; raises BadRequest at what begins nothing."""
    found, place = [], 0
    while place < len(text):
        match = _SIGNS.match(text, place)
        if match is None:
            sign = text[place]
            what = "a quote that is not closed" if sign in '"`' else f"{sign!r} begins nothing here"
            raise fault(place, what, _CURES.get(sign, _QUOTE))
        kind = str(match.lastgroup)
        if kind == "comment":
            break
        if kind != "blank":
            found.append(Token(kind, match[0], place))
        place = match.end()
    return [*found, Token("end", "", len(text))]


def shown(token: Token) -> str:
    """The token as a fault names it."""
    if token.kind == "end":
        return "the end"
    return repr(token.text if len(token.text) <= SHOWN_MAX else token.text[:SHOWN_MAX] + "…")


def unquoted(token: Token, *, as_uri: bool = False) -> str:
    """What a quoted token says; raises BadRequest for an escape that means nothing."""

    def said(match: re.Match[str]) -> str:
        sign = match[1]
        if len(sign) > 1:
            return chr(int(sign[1:], 16))
        if as_uri and sign in _KEPT_IN_URI:
            return match[0]
        if sign not in _ESCAPED:
            raise fault(token.place + 1 + match.start(), f"\\{sign} means nothing", "Write \\\\ for a backslash.")
        return _ESCAPED[sign]

    try:
        # Two escaped halves of one letter become that letter; a half alone is no letter.
        return _ESCAPE.sub(said, token.text[1:-1]).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as err:
        raise fault(token.place, "half a surrogate pair is no letter") from err


def scalar(token: Token) -> Literal:
    """The number, date or time that a bare token writes."""
    text = token.text
    for kind, pattern, check in _MOMENTS:
        if pattern.fullmatch(text):
            try:
                check(text)
            except ValueError as err:
                raise fault(token.place, f"there is no {kind} {text}") from err
            return Literal(kind, text)
    match = _NUMBER.fullmatch(text)
    if match is None:
        cure = "Write a number as 12.5 or 9.23kg, a date as 2026-11-20; put text in double quotes."
        raise fault(token.place, f"{shown(token)} is no number, date or time", cure)
    digits = match[1].replace("_", "")
    number = int(digits) if digits.lstrip("-").isdigit() else float(digits)
    if isinstance(number, float) and not math.isfinite(number):
        raise fault(token.place, f"{shown(token)} is too large a number")
    return Literal("number", number, match[2])
