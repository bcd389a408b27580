"""Who listens to what, and how far each has heard: rows of core.db. Every method blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import apsw
import msgspec

from core.events.cursor import Position, Positions
from core.model.errors import TooBusy
from core.store import CoreDb

# By call, and as many by manifest.
LISTENERS_PER_SERVICE_MAX = 100

Source = Literal["manifest", "call"]
Place = tuple[str, str]

_ALL = "SELECT service, type, path, source FROM listener ORDER BY service, path, type"
_ADD = "INSERT OR IGNORE INTO listener (service, type, path, source) VALUES (?, ?, ?, ?)"
_COUNT = "SELECT count(*) FROM listener WHERE service = ? AND source = 'call'"
_OF_MANIFEST = "SELECT service, type, path FROM listener WHERE service = ? AND source = 'manifest'"
_REMOVE = "DELETE FROM listener WHERE service = ? AND type = ? AND path = ?"
_DECLARE = "UPDATE listener SET source = 'manifest' WHERE service = ? AND type = ? AND path = ?"
_POSITIONS = "SELECT log, epoch, seq FROM position WHERE listener_service = ? AND path = ?"
_HAS_POSITION = "SELECT 1 FROM position WHERE listener_service = ? AND path = ? LIMIT 1"
_PUT_POSITION = "INSERT OR REPLACE INTO position (listener_service, path, log, epoch, seq) VALUES (?, ?, ?, ?, ?)"
_DROP_UNHEARD = """
DELETE FROM position WHERE listener_service = ? AND NOT EXISTS (
    SELECT 1 FROM listener WHERE listener.service = position.listener_service AND listener.path = position.path
)
"""
_PURGE = ("DELETE FROM listener WHERE service = ?", "DELETE FROM position WHERE listener_service = ?")
_SERVICES = "SELECT service FROM listener UNION SELECT listener_service FROM position"
_PURGE_LOG = "DELETE FROM position WHERE log = ?"


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A service that wants events of a type at one of its paths, by its manifest or by a call.

    `problem` is what its last delivery met, `tries` how often in a row, and `behind` how many entries of the logs
    it has not looked at yet.
    """

    service: str
    type: str
    path: str
    source: Source
    tries: int = 0
    problem: str | None = None
    behind: int = 0

    @property
    def place(self) -> Place:
        """The service and path: what is delivered to, one batch at a time."""
        return self.service, self.path


class ListenerTable:
    """The rows of `listener` and `position`; each method is one transaction."""

    def __init__(self, coredb: CoreDb) -> None:
        self._db = coredb

    def all(self) -> list[Listener]:
        """Everyone who listens."""
        rows = self._db.read(_ALL, ())
        return [Listener(service=row[0], type=row[1], path=row[2], source=row[3]) for row in rows]

    def add(self, listener: Listener, *, heads: Positions, since: Positions | None) -> None:
        """Let it listen: a new path from `since` or else from the heads; a known path from where it is, or earlier."""

        def write(connection: apsw.Connection) -> None:
            _insert(connection, listener, heads)
            if since is not None:
                put_positions(connection, listener.place, _earlier(self._read(connection, listener.place), since))

        self._db.write(write)

    def declare(self, service: str, wanted: Mapping[str, str], *, heads: Positions) -> None:
        """Make `wanted`, type to path, all that the manifest of the service asks; calls stay as they are."""

        def write(connection: apsw.Connection) -> None:
            for row in connection.execute(_OF_MANIFEST, (service,)).fetchall():
                if wanted.get(str(row[1])) != row[2]:
                    connection.execute(_REMOVE, row)
            for kind, path in wanted.items():
                listener = Listener(service=service, type=kind, path=path, source="manifest")
                _insert(connection, listener, heads)
                connection.execute(_DECLARE, (service, kind, path))
            connection.execute(_DROP_UNHEARD, (service,))

        self._db.write(write)

    def remove(self, listener: Listener) -> None:
        """Let it listen no more; a path that nothing is left for forgets its positions."""

        def write(connection: apsw.Connection) -> None:
            connection.execute(_REMOVE, (listener.service, listener.type, listener.path))
            connection.execute(_DROP_UNHEARD, (listener.service,))

        self._db.write(write)

    def purge(self, service: str, log: str | None) -> None:
        """Forget what the service listened to, and with `log` how far others have heard its log."""

        def write(connection: apsw.Connection) -> None:
            for statement in _PURGE:
                connection.execute(statement, (service,))
            if log:
                connection.execute(_PURGE_LOG, (log,))

        self._db.write(write)

    def purge_all_but(self, services: Collection[str]) -> list[str]:
        """Forget what services listened to that are not among these; their names."""

        def write(connection: apsw.Connection) -> list[str]:
            orphans = [str(row[0]) for row in connection.execute(_SERVICES).fetchall() if row[0] not in services]
            for statement in _PURGE:
                connection.executemany(statement, [(orphan,) for orphan in orphans])
            return orphans

        return self._db.write(write)

    def positions(self, place: Place) -> dict[str, Position]:
        """How far the path has heard each log."""
        return {log: Position(epoch, seq) for log, epoch, seq in self._db.read(_POSITIONS, place)}

    def advance(self, place: Place, positions: Positions) -> None:
        """Keep that the path has heard so far."""
        self._db.write(lambda connection: put_positions(connection, place, positions))

    @staticmethod
    def _read(connection: apsw.Connection, place: Place) -> dict[str, Position]:
        rows: Iterable[tuple[str, str, int]] = connection.execute(_POSITIONS, place)
        return {log: Position(epoch, seq) for log, epoch, seq in rows}


def put_positions(connection: apsw.Connection, place: Place, positions: Positions) -> None:
    """Keep how far the path has heard these logs, inside the transaction that the caller has opened."""
    rows = [(*place, log, position.epoch, position.seq) for log, position in positions.items()]
    connection.executemany(_PUT_POSITION, rows)


def _insert(connection: apsw.Connection, listener: Listener, heads: Positions) -> None:
    connection.execute(_ADD, (listener.service, listener.type, listener.path, listener.source))
    if not connection.changes():
        return
    if connection.execute(_COUNT, (listener.service,)).get > LISTENERS_PER_SERVICE_MAX:
        raise TooBusy(
            f"{listener.service} listens to {LISTENERS_PER_SERVICE_MAX} types already", remedy="Deafen some first."
        )
    if connection.execute(_HAS_POSITION, listener.place).get is None:
        put_positions(connection, listener.place, heads)


def _earlier(known: Positions, since: Positions) -> dict[str, Position]:
    return {
        log: min(known[log], position, key=lambda p: p.seq)
        if log in known and known[log].epoch == position.epoch
        else position
        for log, position in since.items()
    }
