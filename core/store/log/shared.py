"""The rows that many facts share, an origin or a producer: known by their number, written with the first such fact."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Generic, TypeVar

import apsw
import msgspec

Key = TypeVar("Key", bound=tuple[Any, ...])

# How many of each are kept in memory by their number; and how long such a one may be.
KNOWN_MAX = 256
LETTERS_MAX = 4096

_ORIGIN = "SELECT id FROM origin WHERE log = ? AND epoch = ?"
_LAST_ORIGIN = "SELECT coalesce(max(id), 0) FROM origin"
_NEW_ORIGIN = "INSERT INTO origin (log, epoch, id) VALUES (?, ?, ?)"
_PRODUCER = "SELECT id FROM producer WHERE document = ?"
_LAST_PRODUCER = "SELECT coalesce(max(id), 0) FROM producer"
_NEW_PRODUCER = "INSERT INTO producer (document, id) VALUES (?, ?)"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A log that facts were made in: the number of its row, and what the row says."""

    number: int
    log: str
    epoch: int


class Shared:
    """What the facts of one writer share. A new one gets its number at once, its row with the facts that have it."""

    def __init__(self, db: apsw.Connection) -> None:
        self._origins = _Rows[tuple[str, int]](db, find=_ORIGIN, last=_LAST_ORIGIN, make=_NEW_ORIGIN)
        self._producers = _Rows[tuple[str]](db, find=_PRODUCER, last=_LAST_PRODUCER, make=_NEW_PRODUCER)

    def source(self, log: str, epoch: int) -> Source:
        """The log as facts name it."""
        return Source(number=self._origins.number((log, epoch)), log=log, epoch=epoch)

    def producer(self, document: str | None) -> tuple[int, str] | None:
        """The producer's number, and its document."""
        return None if document is None else (self._producers.number((document,)), document)

    def write(self, *, origins: Collection[int], producers: Collection[int | None]) -> None:
        """Make the rows of new ones of these numbers, before the facts that name them; forget the other new ones."""
        self._origins.write(origins)
        self._producers.write(producers)

    def forget_producers(self) -> None:
        """Look each up again: some may be gone."""
        self._producers.known.clear()


class _Rows(Generic[Key]):
    """The rows of one table, by what they say."""

    def __init__(self, db: apsw.Connection, *, find: str, last: str, make: str) -> None:
        self._db = db
        self._find, self._last, self._make = find, last, make
        self.known: dict[Key, int] = {}
        self._new: dict[Key, int] = {}

    def number(self, key: Key) -> int:
        number = self.known.get(key) or self._new.get(key)
        if number is None:
            found: Any = self._db.execute(self._find, key).get
            if found is None:
                number = self._new[key] = int(self._db.execute(self._last).get) + len(self._new) + 1
            else:
                number = int(found)
                self._keep(key, number)
        return number

    def write(self, numbers: Collection[int | None]) -> None:
        if not self._new:
            return
        for key, number in self._new.items():
            if number in numbers:
                self._db.execute(self._make, (*key, number))
                self._keep(key, number)
        self._new.clear()

    def _keep(self, key: Key, number: int) -> None:
        if len(self.known) < KNOWN_MAX and len(key[0]) <= LETTERS_MAX:
            self.known[key] = number
