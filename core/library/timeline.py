"""One day of everything: the records of all services that speak of it, in the owner's time zone."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import chain, islice
from zoneinfo import ZoneInfo

import msgspec

from core.library.days import bounds, day_at, day_of_whole, whole_day
from core.library.links import link_of
from core.library.shelves import Shelf, Shelves, Skipped
from core.model.errors import BadRequest
from core.model.fact import Record
from core.model.manifest import spec_of
from core.store import Almanac, Reading, beginning, one_line, place_of, rest_of, word_of

MOMENTS_MAX = 500
TEXT_LETTERS_MAX = 300
_TEXT_LOOKED_AT = 4000  # HTML may be mostly tags.
_FIRST_READ = 25
_READ = 100
_READS_MAX = 100


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A record on its day; one of a whole day has no time on it, and `at` is the day's first moment in UTC."""

    service: str
    type: str
    key: str
    seq: int
    at: float
    is_whole_day: bool
    title: str
    text: str
    link: str | None


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A day's records, those of the whole day first, then the latest first; `next` is the `after` of its next page.

    `older` and `newer` are the nearest days that have something. `skipped` are the services whose stores could not be
    read.
    """

    day: str
    moments: Sequence[Moment]
    next: str | None
    older: str | None
    newer: str | None
    skipped: Sequence[Skipped]


class _Place(msgspec.Struct, frozen=True, array_like=True, tag="day", tag_field="kind"):
    """The last record shown of a day: the latest first, then by service and type, then the last recorded first."""

    is_whole_day: bool
    at: float
    service: str
    type: str
    seq: int


class Timeline:
    """The days of all stores."""

    def __init__(self, shelves: Shelves, zone: ZoneInfo) -> None:
        self._shelves = shelves
        self._zone = zone

    def day(
        self,
        day: date,
        *,
        services: Sequence[str] = (),
        types: Sequence[str] = (),
        limit: int,
        after: str | None = None,
    ) -> Day:
        """At most `limit` records of a day, after those of the page that gave `after`.

        Only of these services and types where some are named.
        """
        if not 1 <= limit <= MOMENTS_MAX:
            raise BadRequest(f"limit is {limit}", remedy=f"Ask for 1 to {MOMENTS_MAX}.")
        place = None if after is None else place_of(after, _Place)

        def look(shelf: Shelf) -> tuple[list[tuple[_Place, Moment]], date | None, date | None]:
            page = _ShelfDay(shelf, day, self._zone, types)
            return page.moments(place, limit + 1), page.older(), page.newer()

        answers = self._shelves.ask(look, services=services)
        merged = list(islice(heapq.merge(*(found for _, (found, _, _) in answers.given), key=_order), limit + 1))
        older = [one for _, (_, one, _) in answers.given if one is not None]
        newer = [one for _, (_, _, one) in answers.given if one is not None]
        return Day(
            day=day.isoformat(),
            moments=[moment for _, moment in merged[:limit]],
            next=word_of(merged[limit - 1][0]) if len(merged) > limit else None,
            older=max(older).isoformat() if older else None,
            newer=min(newer).isoformat() if newer else None,
            skipped=answers.skipped,
        )


class _ShelfDay:
    """One day of one store."""

    def __init__(self, shelf: Shelf, day: date, zone: ZoneInfo, only: Sequence[str]) -> None:
        self._shelf = shelf
        self._day = day
        self._zone = zone
        self._start, self._end = bounds(day, zone)
        self._almanac = Almanac(shelf.reader.rows, shelf.types)
        self._types = sorted(name for name in self._almanac.types() if not only or name in only)

    def moments(self, place: _Place | None, limit: int) -> list[tuple[_Place, Moment]]:
        """At most `limit` records after `place`, in order."""
        whole = () if place is not None and not place.is_whole_day else self._merged(place, is_whole=True)
        return list(islice(chain(whole, self._merged(place, is_whole=False)), limit))

    def older(self) -> date | None:
        """The last day before this one that has something."""
        return max((day for name in self._types if (day := self._older(name)) is not None), default=None)

    def newer(self) -> date | None:
        """The first day after this one that has something."""
        return min((day for name in self._types if (day := self._newer(name)) is not None), default=None)

    def _merged(self, place: _Place | None, *, is_whole: bool) -> Iterator[tuple[_Place, Moment]]:
        since = place if place is not None and place.is_whole_day == is_whole else None
        return heapq.merge(*(self._stream(name, since, is_whole=is_whole) for name in self._types), key=_order)

    def _stream(self, name: str, place: _Place | None, *, is_whole: bool) -> Iterator[tuple[_Place, Moment]]:
        """The records of one type after `place`."""
        start, end = self._start, self._end
        if is_whole:
            start = whole_day(self._day)
            end = _just_after(start)
        seq: int | None = None
        if place is not None:
            mine, theirs = (self._shelf.service, name), (place.service, place.type)
            end = min(end, place.at if mine <= theirs else _just_after(place.at))
            seq = place.seq if mine == theirs else None
        reading = Reading(spec_of(self._shelf.types, name))
        for record in self._records(name, start, end, seq):
            if self._almanac.is_whole_day(record) == is_whole:
                yield self._shown(record, reading, is_whole=is_whole)

    def _records(self, name: str, start: float, end: float, seq: int | None = None) -> Iterator[Record]:
        """The records of a type, the latest first, read as they are wanted."""
        limit = _FIRST_READ
        for _ in range(_READS_MAX):
            records = self._almanac.between(name, start, end, limit=limit, before_seq=seq)
            yield from records
            if not records:
                return
            end, seq, limit = records[-1].at, records[-1].seq, _READ

    def _shown(self, record: Record, reading: Reading, *, is_whole: bool) -> tuple[_Place, Moment]:
        text = one_line(reading.body(record.value, record.common, letters_max=_TEXT_LOOKED_AT))
        title = one_line(reading.title(record.value, record.common)) or beginning(text)
        moment = Moment(
            service=self._shelf.service,
            type=record.type,
            key=record.key,
            seq=record.seq,
            at=record.at,
            is_whole_day=is_whole,
            title=_cut(title, TEXT_LETTERS_MAX) or record.key,
            text=_cut(rest_of(text, title), TEXT_LETTERS_MAX),
            link=link_of(record.common),
        )
        return _Place(is_whole, record.at, self._shelf.service, record.type, record.seq), moment

    # West of Greenwich the moment that stands for a whole day lies in the evening before, on the owner's clock: between
    # it and midnight, whole days belong to the day that comes, moments to the one that goes.

    def _older(self, name: str) -> date | None:
        whole = whole_day(self._day)
        if whole < self._start and self._has(name, whole, self._start, is_whole=False):
            return self._day - timedelta(days=1)
        record = self._almanac.before(name, min(whole, self._start))
        if record is None or self._almanac.is_whole_day(record):
            return None if record is None else day_of_whole(record.at)
        day = day_at(record.at, self._zone)
        following = day + timedelta(days=1)
        return following if following < self._day and self._has_whole(name, following) else day

    def _newer(self, name: str) -> date | None:
        following = self._day + timedelta(days=1)
        if whole_day(following) < self._end and self._has_whole(name, following):
            return following
        record = self._almanac.since(name, self._end)
        if record is None or not self._almanac.is_whole_day(record):
            return None if record is None else day_at(record.at, self._zone)
        day = day_of_whole(record.at)
        start = bounds(day, self._zone)[0]
        is_evening = record.at < start and self._has(name, record.at, start, is_whole=False)
        return day - timedelta(days=1) if is_evening else day

    def _has_whole(self, name: str, day: date) -> bool:
        return self._has(name, whole_day(day), _just_after(whole_day(day)), is_whole=True)

    def _has(self, name: str, start: float, end: float, *, is_whole: bool) -> bool:
        return any(self._almanac.is_whole_day(record) == is_whole for record in self._records(name, start, end))


def _order(one: tuple[_Place, Moment]) -> tuple[bool, float, str, str, int]:
    place = one[0]
    return not place.is_whole_day, -place.at, place.service, place.type, -place.seq


def _just_after(moment: float) -> float:
    return math.nextafter(moment, math.inf)


def _cut(text: str, letters_max: int) -> str:
    return text if len(text) <= letters_max else text[: letters_max - 1].rstrip() + "…"
