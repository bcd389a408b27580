"""Hours and days as the owner's clock shows them, as spans of epoch seconds.

A day begins at the first moment at which the clock shows its date; so it has 23 or 25 hours where the clock is
changed. An hour that such a change cuts is two. All begin on whole minutes.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import resources
from math import floor
from pathlib import Path
from typing import NamedTuple
from zoneinfo import TZPATH, ZoneInfo

from core.model.errors import BadRequest

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86_400
MOMENT_MAX = 6.2e10  # About the year 3934; as far before 1970 it is the year 5.

_DAYS_KEPT_MAX = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """From `start` on, up to and without `end`."""

    start: int
    end: int


def rules_of(timezone: str) -> str:
    """A digest of the zone's rules as this machine knows them: they change where a country changes its clocks."""
    *outer, name = timezone.split("/")
    for place in TZPATH:
        path = Path(place, *outer, name)
        if path.is_file():
            return sha256(path.read_bytes()).hexdigest()
    package = resources.files(".".join(["tzdata", "zoneinfo", *outer]))
    return sha256(package.joinpath(name).read_bytes()).hexdigest()


def minute_of(at: float) -> Span:
    """The minute in which the moment lies."""
    start = floor(at) // MINUTE_S * MINUTE_S
    return Span(start, start + MINUTE_S)


class Days:
    """The hours and days of one time zone; moments lie within MOMENT_MAX of the epoch."""

    def __init__(self, timezone: str) -> None:
        try:
            self._zone = ZoneInfo(timezone)
        except (KeyError, ValueError, OSError) as err:
            raise BadRequest(f"{timezone!r:.80} is no time zone", remedy="Name one as in Europe/Vienna.") from err
        self.timezone = timezone
        self._hours: dict[int, tuple[int, ...]] = {}

    def hour(self, at: float) -> Span:
        """The hour in which the moment lies."""
        starts = self._starts(floor(at))
        place = bisect_right(starts, floor(at))
        return Span(starts[place - 1], starts[place])

    def day(self, at: float) -> Span:
        """The day in which the moment lies."""
        starts = self._starts(floor(at))
        return Span(starts[0], starts[-1])

    def _starts(self, second: int) -> tuple[int, ...]:
        """Where the hours of the moment's day begin, and where the last of them ends."""
        shown = self._shown(second).date().toordinal()
        for ordinal in (shown, shown + 1):
            starts = self._hours.get(ordinal) or self._hours_of(ordinal)
            if second < starts[-1]:
                break
        return starts

    def _hours_of(self, ordinal: int) -> tuple[int, ...]:
        start, end = self._midnight(ordinal), self._midnight(ordinal + 1)
        starts: list[int] = []
        for begin, finish in self._even(start, end):
            shift = self._offset(begin)
            first = ((begin + shift) // HOUR_S + 1) * HOUR_S - shift
            starts += [begin, *range(first, finish, HOUR_S)]
        if len(self._hours) >= _DAYS_KEPT_MAX:
            self._hours.clear()
        self._hours[ordinal] = (*starts, end)
        return self._hours[ordinal]

    def _midnight(self, ordinal: int) -> int:
        """The first moment at which the clock shows this date or a later one."""
        wanted = datetime.fromordinal(ordinal).replace(tzinfo=self._zone)
        late = _seconds(wanted)
        if self._shown(late).replace(tzinfo=None) != wanted.replace(tzinfo=None):  # The clock skips that midnight.
            late = self._change(_seconds(wanted.replace(fold=1)), late)
        return late // MINUTE_S * MINUTE_S

    def _even(self, start: int, end: int) -> list[Span]:
        """The span, cut where the clock is changed."""
        if start >= end or self._offset(start) == self._offset(end - 1):
            return [Span(start, end)] if start < end else []
        change = self._change(start, end - 1) // MINUTE_S * MINUTE_S
        return [Span(start, change), Span(change, end)] if change > start else [Span(start, end)]

    def _change(self, early: int, late: int) -> int:
        """The moment of the change between two that differ in their offset."""
        before = self._shown(early).utcoffset()
        while late - early > 1:
            middle = (early + late) // 2
            if self._shown(middle).utcoffset() == before:
                early = middle
            else:
                late = middle
        return late

    def _offset(self, second: int) -> int:
        """How far the clock is ahead of UTC, in whole minutes' seconds."""
        ahead = self._shown(second).utcoffset() or timedelta()
        return floor(ahead.total_seconds()) // MINUTE_S * MINUTE_S

    def _shown(self, second: int) -> datetime:
        return (_EPOCH + timedelta(seconds=second)).astimezone(self._zone)


def _seconds(moment: datetime) -> int:
    return floor((moment - _EPOCH).total_seconds())
