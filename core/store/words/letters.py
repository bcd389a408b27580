"""Letters as a person compares them: without case, accents and ways of writing the same sign.

What comes out is cut into words by one simple rule, which SQLite's `ascii` tokenizer shares: a word is a run of ASCII
letters and digits and of anything beyond ASCII. So all that is known of the world's scripts is decided here.
"""

from __future__ import annotations

import re
import string
import unicodedata

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_WORD = re.compile(r"[0-9A-Za-z\x80-\U0010ffff]+")
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_TABLE_MAX = 1 << 16
# Marks of these combining classes are accents and points that people leave out. Not among them: vowel signs, viramas,
# the voicing of kana and the vowels below Thai and Lao letters, which make another word.
_ACCENT_CLASSES = frozenset({1, 7, *range(10, 37), *range(200, 256)})
_WITHOUT_DECOMPOSITION = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
_DROPPED = frozenset("\u00ad\u0640\u200c\u200d\u2060\ufeff")
# Written without spaces between words, or in syllables that are looked for as parts: each sign stands by itself.
_LETTER_BY_LETTER = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),
    (0x3040, 0x318F),  # Hiragana, Katakana, Bopomofo, Hangul Jamo
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x9FFF),  # Han
    (0xA960, 0xA97F),
    (0xAC00, 0xD7FF),  # Hangul
    (0xF900, 0xFAFF),
    (0x1B000, 0x1B16F),
    (0x20000, 0x3FFFF),
)


def fold(text: str) -> str:
    """`text` as it is indexed and looked for; ASCII comes back untouched, its case is the tokenizer's to fold.

    >>> fold("Ｓtraße naïve 日本語")
    'strasse naive  日  本  語 '
    """
    if text.isascii():
        return text
    return _BEYOND_ASCII.sub(_folded, unicodedata.normalize("NFC", text))


def fold_signs(text: str) -> list[str]:
    """What each letter of `text` becomes, one by one; joined they are `fold` of a text in composed form."""
    return [sign if sign.isascii() else _TABLE[ord(sign)] for sign in text]


def words(text: str) -> list[str]:
    """The words in a text, in order, their case folded.

    >>> words("Don't stop: Ärger & 東京")
    ['don', 't', 'stop', 'arger', '東', '京']
    """
    return _WORD.findall(fold(text).translate(_LOWER))


def _folded(run: re.Match[str]) -> str:
    return run[0].translate(_TABLE)


class _Table(dict[int, str]):
    """What each letter beyond ASCII becomes, worked out at its first use."""

    def __missing__(self, code: int) -> str:
        if code < 128:
            return chr(code)
        if len(self) >= _TABLE_MAX:
            self.clear()
        self[code] = _become(chr(code))
        return self[code]


def _become(sign: str) -> str:
    if sign in _DROPPED or unicodedata.category(sign) in ("Sk", "Me") or _is_selector(ord(sign)):
        return ""
    spelled = unicodedata.normalize("NFKD", sign.casefold()).casefold().translate(_WITHOUT_DECOMPOSITION)
    bare = "".join(letter for letter in spelled if unicodedata.combining(letter) not in _ACCENT_CLASSES)
    kept = "".join(letter if letter.isascii() else _placed(letter) for letter in unicodedata.normalize("NFC", bare))
    return f" {kept} " if unicodedata.category(sign) == "So" else kept


def _placed(letter: str) -> str:
    category = unicodedata.category(letter)
    if letter in _DROPPED:
        return ""
    if category == "So" or any(first <= ord(letter) <= last for first, last in _LETTER_BY_LETTER):
        return f" {letter} "
    return letter if category[0] in "LN" or category in ("Mn", "Mc") else " "


def _is_selector(code: int) -> bool:
    """Whether it only chooses how the sign before it is drawn."""
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF


_TABLE = _Table()
