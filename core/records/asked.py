"""What a request asks of the data routes, read once: a filter, an order, fields, a moment of the past, a page."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from core.model.errors import BadRequest, CursorUnknown
from core.model.filter import Filter, Path, parse, parse_paths
from core.records.answers import Request
from core.store import AsOf, AtSeq, AtTime, Reader, Store

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
AFTER_BYTES_MAX = 4096
FIELDS_MAX = 64
WORDS_BYTES_MAX = 1024
SEQ_DIGITS_MAX = 18

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT_CURE = "Write a day as 2026-11-20, a time as 2026-11-20T09:22:49Z, a position, or a cursor of a fact."


def limit_of(request: Request) -> int:
    """How many are asked for: 1 to 1000, a hundred where nothing is said."""
    return request.number("limit", default=LIMIT_DEFAULT, least=1, most=LIMIT_MAX)


def after_of(request: Request) -> str | None:
    """The end of the page before; None for the first page."""
    after = request.query.get("after")
    if after is not None and not 0 < len(after.encode()) <= AFTER_BYTES_MAX:
        raise BadRequest("after must be the `next` of the page before")
    return after


def filter_of(request: Request) -> Filter | None:
    """The filter; None where there is none."""
    text = request.query.get("filter")
    return None if text is None else parse(text)


def words_of(request: Request) -> str | None:
    """The words to search for; None where there are none."""
    words = request.query.get("q")
    if words is not None and len(words.encode()) > WORDS_BYTES_MAX:
        raise BadRequest(f"q has more than {WORDS_BYTES_MAX} bytes", remedy="Search for fewer words.")
    return words


def fields_of(request: Request) -> tuple[Path, ...]:
    """The fields that are asked for; all of them where none is named."""
    text = request.query.get("fields")
    paths = () if text is None else parse_paths(text)
    if len(paths) > FIELDS_MAX:
        raise BadRequest(f"fields names {len(paths)}, allowed are {FIELDS_MAX}", remedy="Ask for the whole record.")
    return paths


def flag_of(request: Request, name: str) -> bool:
    """Whether a switch is set: `true` or `false`, and it is not where nothing is said."""
    text = request.query.get(name, "false")
    if text not in ("true", "false"):
        raise BadRequest(f"{name} must be true or false, not {text[:40]!r}")
    return text == "true"


def moment_of(request: Request, name: str, store: Store | Reader) -> AsOf | None:
    """The moment that a parameter names; None where it names none, which is the present.

    A day means its end in the owner's time zone, a time needs its offset, a number is a position of this store's log,
    and a fact's cursor names the state right after that fact. Raises CursorUnknown for a position that is not there.
    """
    text = request.query.get(name)
    if text is None:
        return None
    if _DAY.fullmatch(text):
        return AtTime(_end_of_day(text, name, store.series.timezone()))
    if "T" in text or "t" in text:
        return AtTime(time_of(text, name, cure=_MOMENT_CURE))
    epoch, _, seq = text.rpartition(".")
    if not seq.isascii() or not seq.isdecimal() or len(seq) > SEQ_DIGITS_MAX:
        raise BadRequest(f"{name} is no moment: {text[:40]!r}", remedy=_MOMENT_CURE)
    return AtSeq(position(int(seq), epoch or None, store))


def position(seq: int, epoch: str | None, store: Store | Reader) -> int:
    """A position of this store, told with the store's epoch or without; raises CursorUnknown for any other."""
    if epoch is not None and epoch != store.epoch():
        raise CursorUnknown("the cursor was given by another store, or before a restore")
    if seq > store.head():
        raise CursorUnknown("the cursor lies beyond the end of this store")
    return seq


def _end_of_day(text: str, name: str, timezone: str) -> float:
    try:
        following = datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), ZoneInfo(timezone))
        return math.nextafter(following.timestamp(), -math.inf)
    except (ValueError, OverflowError) as err:
        raise BadRequest(f"{name}: there is no day {text}", remedy=_MOMENT_CURE) from err


def time_of(text: str, name: str, *, cure: str) -> float:
    """The epoch seconds of an RFC 3339 time with its offset; raises BadRequest naming the parameter."""
    try:
        # A plus sign that was not encoded arrives as a blank.
        found = datetime.fromisoformat(text.upper().replace(" ", "+"))
        if found.tzinfo is None:
            raise BadRequest(f"{name} has no offset: {text[:40]!r}", remedy="Add Z for UTC, or an offset as in +01:00.")
        return found.timestamp()
    except (ValueError, OverflowError) as err:
        raise BadRequest(f"{name} is no moment: {text[:40]!r}", remedy=cure) from err
