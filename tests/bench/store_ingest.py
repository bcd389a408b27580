"""Loading records into a store that keeps their history, and syncing the same again.

Each record is about 200 B of JSON, with a declared index and two texts that can be searched. Locker commits each batch
of 500 durably with facts, current state, index and words. The limit is what SQLite itself takes for the very same rows
in the same tables and indexes, made beforehand and put in by `executemany`, 500 to a transaction, as durably and with
as few checkpoints. The peers keep today's state alone, unless history is told of. Making the records is in nobody's
time.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import apsw

from tests.bench import _machine
from tests.bench._dlt_lane import HISTORY, MERGE, Dlt
from tests.bench._lanes import Apsw, Locker, Rows, Sqlite3, SqliteUtils, Tiny, timed
from tests.bench._numbers import middle, spread_of
from tests.bench._report import Report, Table, arguments, say
from tests.bench._repos import BATCH, batches, repo

OURS, APSW, SQLITE3 = "Locker", "executemany, apsw", "executemany, sqlite3"
UTILS_TEXT, UTILS = "sqlite-utils upsert, with FTS", "sqlite-utils upsert"
DLT, DLT_HISTORY, TINY = "dlt merge", "dlt merge, with history (scd2)", "TinyDB"
WHAT = {
    OURS: "history, index, words",
    APSW: "the same rows",
    SQLITE3: "the same rows",
    UTILS_TEXT: "index, words",
    UTILS: "index",
    DLT: "key",
    DLT_HISTORY: "history, key",
    TINY: "no key, no flush",
}
EDITED_EACH, DELETED_EACH = 100, 1000
# What a peer takes minutes for is measured on fewer records.
SLOW_RECORDS_MAX = 100_000
AGAIN_SLOW_RECORDS = 10_000
TINY_TABLE, TINY_UPSERTS = 10_000, 20

Figures = dict[str, list[float]]


def main() -> None:
    """Measure, and print the tables."""
    told = arguments(__doc__, records=100_000, rounds=3)
    first: Figures = {}
    again: Figures = {}
    for number in range(told.rounds):
        with tempfile.TemporaryDirectory() as folder:
            _round(Path(folder), told.records, first, again)
        say(f"round {number + 1} of {told.rounds}: {', '.join(f'{k} {v[-1]:.0f}/s' for k, v in first.items())}")
    with tempfile.TemporaryDirectory() as folder:
        _slow(Path(folder), told, first, again)
    _report(told, first, again).publish(told)


def _round(folder: Path, count: int, first: Figures, again: Figures) -> None:
    """Everybody who is quick, once; what each stored is counted."""
    path = _ours(_made(folder / "ours"), count, first, again)
    rows = Rows(path)
    for name, lane in ((APSW, Apsw), (SQLITE3, Sqlite3)):
        raw = lane(_made(folder / name), rows)
        _note(first, name, count, timed(raw.put_rows, _rows(rows, count)))
        raw.close()
    rows.close()
    for name, has_text in ((UTILS_TEXT, True), (UTILS, False)):
        utils = SqliteUtils(_made(folder / name), has_text=has_text)
        _note(first, name, count, timed(utils.put, batches(count)))
        _note(again, f"{name}|unchanged", count, timed(utils.put, batches(count)))
        _note(again, f"{name}|edited", count, timed(utils.put, batches(count, edited_each=EDITED_EACH)))
        assert utils.count == count
        utils.close()


def _ours(folder: Path, count: int, first: Figures, again: Figures) -> Path:
    """Load, the same again, with edits, with deletions; the history is exactly these. Where the file lies."""
    ours = Locker(folder)
    _note(first, OURS, count, timed(ours.put, batches(count)))
    _note(again, f"{OURS}|unchanged", count, timed(ours.put, batches(count)))
    _note(again, f"{OURS}|edited", count, timed(ours.put, batches(count, edited_each=EDITED_EACH)))
    gone = [repo(number) for number in range(1, count, DELETED_EACH)]
    deleted = [gone[start : start + BATCH] for start in range(0, len(gone), BATCH)]
    _note(again, f"{OURS}|deleted", len(gone), timed(ours.delete, deleted))
    ours.close()
    edited = len(range(0, count, EDITED_EACH))
    did = Counter({name: sum(getattr(done, name) for done in ours.did) for name in ("new", "updated", "same")})
    assert {"new": count, "updated": edited, "same": 2 * count - edited} == did
    _check_history(
        folder / "store.db", facts=count + edited + len(gone), past=edited + len(gone), live=count - len(gone)
    )
    return folder / "store.db"


def _check_history(path: Path, *, facts: int, past: int, live: int) -> None:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    counted = [db.execute(f"SELECT count(*) FROM {table}").get for table in ("fact", "past", "quarantine")]
    assert [facts, past, 0] == counted, counted
    assert live == db.execute("SELECT sum(live) FROM tally").get
    assert live == db.execute("SELECT count(*) FROM current WHERE deleted = 0").get
    db.close()


def _slow(folder: Path, told: argparse.Namespace, first: Figures, again: Figures) -> None:
    """Those that take long, each once."""
    count = min(told.records, SLOW_RECORDS_MAX)
    few = min(told.records, AGAIN_SLOW_RECORDS)
    everything = [record for batch in batches(count) for record in batch]
    for name, disposition in ((DLT, MERGE), (DLT_HISTORY, HISTORY)):
        lane = Dlt(_made(folder / name), disposition)
        _note(first, name, count, timed(lane.put, [everything]))
        assert lane.count == count
        lane.close()
        lane = Dlt(_made(folder / f"{name} again"), disposition)
        lane.put(everything[:few])
        _note(again, f"{name}|unchanged", few, timed(lane.put, [everything[:few]]))
        assert lane.count == few
        lane.close()
        say(f"{name}: {first[name][-1]:.0f}/s")
    tiny = Tiny(_made(folder / TINY))
    _note(first, TINY, count, timed(tiny.put, [everything]))
    tiny.close()
    tiny = Tiny(_made(folder / "again"))
    tiny.put(everything[:TINY_TABLE])
    _note(again, f"{TINY}|unchanged", TINY_UPSERTS, timed(tiny.upsert, [everything[:TINY_UPSERTS]]))
    tiny.close()


def _rows(rows: Rows, count: int) -> Iterator[tuple[list[tuple[object, ...]], ...]]:
    for start in range(0, count, BATCH):
        yield rows.between(start, min(count, start + BATCH))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _note(figures: Figures, name: str, count: int, took_s: float) -> None:
    figures.setdefault(name, []).append(count / took_s)


def _report(told: argparse.Namespace, first: Figures, again: Figures) -> Report:
    report = Report("Loading and syncing a store", description=__doc__)
    table = Table(["first load", "keeps", "records/s", "Locker's against its"])
    for name, rates in first.items():
        against = "" if name == OURS else f"{_share(first[OURS], rates):.2f} ×"
        table.add(name, WHAT[name], spread_of(rates), against)
    report.add(table)
    table = Table(["records/s", "the same again", f"with 1 in {EDITED_EACH} edited", "deletions"])
    for name in (OURS, UTILS_TEXT, UTILS, DLT, DLT_HISTORY, TINY):
        cells = [again.get(f"{name}|{what}") for what in ("unchanged", "edited", "deleted")]
        table.add(name, *("" if rates is None else spread_of(rates) for rates in cells))
    report.add(table)
    edited, gone = len(range(0, told.records, EDITED_EACH)), len(range(1, told.records, DELETED_EACH))
    report.add(
        f"{told.records} records; the median of {told.rounds} rounds, in brackets from the least to the most, and of "
        f"what each round compared; dlt and TinyDB once, with at most {SLOW_RECORDS_MAX}, dlt again with "
        f"{AGAIN_SLOW_RECORDS}, TinyDB's upsert with {TINY_UPSERTS} in a table of {TINY_TABLE}. Locker's history was "
        "counted each time: "
        f"{told.records + edited + gone} facts, {edited} of them edits, {gone} tombstones. "
        + ", ".join(f"{name} {_machine.version_of(name)}" for name in ("sqlite-utils", "dlt", "tinydb", "apsw"))
        + f", SQLite {apsw.sqlite_lib_version()} in apsw, {sqlite3.sqlite_version} in sqlite3."
    )
    ours = middle(first[OURS])
    report.beside("first load with history and words, records/s", ours, APSW, middle(first[APSW]))
    report.beside("the same, beside a peer with words and no history", ours, UTILS_TEXT, middle(first[UTILS_TEXT]))
    report.beside("the same, beside a peer with history and no words", ours, DLT_HISTORY, middle(first[DLT_HISTORY]))
    report.beside(
        "the same records synced again, records/s",
        middle(again[f"{OURS}|unchanged"]),
        UTILS_TEXT,
        middle(again[f"{UTILS_TEXT}|unchanged"]),
    )
    return report


def _share(ours: list[float], theirs: list[float]) -> float:
    """Ours against theirs: the median of what it was in each round, where both were in each."""
    if len(ours) == len(theirs):
        return middle([mine / its for mine, its in zip(ours, theirs, strict=True)])
    return middle(ours) / middle(theirs)


if __name__ == "__main__":
    main()
