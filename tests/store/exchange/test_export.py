"""An export: every fact exactly, the records as they were at one moment, tables that do no harm, and the binaries."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model.clock import ManualClock
from core.model.errors import FileDamaged
from core.model.fact import Change, Fact
from core.model.manifest import TypeSpec
from core.store import Export, Exported, Forms, Import, Origin, Reader, Store, Width
from core.store.exchange.columns import COLUMNS_MAX, Columns, csv_row, safe_text
from core.store.exchange.framed import FramedFile, wire_form
from tests.store.conftest import TYPES

SCHEMA = {"types": {"note": {"title": "title"}}}


class Kept:
    """A sink that keeps everything in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def add(self, name: str, chunks: Iterable[bytes], *, size: int) -> None:
        """Keep it."""
        assert name not in self.files
        self.files[name] = b"".join(chunks)
        assert size == len(self.files[name])


def export(folder: Path, scratch: Path, forms: Forms | None = None) -> tuple[Exported, dict[str, bytes]]:
    """An export of the store in `folder`."""
    sink = Kept()
    scratch.mkdir(exist_ok=True)
    with Reader.open(folder, types=TYPES) as reader:
        making = Export(reader, sink, service="notes", scratch=scratch, now=5.0, schema=SCHEMA)
        done = making.run(forms or Forms(), dict(TYPES))
    assert [] == list(scratch.iterdir())
    return done, {name.removeprefix("notes/"): content for name, content in sink.files.items()}


def lines(content: bytes) -> list[Any]:
    """What stands in JSON lines."""
    return [json.loads(line) for line in content.splitlines()]


def fill(store: Store) -> None:
    """Some records: changed, deleted, undeleted, with shared fields, of two types."""
    store.commit(
        [
            Change(
                type="note", key="a", value={"title": "A", "by": {"name": "Ann"}, "written": "2024-01-02T03:04:05Z"}
            ),
            Change(type="note", key="b", value={"title": "=cmd()", "n": 2**70, "f": 1.5, "yes": True, "deep": [1]}),
            Change(type="other type", key="c/d", value={"x": None}, common={"text": "-1"}),
        ],
        producer={"name": "test"},
    )
    store.commit([Change(type="note", key="a", value={"title": "B"}, derivation={"from": "a"}, valid_time=7.25)])
    store.commit([Change(type="note", key="b", action="delete"), Change(type="note", key="gone", value={"v": 1})])
    store.commit(
        [Change(type="note", key="b", value={"title": "again"}), Change(type="note", key="gone", action="delete")]
    )


def test_every_fact_goes_out_with_every_field(store: Store, folder: Path, tmp_path: Path) -> None:
    """A line is a fact: read again, it is the same one, to the last digit."""
    fill(store)

    done, files = export(folder, tmp_path / "s")

    facts = store.facts(0, limit=1000)
    assert facts == [msgspec.json.decode(line, type=Fact) for line in files["facts.jsonl"].splitlines()]
    assert (len(facts), hashlib.sha256(files["facts.jsonl"]).hexdigest()) == (done.facts, done.facts_sha256)
    assert (store.head(), store.epoch()) == (done.head, done.store_epoch)


def test_current_records_go_out_by_type(store: Store, folder: Path, tmp_path: Path) -> None:
    """As the store answers them, shared fields included; a type's name may be anything."""
    fill(store)

    done, files = export(folder, tmp_path / "s")

    notes = lines(files["records/note.jsonl"])
    assert ["a", "b"] == [note["key"] for note in notes]
    assert [store.record("note", key).common for key in "ab"] == [note["common"] for note in notes]  # type: ignore[union-attr]
    assert [{"x": None}] == [record["value"] for record in lines(files["records/~b3RoZXIgdHlwZQ.jsonl"])]
    assert {"note": 2, "other type": 1} == done.records
    assert SCHEMA == json.loads(files["schema.json"])
    assert done == msgspec.json.decode(files["service.json"], type=Exported)
    assert "service.json" == list(files)[-1]


def test_records_are_as_they_were_when_it_began(store: Store, folder: Path, tmp_path: Path) -> None:
    """Whatever is written, changed and deleted meanwhile: facts and records tell of one moment."""
    store.commit([Change(type="note", key=f"{n:04}", value={"n": 0}) for n in range(400)])
    seen: list[str] = []

    class Meddling(Kept):
        """Writes to the store while it is exported."""

        def add(self, name: str, chunks: Iterable[bytes], *, size: int) -> None:
            seen.append(name)
            store.commit([Change(type="note", key=f"{n:04}", value={"n": len(seen)}) for n in range(0, 400, 3)])
            store.commit([Change(type="note", key=f"{n:04}", action="delete") for n in range(1, 400, 3)])
            store.commit([Change(type="note", key=f"new{len(seen)}", value={"n": 1})])
            super().add(name, chunks, size=size)

    sink = Meddling()
    with Reader.open(folder, types=TYPES) as reader:
        done = Export(reader, sink, service="notes", scratch=tmp_path, now=5.0, schema={}).run(Forms(), dict(TYPES))

    assert 400 == done.facts == done.head == done.records["note"]
    assert [(f"{n:04}", 0) for n in range(400)] == [
        (record["key"], record["value"]["n"]) for record in lines(sink.files["notes/records/note.jsonl"])
    ]


def test_a_writer_is_never_held_up(store: Store, folder: Path, tmp_path: Path) -> None:
    """Commits go through while an export stands still in the middle."""
    fill(store)
    committed = threading.Event()

    class Waiting(Kept):
        """Waits for a commit at its first file."""

        def add(self, name: str, chunks: Iterable[bytes], *, size: int) -> None:
            def commit() -> None:
                store.commit([Change(type="note", key=name, value={})])
                committed.set()

            thread = threading.Thread(target=commit)
            thread.start()
            thread.join(10)
            super().add(name, chunks, size=size)

    with Reader.open(folder, types=TYPES) as reader:
        Export(reader, Waiting(), service="notes", scratch=tmp_path, now=5.0, schema={}).run(Forms(), {})

    assert committed.is_set()


def test_tables_hold_what_is_plain(store: Store, folder: Path, tmp_path: Path) -> None:
    """Key, time, shared fields and plain members; nothing that a spreadsheet would run."""
    fill(store)
    store.commit([Change(type="note", key="=1+1", value={"title": "@SUM(A1)", "n": -3, "t": "\t=x", "=evil": "1"})])

    _, files = export(folder, tmp_path / "s")

    rows = list(csv.DictReader(io.StringIO(files["csv/note.csv"].decode(), newline="")))
    assert {"key", "at", "title", "n", "t", "'=evil", "value.title"} <= set(rows[0])
    evil = next(row for row in rows if row["key"] == "'=1+1")
    assert ("'@SUM(A1)", "-3", "'\t=x", "1") == (evil["title"], evil["n"], evil["t"], evil["'=evil"])
    assert not [cell for row in rows for cell in row.values() if cell[:1] in "=+@\t" and cell]
    assert "2023-11-14T22:13:20.000Z" == next(row for row in rows if row["key"] == "b")["at"]


@given(text=st.text())
def test_no_text_is_left_a_formula(text: str) -> None:
    """Whatever it begins with; and what was there can be had again by dropping one apostrophe."""
    safe = safe_text(text)

    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert text in (safe, safe[1:])


def test_a_type_with_too_many_members_keeps_the_first() -> None:
    """At the limit all are columns; one more is counted, once in however many records, and not made one."""
    columns = Columns(TypeSpec(name="t"))
    columns.see({"key": "k", "at": 1.0, "common": {}, "value": {f"m{n}": 1 for n in range(COLUMNS_MAX)}})
    assert 0 == columns.left_out
    for _ in range(2):
        columns.see({"key": "k", "at": 1.0, "common": {}, "value": {"one more": 1}})

    assert 1 == columns.left_out
    assert COLUMNS_MAX + 2 == len(columns.all())


def test_a_declared_path_is_a_column_though_it_is_nested() -> None:
    """A number in it is a place in a list; a member's own name may hold dots."""
    columns = Columns(TypeSpec(name="t", index=("owner.login", "photos.0.url")))
    record = {
        "key": "k", "at": 1e300, "common": {"key": "k2"},
        "value": {"owner": {"login": "o"}, "photos": [{"url": "u"}], "a.b": 1, "at": 5},
    }  # fmt: skip
    columns.see(record)

    names = [column.name for column in columns.all()]
    assert ["key", "at", "common.key", "owner.login", "photos.0.url", "a.b", "value.at"] == names
    assert ["k", "1e+300", "k2", "o", "u", "1", "5"] == csv_row(columns.all(), record)


def test_files_go_out_and_damaged_ones_are_named(store: Store, folder: Path, tmp_path: Path) -> None:
    """Each is read to its end and compared with its name; what is beside them is not one of them."""
    good = store.files.put_file(io.BytesIO(b"good" * 100_000))
    bad = store.files.put_file(io.BytesIO(b"bad"))
    (folder / "files" / bad[:2] / bad[2:]).write_bytes(b"BAD")
    (folder / "files" / "notes.txt").write_text("not a file of ours")
    (folder / "files" / "ab").mkdir(exist_ok=True)
    (folder / "files" / "ab" / ("c" * 62)).symlink_to("/etc/passwd")

    done, files = export(folder, tmp_path / "s")

    assert b"good" * 100_000 == files[f"files/{good[:2]}/{good[2:]}"]
    assert (1, 400_000) == (done.files, done.file_bytes)
    assert sorted([bad, "ab" + "c" * 62]) == sorted(done.damaged_files)
    assert [] == [name for name in export(folder, tmp_path / "s", Forms(files=False))[1] if name.startswith("files")]


def test_the_snapshot_holds_the_same_facts(store: Store, folder: Path, tmp_path: Path) -> None:
    """For programs of the incumbent; only where it is asked for."""
    fill(store)
    assert "facts.snap" not in export(folder, tmp_path / "s")[1]

    content = export(folder, tmp_path / "s", Forms(snapshot=True, csv=False))[1]["facts.snap"]

    framed = FramedFile(io.BytesIO(content), size=len(content), name="x")
    assert [msgspec.to_builtins(wire_form(fact)) for fact in store.facts(0, limit=100)] == [
        {**one, "rev": tuple(one["rev"])} for one in framed
    ]
    assert framed.report.is_whole


def test_an_empty_store_and_none_are_exported(open_store: Any, folder: Path, tmp_path: Path) -> None:
    """Nothing is made where nothing is; the export says so."""
    nothing, files = export(folder, tmp_path / "s")
    open_store()
    empty, _ = export(folder, tmp_path / "s")

    assert {"schema.json", "facts.jsonl", "service.json"} == set(files)
    assert (0, 0, "") == (nothing.facts, nothing.head, nothing.store_epoch)
    assert (0, 32) == (empty.facts, len(empty.store_epoch))


def test_a_damaged_fact_hides_no_other(store: Store, folder: Path, tmp_path: Path) -> None:
    """It is named by its position and left out, with the record that it made; everything else goes out."""
    fill(store)
    facts = store.facts(0, limit=100)
    store.close()
    path = folder / "store.db"
    whole = bytearray(path.read_bytes())
    for changed in (b'{"title":"again"}', b'{"title":"B"}'):
        whole[whole.index(changed) + 10 : whole.index(changed) + 11] = b"_" if changed.endswith(b'B"}') else b"\x01"
    path.write_bytes(whole)

    done, files = export(folder, tmp_path / "s")

    bad = [fact.seq for fact in facts if fact.value in ({"title": "again"}, {"title": "B"})]
    assert bad == done.damaged_facts
    assert not done.is_whole
    assert [fact.seq for fact in facts if fact.seq not in bad] == [one["seq"] for one in lines(files["facts.jsonl"])]
    assert {"other type": 1} == done.records


def test_a_store_that_is_none_is_told(folder: Path, tmp_path: Path) -> None:
    """What is no database of ours ends the export with an error of ours."""
    (folder / "store.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)

    with pytest.raises(FileDamaged):
        export(folder, tmp_path / "s")


NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=100)
MOMENTS = st.floats(-6e10, 6e10) | st.integers(0, 400).map(lambda n: 1_700_000_000.0 + n * 37.5)
NUMBERS = st.floats(-1e300, 1e300, allow_subnormal=False)
SERIES = st.dictionaries(NAMES, st.dictionaries(MOMENTS, NUMBERS, min_size=1, max_size=30), max_size=5)
WIDTHS: tuple[Width, ...] = ("minute", "hour", "day")


def series_of(store: Store) -> dict[str, Any]:
    """All that the store says of its points: numbers and every fold of them."""
    return {
        point: (
            store.series.samples(point, limit=1000).moments,
            [store.series.rollups(point, by=width, limit=1000).rollups for width in WIDTHS],
        )
        for point in store.series.points(limit=1000)
    }


def with_series(store: Store, series: dict[str, dict[float, float]]) -> None:
    """Let the store have these numbers."""
    for point, samples in series.items():
        store.series.append([(point, at, value) for at, value in samples.items()])


@settings(max_examples=25, deadline=None)
@given(there=SERIES, here=SERIES)
def test_numbers_go_out_and_come_in_exactly(
    tmp_path_factory: pytest.TempPathFactory, there: dict[str, dict[float, float]], here: dict[str, dict[float, float]]
) -> None:
    """To the last digit, as lines and as tables; the other store folds them itself, and keeps what it had."""
    first, second, told = (
        Store.in_memory(types={}, origin=Origin(f"d/{n}", 1), clock=ManualClock(), timezone="Europe/Vienna")
        for n in range(3)
    )
    with first, second, told:
        with_series(first, there)
        with_series(second, here)
        with_series(told, {name: {**there.get(name, {}), **here.get(name, {})} for name in {**there, **here}})
        sink = Kept()
        scratch = tmp_path_factory.mktemp("series")
        done = Export(first, sink, service="s", scratch=scratch, now=5.0, schema={}).run(Forms(), {})
        taking = Import(second, source="x", actor="owner")
        taking.take_samples(second.series, lines(sink.files.get("s/series.jsonl", b"")))

        assert taking.finish().is_whole
        assert series_of(told) == series_of(second)
        assert sum(map(len, there.values())) == done.samples
        tables = {name: text for name, text in sink.files.items() if name.startswith("s/csv/series/")}
        assert len(there) == len(tables)
        rows = [list(csv.DictReader(io.StringIO(text.decode()))) for text in tables.values()]
        assert sorted(sorted(samples.items()) for samples in there.values()) == sorted(
            [(float(row["at"]), float(row["value"])) for row in table] for table in rows
        )


def test_a_table_of_a_point_is_for_people_too(store: Store, folder: Path, tmp_path: Path) -> None:
    """Its moments stand there as a calendar says them; a name of any length makes a file."""
    store.series.append([("watts", 1_795_162_969.25, 0.1), ("x" * 512, 1.0, 2.0), ("x" * 511 + "y", 1.0, 2.0)])

    _, files = export(folder, tmp_path / "s")

    assert b"time,at,value\r\n2026-11-20T08:22:49.250Z,1795162969.25,0.1\r\n" == files["csv/series/watts.csv"]
    names = [name.rpartition("/")[2] for name in files if name.startswith("csv/series/~")]
    assert 2 == len(set(names))
    assert all(len(name) <= 255 for name in names)
    assert not [name for name in export(folder, tmp_path / "s", Forms(csv=False))[1] if name.startswith("csv")]


def test_numbers_that_are_there_stay_however_many_lie_between(store: Store) -> None:
    """More than one page of them within the span of two that come; and what is no number is told."""
    for start in range(0, 12_000, 2000):
        store.series.append([("p", float(n), 1.0) for n in range(start, start + 2000)])

    taking = Import(store, source="x", actor="owner")
    coming = [{"point": "p", "at": at, "value": 2.0} for at in (0.0, 5.5, 11_999.0)]
    taking.take_samples(store.series, [*coming, {"point": "p", "at": 7.5, "value": 1e301}, {"point": "p"}])
    done = taking.finish()

    assert (1, 1, 1) == (done.samples, done.refused, done.unreadable)
    assert [1.0, 2.0, 1.0] == [store.series.last("p", at=at).value for at in (0.0, 5.5, 11_999.0)]  # type: ignore[union-attr]
