"""Everything that a store holds, as files that anybody can read: every fact, the current records, tables, binaries.

It reads the log as far as it reached when the export began, page by page: whoever writes goes on meanwhile, and no
transaction stays open. What it makes is no copy of the database and holds no secret: settings and sign-ins are
elsewhere.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from math import inf
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import msgspec

from core.model.errors import FactDamaged, FileDamaged, NotFound
from core.model.fact import Fact, JsonObject
from core.model.ids import key_to_path
from core.model.manifest import TypeSpec, spec_of
from core.store.binaries.shelves import DIGEST
from core.store.exchange.columns import Column, Columns, csv_row, moment_text, safe_text
from core.store.exchange.framed import framed_snapshot
from core.store.log import current, quarantine, receipts, streams
from core.store.log.facts import OF_TYPE_1
from core.store.reads import PAGE_BYTES_MAX, Reads
from core.store.rows import Row
from core.store.values import LIMIT_MAX

T = TypeVar("T")

FORMAT = 1
SERVICE = "service.json"
SCHEMA = "schema.json"
FACTS = "facts.jsonl"
SNAPSHOT = "facts.snap"
SERIES = "series.jsonl"
SET_ASIDE = "quarantine.jsonl"
RECEIPTS = "receipts.jsonl"
RUNS = "runs.jsonl"
CHUNK_BYTES = 256 * 1024
# A file's name may have 255 bytes everywhere; a longer one of a point is cut, and its digest added.
POINT_LETTERS_MAX = 180

# The records as they were when the log ended at ?3: what counts since then or earlier, and what counted then.
# In one statement for each page: a list as of a moment first looks whether that is the present, which it is no
# more when a commit comes in between; and there a record that cannot be read would hide its whole page.
_THEN = f"""
    SELECT f.value, f.common, ?1, k.key, k.at, k.seq FROM (
        SELECT c.key, c.at, c.seq FROM current c
        WHERE c.type = {OF_TYPE_1} AND c.key > ?2 AND c.seq <= ?3 AND c.deleted = 0
        UNION ALL
        SELECT p.key, p.at, p.seq FROM past p
        WHERE p.type = {OF_TYPE_1} AND p.key > ?2 AND p.seq <= ?3 AND p.until_seq > ?3 AND p.deleted = 0
        ORDER BY 1 LIMIT ?4
    ) k CROSS JOIN fact f ON f.seq = k.seq ORDER BY k.key
"""

_SERIES_COLUMNS = ("time", "at", "value")

# Makes a table of the records in a file of JSON lines, in another form than CSV: (records, columns, target).
MakeTable = Callable[[Path, list[Column], Path], None]


class Sink(Protocol):
    """Where the files of an export go."""

    def add(self, name: str, chunks: Iterable[bytes], *, size: int) -> None:
        """Keep a file of exactly `size` bytes under `name`."""


class Forms(msgspec.Struct, frozen=True, kw_only=True):
    """What is made beside the facts and records: binaries, CSV, the framed snapshot, and Parquet where one can."""

    files: bool = True
    csv: bool = True
    snapshot: bool = False
    parquet: MakeTable | None = None


class Exported(msgspec.Struct, kw_only=True):
    """What went out of one store, as it also stands in the export's `service.json`."""

    format: int = FORMAT
    service: str
    exported_at: float
    store_epoch: str
    head: int
    facts: int = 0
    facts_sha256: str = ""
    # Positions of facts that are not what was written; they and what they made of a record are left out.
    damaged_facts: list[int] = []
    records: dict[str, int] = {}
    samples: int = 0
    set_aside: int = 0
    receipts: int = 0
    runs: int = 0
    files: int = 0
    file_bytes: int = 0
    damaged_files: list[str] = []
    columns_left_out: dict[str, int] = {}

    @property
    def is_whole(self) -> bool:
        """Whether all that the store held went out."""
        return not (self.damaged_facts or self.damaged_files)


class Export:
    """One store on its way into a sink; `scratch` is a private folder for what is being made."""

    def __init__(
        self, reads: Reads, sink: Sink, *, service: str, scratch: Path, now: float, schema: JsonObject
    ) -> None:
        self._reads = reads
        self._sink = sink
        self._below = f"{service}/"
        self._scratch = scratch / "making"
        self._table = scratch / "table"
        self._schema = schema
        self._types: set[str] = set()
        self._damaged: set[int] = set()
        self._done = Exported(service=service, exported_at=now, store_epoch=reads.epoch(), head=reads.head())

    def run(self, forms: Forms, specs: dict[str, TypeSpec]) -> Exported:
        """Send everything; what went out. Raises FileDamaged where the store cannot be read at all."""
        self._add(SCHEMA, [_pretty(self._schema)])
        self._add_facts()
        for name in sorted(self._types):
            self._add_records(name, spec_of(specs, name), forms)
        self._add_series(forms)
        done = self._done
        done.set_aside = self._add_lines(SET_ASIDE, self._rows(quarantine.WHOLE, quarantine.waiting_of, position=2))
        done.receipts = self._add_lines(RECEIPTS, self._receipts())
        done.runs = self._add_lines(
            RUNS, self._rows(streams.ALL_RUNS, lambda row: streams.run_of(row[:-1]), position=-1)
        )
        if forms.snapshot:
            self._add_snapshot()
        if forms.files:
            self._add_files()
        self._add(SERVICE, [_pretty(msgspec.to_builtins(self._done))])
        return self._done

    def _add_facts(self) -> None:
        digest = hashlib.sha256()

        def lines() -> Iterator[bytes]:
            for fact in self._facts():
                line = msgspec.json.encode(fact) + b"\n"
                digest.update(line)
                self._types.add(fact.type)
                self._done.facts += 1
                yield line

        self._add(FACTS, lines())
        self._done.damaged_facts = sorted(self._damaged)
        self._done.facts_sha256 = digest.hexdigest()

    def _add_records(self, type_name: str, spec: TypeSpec, forms: Forms) -> None:
        columns, count = Columns(spec), 0

        def lines() -> Iterator[bytes]:
            nonlocal count
            for record in self._records(type_name, spec):
                columns.see(record)
                count += 1
                yield msgspec.json.encode(record) + b"\n"

        self._make(lines())
        if not count:
            return
        name = key_to_path(type_name)
        self._done.records[type_name] = count
        if columns.left_out:
            self._done.columns_left_out[type_name] = columns.left_out
        if forms.csv:
            self._make(_csv(self._scratch, columns.all()), self._table)
            self._send(f"csv/{name}.csv", self._table)
        if forms.parquet is not None:
            forms.parquet(self._scratch, columns.all(), self._table)
            self._send(f"parquet/{name}.parquet", self._table)
        self._send(f"records/{name}.jsonl", self._scratch)

    def _add_series(self, forms: Forms) -> None:
        self._make(self._samples())
        if not self._done.samples:
            return
        if forms.csv:
            with self._scratch.open("rb") as lines:
                for point, samples in groupby(map(msgspec.json.decode, lines), key=lambda one: str(one["point"])):
                    self._make(_table(_SERIES_COLUMNS, map(_sample_row, samples)), self._table)
                    self._send(f"csv/series/{_file_name(point)}.csv", self._table)
        self._send(SERIES, self._scratch)

    def _samples(self) -> Iterator[bytes]:
        after = ""
        while points := self._reads.series.points(limit=LIMIT_MAX, after=after):
            for point in points:
                since: float | None = -inf
                while since is not None:
                    page = self._reads.series.samples(point, limit=LIMIT_MAX, since=since)
                    for one in page.moments:
                        self._done.samples += 1
                        yield msgspec.json.encode({"point": point, "at": one.at, "value": one.value}) + b"\n"
                    since = page.next
            after = points[-1]

    def _add_lines(self, name: str, objects: Iterable[object]) -> int:
        """Send these as lines, no file where there are none; how many there were."""
        count = 0

        def lines() -> Iterator[bytes]:
            nonlocal count
            for count, one in enumerate(objects, start=1):  # noqa: B007 (told when all have passed)
                yield msgspec.json.encode(one) + b"\n"

        self._make(lines())
        if count:
            self._send(name, self._scratch)
        return count

    def _receipts(self) -> Iterator[JsonObject]:
        """With the epoch of this store: whoever takes them in is told where they were left."""
        for one in self._rows(receipts.ALL, receipts.receipt_of, position=0):
            yield {"store_epoch": self._done.store_epoch, **msgspec.to_builtins(one)}

    def _rows(self, statement: str, read: Callable[[Row], T], *, position: int) -> Iterator[T]:
        """What the rows of a small table say, page by page; `position` is the column that says where they stand."""
        after = 0
        while page := self._reads.rows(statement, (after, LIMIT_MAX), bytes_max=PAGE_BYTES_MAX):
            try:
                yield from map(read, page)
                after = int(page[-1][position])
            except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as err:
                raise FileDamaged(f"{self._reads.path} holds a row that cannot be read") from err

    def _add_snapshot(self) -> None:
        done = self._done
        frames = framed_snapshot(
            self._facts(), fact_count=done.facts, written_at=done.exported_at, store_epoch=done.store_epoch,
            first_seq=next((fact.seq for fact in self._facts()), 0), last_seq=done.head,
        )  # fmt: skip
        self._add(SNAPSHOT, frames)

    def _add_files(self) -> None:
        for digest in (kept.digest for kept in self._reads.files.walk() if DIGEST.fullmatch(kept.digest)):
            try:
                with self._reads.files.open_file(digest) as part:
                    self._make(part)
            except (FileDamaged, NotFound):  # Collected meanwhile, or not what it says: told, and the others go on.
                self._done.damaged_files.append(digest)
                continue
            self._done.files += 1
            self._done.file_bytes += self._scratch.stat().st_size
            self._send(f"files/{digest[:2]}/{digest[2:]}", self._scratch)

    def _facts(self) -> Iterator[Fact]:
        since = 0
        while since < self._done.head:
            try:
                page = self._reads.facts(since, limit=LIMIT_MAX)
            except FactDamaged as err:  # It is told; it hides none that follow.
                self._damaged.add(err.seq)
                since = err.seq
                continue
            if not page:
                return
            yield from (fact for fact in page if fact.seq <= self._done.head)
            since = page[-1].seq

    def _records(self, type_name: str, spec: TypeSpec) -> Iterator[JsonObject]:
        after = current.BEFORE_FIRST_KEY
        while page := self._reads.rows(_THEN, (type_name, after, self._done.head, LIMIT_MAX), bytes_max=PAGE_BYTES_MAX):
            for row in page:
                after = row[3]
                if row[5] in self._damaged:
                    continue
                try:
                    one = current.record_of(row, spec)
                except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as err:
                    raise FileDamaged(f"{self._reads.path} holds a row that cannot be read") from err
                yield {"key": one.key, "at": one.at, "seq": one.seq, "value": one.value, "common": one.common}

    def _add(self, name: str, chunks: Iterable[bytes]) -> None:
        self._make(chunks)
        self._send(name, self._scratch)

    def _make(self, chunks: Iterable[bytes], path: Path | None = None) -> None:
        with (path or self._scratch).open("wb") as file:
            file.writelines(chunks)

    def _send(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            self._sink.add(self._below + name, _pieces(file), size=os.fstat(file.fileno()).st_size)
        path.unlink()


def _csv(records: Path, columns: list[Column]) -> Iterator[bytes]:
    with records.open("rb") as lines:
        rows = (csv_row(columns, msgspec.json.decode(line)) for line in lines)
        yield from _table([safe_text(column.name) for column in columns], rows)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[bytes]:
    # Imported here: every child loads this room, and none of them writes tables.
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for row in rows:
        writer.writerow(row)
        if text.tell() > CHUNK_BYTES:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _sample_row(sample: JsonObject) -> tuple[str, str, str]:
    """A moment as a person reads it, then exactly, and its number."""
    return moment_text(sample["at"]), repr(sample["at"]), repr(sample["value"])


def _file_name(point: str) -> str:
    name = key_to_path(point)
    if len(name) <= POINT_LETTERS_MAX:
        return name
    return f"{name[:POINT_LETTERS_MAX]}.{hashlib.sha256(point.encode()).hexdigest()[:16]}"


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _pretty(document: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
