"""Numbers of a point over time: appended durably with their rollups, and a year of hours read back.

Beside it, the same numbers in a plain table of SQLite, whose hours are computed when they are asked for. Both append
the same batches, each flushed; processor seconds are told, of all threads, so that a busy neighbour counts little.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from core.store.numbers.days import DAY_S, HOUR_S
from core.store.numbers.samples import SAMPLES_MAX
from tests.bench._lanes import open_store
from tests.bench._numbers import compared, figure, middle
from tests.bench._report import Report, Table, arguments, say

POINT = "heat"
START = 1_700_000_000.0
SPACINGS_S = (1, 60, 600)
READS = 20
Sample = tuple[str, float, float]

_TABLE = "CREATE TABLE sample(point TEXT, at REAL, value REAL, PRIMARY KEY (point, at)) WITHOUT ROWID"
_HOURS = f"""
    SELECT CAST(at / {HOUR_S} AS INTEGER) AS hour, min(value), max(value), avg(value), count(*) FROM sample
    WHERE point = ? AND at >= ? AND at < ? GROUP BY hour
"""


def main() -> None:
    """Measure, and print the table."""
    told = arguments(__doc__, samples=200_000, rounds=3)
    report = Report("Numbers over time", description=__doc__)
    table = Table(["numbers apart by, s", "added/s", "SQLite's", "against it", "a year of hours, ms", "SQLite's", ""])
    for spacing in SPACINGS_S:
        dice = random.Random(1)
        samples = [(POINT, START + spacing * n, dice.gauss(20, 5)) for n in range(told.samples)]
        rounds = [(_locker(samples), _sqlite(samples)) for _ in range(told.rounds)]
        pace, read, peers_pace, peers_read = (
            middle(column) for column in zip(*[(*a, *b) for a, b in rounds], strict=True)
        )
        table.add(
            str(spacing),
            figure(pace),
            figure(peers_pace),
            compared(pace, peers_pace),
            figure(read),
            figure(peers_read),
            compared(read, peers_read),
        )
        say(f"{spacing} s apart: {pace:.0f}/s, a year in {read:.1f} ms; SQLite {peers_pace:.0f}/s, {peers_read:.1f} ms")
    report.add(table)
    report.add(f"{told.samples} numbers, in batches of {SAMPLES_MAX}.")
    report.beside("a year of hours of numbers a minute apart, ms", *_of_a_minute(table))
    report.publish(told)


def _of_a_minute(table: Table) -> tuple[float, str, float]:
    row = table.rows[1]
    return float(row[4]), "SQLite, computed when asked", float(row[5])


def _locker(samples: Sequence[Sample]) -> tuple[float, float]:
    """Numbers a second, and how long a year's hours take to read, in ms."""
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder), types={}) as store:
        pace = _pace(samples, store.series.append)
        read = _read_ms(
            lambda: store.series.rollups(POINT, by="hour", since=START, until=START + 365 * DAY_S, limit=10_000)
        )
        return pace, read


def _sqlite(samples: Sequence[Sample]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        db = apsw.Connection(str(Path(folder) / "numbers.db"))
        db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        db.execute(_TABLE)

        def append(batch: Sequence[Sample]) -> None:
            with db:
                db.executemany("INSERT OR REPLACE INTO sample VALUES (?, ?, ?)", batch)

        pace = _pace(samples, append)
        read = _read_ms(lambda: db.execute(_HOURS, (POINT, START, START + 365 * DAY_S)).fetchall())
        db.close()
        return pace, read


def _pace(samples: Sequence[Sample], append: Callable[[Sequence[Sample]], object]) -> float:
    started = time.process_time()
    for start in range(0, len(samples), SAMPLES_MAX):
        append(samples[start : start + SAMPLES_MAX])
    return len(samples) / (time.process_time() - started)


def _read_ms(read: Callable[[], object]) -> float:
    took = []
    for _ in range(READS):
        started = time.process_time()
        read()
        took.append((time.process_time() - started) * 1000)
    return middle(took)


if __name__ == "__main__":
    main()
