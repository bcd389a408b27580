"""Whether the rollups kept beside the numbers are what the numbers fold into, point by point."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, zip_longest
from math import fsum
from typing import Any

import apsw

from core.store.care.verify import TRIES, fetch
from core.store.numbers.days import DAY_S, HOUR_S, MINUTE_S, Days, Span, minute_of
from core.store.numbers.series import Series
from core.store.rows import Row

_POINTS = "SELECT id FROM point ORDER BY id"
_STRAYS = "SELECT 1 FROM rollup WHERE point NOT IN (SELECT id FROM point) OR width NOT IN (60, 3600, 86400)"
_SAMPLES = "SELECT at, value, value, value, 1 FROM sample WHERE point = ?1 AND ?2 = 0 ORDER BY at"
_ROLLUPS = "SELECT start, least, greatest, total, count FROM rollup WHERE point = ? AND width = ? ORDER BY start"


def series_differ(db: apsw.Connection) -> bool:
    """Whether any minute, hour or day differs from what it is folded from."""
    days = Days(Series(fetch(db)).timezone())
    levels = ((0, MINUTE_S, minute_of), (MINUTE_S, HOUR_S, days.hour), (HOUR_S, DAY_S, days.day))
    points: list[Any] = db.execute(_POINTS).fetchall()
    return db.execute(_STRAYS).get is not None or any(
        all(_differs(db, point, *level) for _ in range(TRIES)) for (point,) in points for level in levels
    )


def _differs(db: apsw.Connection, point: int, smaller: int, width: int, span_of: Callable[[float], Span]) -> bool:
    below: Iterable[Row] = db.execute(_ROLLUPS if smaller else _SAMPLES, (point, smaller))
    kept: Iterable[Row] = db.execute(_ROLLUPS, (point, width))
    return any(one != other for one, other in zip_longest(_folded(below, span_of), kept))


def _folded(rows: Iterable[Row], span_of: Callable[[float], Span]) -> Iterator[Row]:
    for start, parts in groupby(rows, key=lambda row: span_of(row[0]).start):
        _, least, greatest, totals, counts = zip(*parts, strict=True)
        yield start, min(least), max(greatest), fsum(totals), sum(counts)
