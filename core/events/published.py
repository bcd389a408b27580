"""What services said without storing a fact: a bounded log in core.db, read like any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import apsw
import msgspec

from core.events.cursor import Position
from core.events.logs import PAGE_ENTRIES_MAX, Entry
from core.model.canonical import canonical_json
from core.model.clock import Clock
from core.model.errors import BadRequest, BodyTooLarge
from core.model.event import Event, EventAction, Idr
from core.model.ids import uuid7
from core.store import CoreDb

PUBLISHED_BYTES_MAX = 256 * 1024
PUBLISHED_ROWS_MAX = 100_000
PUBLISHED_AGE_S_MAX = 30 * 86_400.0

_TRIM_EVERY = 100
_ADD = """
INSERT INTO published (id, idr, action, service, type, key, at, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_PAGE = """
SELECT seq, id, idr, action, service, type, key, at, value FROM published
WHERE seq > ? AND service != '' ORDER BY seq LIMIT ?
"""
_HEAD = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'published'), 0)"
_FLOOR = "SELECT min(seq) - 1 FROM published"
# The row stays, empty: the floor is the lowest row, and an erased event must not look like one dropped for its age.
_ERASE = """
UPDATE published SET id = 'erased-' || seq, idr = '', action = '', service = '', type = '', key = '', value = ''
WHERE service = ?
"""
_TRIM = "DELETE FROM published WHERE seq <= ? OR at < ?"


class PublishedLog:
    """The published events in order. The oldest go when there are too many or they are too old."""

    uid = ""
    service = ""

    def __init__(self, coredb: CoreDb, clock: Clock) -> None:
        self._db = coredb
        self._clock = clock

    def add(self, service: str, idr: Idr, action: EventAction, value: Mapping[str, Any]) -> Event:
        """Keep the event; raises BadRequest or BodyTooLarge. Blocks until it is durable."""
        encoded = _encoded(value)
        now = self._clock.now()
        event = Event(
            id=str(uuid7(now)),
            idr=str(idr),
            action=action,
            service=service,
            type=idr.type,
            key=idr.key,
            seq=0,
            at=now,
            value=dict(value),
        )
        row = (event.id, event.idr, action, service, event.type, event.key, now, encoded)

        def write(connection: apsw.Connection) -> None:
            connection.execute(_ADD, row)
            seq = connection.last_insert_rowid()
            if seq % _TRIM_EVERY == 0:
                connection.execute(_TRIM, (seq - PUBLISHED_ROWS_MAX, now - PUBLISHED_AGE_S_MAX))

        self._db.write(write)
        return event

    def erase(self, service: str) -> None:
        """Take out everything a service published; positions stand, and whoever reads the others' goes on."""
        self._db.write(lambda connection: connection.execute(_ERASE, (service,)))

    def head(self) -> Position:
        """Where the log ends; it has one epoch, since it lives and dies with the positions beside it."""
        return Position("", int(self._db.read(_HEAD, ())[0][0]))

    def floor(self) -> int:
        """The last position whose event went for its age or for want of room, 0 as long as none did."""
        lowest = self._db.read(_FLOOR, ())[0][0]
        return self.head().seq if lowest is None else int(lowest)

    def page(self, since: int, *, limit: int = PAGE_ENTRIES_MAX) -> list[Entry]:
        """Events after `since`."""
        return [_entry(row) for row in self._db.read(_PAGE, (since, limit))]

    def event(self, entry: Entry) -> Event:
        """The event as it was published."""
        assert isinstance(entry.content, Event)
        return entry.content


def _encoded(value: Mapping[str, Any]) -> str:
    if not isinstance(value, Mapping):
        raise BadRequest("an event's data must be a JSON object")
    encoded = canonical_json(value)
    if len(encoded) > PUBLISHED_BYTES_MAX:
        raise BodyTooLarge(
            f"the event's data has {len(encoded)} bytes, allowed are {PUBLISHED_BYTES_MAX}",
            remedy="Store it as a record: events of records carry their value.",
        )
    return encoded.decode("utf-8")


def _entry(row: tuple[Any, ...]) -> Entry:
    seq, id_, idr, action, service, kind, key, at, value = row
    event = Event(
        id=id_,
        idr=idr,
        action=cast(EventAction, action),
        service=service,
        type=kind,
        key=key,
        seq=0,
        at=at,
        value=msgspec.json.decode(value),
    )
    return Entry(seq, service, Idr.parse(idr), event)
