"""What services write for their owner to read."""

from __future__ import annotations

from typing import Annotated

import msgspec

from core.web.diary import ENTRIES_MAX, LEVEL_MAX, MESSAGE_LENGTH_MAX, Entry
from core.web.numbers import POSITION_MAX, whole
from core.web.routes import CHILD, READ, Ask, Field, Route


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """What to write; level 0 informs, 1 warns, 2 and above tells of an error."""

    message: Annotated[str, msgspec.Meta(min_length=1, max_length=MESSAGE_LENGTH_MAX)]
    level: Annotated[int, msgspec.Meta(ge=0, le=LEVEL_MAX)] = 0


class DiaryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, newest first; `next` is the `before` to ask with for older ones."""

    entries: list[Entry]
    next: int | None


def write_diary(ask: Ask) -> Sentence:
    """Write a sentence into the diary."""
    ask.desk.diary.write(ask.service_id, level=ask.body.level, message=ask.body.message)
    return Sentence(message=ask.body.message, level=ask.body.level)


def read_diary(ask: Ask) -> DiaryPage:
    """Read the diary, newest first: today in the owner's time zone unless told otherwise."""
    limit = whole(ask.query, "limit", otherwise=100, most=ENTRIES_MAX)
    entries = ask.desk.diary.entries(
        since=ask.query.get("since", ""),
        until=ask.query.get("until", ""),
        service_id=ask.query.get("service"),
        level=whole(ask.query, "level", otherwise=0, least=0, most=LEVEL_MAX),
        before=whole(ask.query, "before", otherwise=0, least=0, most=POSITION_MAX) or None,
        limit=limit,
    )
    return DiaryPage(entries=entries, next=entries[-1].id if len(entries) == limit else None)


_QUERY = (
    Field(name="since", about="A day, an RFC 3339 time or epoch seconds; the start of today unless told."),
    Field(name="until", about="The same; a day is meant whole."),
    Field(name="service", about="Only this service's entries."),
    Field(name="level", about="Only this level and above.", kind="integer"),
    Field(name="limit", about=f"How many: 1 to {ENTRIES_MAX}, 100 unless told.", kind="integer"),
    Field(name="before", about="Only entries older than this id: `next` of the page before.", kind="integer"),
)
ROUTES = (
    Route("POST", "/core/<id>/diary", write_diary, "diary", CHILD, body=Sentence, answer=Sentence),
    Route("GET", "/diary", read_diary, "diary", READ, query=_QUERY, answer=DiaryPage),
)
