"""The pending calls as rows of core.db. Every method blocks: the loop calls them in a thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import apsw

from core.model.errors import TooBusy
from core.schedule.plan import CALLS_MAX, CALLS_PER_SERVICE_MAX, TRIES_MAX, Pending
from core.store import CoreDb

PENDING_PER_SERVICE_MAX = 1000

_COLUMNS = "service, path, at, kind, tries, last_problem"
_ALL = f"SELECT {_COLUMNS} FROM pending_at ORDER BY at, service, path"
_OF_SERVICE = f"SELECT {_COLUMNS} FROM pending_at WHERE service = ? ORDER BY at, path"
# The first few of each service are enough to choose from, however many one of them has waiting.
_DUE = f"""
SELECT {_COLUMNS} FROM (
    SELECT {_COLUMNS}, row_number() OVER (PARTITION BY service ORDER BY at, path) AS place
    FROM pending_at WHERE at <= ? AND tries < ?
) WHERE place <= ? ORDER BY at, service, path LIMIT ?
"""
_NEXT = "SELECT min(at) FROM pending_at WHERE at > ? AND tries < ?"
_PUT = f"INSERT OR REPLACE INTO pending_at ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_ADD = f"INSERT OR IGNORE INTO pending_at ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_COUNT_OTHERS = "SELECT count(*) FROM pending_at WHERE service = ? AND path <> ?"
_REPLACE = """
UPDATE pending_at SET at = ?, kind = ?, tries = ?, last_problem = ?
WHERE service = ? AND path = ? AND at = ? AND kind = ? AND tries = ?
"""
_IS_UNDER_WAY = "service = ? AND path = ? AND kind = 'fallback' AND tries = ? AND last_problem IS NULL"
_SETTLE = f"UPDATE pending_at SET at = ?, tries = ?, last_problem = ? WHERE {_IS_UNDER_WAY}"
_KEEP = f"UPDATE pending_at SET tries = ?, last_problem = ? WHERE {_IS_UNDER_WAY}"
_FINISH = f"DELETE FROM pending_at WHERE {_IS_UNDER_WAY}"
_MOVE = "UPDATE pending_at SET at = ? WHERE service = ? AND path = ?"
_SHIFT = "UPDATE pending_at SET at = at + ?"
_RESUME = "UPDATE pending_at SET at = ?, tries = 0 WHERE service = ? AND last_problem IS NOT NULL"
_CANCEL = "DELETE FROM pending_at WHERE service = ? AND path = ?"
_PURGE = "DELETE FROM pending_at WHERE service = ?"
_SERVICES = "SELECT DISTINCT service FROM pending_at"


class PendingTable:
    """One row per service and path; each method is one transaction."""

    def __init__(self, coredb: CoreDb) -> None:
        self._db = coredb

    def all(self, service: str | None = None) -> list[Pending]:
        """Every entry, or those of one service, the earliest first."""
        rows = self._db.read(_ALL, ()) if service is None else self._db.read(_OF_SERVICE, (service,))
        return [_pending(row) for row in rows]

    def due(self, now: float) -> list[Pending]:
        """Entries that should be called by now: the earliest of each service, enough to fill every free place."""
        # A service's calls under way may have asked again for the same paths, hence twice its share.
        limits = (2 * CALLS_PER_SERVICE_MAX, 4 * CALLS_MAX)
        return [_pending(row) for row in self._db.read(_DUE, (now, TRIES_MAX, *limits))]

    def next_at(self, now: float) -> float | None:
        """When the first entry that is not due yet will be."""
        moment: float | None = self._db.read(_NEXT, (now, TRIES_MAX))[0][0]
        return moment

    def ask(self, entry: Pending) -> None:
        """Keep the entry in place of what its path had; TooBusy when the service has too many."""

        def write(connection: apsw.Connection) -> None:
            others = connection.execute(_COUNT_OTHERS, entry.place).fetchone()
            if others is not None and others[0] >= PENDING_PER_SERVICE_MAX:
                raise TooBusy(
                    f"{entry.service} has {PENDING_PER_SERVICE_MAX} calls pending", remedy="Cancel some, or wait."
                )
            connection.execute(_PUT, _row(entry))

        self._db.write(write)

    def add(self, entries: Iterable[Pending]) -> None:
        """Keep those entries whose place is empty."""
        rows = [_row(entry) for entry in entries]
        self._db.write(lambda connection: connection.executemany(_ADD, rows).fetchall())

    def replace(self, pairs: Sequence[tuple[Pending, Pending]]) -> list[tuple[Pending, Pending]]:
        """Replace each first entry by its second; the pairs whose first one still stood as it was read."""

        def write(connection: apsw.Connection) -> list[tuple[Pending, Pending]]:
            taken = []
            for old, new in pairs:
                what = (new.at, new.kind, new.tries, new.last_problem)
                connection.execute(_REPLACE, (*what, *old.place, old.at, old.kind, old.tries))
                if connection.changes():
                    taken.append((old, new))
            return taken

        return self._db.write(write)

    def settle(self, under_way: Pending, after: Pending | None) -> None:
        """Let `after` follow the call; leaves the place alone if the child has asked, or was cancelled, meanwhile."""
        place: tuple[Any, ...] = (*under_way.place, under_way.tries)
        if after is None:
            statement, values = _FINISH, place
        elif after.at == under_way.at:
            # The row's own time stays: it may have followed the clock since the call began.
            statement, values = _KEEP, (after.tries, after.last_problem, *place)
        else:
            statement, values = _SETTLE, (after.at, after.tries, after.last_problem, *place)
        self._db.write(lambda connection: connection.execute(statement, values).fetchall())

    def move(self, entries: Iterable[Pending]) -> None:
        """Give each place the entry's time."""
        rows = [(entry.at, *entry.place) for entry in entries]
        self._db.write(lambda connection: connection.executemany(_MOVE, rows).fetchall())

    def shift(self, step_s: float) -> None:
        """Move every entry's time by as much."""
        self._db.write(lambda connection: connection.execute(_SHIFT, (step_s,)).fetchall())

    def resume(self, service: str, now: float) -> None:
        """Let everything of the service that met a problem be due now, with all its tries."""
        self._db.write(lambda connection: connection.execute(_RESUME, (now, service)).fetchall())

    def cancel(self, service: str, path: str) -> bool:
        """Whether there was such an entry; it is gone."""

        def write(connection: apsw.Connection) -> bool:
            connection.execute(_CANCEL, (service, path))
            return connection.changes() > 0

        return self._db.write(write)

    def purge(self, service: str) -> None:
        """Forget everything of the service."""
        self._db.write(lambda connection: connection.execute(_PURGE, (service,)).fetchall())

    def purge_all_but(self, services: Collection[str]) -> list[str]:
        """Forget everything of services that are not among these; their names."""

        def write(connection: apsw.Connection) -> list[str]:
            orphans = [row[0] for row in connection.execute(_SERVICES) if row[0] not in services]
            connection.executemany(_PURGE, [(orphan,) for orphan in orphans])
            return orphans

        return self._db.write(write)


def _row(entry: Pending) -> tuple[str, str, float, str, int, str | None]:
    return (entry.service, entry.path, entry.at, entry.kind, entry.tries, entry.last_problem)


def _pending(row: Sequence[Any]) -> Pending:
    service, path, at, kind, tries, last_problem = row
    return Pending(service=service, path=path, at=at, kind=kind, tries=tries, last_problem=last_problem)
