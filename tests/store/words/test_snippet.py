"""The piece of a text that shows why it was found."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.store.words.snippet import SNIPPET_LETTERS_MAX, TITLE_LETTERS_MAX, Marked, Marker
from core.store.words.wanted import parse_query

FILLER = "nothing of interest stands in these words at all " * 40


def shown(marked: Marked) -> str:
    """The text with its marks in brackets."""
    return "".join(f"[{piece}]" if is_marked else piece for piece, is_marked in marked.pieces)


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("fog", "The fog, the Fog and the foghorn", "The [fog], the [Fog] and the foghorn"),
        ("fog*", "The fog and the foghorns", "The [fog] and the [foghorns]"),
        ('"light house"', "A light house, a LIGHT-HOUSE, no house", "A [light house], a [LIGHT-HOUSE], no house"),
        ("arger strasse", "Der Ärger in der Straße", "Der [Ärger] in der [Straße]"),
        ("ete", "l'e\u0301te\u0301 ici", "l'[été] ici"),
        ("京タ", "東京タワー", "東[京タ]ワー"),
        ("fine", "a ﬁne day", "a [ﬁne] day"),
        ("mist OR fog -bank", "fog, mist, bank", "[fog], [mist], bank"),
        ("title:fog day", "A day in the fog", "A [day] in the fog"),
        ("don't", "I don’t know", "I [don’t] know"),
        ("a.b", "x a/b y", "x [a/b] y"),
        ("nothing", "here", "here"),
        ("😀", "well😀done", "well[😀]done"),
    ],
)
def test_what_was_looked_for_is_marked(query: str, text: str, expected: str) -> None:
    """As it was folded for the index, on the letters of the text itself."""
    assert expected == shown(Marker(parse_query(query)).snippet(text))


def test_the_title_is_marked_by_words_meant_for_it() -> None:
    """A word wanted in the title is marked there."""
    assert "The [Fog]" == shown(Marker(parse_query("title:fog")).title("The Fog"))


def test_the_piece_with_most_different_words_is_shown() -> None:
    """One of each tells more than many of one; words are whole, and dots say that there is more."""
    text = f"{FILLER}fog fog fog {FILLER}the fog hid the keeper of the light {FILLER}"
    snippet = Marker(parse_query("fog keeper light")).snippet(text)

    assert 3 == len(snippet.marks)
    assert "hid the [keeper] of the [light]" in shown(snippet)
    assert snippet.text.startswith("…") and snippet.text.endswith("…")
    assert len(snippet.text) <= SNIPPET_LETTERS_MAX + 2
    assert set(snippet.text.strip("…").split()) <= set(text.split())


def test_a_piece_begins_with_a_word() -> None:
    """No point or comma of what was left out stands at its beginning."""
    text = f"{FILLER} , . , and the light hid the lamp of its old and too tired keeper {FILLER}"
    snippet = Marker(parse_query("keeper")).snippet(text)

    assert snippet.text.startswith("…and the light")
    assert 1 == len(snippet.marks)


def test_a_text_without_the_words_shows_its_beginning() -> None:
    """Found by its title, or by a word far behind."""
    snippet = Marker(parse_query("absent")).snippet(FILLER)

    assert () == snippet.marks
    assert FILLER.startswith(snippet.text.removesuffix("…"))


def test_a_long_title_is_cut() -> None:
    """At three hundred letters."""
    assert TITLE_LETTERS_MAX == len(Marker(parse_query("x")).title("x" * TITLE_LETTERS_MAX).text)
    assert ("x" * (TITLE_LETTERS_MAX - 1) + "…") == Marker(parse_query("x")).title("x" * (TITLE_LETTERS_MAX + 1)).text


@settings(deadline=None)
@given(st.text(), st.text())
def test_marks_are_in_order_within_the_text(query: str, text: str) -> None:
    """Whatever the letters: pieces join to the text, and a mark holds something."""
    snippet = Marker(parse_query(query)).snippet(text)

    assert snippet.text == "".join(piece for piece, _ in snippet.pieces)
    assert all(start < end for start, end in snippet.marks)
    assert list(snippet.marks) == sorted(snippet.marks)


@pytest.mark.parametrize("text", ["fog " * 65536, "é" * 262144, "f" * 262144, "fog é " * 43690, "日本" * 131072])
def test_a_great_text_takes_little_time(text: str) -> None:
    """Only its beginning is looked at, and only so many matches."""
    marker = Marker(parse_query('fog "fog fog" 日本 f* é'))
    began = time.perf_counter()
    marker.snippet(text)

    assert time.perf_counter() - began < 1
