"""Times, sizes and counts as a person says them. Pure: the moment and the owner's zone are given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

_STEPS = ((60.0, 1.0, "s"), (3600.0, 60.0, "min"), (86_400.0, 3600.0, "h"), (30 * 86_400.0, 86_400.0, "days"))
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
JUST_NOW_S = 5.0


@dataclass(frozen=True)
class Words:
    """How to say things at the moment `now`, in epoch seconds."""

    now: float
    zone: ZoneInfo

    def ago(self, at: float) -> str:
        """How long since `at`; a moment ahead, as after a step of the clock, is just now.

        >>> Words(1000.0, ZoneInfo("UTC")).ago(700.0)
        '5 min ago'
        """
        passed = self.now - at
        return "just now" if passed < JUST_NOW_S else f"{span(passed)} ago"

    def until(self, at: float) -> str:
        """How long until `at`; what should have been by now is due."""
        left = at - self.now
        return "due now" if left < JUST_NOW_S else f"in {span(left)}"

    def moment(self, at: float) -> str:
        """The date and time on the owner's clock."""
        moment = self._local(at)
        return moment.strftime("%-d %b %Y, %H:%M") if moment else "an unknown time"

    def day_or_moment(self, at: float) -> str:
        """The same, but the day alone for a midnight: sources that know a day only give that one's.

        >>> Words(0.0, ZoneInfo("Europe/Berlin")).day_or_moment(86_400.0)
        '2 Jan 1970'
        """
        for zone in (ZoneInfo("UTC"), self.zone):
            moment = Words(self.now, zone)._local(at)
            if moment and moment.time() == time():
                return moment.strftime("%-d %b %Y")
        return self.moment(at)

    def seconds(self, at: float) -> str:
        """The seconds that `moment` leaves out, as `:07`."""
        moment = self._local(at)
        return moment.strftime(":%S") if moment else ""

    def machine(self, at: float) -> str:
        """The same for a `datetime` attribute."""
        moment = self._local(at)
        return moment.isoformat(timespec="seconds") if moment else ""

    def day(self, at: float) -> str:
        """The owner's day as `2026-11-20`."""
        moment = self._local(at)
        return moment.date().isoformat() if moment else ""

    def clock(self, at: float) -> str:
        """The time of day on the owner's clock."""
        moment = self._local(at)
        return moment.strftime("%H:%M") if moment else ""

    def _local(self, at: float) -> datetime | None:
        """None for what lies outside the calendar: a source's date may be anything."""
        try:
            return datetime.fromtimestamp(at, self.zone)
        except (ValueError, OverflowError, OSError):
            return None


def span(seconds: float) -> str:
    """A length of time in one unit.

    >>> span(7200.0), span(86_400.0)
    ('2 h', '1 day')
    """
    if not math.isfinite(seconds):
        return "an unknown time"
    for most, unit_s, name in _STEPS:
        if seconds < most:
            count = max(1, int(seconds // unit_s))
            return f"{count} {name}" if name != "days" or count > 1 else "1 day"
    months = int(seconds // (30 * 86_400))
    if months < 24:
        return "1 month" if months == 1 else f"{months} months"
    return f"{int(seconds // (365 * 86_400))} years"


def count(number: int, noun: str) -> str:
    """A number and its noun; digits in groups.

    >>> count(1, "record"), count(12345, "entry")
    ('1 record', '12,345 entries')
    """
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The plural of a type's name, by the rule that most English nouns follow."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def size(number: float) -> str:
    """Bytes in a fitting unit.

    >>> size(1_234_567)
    '1.2 MB'
    """
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
