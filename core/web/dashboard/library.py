"""Looking through everything at once: the search page, and the timeline."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from urllib.parse import urlencode

from flask import Response

from core.library import Match, Matches, Moment
from core.model.errors import BadRequest
from core.web.dashboard.records import record_href
from core.web.dashboard.visit import Page, Trouble, Visit, query_of
from core.web.dashboard.words import plural

HITS_SHOWN = 20
MOMENTS_SHOWN = 100
QUERY_LETTERS_MAX = 1000


@dataclass(frozen=True)
class Narrowing:
    """A way to see fewer of the hits, or all of them again: what it is called, how many it leaves, its address."""

    label: str
    count: int
    href: str
    is_chosen: bool


def search(visit: Visit) -> Response:
    """What is found in all services for some words."""
    asked = {name: visit.query.get(name, "").strip() for name in ("q", "service", "type", "as_of")}
    found: Matches | None = None
    trouble: Trouble | None = None
    if asked["q"]:
        try:
            found = _found(visit, asked)
        except BadRequest as error:
            trouble = Trouble.of(error)
    return visit.show(
        "search",
        trouble=trouble,
        asked=asked,
        query_max=QUERY_LETTERS_MAX,
        found=found,
        held=_held(visit) if not asked["q"] else [],
        titles=_titles(visit),
        narrowings=_narrowings(visit, asked, found) if found is not None else [],
        href_of=partial(_href, as_of=asked["as_of"]),
        next_page=query_of({**asked, "after": found.next}) if found is not None and found.next else None,
        first_page=query_of(asked) if "after" in visit.query else None,
        today=visit.words.day(visit.words.now),
    )


def timeline(visit: Visit) -> Response:
    """One day of all services."""
    service = visit.query.get("service", "")
    day = visit.parts.library.day(
        visit.query.get("day") or None,
        services=[service] if service else [],
        types=[],
        limit=MOMENTS_SHOWN,
        after=visit.query.get("after"),
    )
    chosen = date.fromisoformat(day.day)
    today = visit.words.day(visit.words.now)
    return visit.show(
        "timeline",
        day=day,
        heading=_heading(chosen, today),
        weekday=f"{chosen:%A}",
        today=today,
        service=service,
        services=visit.parts.services.list(),
        titles=_titles(visit),
        href_of=_href,
        older=_step(day.older, today),
        newer=_step(day.newer, today),
        also=f"&{urlencode({'service': service})}" if service else "",
        is_first_page="after" not in visit.query,
    )


def _found(visit: Visit, asked: dict[str, str]) -> Matches:
    library = visit.parts.library
    return library.search(
        asked["q"],
        services=[asked["service"]] if asked["service"] else [],
        types=[asked["type"]] if asked["type"] else [],
        as_of=library.moment(asked["as_of"]) if asked["as_of"] else None,
        limit=HITS_SHOWN,
        after=visit.query.get("after"),
    )


def _held(visit: Visit) -> list[tuple[str, int, str]]:
    """What there is to be searched: each service that holds something, how much, its page."""
    titles = _titles(visit)
    counted = {service: sum(types.values()) for service, types in visit.parts.library.counts().counts.items()}
    held = sorted(((count, service) for service, count in counted.items() if count), reverse=True)
    return [(titles.get(service, service), count, f"/services/{service}") for count, service in held]


def _narrowings(visit: Visit, asked: dict[str, str], found: Matches) -> list[Narrowing]:
    """By service and by type, where there are several; the most hits first. What is chosen can be taken back."""
    titles = _titles(visit)
    services = sorted(((sum(types.values()), service) for service, types in found.counts.items()), reverse=True)
    ways = [
        Narrowing(titles.get(service, service), count, query_of({**asked, "service": service}), is_chosen=False)
        for count, service in services
        if not asked["service"] and len(services) > 1
    ]
    if asked["service"]:
        label = titles.get(asked["service"], asked["service"])
        ways.append(Narrowing(label, found.count, query_of({**asked, "service": ""}), is_chosen=True))
    types: Counter[str] = Counter()
    for counted in found.counts.values():
        types.update(counted)
    if asked["type"]:
        ways.append(Narrowing(plural(asked["type"]), found.count, query_of({**asked, "type": ""}), is_chosen=True))
    elif len(types) > 1:
        ways += [
            Narrowing(plural(name), count, query_of({**asked, "type": name}), is_chosen=False)
            for name, count in types.most_common()
        ]
    return ways


def _titles(visit: Visit) -> dict[str, str]:
    """What each service is called; where two are called the same, with its id."""
    services = visit.parts.services.list()
    shared = Counter(service.title for service in services)
    return {one.id: one.title if shared[one.title] == 1 else f"{one.title} ({one.id})" for one in services}


def _href(record: Match | Moment, *, as_of: str = "") -> str:
    return record_href(record.service, record.type, record.key, as_of=as_of)


def _heading(day: date, today: str) -> str:
    """The day as a person says it.

    >>> _heading(date(2026, 3, 10), "2026-03-10"), _heading(date(2026, 3, 9), "2026-03-10")
    ('Today', 'Yesterday')
    """
    now = date.fromisoformat(today)
    near = {now: "Today", now - timedelta(days=1): "Yesterday", now + timedelta(days=1): "Tomorrow"}
    return near.get(day, f"{day:%A}, {day.day} {day:%B %Y}")


def _step(day: str | None, today: str) -> tuple[str, str] | None:
    """A day to go to: as in its address, and as it is said in short."""
    if day is None:
        return None
    chosen, now = date.fromisoformat(day), date.fromisoformat(today)
    if chosen == now:
        return day, "today"
    said = f"{chosen.day} {chosen:%b}"
    return day, said if chosen.year == now.year else f"{said} {chosen.year}"


PAGES = (
    Page("GET", "/owner/search", search),
    Page("GET", "/owner/timeline", timeline),
)
