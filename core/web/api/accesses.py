"""Who changed what."""

from __future__ import annotations

import msgspec

from core.web.accesses import ENTRIES_MAX, Access
from core.web.numbers import POSITION_MAX, whole
from core.web.routes import Ask, Field, Route


class AccessPage(msgspec.Struct, frozen=True, kw_only=True):
    """Requests, newest first; `next` is the `before` to ask with for older ones."""

    entries: list[Access]
    next: int | None


def read_accesses(ask: Ask) -> AccessPage:
    """List the requests of people and apps that could change something, newest first."""
    limit = whole(ask.query, "limit", otherwise=100, most=ENTRIES_MAX)
    before = whole(ask.query, "before", otherwise=0, most=POSITION_MAX) or None
    entries = ask.desk.accesses.entries(before=before, limit=limit)
    return AccessPage(entries=entries, next=entries[-1].id if entries and len(entries) == limit else None)


_QUERY = (
    Field(name="limit", about=f"How many at most, 100 unless told, {ENTRIES_MAX} at most.", kind="integer"),
    Field(name="before", about="Only those older than this id: `next` of the page before.", kind="integer"),
)
ROUTES = (Route("GET", "/accesses", read_accesses, "tokens", query=_QUERY, answer=AccessPage),)
