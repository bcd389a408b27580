"""Looking through everything at once: `search` over all services, and the `timeline`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from core.library import Match, Moment, Skipped
from core.model.errors import BadRequest
from core.model.ids import key_to_path
from core.web.numbers import whole
from core.web.routes import READ, Ask, Field, Route

HITS_SENT_MAX = 200
HITS_SENT = 50
MOMENTS_SENT_MAX = 500
MOMENTS_SENT = 100


class MarkedText(msgspec.Struct, frozen=True, kw_only=True):
    """A text, and the spans of its letters, from and up to, that show what was looked for."""

    text: str
    marks: tuple[tuple[int, int], ...]


class SearchHit(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was found; `rank` is higher for a better fit."""

    service: str
    type: str
    key: str
    seq: int
    at: float
    rank: float
    title: MarkedText
    snippet: MarkedText
    link: str | None
    href: str


class SkippedService(msgspec.Struct, frozen=True, kw_only=True):
    """A service whose store could not be looked at, and why."""

    service: str
    reason: str


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """Hits, the best first; `next` is the `after` to ask with for more.

    `count` and `counts` (by service and type) are exact unless `is_capped`: then there may be more. `is_cut` says that
    the query was longer than is looked at.
    """

    hits: list[SearchHit]
    next: str | None
    count: int
    is_capped: bool
    counts: dict[str, dict[str, int]]
    is_cut: bool
    skipped: list[SkippedService]


class TimelineMoment(msgspec.Struct, frozen=True, kw_only=True):
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
    href: str


class TimelineDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day's records, those of the whole day first, then the latest first; `next` is the `after` to ask with for more.

    `older` and `newer` are the nearest days that have something.
    """

    day: str
    moments: list[TimelineMoment]
    next: str | None
    older: str | None
    newer: str | None
    skipped: list[SkippedService]


def search(ask: Ask) -> SearchPage:
    """Find records of all services by their words, the best first."""
    if "q" not in ask.query:
        raise BadRequest("q is missing: what is to be found.")
    moment = ask.query.get("as_of")
    found = ask.parts.library.search(
        ask.query["q"],
        services=_names(ask, "services"),
        types=_names(ask, "types"),
        as_of=None if moment is None else ask.parts.library.moment(moment),
        limit=whole(ask.query, "limit", otherwise=HITS_SENT, most=HITS_SENT_MAX),
        after=ask.query.get("after"),
    )
    return SearchPage(
        hits=[_hit(match) for match in found.matches],
        next=found.next,
        count=found.count,
        is_capped=found.is_capped,
        counts={service: dict(types) for service, types in found.counts.items()},
        is_cut=found.is_cut,
        skipped=_skipped(found.skipped),
    )


def read_timeline(ask: Ask) -> TimelineDay:
    """Read one day of all services, by the times that records speak of, in the owner's time zone."""
    found = ask.parts.library.day(
        ask.query.get("day"),
        services=_names(ask, "services"),
        types=_names(ask, "types"),
        limit=whole(ask.query, "limit", otherwise=MOMENTS_SENT, most=MOMENTS_SENT_MAX),
        after=ask.query.get("after"),
    )
    return TimelineDay(
        day=found.day,
        moments=[_moment(moment) for moment in found.moments],
        next=found.next,
        older=found.older,
        newer=found.newer,
        skipped=_skipped(found.skipped),
    )


def _hit(match: Match) -> SearchHit:
    return SearchHit(
        service=match.service,
        type=match.type,
        key=match.key,
        seq=match.seq,
        at=match.at,
        rank=match.rank,
        title=MarkedText(text=match.title.text, marks=match.title.marks),
        snippet=MarkedText(text=match.snippet.text, marks=match.snippet.marks),
        link=match.link,
        href=_href(match),
    )


def _moment(moment: Moment) -> TimelineMoment:
    return TimelineMoment(
        service=moment.service,
        type=moment.type,
        key=moment.key,
        seq=moment.seq,
        at=moment.at,
        is_whole_day=moment.is_whole_day,
        title=moment.title,
        text=moment.text,
        link=moment.link,
        href=_href(moment),
    )


def _href(record: Match | Moment) -> str:
    return f"/Me/{record.service}/records/{key_to_path(record.type)}/{key_to_path(record.key)}"


def _skipped(services: Sequence[Skipped]) -> list[SkippedService]:
    return [SkippedService(service=one.service, reason=one.reason) for one in services]


def _names(ask: Ask, name: str) -> list[str]:
    return [word for word in ask.query.get(name, "").split(",") if word]


_WHERE = (
    Field(name="services", about="Only these services, by commas."),
    Field(name="types", about="Only these types, by commas."),
)
_AFTER = Field(name="after", about="The `next` of the page before.")

ROUTES = (
    Route(
        "GET", "/search", search, "library", READ, answer=SearchPage,
        query=(
            Field(name="q", about='Words, "phrases", beginnings*, -without, OR, title:.', is_required=True),
            *_WHERE,
            Field(name="as_of", about="As all was known then: a day, an RFC 3339 time or epoch seconds."),
            Field(name="limit", about=f"1 to {HITS_SENT_MAX}, {HITS_SENT} unless told.", kind="integer"),
            _AFTER,
        ),
    ),
    Route(
        "GET", "/timeline", read_timeline, "library", READ, answer=TimelineDay,
        query=(
            Field(name="day", about="Such as 2026-11-20; today unless told."),
            *_WHERE,
            Field(name="limit", about=f"1 to {MOMENTS_SENT_MAX}, {MOMENTS_SENT} unless told.", kind="integer"),
            _AFTER,
        ),
    ),
)  # fmt: skip
