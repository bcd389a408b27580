"""A source's way of writing a moment, as epoch seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

_MILLISECONDS_FROM = 1e11  # As seconds this would be the year 5138: sources that write such numbers mean milliseconds.
_EPOCH_S_MAX = 253_402_300_800.0  # The end of the year 9999, where calendars of most programs stop.
_TEXT_LETTERS_MAX = 64
_NUMBER_TEXT = re.compile(r"-?\d{9,13}(\.\d{1,9})?")


def moment(value: Any) -> float | None:
    """The moment that `value` writes as ISO 8601 or RFC 3339 text or as an epoch number; None when it writes none.

    A text without an offset is UTC; a day without a time is its first moment.

    >>> moment("2026-11-20T09:22:49+01:00"), moment(1795162969), moment("yesterday")
    (1795162969.0, 1795162969.0, None)
    """
    if isinstance(value, str):
        return _from_text(value.strip()) if len(value) <= _TEXT_LETTERS_MAX else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_number(value)
    return None


def _from_number(number: float) -> float | None:
    try:
        seconds = float(number)
    except OverflowError:
        return None
    if abs(seconds) >= _MILLISECONDS_FROM:
        seconds /= 1000
    return seconds if abs(seconds) < _EPOCH_S_MAX else None


def _from_text(text: str) -> float | None:
    try:
        if text[4:5] == "-":  # As nearly every source writes it.
            return _epoch(datetime.fromisoformat(text))
    except ValueError:
        pass
    if _NUMBER_TEXT.fullmatch(text):
        return _from_number(float(text))
    try:
        return _epoch(datetime.fromisoformat(text.upper()))
    except ValueError:
        return None


def _epoch(parsed: datetime) -> float:
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
