"""The records that the store's benches load: like a code host's list of repositories, about 200 bytes each.

The same number gives the same record on every machine; a later edition of it says something else. Words are as
unevenly frequent as in real texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from core.model.fact import Change, JsonObject
from core.model.manifest import parse_manifest

PROGRAM = Path(__file__).resolve().parent / "programs" / "repos"
TYPES = parse_manifest((PROGRAM / "connector.toml").read_text("utf-8"), str(PROGRAM)).types
REPO = TYPES["repo"]
# The same with one index, as the peers have that are loaded beside it.
ONE_INDEX = {REPO.name: msgspec.structs.replace(REPO, index=("language",))}
BATCH = 500
# The most frequent words: the first is in half of all descriptions, the second in a third.
COMMON_WORDS = ("bado", "bane")
LANGUAGES = ("Python", "Go", "Rust", "Ruby", "C", "Java", "Lua", "Swift", "Kotlin", "Zig", "Perl", "Elixir")

_FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
_DAYS = 2000
_WORDS_MAX = 4096
_DESCRIPTION_WORDS = 9
_MASK = (1 << 64) - 1


def _vocabulary() -> list[str]:
    heads, hearts, tails = "bdfgklmnprstvz", "aeiou", ("do", "ne", "rik", "sel", "tam", "lor", "vin", "pas", "gu", "ko")
    words = [a + b + c for a in heads for b in hearts for c in tails]
    return [*words, *(first + last for first in words[::3] for last in words[1::37])][:_WORDS_MAX]


# The place in it of each of 4096 equally likely numbers: half of all words told are of the first sixty-four.
_VOCABULARY = _vocabulary()
_LIKELY = [_VOCABULARY[int(_WORDS_MAX ** (number / _WORDS_MAX)) - 1] for number in range(_WORDS_MAX)]
_MOMENTS = [(_FIRST_DAY + timedelta(days=day)).strftime("%Y-%m-%dT") for day in range(_DAYS)]


def repo(number: int, edition: int = 0) -> JsonObject:
    """The record of this number."""
    dice = _mixed(number * 8 + edition)
    words = []
    more = dice
    for _ in range(_DESCRIPTION_WORDS):
        more = (more * 6364136223846793005 + 1442695040888963407) & _MASK
        words.append(_LIKELY[more >> 52])
    fixed = _mixed(number)
    return {
        "id": 1_000_000 + number,
        "name": f"{_LIKELY[fixed >> 52]}-{_LIKELY[fixed >> 40 & 4095]}-{number}",
        "description": " ".join(words),
        "language": LANGUAGES[fixed % len(LANGUAGES)],
        "stars": dice % 5000,
        "fork": not dice & 7,
        "pushed_at": f"{_MOMENTS[(fixed >> 16) % _DAYS]}{fixed % 24:02d}:{dice % 60:02d}:00Z",
    }


def key_of(record: JsonObject) -> str:
    """The record's key in a store."""
    return str(record["id"])


def change_of(record: JsonObject) -> Change:
    """What a connector hands to its store."""
    return Change(type=REPO.name, key=str(record["id"]), value=record)


def batches(count: int, *, edited_each: int = 0) -> Iterator[list[JsonObject]]:
    """The first `count` records in batches of 500; of each `edited_each` one in its second edition."""
    for start in range(0, count, BATCH):
        numbers = range(start, min(count, start + BATCH))
        yield [repo(number, int(bool(edited_each) and number % edited_each == 0)) for number in numbers]


def in_batches(items: Sequence[JsonObject], size: int = BATCH) -> Iterator[Sequence[JsonObject]]:
    """`items` in batches."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _mixed(number: int) -> int:
    """A number that looks as if it were drawn."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & _MASK
    return number ^ number >> 31
