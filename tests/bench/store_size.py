"""How many bytes of disk one fact takes: the reference record, by table and by column.

The record is `{"title":"Hello","status":"open","n":17}` under a key of its own, in the store `tasks`. Each way of
writing it fills a store of its own, which is closed properly before it is measured. What the tables take is counted in
whole pages (dbstat); what the columns take, in bytes of their contents, as SQLite stores them.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import apsw

from core.model.clock import SystemClock
from core.model.fact import Change, JsonObject
from core.model.ids import uuid7
from core.model.manifest import TypeSpec
from core.store import Entry, Store
from tests.bench._lanes import ORIGIN
from tests.bench._numbers import figure
from tests.bench._report import Report, Table, arguments, say

STORE = "tasks"
BATCH = 500
# What the pure-Ruby server of the same wire writes for this record into its file.
IGNITER_BYTES = 382
SYNCED, TOLD, FOREIGN, WORDS = (
    "synced: ids are ours",
    "over the wire: the caller's UUIDv7",
    "over the wire: random UUIDs, the caller's clock",
    "synced, with a text index over the title",
)
_TABLES = """
    SELECT CASE WHEN name LIKE 'text%' THEN 'text index' ELSE name END AS part, sum(pgsize), sum(payload), sum(unused)
    FROM dbstat WHERE aggregate = 1 GROUP BY part ORDER BY 2 DESC
"""
_INDEX_OF = "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index'"
_COLUMNS = "SELECT name FROM pragma_table_info('fact')"
# How many bytes a value takes in SQLite's records, beside one byte or two that say what it is.
_STORED = """
    CASE typeof({0}) WHEN 'null' THEN 0 WHEN 'real' THEN iif(CAST({0} AS INTEGER) = {0}, 6, 8)
    WHEN 'text' THEN length(CAST({0} AS BLOB)) WHEN 'blob' THEN length({0})
    ELSE CASE WHEN {0} IN (0, 1) THEN 0 WHEN abs({0}) < 128 THEN 1 WHEN abs({0}) < 32768 THEN 2
    WHEN abs({0}) < 8388608 THEN 3 WHEN abs({0}) < 2147483648 THEN 4 WHEN abs({0}) < 140737488355328 THEN 6 ELSE 8 END
    END
"""
_MEANINGS = {
    "seq": "position, the row's own number",
    "id": "identity, 16 bytes of a UUID",
    "value": "the document",
    "value_hash": "SHA-256 of the canonical document",
    "row_digest": "integrity of the row",
    "recorded_at": "when",
    "key": "which record",
    "transaction_time": "the caller's clock, where it is not `recorded_at`",
}


def main() -> None:
    """Measure, and print the tables."""
    told = arguments(__doc__, facts=100_000)
    report = Report("Bytes for a fact", description=__doc__)
    whole = Table(["bytes for a fact", "in all", "fact", "its indexes", "current", "text index", "the rest"])
    columns = Table(["column of `fact`", "bytes", "what it says"])
    sizes = {}
    for name, fill, types in _ways():
        with tempfile.TemporaryDirectory() as folder:
            path = _filled(Path(folder), told.facts, fill, types)
            parts, sizes[name] = _parts(path, told.facts)
            if name == SYNCED:
                _itemise(path, columns, told.facts)
        whole.add(name, figure(sizes[name]), *(figure(part) for part in parts))
        say(f"{name}: {sizes[name]:.1f} bytes")
    report.add(whole)
    report.add(columns)
    report.add(f"{told.facts} facts. The Igniter Store in pure Ruby was measured elsewhere: {IGNITER_BYTES} bytes.")
    report.brief.add("bytes on disk for a fact of 44 bytes", figure(sizes[SYNCED]), "", "")
    report.publish(told)


def _ways() -> list[tuple[str, Callable[[Store, range], object], dict[str, TypeSpec]]]:
    words = {STORE: TypeSpec(name=STORE, title="title")}
    return [(SYNCED, _sync, {}), (TOLD, _tell, {}), (FOREIGN, _tell_randomly, {}), (WORDS, _sync, words)]


def _value(number: int) -> JsonObject:
    return {"title": "Hello", "status": "open", "n": number}


def _sync(store: Store, numbers: range) -> object:
    return store.commit([Change(type=STORE, key=f"t{number}", value=_value(number)) for number in numbers])


def _tell(store: Store, numbers: range) -> object:
    now = time.time()
    entries = [Entry(type=STORE, key=f"t{n}", id=str(uuid7(now)), value=_value(n)) for n in numbers]
    return store.append(entries)


def _tell_randomly(store: Store, numbers: range) -> object:
    entries = [
        Entry(type=STORE, key=f"t{n}", id=str(uuid.uuid4()), value=_value(n), transaction_time=time.time())
        for n in numbers
    ]
    return store.append(entries)


def _filled(folder: Path, count: int, fill: Callable[[Store, range], object], types: dict[str, TypeSpec]) -> Path:
    with Store.open(folder, types=types, origin=ORIGIN, clock=SystemClock()) as store:
        for start in range(0, count, BATCH):
            fill(store, range(start, min(count, start + BATCH)))
    return folder / "store.db"


def _parts(path: Path, count: int) -> tuple[list[float], float]:
    """Bytes for a fact: of fact, its indexes, current with its, the text index, the rest; and in all."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    owner = dict(db.execute(_INDEX_OF).fetchall())
    found = {"fact": 0, "its indexes": 0, "current": 0, "text index": 0, "the rest": 0}
    for name, size, _, _ in db.execute(_TABLES):
        of = owner.get(name, name)
        place = "its indexes" if of == "fact" != name else of if of in found else "the rest"
        found[place] += size
    db.close()
    return [part / count for part in found.values()], path.stat().st_size / count


def _itemise(path: Path, table: Table, count: int) -> None:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    names = [name for (name,) in db.execute(_COLUMNS).fetchall()]
    sums = ", ".join(f"sum({_STORED.format(name)})" for name in names if name != "seq")
    found = dict(
        zip([name for name in names if name != "seq"], db.execute(f"SELECT {sums} FROM fact").get, strict=True)
    )
    for name, size in sorted(found.items(), key=lambda one: -one[1]):
        if size:
            table.add(f"`{name}`", figure(size / count), _MEANINGS.get(name, ""))
    table.add("the other columns", figure(0.0), ", ".join(name for name, size in found.items() if not size))
    pages, payload = db.execute("SELECT pgsize, payload FROM dbstat WHERE name = 'fact' AND aggregate = 1").get
    table.add("what SQLite adds to the row", figure((payload - sum(found.values())) / count), "types of the columns")
    table.add("… to the page", figure((pages - payload) / count), "`seq`, lengths, places, what is empty")
    db.close()


if __name__ == "__main__":
    main()
