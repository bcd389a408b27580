"""Records that could not be stored: kept with their reason until a good version comes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apsw

from core.store.prepare import Refusal
from core.store.values import Quarantined

ROWS_MAX = 10_000

LIST = """
    SELECT type, key, code, reason, sample, first_seen, last_seen, times FROM quarantine
    ORDER BY last_seen DESC, position DESC LIMIT ?
"""
_SHAPE: tuple[Any, ...] = (str, str, str, str, str, float, float, int)
_NAMES = "SELECT type, key FROM quarantine"
_PUT = """
    INSERT INTO quarantine (type, key, code, reason, sample, first_seen, last_seen, times)
    VALUES (?, ?, ?, ?, ?, ?, ?, 1)
    ON CONFLICT (type, key) DO UPDATE SET code = excluded.code, reason = excluded.reason,
        sample = excluded.sample, last_seen = excluded.last_seen, times = times + 1
"""
_CLEAR = "DELETE FROM quarantine WHERE type = ? AND key = ?"
_TRIM = "DELETE FROM quarantine WHERE position <= (SELECT max(position) FROM quarantine) - ?"


class Quarantine:
    """The writer's side: knows the names in quarantine, so that good records cost no look-up."""

    def __init__(self, db: apsw.Connection, *, rows_max: int = ROWS_MAX) -> None:
        self._db = db
        self._rows_max = rows_max
        self._names: set[tuple[str, str]] = set(db.execute(_NAMES))

    def put(self, refused: list[Refusal], *, now: float) -> None:
        """Keep what was refused; above the bound the longest kept are dropped."""
        for bad in refused:
            self._db.execute(_PUT, (bad.type, bad.key, bad.code, bad.reason, bad.sample, now, now))
        if refused:
            self._db.execute(_TRIM, (self._rows_max,))
            self._names = set(self._db.execute(_NAMES))

    def clear(self, good: Iterable[tuple[str, str]]) -> None:
        """Let go of those records of which a good version came."""
        if not self._names:
            return
        cleared = self._names.intersection(good)
        for name in cleared:
            self._db.execute(_CLEAR, name)
        self._names -= cleared


def quarantined_of(row: tuple[Any, ...]) -> Quarantined:
    """The refusal in a row of `LIST`; raises ValueError for one that no store of ours wrote."""
    if not all(map(isinstance, row, _SHAPE)):
        raise ValueError("a quarantined record's column has a type it cannot have")
    return Quarantined(
        type=row[0],
        key=row[1],
        code=row[2],
        reason=row[3],
        sample=row[4],
        first_seen=row[5],
        last_seen=row[6],
        times=row[7],
    )
