"""◆ The `pattern` of a setting: a small part of regular expressions, matched in a time that nothing can blow up.

Python's own engine tries one way after the other and may take ages over `^(a+)+$`, so whoever writes a manifest
could stop the core with it. Here all ways are followed at once, as a set of places in the pattern: a text of n
characters costs at most n times the number of places. The part that is known: literals, `.`, classes, `\\d \\w \\s`
and their opposites, groups, `|`, `* + ?`, `{m,n}`, `^` and `$`. It means what it means to `re.search`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

PATTERN_CHARS_MAX = 500
# The longest text that is matched: the slowest pattern takes a tenth of a second for it.
TEXT_BYTES_MAX = 4 * 1024
PLACES_MAX = 300
GROUPS_DEEP_MAX = 20

_REPEAT = re.compile(r"\{(\d*)(,?)(\d*)\}", re.ASCII)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|[dDsSwWtnrfv]|[^A-Za-z0-9])", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_ESCAPED = re.compile(r"\\.", re.DOTALL)
# Words that later versions of `re` may give a meaning of their own.
_DOUBTFUL = re.compile(r"\[|--|&&|~~|\|\|")

Test = Callable[[str], object]
Anchor = Literal["start", "end"]


class PatternInvalid(ValueError):
    """The pattern cannot be used; the message is the end of a sentence about it."""


class TextTooLong(ValueError):
    """The text is not matched; the message is the end of a sentence about it."""


@dataclass(frozen=True)
class _One:
    """One character that passes the test."""

    test: Test


@dataclass(frozen=True)
class _Edge:
    """The start or the end of the text."""

    anchor: Anchor


@dataclass(frozen=True)
class _Row:
    """One part after the other."""

    parts: tuple[_Part, ...]


@dataclass(frozen=True)
class _Either:
    """Any of these."""

    parts: tuple[_Part, ...]


@dataclass(frozen=True)
class _Times:
    """A part from `least` to `most` times; None is any number."""

    part: _Part
    least: int
    most: int | None


_Part = _One | _Edge | _Row | _Either | _Times


@dataclass
class _Place:
    """A place in the pattern: what lets one pass, and where that leads. Without either it is the end."""

    test: Test | None = None
    anchor: Anchor | None = None
    leads_to: tuple[int, ...] = ()


class Pattern:
    """A pattern that was understood; raises PatternInvalid, naming the reason.

    Sets of places are numbers with a bit for each; bit 0 is the end.
    """

    def __init__(self, text: str) -> None:
        if len(text) > PATTERN_CHARS_MAX:
            raise PatternInvalid(f"has more than {PATTERN_CHARS_MAX} characters")
        self._places = [_Place()]
        self._steps = 0
        self._first = self._laid(_Parser(text).whole(), then=0)
        self._tests: dict[Test, int] = {}
        for number, place in enumerate(self._places):
            if place.test is not None:
                self._tests[place.test] = self._tests.get(place.test, 0) | 1 << number
        # Where each place leads within a text, and where a match may begin there.
        self._next = [self._reached(place.leads_to) if place.test else 0 for place in self._places]
        self._anew = self._reached([self._first])

    def is_in(self, text: str) -> bool:
        """Whether the pattern fits somewhere in the text; TextTooLong where that is not looked for."""
        if len(text.encode(errors="surrogatepass")) > TEXT_BYTES_MAX:
            raise TextTooLong(f"must have at most {TEXT_BYTES_MAX} bytes to be matched with a pattern")
        # Python's $ also stands before a line's end that closes the text.
        ends = {len(text), len(text) - 1} if text.endswith("\n") else {len(text)}
        passing: dict[str, int] = {}
        known: dict[int, int] = {}
        here = self._reached([self._first], is_start=True, is_end=0 in ends)
        for position, letter in enumerate(text, start=1):
            if here & 1:
                return True
            if letter not in passing:
                passing[letter] = sum(places for test, places in self._tests.items() if test(letter))
            passed = here & passing[letter]
            if position in ends:
                leads = [self._places[number].leads_to[0] for number in _bits(passed)]
                here = self._reached([*leads, self._first], is_end=True)
            else:
                if passed not in known:
                    known[passed] = functools.reduce(int.__or__, map(self._next.__getitem__, _bits(passed)), self._anew)
                here = known[passed]
        return bool(here & 1)

    def _reached(self, places: Iterable[int], *, is_start: bool = False, is_end: bool = False) -> int:
        """The places themselves and all that can be reached from them without a character."""
        seen: set[int] = set()
        reached = 0
        waiting = list(places)
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            place = self._places[number]
            if place.test is not None or number == 0:
                reached |= 1 << number
            elif place.anchor is None or (is_start if place.anchor == "start" else is_end):
                waiting += place.leads_to
        return reached

    def _laid(self, part: _Part, *, then: int) -> int:
        """The place at which the part begins when it goes on at `then`."""
        self._steps += 1
        if self._steps > PLACES_MAX or len(self._places) > PLACES_MAX:
            raise PatternInvalid("is too large when its repeats are written out")
        if isinstance(part, _One):
            return self._add(_Place(test=part.test, leads_to=(then,)))
        if isinstance(part, _Edge):
            return self._add(_Place(anchor=part.anchor, leads_to=(then,)))
        if isinstance(part, _Either):
            return self._add(_Place(leads_to=tuple(self._laid(each, then=then) for each in part.parts)))
        if isinstance(part, _Times):
            return self._repeated(part, then=then)
        for each in reversed(part.parts):
            then = self._laid(each, then=then)
        return then

    def _repeated(self, times: _Times, *, then: int) -> int:
        if times.most is None:
            again = self._add(_Place())
            self._places[again].leads_to = (self._laid(times.part, then=again), then)
            then = again
        else:
            skip = then
            for _ in range(times.most - times.least):
                then = self._add(_Place(leads_to=(self._laid(times.part, then=then), skip)))
        for _ in range(times.least):
            then = self._laid(times.part, then=then)
        return then

    def _add(self, place: _Place) -> int:
        self._places.append(place)
        return len(self._places) - 1


class _Parser:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._deep = 0

    def whole(self) -> _Part:
        part = self._either()
        if self._at < len(self._text):
            raise PatternInvalid("closes a group that was not opened")
        return part

    def _either(self) -> _Part:
        rows = [self._row()]
        while self._takes("|"):
            rows.append(self._row())
        return rows[0] if len(rows) == 1 else _Either(tuple(rows))

    def _row(self) -> _Part:
        parts: list[_Part] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._quantified(self._atom()))
        return _Row(tuple(parts))

    def _atom(self) -> _Part:
        letter = self._text[self._at]
        if letter == "(":
            return self._group()
        if letter in "*+?" or _REPEAT.match(self._text, self._at):
            raise PatternInvalid(f"repeats nothing at character {self._at + 1}")
        if letter == "\\":
            return _One(self._tested(_ESCAPE, "an escape that settings do not know, such as \\b or a backreference"))
        if letter == "[":
            return _One(self._tested(_CLASS, "a class without an end"))
        self._at += 1
        if letter in "^$":
            return _Edge("start" if letter == "^" else "end")
        return _One(_is_no_line_end if letter == "." else letter.__eq__)

    def _group(self) -> _Part:
        self._at += 1
        if self._takes("?") and not self._takes(":"):
            raise PatternInvalid(f"holds (?{self._text[self._at : self._at + 1]}, which settings do not know")
        self._deep += 1
        if self._deep > GROUPS_DEEP_MAX:
            raise PatternInvalid(f"nests more than {GROUPS_DEEP_MAX} groups")
        inside = self._either()
        self._deep -= 1
        if not self._takes(")"):
            raise PatternInvalid("opens a group that is not closed")
        return inside

    def _quantified(self, part: _Part) -> _Part:
        bounds = self._bounds()
        if bounds is None:
            return part
        least, most = bounds
        if isinstance(part, _Edge) or (most is not None and most < least) or max(least, most or 0) > PLACES_MAX:
            raise PatternInvalid(f"repeats what or as often as it cannot before character {self._at + 1}")
        self._takes("?")  # Few or many at first: whether it fits is the same.
        if self._text[self._at : self._at + 1] in ("*", "+", "?") or _REPEAT.match(self._text, self._at):
            raise PatternInvalid(f"repeats a repeat at character {self._at + 1}")
        return _Times(part, least, most)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._takes(sign):
                return bounds
        match = _REPEAT.match(self._text, self._at)
        if match is None or match[0] in ("{}", "{,}"):
            return None
        self._at = match.end()
        least = int(match[1] or 0)
        if not match[2]:
            return least, least
        return least, int(match[3]) if match[3] else None

    def _tested(self, form: re.Pattern[str], otherwise: str) -> Test:
        """The test of one escape or class, made by Python's own engine: for one character it is safe."""
        match = form.match(self._text, self._at)
        if match is None:
            raise PatternInvalid(f"holds {otherwise}")
        if form is _CLASS and _DOUBTFUL.search(_ESCAPED.sub("", match[0][1:-1])):
            raise PatternInvalid("holds a [ or a doubled sign within a class; write a \\ before it")
        self._at = match.end()
        try:
            return _test_of(match[0])
        except re.error as err:
            raise PatternInvalid(f"holds a class that is none: {err.msg}") from err

    def _takes(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True


@functools.lru_cache(maxsize=256)
def understood(text: str) -> Pattern:
    """The pattern; raises PatternInvalid."""
    return Pattern(text)


@functools.lru_cache(maxsize=256)
def _test_of(text: str) -> Test:
    return re.compile(text).fullmatch


def _bits(number: int) -> list[int]:
    found = []
    while number:
        lowest = number & -number
        found.append(lowest.bit_length() - 1)
        number ^= lowest
    return found


def _is_no_line_end(letter: str) -> bool:
    return letter != "\n"
