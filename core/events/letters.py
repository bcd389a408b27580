"""Dead letters: events that a listener could not take, kept until somebody retries or drops them. Methods block."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from core.events.cursor import Positions
from core.events.listeners import Place, put_positions
from core.model.errors import NotFound
from core.store import CoreDb

LETTERS_PER_SERVICE_MAX = 1000

_COLUMNS = "id, service, path, first_seen, last_tried, tries, problem, events"
_ALL = f"SELECT {_COLUMNS} FROM dead_letter ORDER BY id LIMIT ?"
_OF_SERVICE = f"SELECT {_COLUMNS} FROM dead_letter WHERE service = ? ORDER BY id LIMIT ?"
_ONE = f"SELECT {_COLUMNS} FROM dead_letter WHERE id = ?"
_COUNT = "SELECT count(*) FROM dead_letter WHERE service = ?"
_ADD = """
INSERT INTO dead_letter (service, path, first_seen, last_tried, tries, problem, events) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_TRIED = "UPDATE dead_letter SET last_tried = ?, tries = tries + 1, problem = ? WHERE id = ?"
_DROP = "DELETE FROM dead_letter WHERE id = ?"
_PURGE = "DELETE FROM dead_letter WHERE service = ?"
_PURGE_WORDS = """
DELETE FROM dead_letter
WHERE EXISTS (SELECT 1 FROM json_each(events) AS event WHERE event.value ->> '$.service' = ?)
"""
_PURGE_ERASED = """
DELETE FROM dead_letter
WHERE EXISTS (
    SELECT 1 FROM json_each(events) AS event WHERE event.value ->> '$.service' = ?1
    AND ((event.value ->> '$.type' = ?2 AND event.value ->> '$.key' = ?3)
        OR event.value ->> '$.id' IN (SELECT value FROM json_each(?4)))
)
"""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the listener at `path` could not take; `events` is a JSON array of what was sent."""

    id: int
    service: str
    path: str
    first_seen: float
    last_tried: float
    tries: int
    problem: str | None
    events: str

    @property
    def place(self) -> Place:
        """The service and path that it was meant for."""
        return self.service, self.path

    def lines(self) -> bytes:
        """The events once more as JSON lines."""
        return b"".join(bytes(each) + b"\n" for each in msgspec.json.decode(self.events, type=list[msgspec.Raw]))


class LetterTable:
    """The rows of `dead_letter`; each method is one transaction."""

    def __init__(self, coredb: CoreDb) -> None:
        self._db = coredb

    def all(self, service: str | None, *, limit: int) -> list[DeadLetter]:
        """Every dead letter, or those of one service, the oldest first."""
        rows = self._db.read(_ALL, (limit,)) if service is None else self._db.read(_OF_SERVICE, (service, limit))
        return [_letter(row) for row in rows]

    def get(self, id_: int) -> DeadLetter:
        """One of them, or NotFound."""
        rows = self._db.read(_ONE, (id_,))
        if not rows:
            raise NotFound(f"there is no dead letter {id_}")
        return _letter(rows[0])

    def bury(self, place: Place, line: bytes, *, problem: str, now: float, tries: int, positions: Positions) -> bool:
        """Set the event aside and move on past it, both or neither; False when there are too many already."""

        def write(connection: apsw.Connection) -> bool:
            if connection.execute(_COUNT, place[:1]).get >= LETTERS_PER_SERVICE_MAX:
                return False
            connection.execute(_ADD, (*place, now, now, tries, problem, f"[{line.decode().strip()}]"))
            put_positions(connection, place, positions)
            return True

        return self._db.write(write)

    def tried(self, id_: int, *, problem: str, now: float) -> None:
        """Keep that it was tried once more in vain."""
        self._db.write(lambda connection: connection.execute(_TRIED, (now, problem, id_)).fetchall())

    def drop(self, id_: int) -> None:
        """Forget it; NotFound if it is not there."""

        def write(connection: apsw.Connection) -> int:
            connection.execute(_DROP, (id_,))
            return connection.changes()

        if not self._db.write(write):
            raise NotFound(f"there is no dead letter {id_}")

    def purge(self, service: str, *, with_words: bool = False) -> None:
        """Forget all that were meant for the service, and `with_words` what others could not take of what it said."""

        def write(connection: apsw.Connection) -> None:
            connection.execute(_PURGE, (service,))
            if with_words:
                connection.execute(_PURGE_WORDS, (service,))

        self._db.write(write)

    def purge_erased(self, service: str, *, record: tuple[str, str] | None, ids: Sequence[str]) -> None:
        """Forget what tells of a record that was erased, or of facts by their ids."""
        row = (service, *(record or (None, None)), msgspec.json.encode(list(ids)).decode())

        def write(connection: apsw.Connection) -> None:
            connection.execute(_PURGE_ERASED, row)

        self._db.write(write)


def _letter(row: tuple[object, ...]) -> DeadLetter:
    return msgspec.convert(dict(zip(DeadLetter.__struct_fields__, row, strict=True)), DeadLetter)
