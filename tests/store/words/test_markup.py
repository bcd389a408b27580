"""What a person reads of a text that may be HTML."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.store.words.markup import plain_text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("<p>One</p><p>Two</p>", "One Two"),
        ("<b>W</b>ord", "Word"),
        ("a<br/>b<BR>c", "a b c"),
        ('<a href="https://example.org/x?y=1&amp;z">Link</a>', "Link"),
        ("Fish &amp; chips &#8211; caf&eacute;", "Fish & chips – café"),
        ("<script>alert('x')</script>after", "after"),
        ("<style type='text/css'>p { color: red }</style>shown", "shown"),
        ("before<!-- not <b>this</b> -->after", "before after"),
        ("<!DOCTYPE html><html><body>Hi</body></html>", "Hi"),
        ("<svg><title>Icon</title></svg>", "Icon"),
    ],
)
def test_tags_go_and_words_stay(text: str, read: str) -> None:
    """Blocks separate words, what is within a line does not."""
    assert read.split() == plain_text(text).split()


@pytest.mark.parametrize(
    "text", ["a < b and c > d", "List<String> of Map<K, V>", "1<2", "<3 you", "<not-a-tag>", "AT&T"]
)
def test_what_is_no_tag_stays(text: str) -> None:
    """A text that is no HTML loses nothing."""
    assert text == plain_text(text)


@pytest.mark.parametrize("begin", ["<script>", "<!--", "<style>"])
def test_what_is_never_closed_hides_nothing(begin: str) -> None:
    """A text about HTML is found by the words after its example."""
    assert ["how", "does", "work"] == [word for word in plain_text(f"how does {begin} work").split() if word.isalpha()]


@pytest.mark.parametrize(
    "piece", ["<script>", "<!--", "<a ", "<", "</", "&", "<a href='", "<script></script>", "&#", "<b x"]
)
def test_the_time_is_in_proportion(piece: str) -> None:
    """A text made to keep us busy does not."""
    text = piece * (256 * 1024 // len(piece))
    began = time.perf_counter()
    plain_text(text)

    assert time.perf_counter() - began < 2


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("<>/!-abp &;#x1='\" script")))
def test_it_takes_anything(text: str) -> None:
    """Whatever comes, the answer is a text."""
    assert isinstance(plain_text(text), str)
