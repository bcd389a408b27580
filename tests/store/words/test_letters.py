"""Letters as a person compares them."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.store.words.letters import fold, fold_signs, words


@pytest.mark.parametrize(
    ("written", "sought"),
    [
        ("Ärger", "arger"),
        ("Straße", "STRASSE"),
        ("Ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("ﬁne ﬂow", "fine flow"),
        ("Sørensen Łódź Đorđe", "sorensen lodz dorde"),
        ("œuvre Æsir", "oeuvre aesir"),
        ("Ёлка", "елка"),
        ("Ἀθῆναι ΟΔΟΣ", "αθηναι οδος"),
        ("İstanbul ısı", "istanbul isi"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("Tiếng Việt", "tieng viet"),
        ("e\u0301te\u0301", "été"),
        ("soft\u00adhyphen zero\u200dwidth", "softhyphen zerowidth"),
        ("ｶﾀｶﾅ", "カタカナ"),
        ("か\u3099", "が"),
        ("한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8"),
        ("don’t", "don't"),
        ("👍🏽", "👍"),
    ],
)
def test_the_same_word_in_two_ways(written: str, sought: str) -> None:
    """Case, accents, width, ligatures and the form of Unicode make no other word."""
    assert words(sought) == words(written)


@pytest.mark.parametrize(
    ("one", "other"), [("か", "が"), ("कि", "की"), ("ดี", "ดู"), ("a b", "ab"), ("Ⅳ", "V"), ("東", "京")]
)
def test_what_is_another_word_stays_one(one: str, other: str) -> None:
    """Vowel signs and voicing are no accents."""
    assert words(other) != words(one)


def test_scripts_without_spaces_stand_letter_by_letter() -> None:
    """So that a part of a Chinese, Japanese, Korean, Thai, Lao, Khmer or Myanmar text is found."""
    assert list("東京タワーにんじゃ") == words("東京タワーにんじゃ")
    assert ["한", "국", "어"] == words("한국어")
    assert ["ภ", "า", "ษ", "า"] == words("ภาษา")
    assert ["ມ", "ຄ", "ម", "မ"] == words("ມຄមမ")


def test_words_of_other_scripts_stay_whole() -> None:
    """Vowel signs do not cut a word."""
    assert ["हिन्दी", "தமிழ்"] == words("हिन्दी, தமிழ்!")


def test_signs_stand_by_themselves_and_punctuation_goes() -> None:
    """A sign or emoji is found whatever it is stuck to; a dash, a quote, an ellipsis only separates."""
    assert ["hello", "😀", "world", "locker", "tm", "a", "b", "c"] == words("hello😀world Locker™ “a”—b…c")


def test_ascii_is_handed_back_untouched() -> None:
    """The most frequent case costs a look."""
    text = "Plain ASCII, as it is " * 20

    assert text is fold(text)


@settings(deadline=None)
@given(st.text())
def test_folding_is_done_once(text: str) -> None:
    """What was folded folds to itself, in words."""
    assert words(text) == words(fold(text))


@settings(deadline=None)
@given(st.text())
def test_letter_by_letter_is_the_same_fold(text: str) -> None:
    """What snippets are marked by is what was indexed."""
    composed = unicodedata.normalize("NFC", text)

    assert fold(composed) == "".join(fold_signs(composed))


def test_every_letter_of_unicode_folds_to_words_without_case_or_separators() -> None:
    """A word of the index holds no space and no capital, whatever was in the text."""
    found = {word for code in range(128, sys.maxunicode + 1) for word in words(chr(code))}

    assert [] == [word for word in found if [word] != words(word) or word.isspace()]


def test_no_text_bears_the_index_own_marks() -> None:
    """Signs of private use are no letters."""
    assert [] == words("\ue000\ue001\U000f0000")
