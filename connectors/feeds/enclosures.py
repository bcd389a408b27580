"""Files that entries bring along, kept where the owner wants them: from the moment it was switched on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
import requests

from connectors.feeds.entries import enclosures_of
from connectors.sdk import Again, AnswerTooLarge, Context, Cursor, Message, Note, Progress, Put, checked, why_unanswered
from core.model.errors import BodyTooLarge, LockerError, StorageFull

PART = "enclosures"
PAGE = 200
TRIES_MAX = 3
WAITING_MAX = 500
FILES_PER_RUN_MAX = 50
DEADLINE_S = 1800.0
MB = 1024 * 1024


class _Position(msgspec.Struct, forbid_unknown_fields=True):
    """The last fact that was looked at, and the entries of which a file is tried again, each with its tries."""

    seq: int
    again: dict[str, int]


def enclosures(context: Context) -> Iterator[Message]:
    """Fetch the files of entries that came since the last time; a file that fails is tried on later runs."""
    cursor = context.cursor(PART)
    try:
        position = None if cursor is None else msgspec.convert(cursor, _Position)
    except msgspec.ValidationError:
        yield Note("how far files were kept cannot be read; those of entries from now on are", level="warning")
        position = None
    if position is None:
        # Switched on just now: what is attached to older entries stays where it is.
        yield Cursor({"seq": context.head(), "again": {}}, part=PART)
        return
    again = position.again
    for done, key in enumerate(list(again)[:FILES_PER_RUN_MAX]):
        yield from _kept(context, key, again)
        yield Cursor({"seq": position.seq, "again": again}, part=PART)
        yield Progress(done + 1)
    yield from _new(context, position.seq, again)


def _new(context: Context, seq: int, again: dict[str, int]) -> Iterator[Message]:
    files = 0
    while facts := context.facts(seq, limit=PAGE):
        for fact in facts:
            seq = fact.seq
            if fact.type != "entry" or fact.action != "put" or not enclosures_of(fact.value):
                continue
            yield from _kept(context, fact.key, again)
            yield Cursor({"seq": seq, "again": again}, part=PART)
            files += 1
            if files >= FILES_PER_RUN_MAX:
                yield Again(60.0)
                return
        yield Cursor({"seq": seq, "again": again}, part=PART)


def _kept(context: Context, entry: str, again: dict[str, int]) -> Iterator[Message]:
    """The files of one entry, those that are here already left out."""
    record = context.record("entry", entry)
    tries = again.pop(entry, 0) + 1
    for enclosure in [] if record is None else enclosures_of(record.value):
        key = f"{entry}.{hashlib.sha256(enclosure['url'].encode()).hexdigest()[:16]}"
        before = context.record("enclosure", key)
        if before is not None and before.value.get("status") in ("kept", "too_large"):
            continue
        value = _fetched(context, key, entry, enclosure)
        if value["status"] == "failed" and tries < TRIES_MAX and len(again) < WAITING_MAX:
            again[entry] = tries
        yield Put(type="enclosure", key=key, value=value)


def _fetched(context: Context, key: str, entry: str, enclosure: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = {"key": key, "entry": entry, "url": enclosure["url"], "type": enclosure["type"]}
    bytes_max = int(context.settings.get("enclosure_mb_max", 100)) * MB
    session = context.new_session(body_bytes_max=bytes_max, deadline_s=DEADLINE_S)
    try:
        with session, session.get(enclosure["url"], stream=True) as answer:
            checked(answer)
            digest = context.files.put_file(session.bounded(answer), bytes_max=bytes_max)
        return {**value, "status": "kept", "file": digest, "bytes": context.files.size(digest)}
    except (AnswerTooLarge, BodyTooLarge):
        return {**value, "status": "too_large"}
    except StorageFull:
        raise
    except (LockerError, requests.RequestException) as err:
        detail = err.detail if isinstance(err, LockerError) else f"the server did not answer: {why_unanswered(err)}"
        return {**value, "status": "failed", "detail": detail}
