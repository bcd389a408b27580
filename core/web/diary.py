"""What services have to say to their owner, day by day. The rows are in core.db; any thread may call."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from core.model.clock import Clock
from core.model.errors import BadRequest
from core.store import CoreDb

MESSAGE_LENGTH_MAX = 4000
ENTRIES_MAX = 1000
ENTRIES_KEPT_MAX = 100_000
LEVEL_MAX = 9
# A day as `until` reaches to the next, which the calendar must still have in every time zone.
LAST_DAY = date(9998, 12, 31)

# One row is one sentence that a service wrote: (id, at, service, level, message).
_INSERT = "INSERT INTO diary (at, service, level, message) VALUES (?, ?, ?, ?)"
_ERASE = "DELETE FROM diary WHERE service = ?"
_FORGET_OLDEST = "DELETE FROM diary WHERE id <= (SELECT max(id) FROM diary) - ?"
_SELECT = (
    "SELECT id, at, service, level, message FROM diary WHERE at >= ? AND at < ? AND level >= ? "
    "AND (? IS NULL OR service = ?) AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?"
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence in the diary; `at` is epoch seconds, `timestamp` the same as text in UTC."""

    id: int
    at: float
    timestamp: str
    service: str
    level: int
    message: str


class Diary:
    """The diary of all services."""

    def __init__(self, coredb: CoreDb, clock: Clock, timezone: str) -> None:
        self._coredb = coredb
        self._clock = clock
        self._zone = ZoneInfo(timezone)

    def write(self, service_id: str, *, level: int, message: str) -> None:
        """Add a sentence; only the newest hundred thousand are kept."""
        row = (self._clock.now(), service_id, level, message)

        def insert(connection: Any) -> None:
            connection.execute(_INSERT, row)
            connection.execute(_FORGET_OLDEST, (ENTRIES_KEPT_MAX,))

        self._coredb.write(insert)

    def erase(self, service_id: str) -> None:
        """Take out everything a service wrote: it is uninstalled with all it left."""
        self._coredb.write(lambda connection: connection.execute(_ERASE, (service_id,)))

    def entries(
        self,
        *,
        since: str = "",
        until: str = "",
        service_id: str | None = None,
        level: int = 0,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        """Newest first. `since` and `until` are days or moments; without them it is today, in the owner's time zone.

        A day as `until` is meant whole. A moment without an offset is the owner's; a number is epoch seconds.
        """
        start = self.moment(since) if since else self.midnight()
        end = self._end(until) if until else float("inf")
        params = (start, end, level, service_id, service_id, before, before, min(limit, ENTRIES_MAX))
        return [
            Entry(id=number, at=at, timestamp=self.local(at), service=service, level=lvl, message=message)
            for number, at, service, lvl, message in self._coredb.read(_SELECT, params)
        ]

    def midnight(self, days_back: int = 0) -> float:
        """When the owner's day began, today or some days ago."""
        day = datetime.fromtimestamp(self._clock.now(), self._zone).date() - timedelta(days=days_back)
        return datetime.combine(day, time(), self._zone).timestamp()

    def moment(self, text: str) -> float:
        """The moment that a day, an RFC 3339 time or a number of seconds means; BadRequest for anything else."""
        try:
            seconds = float(text)
        except ValueError:
            pass
        else:
            if math.isfinite(seconds):
                return seconds
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as err:
            raise BadRequest(f"{text[:40]!r} is neither a day, a time nor a number of seconds.") from err
        return self._seconds(moment)

    def local(self, at: float) -> str:
        """The moment as text in the owner's time zone, with its offset."""
        return datetime.fromtimestamp(at, self._zone).isoformat(timespec="seconds")

    def _end(self, text: str) -> float:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            return self.moment(text)
        if day >= LAST_DAY:
            raise _beyond(day)
        return self._seconds(datetime.combine(day + timedelta(days=1), time()))

    def _seconds(self, moment: datetime) -> float:
        try:
            return (moment if moment.tzinfo else moment.replace(tzinfo=self._zone)).timestamp()
        except (ValueError, OverflowError, OSError) as err:
            raise _beyond(moment.date()) from err


def _beyond(day: date) -> BadRequest:
    return BadRequest(f"The diary knows no day {day}.", remedy="Ask for a day between 1970 and 9998.")
