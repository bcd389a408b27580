"""The piece of a text that shows why it was found, and which of its letters are to be marked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice

import msgspec

from core.store.words.letters import fold, fold_signs
from core.store.words.wanted import Term, Wanted

SNIPPET_LETTERS_MAX = 200
TITLE_LETTERS_MAX = 300
BEGINNING_LETTERS_MAX = 80
LOOKED_AT_LETTERS_MAX = 32 * 1024
MATCHES_MAX = 200
_LOOKED_AT_FIRST = 4096

_WORD = r"[0-9A-Za-z\x80-\U0010ffff]"
_BETWEEN = r"[^0-9A-Za-z\x80-\U0010ffff]+"
_BEFORE = 60  # Letters of the text that stand before the first mark.
_SPACES = re.compile(r"\s+")

Span = tuple[int, int]


class Marked(msgspec.Struct, frozen=True):
    """A text and the spans in it, by letters, that show what was looked for; in order, none in another."""

    text: str
    marks: tuple[Span, ...] = ()

    @property
    def pieces(self) -> list[tuple[str, bool]]:
        """The text in pieces, each with whether it is marked."""
        found: list[tuple[str, bool]] = []
        place = 0
        for start, end in self.marks:
            found += [(self.text[place:start], False), (self.text[start:end], True)]
            place = end
        return [piece for piece in (*found, (self.text[place:], False)) if piece[0]]

    def after(self, title: str) -> Marked:
        """This text without the beginning that a title made of it says already; nothing where it is that title."""
        rest = rest_of(self.text, title)
        gone = len(self.text) - len(rest)
        return Marked(rest, tuple((a - gone, b - gone) for a, b in self.marks if a >= gone))


class Marker:
    """Marks the words that one query looks for."""

    def __init__(self, wanted: Wanted) -> None:
        in_body = [term for term in wanted.terms if not term.in_title]
        self._terms = len(in_body)
        self._in_body = _pattern(in_body)
        self._in_title = _pattern(list(wanted.terms))

    def title(self, text: str) -> Marked:
        """The title, marked; cut only when it is very long."""
        shown = one_line(text[: 4 * TITLE_LETTERS_MAX])
        if len(shown) > TITLE_LETTERS_MAX:
            shown = shown[: TITLE_LETTERS_MAX - 1] + "…"
        return Marked(shown, tuple(span for span, _ in _matches(self._in_title, shown)))

    def snippet(self, text: str) -> Marked:
        """The piece of the text with the most of what was looked for; its beginning where nothing of it is in it."""
        shown, matches = "", []
        for letters in (_LOOKED_AT_FIRST, LOOKED_AT_LETTERS_MAX):
            shown = one_line(text[:letters])
            matches = _matches(self._in_body, shown)
            if len(text) <= letters or len({term for _, term in matches}) == self._terms:
                break
        start, end = _window(shown, _best(matches))
        before, after = "…" if start else "", "…" if end < len(shown) or len(text) > letters else ""
        shift = len(before) - start
        marks = tuple((a + shift, b + shift) for (a, b), _ in matches if start <= a and b <= end)
        return Marked(before + shown[start:end] + after, marks)


def one_line(text: str) -> str:
    """The text in composed form, its runs of white space as one space each."""
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def beginning(text: str) -> str:
    """The whole words at the beginning of a text that can stand for its title, in one line.

    >>> beginning("Fog at sea.\\nNo ship in sight."), beginning("fog " * 40)[-8:], beginning("fog" + " " * 400)
    ('Fog at sea. No ship in sight.', 'fog fog…', 'fog')
    """
    text = text[:_LOOKED_AT_FIRST].strip()
    shown = one_line(text[: 4 * BEGINNING_LETTERS_MAX])
    if len(shown) <= BEGINNING_LETTERS_MAX:
        return shown if len(text) <= 4 * BEGINNING_LETTERS_MAX else f"{shown}…"
    cut = shown[:BEGINNING_LETTERS_MAX]
    return (cut.rpartition(" ")[0] or cut[:-1]).rstrip(" ,;:-–") + "…"


def rest_of(text: str, title: str) -> str:
    """What a text in one line says after the title that is its beginning; the text itself under any other title.

    >>> rest_of("Fog at sea, and no ship", "Fog at sea…"), rest_of("Fog", "Fog"), rest_of("Fog at sea", "Fog")
    ('and no ship', '', 'Fog at sea')
    """
    if text == title:
        return ""
    said = title.removesuffix("…")
    is_beginning = bool(said) and said != title and text.startswith(said)
    return text[len(said) :].lstrip(" ,;:-–…") if is_beginning else text


def _pattern(terms: list[Term]) -> re.Pattern[str] | None:
    """Each term a group of its own, the longest first, so that a phrase is marked before a word of it."""
    if not terms:
        return None
    ordered = sorted(terms, key=lambda term: -len(term.words))
    return re.compile(rf"(?<!{_WORD})(?:{'|'.join(map(_group, ordered))})(?!{_WORD})", re.I)


def _group(term: Term) -> str:
    return f"({_BETWEEN.join(map(re.escape, term.words))}{f'{_WORD}*' if term.is_prefix else ''})"


def _matches(pattern: re.Pattern[str] | None, text: str) -> list[tuple[Span, int]]:
    """Where the terms stand in `text`, and which term it is."""
    if pattern is None:
        return []
    if text.isascii():
        return [(match.span(), match.lastindex or 0) for match in _first(pattern, text)]
    if pattern.search(fold(text)) is None:
        return []
    signs = fold_signs(text)
    # Which letter of the text each letter of the folded text comes from.
    origin = [place for place, sign in enumerate(signs) for _ in sign]
    found: list[tuple[Span, int]] = []
    for match in _first(pattern, "".join(signs)):
        span = (origin[match.start()], _past_marks(text, origin[match.end() - 1] + 1))
        if not found or span[0] >= found[-1][0][1]:
            found.append((span, match.lastindex or 0))
    return found


def _first(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    return islice(pattern.finditer(text), MATCHES_MAX)


def _past_marks(text: str, place: int) -> int:
    """The end of the letter before `place`, accents that follow it included."""
    while place < len(text) and unicodedata.combining(text[place]):
        place += 1
    return place


def _best(matches: list[tuple[Span, int]]) -> Span | None:
    """The stretch, short enough to be shown, with the most different terms; the first of several."""
    best, most = None, 0
    for first, ((start, _), _) in enumerate(matches):
        seen: set[int] = set()
        last = start
        for (_, end), term in matches[first:]:
            if end - start > SNIPPET_LETTERS_MAX - _BEFORE:
                break
            seen.add(term)
            last = end
        if len(seen) > most:
            best, most = (start, last), len(seen)
    return best


def _window(text: str, stretch: Span | None) -> Span:
    """Where the snippet begins and ends: whole words around the stretch."""
    start = max(0, stretch[0] - _BEFORE) if stretch is not None else 0
    end = min(len(text), start + SNIPPET_LETTERS_MAX)
    start = max(0, min(start, end - SNIPPET_LETTERS_MAX))
    if start and stretch is not None:
        space = text.find(" ", start, stretch[0])
        start = space + 1 if space >= 0 else start
        # What ended the sentence before, or stood around a link, begins none.
        start = next((place for place in range(start, stretch[0]) if text[place].isalnum()), stretch[0])
    if end < len(text):
        space = text.rfind(" ", stretch[1] if stretch is not None else start, end)
        end = space if space > start else end
    return start, end
