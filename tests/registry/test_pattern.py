"""Patterns of settings: what they mean to `re.search`, without its way of trying for ages."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.registry.pattern import (
    GROUPS_DEEP_MAX,
    PATTERN_CHARS_MAX,
    PLACES_MAX,
    TEXT_BYTES_MAX,
    Pattern,
    PatternInvalid,
    TextTooLong,
)

ATOMS = st.sampled_from(
    ["a", "b", ".", r"\d", r"\W", r"\.", "[ab]", "[^a]", r"[\w-]", "[]a]", r"[\]\[]", "^", "$", "-", "{", "]", r"\n"]
)
SIGNS = st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}", "{,3}", "{0}", "*?", "+?", "??", "{2}?"])


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.builds(lambda text, kind: f"({kind}{text})", inner, st.sampled_from(["", "?:"]))
    return st.one_of(
        st.builds(str.__add__, inner, inner),
        st.builds(lambda one, other: f"{one}|{other}", inner, inner),
        group,
        st.builds(str.__add__, group, SIGNS),
        st.builds(str.__add__, st.sampled_from(["a", ".", "[ab]", r"\d"]), SIGNS),
    )


PATTERNS = st.recursive(ATOMS, _wider, max_leaves=8)


@given(pattern=PATTERNS, text=st.text("ab1.-]\n{", max_size=8))
def test_a_pattern_means_what_it_means_to_python(pattern: str, text: str) -> None:
    """Every pattern that is understood is found where re.search finds it."""
    assert (re.search(pattern, text) is not None) == Pattern(pattern).is_in(text)


@pytest.mark.parametrize(
    "pattern",
    ["^(a+)+$", "(a*)*b", "(a|aa)+$", "a*a*a*a*a*a*a*b", "(((a?)*)*)*x", "(x+x+)+y", "(a|b|ab)*c$", "[ab]*a[ab]{200}x"],
)
def test_no_pattern_takes_long(pattern: str) -> None:
    """What keeps a trying engine busy for ages is decided at once, for the longest text there may be."""
    began = time.perf_counter()
    for text in ("a" * 48 + "!", "a" * TEXT_BYTES_MAX, "ab" * (TEXT_BYTES_MAX // 2), "é" * (TEXT_BYTES_MAX // 2)):
        Pattern(pattern).is_in(text)

    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("pattern", ["(?:a[ab]{90}|b[ab]{90})c", "[ab]*a[ab]{280}c"])
def test_many_ways_at_once_take_no_time_worth_naming(pattern: str) -> None:
    """A text that leads to ever other places is as long as it may be, and decided in a fraction of a second."""
    text = "".join(random.Random(1).choices("ab", k=TEXT_BYTES_MAX))
    found = Pattern(pattern)
    began = time.process_time()

    assert not found.is_in(text)
    assert time.process_time() - began < 0.3


def test_text_that_is_matched_is_bounded_in_bytes() -> None:
    """Just under the bound it is matched, just over it is not."""
    assert Pattern("é$").is_in("é" * (TEXT_BYTES_MAX // 2))
    with pytest.raises(TextTooLong, match="at most 4096 bytes"):
        Pattern("é$").is_in("a" + "é" * (TEXT_BYTES_MAX // 2))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a)\1", "a backreference"),
        (r"\bword", "an escape that settings do not know"),
        ("(?=a)b", r"\(\?="),
        ("(?i)a", r"\(\?i"),
        ("(?P<n>a)", r"\(\?P"),
        ("a**", "repeats a repeat"),
        ("a*+", "repeats a repeat"),
        ("*a", "repeats nothing at character 1"),
        ("{3}", "repeats nothing"),
        ("^*", "repeats what"),
        ("a{3,2}", "repeats what"),
        ("(a", "not closed"),
        ("a)", "not opened"),
        ("[a", "a class without an end"),
        ("[z-a]", "a class that is none"),
        ("[[a]", r"a \[ or a doubled sign"),
        ("[a--b]", r"a \[ or a doubled sign"),
        ("a\\", "an escape"),
        ("a" * (PATTERN_CHARS_MAX + 1), f"more than {PATTERN_CHARS_MAX}"),
        (f".{{{PLACES_MAX}}}", "too large"),
        (".{12345}", "repeats what or as often"),
        ("((((){300}){300}){300}){300}", "too large"),
        ("(" * (GROUPS_DEEP_MAX + 1) + ")" * (GROUPS_DEEP_MAX + 1), "nests more than"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_reason(pattern: str, reason: str) -> None:
    """PatternInvalid says what to change."""
    with pytest.raises(PatternInvalid, match=reason):
        Pattern(pattern)


def test_the_largest_patterns_are_taken() -> None:
    """Just under each bound all is well."""
    assert Pattern(f"^.{{{PLACES_MAX - 4}}}$").is_in("x" * (PLACES_MAX - 4))
    assert Pattern("(" * GROUPS_DEEP_MAX + "a" + ")" * GROUPS_DEEP_MAX).is_in("a")
    assert not Pattern(f"[{'a' * (PATTERN_CHARS_MAX - 2)}]").is_in("b")
