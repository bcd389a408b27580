"""Everything that all services hold, to be looked through at once: found, counted, laid out by day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from zoneinfo import ZoneInfo

import msgspec

from core.library.days import day_at, parse_day, parse_moment
from core.library.search import Finder, Matches
from core.library.shelves import ANSWER_S_MAX, Shelf, Shelves, Skipped
from core.library.timeline import Day, Timeline
from core.model.clock import Clock


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many records there are, by service and type, deleted ones left out."""

    counts: dict[str, dict[str, int]]
    skipped: Sequence[Skipped]


class Library:
    """Reads the stores of all services and changes nothing; no child is woken.

    `find` tells the stores there are; any thread may ask. Owns its threads until `close`.
    """

    def __init__(
        self,
        find: Callable[[], Sequence[Shelf]],
        *,
        timezone: str,
        clock: Clock,
        answer_s_max: float = ANSWER_S_MAX,
    ) -> None:
        self._zone = ZoneInfo(timezone)
        self._clock = clock
        self._shelves = Shelves(find, answer_s_max=answer_s_max)
        self._finder = Finder(self._shelves)
        self._timeline = Timeline(self._shelves, self._zone)

    def search(
        self,
        text: str,
        *,
        services: Sequence[str] = (),
        types: Sequence[str] = (),
        as_of: float | None = None,
        limit: int,
        after: str | None = None,
    ) -> Matches:
        """The best `limit` records for `text`, 200 at most, after those of the page that gave `after`.

        Only of these services and types where some are named; with `as_of` as everything was known at that time.
        """
        return self._finder.find(text, services=services, types=types, as_of=as_of, limit=limit, after=after)

    def day(
        self,
        day: str | None = None,
        *,
        services: Sequence[str] = (),
        types: Sequence[str] = (),
        limit: int,
        after: str | None = None,
    ) -> Day:
        """A day such as 2026-11-20, or today, in the owner's time zone: at most `limit` of its records, 500 at most."""
        chosen = self.today() if day is None else parse_day(day)
        return self._timeline.day(chosen, services=services, types=types, limit=limit, after=after)

    def moment(self, text: str) -> float:
        """The moment that a day (its last one), an RFC 3339 time or a number of epoch seconds means, or BadRequest."""
        return parse_moment(text, self._zone)

    def counts(self, *, services: Sequence[str] = ()) -> Counts:
        """How many records there are of each type in each service."""
        answers = self._shelves.ask(lambda shelf: shelf.reader.counts(), services=services)
        return Counts(counts={shelf.service: counts for shelf, counts in answers.given}, skipped=answers.skipped)

    def today(self) -> date:
        """The owner's day now."""
        return day_at(self._clock.now(), self._zone)

    def close(self) -> None:
        """End the threads; nothing may be asked any more."""
        self._shelves.close()
