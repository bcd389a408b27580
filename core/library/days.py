"""Days on the owner's calendar: when they begin and end, and on which one a record stands."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.model.errors import BadRequest

FIRST = date(1, 1, 3)
LAST = date(9998, 12, 29)
_UTC = ZoneInfo("UTC")


def parse_day(text: str) -> date:
    """The day in a text such as 2026-11-20; BadRequest for anything else, and beyond the calendar."""
    try:
        day = date.fromisoformat(text)
    except ValueError as err:
        raise BadRequest(f"{text[:20]!r} is not a day such as 2026-11-20.") from err
    if not FIRST <= day <= LAST:
        raise BadRequest(f"The timeline knows no day {day}.")
    return day


def parse_moment(text: str, zone: ZoneInfo) -> float:
    """The moment that a day, an RFC 3339 time or a number of epoch seconds means; a day means its last moment.

    A time without an offset is the owner's. BadRequest for anything else.
    """
    try:
        return _finite(float(text))
    except ValueError:
        pass
    try:
        if len(text) == len("2026-11-20"):
            return math.nextafter(bounds(parse_day(text), zone)[1], 0.0)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError, OSError) as err:
        raise BadRequest(f"{text[:40]!r} is neither a day, a time nor a number of seconds.") from err


def day_at(moment: float, zone: ZoneInfo) -> date:
    """The owner's day at a moment, the one within whose bounds it lies; the nearest that the calendar has."""
    try:
        day = datetime.fromtimestamp(moment, zone).date()
    except (ValueError, OverflowError, OSError):
        return FIRST if moment < 0 else LAST
    if not FIRST <= day <= LAST:
        return min(max(day, FIRST), LAST)
    # Where clocks change around midnight, the evening's hour comes again after it, or the morning begins before it.
    start, end = bounds(day, zone)
    if moment < start:
        return max(day - timedelta(days=1), FIRST)
    return min(day + timedelta(days=1), LAST) if moment >= end else day


def bounds(day: date, zone: ZoneInfo) -> tuple[float, float]:
    """When the day begins and when the next does, on the owner's clock: 23 to 25 hours apart, as summer time has it."""
    return (
        datetime.combine(day, time(), zone).timestamp(),
        datetime.combine(day + timedelta(days=1), time(), zone).timestamp(),
    )


def whole_day(day: date) -> float:
    """The moment that stands for a whole day, in whatever zone: its first in UTC."""
    return datetime.combine(day, time(), UTC).timestamp()


def day_of_whole(moment: float) -> date:
    """The day that a whole day's moment stands for; the nearest that the calendar has."""
    return day_at(moment, _UTC)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise BadRequest("A time in seconds is a finite number.")
    return number
