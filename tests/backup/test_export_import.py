"""Exports of several stores as archives, and all that can be imported: exports, logs, snapshots, damaged ones too."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.backup import ExportDone, ImportDone, Source, export, import_from, parquet_tables, schema_of
from core.backup.archive import CHUNK_BYTES
from core.backup.importing import FACT_LINE_BYTES_MAX
from core.backup.unpacking import check_archive, items, text_of
from core.model.clock import ManualClock
from core.model.errors import BadRequest, Broken, FileDamaged, FormatTooNew, LockerError, NotFound, StorageFull
from core.model.fact import Change, Fact
from core.model.frames import encode_frame
from core.model.manifest import Manifest, TypeSpec
from core.registry import Service
from core.store import Aside, Forms, Origin, Reader, Run, Store
from core.store.exchange.framed import wire_form
from tests.backup.conftest import FILE, SECRET, UIDS, fill, open_store
from tests.store.disks import small_disk

OpenStore = Callable[[str], contextlib.AbstractContextManager[Store]]
TYPES = {"entry": TypeSpec(name="entry", common={"text": "text"})}


def send(me: Path, target: Path, *, forms: Forms | None = None, ids: tuple[str, ...] = tuple(UIDS)) -> ExportDone:
    """An export of these services."""
    with contextlib.ExitStack() as stack:
        sources = [
            Source(
                id=service_id, reads=stack.enter_context(Reader.open(me / service_id, types=TYPES)), types=TYPES,
                schema=schema_of(None, None),
            )
            for service_id in ids
        ]  # fmt: skip
        return export(target, sources, forms=forms or Forms(), clock=ManualClock(), version="0")


def opener(me: Path) -> OpenStore:
    """Opens the stores of another Me, where the same connectors were installed anew."""

    @contextlib.contextmanager
    def open_one(service_id: str) -> Iterator[Store]:
        if service_id not in UIDS:
            raise NotFound(f"there is no service {service_id}", remedy="Install it first.")
        me.mkdir(exist_ok=True)
        with Store.open(me / service_id, types=TYPES, origin=Origin("new/log", 1), clock=ManualClock(1.9e9)) as store:
            yield store

    return open_one


def bring(source: Path, me: Path, *, into: str | None = None) -> ImportDone:
    """An import into `me`."""
    return import_from(source, open_store=opener(me), into=into, actor="owner")


def facts_of(me: Path, service_id: str) -> list[dict[str, object]]:
    """All facts, as far as an import keeps them."""
    with Reader.open(me / service_id, types=TYPES) as reader:
        facts = reader.facts(0, limit=1000)
    return [{**msgspec.to_builtins(fact), "seq": 0, "recorded_at": 0} for fact in facts]


@pytest.mark.parametrize("name", ["x", "x.tar", "x.tar.gz", "x.zip"])
def test_all_goes_out_and_comes_back(me: Path, tmp_path: Path, name: str) -> None:
    """In every form: facts, records, files; and once more changes nothing."""
    sent = send(me, tmp_path / name)
    assert [] == check_archive(tmp_path / name)

    done = bring(tmp_path / name, tmp_path / "New")

    assert done.is_whole, done
    for service_id in UIDS:
        assert facts_of(me, service_id) == facts_of(tmp_path / "New", service_id)
        assert [FILE] == [p.read_bytes() for p in (tmp_path / "New" / service_id / "files").rglob("*") if p.is_file()]
        assert (22, 1) == (done.services[service_id].added, done.services[service_id].files)
    assert ["feeds", "notes"] == [one.service for one in sent.services]
    again = bring(tmp_path / name, tmp_path / "New")
    assert [(0, 22, 0)] * 2 == [(one.added, one.known, one.files) for one in again.services.values()]


def test_numbers_over_time_go_along(me: Path, tmp_path: Path) -> None:
    """Every point's, in more than one page; a moment that has a number here keeps it, and again adds nothing."""
    with open_store(me, "feeds", ManualClock()) as store:
        for begin in range(0, 2400, 800):
            store.series.append([("watts", float(n), n / 3) for n in range(begin, begin + 800)])
        store.series.append([("volts", 5.5, 230.0)])
    sent = send(me, tmp_path / "x.tar", ids=("feeds",))
    with opener(tmp_path / "New")("feeds") as store:
        store.series.append([("watts", 7.0, -1.0)])

    done = bring(tmp_path / "x.tar", tmp_path / "New")
    again = bring(tmp_path / "x.tar", tmp_path / "New")

    assert (2401, 2400, 0) == (
        sent.services[0].samples,
        done.services["feeds"].samples,
        again.services["feeds"].samples,
    )
    with Reader.open(tmp_path / "New" / "feeds", types={}) as reader:
        assert ["volts", "watts"] == reader.series.points(limit=10)
        found = reader.series.samples("watts", limit=10_000).moments
        assert [-1.0 if n == 7 else n / 3 for n in range(2400)] == [moment.value for moment in found]


def _troubled(me: Path) -> None:
    """A store with records that were refused, receipts and a run."""
    with open_store(me, "feeds", ManualClock(1.8e9)) as store:
        store.commit(
            [
                Change(type="entry", key="bad", value={"n": float("nan")}),
                Change(type="entry", key="k5", value={"n": {1, 2}}),  # type: ignore[dict-item]
                Change(type="entry", key="", value={"whole": True}),
            ]
        )
        store.commit([], aside=[Aside(type="entry", key="theirs", reason="no date", value={"n": 7})])
        store.prune([store.facts(0, limit=1)[0].id], actor="owner")
        store.note_run(Run(id="r1", stream="entry", started_at=1.0, ended_at=2.0, status="ok", new=3))


def _aside(me: Path) -> list[tuple[Any, ...]]:
    with Reader.open(me / "feeds", types={}) as reader:
        found = reader.quarantined(100)
    return sorted(
        (one.key, one.code, one.reason, one.sample, one.first_seen, one.times, one.can_retry) for one in found
    )


def test_what_was_refused_and_what_was_let_go_go_along(me: Path, tmp_path: Path) -> None:
    """Quarantine with its times, to be tried again there, and receipts that name their store; again adds neither."""
    _troubled(me)
    sent = send(me, tmp_path / "x.tar", ids=("feeds",)).services[0]
    done = bring(tmp_path / "x.tar", tmp_path / "New").services["feeds"]
    again = bring(tmp_path / "x.tar", tmp_path / "New").services["feeds"]

    assert done.is_whole
    assert _aside(me) == _aside(tmp_path / "New")
    assert (4, 1, 1) == (sent.set_aside, sent.receipts, sent.runs)
    assert [(4, 1), (0, 0)] == [(one.set_aside, one.receipts) for one in (done, again)]
    with opener(tmp_path / "New")("feeds") as store:
        *imports, pruned = store.receipts(10)
        assert ["import", "import"] == [one.verb for one in imports]
        assert ("prune", 1.8e9, "owner") == (pruned.verb, pruned.at, pruned.actor)
        assert 32 == len(pruned.document["from_store"])
        assert (0, 4) == (store.retry_quarantined().new, len(store.quarantined(9)))
    itself = bring(tmp_path / "x.tar", me).services["feeds"]
    assert (0, 0) == (itself.set_aside, itself.receipts)


def test_a_record_that_has_gone_on_is_not_set_aside_again(me: Path, tmp_path: Path) -> None:
    """What was refused of it before is no news where a later version is stored, nor where it is deleted or erased."""
    _troubled(me)
    send(me, tmp_path / "x.tar", ids=("feeds",))
    with opener(tmp_path / "New")("feeds") as store:
        store.commit([Change(type="entry", key=key, value={"v": 1}) for key in ("bad", "theirs")])
        store.commit([Change(type="entry", key="theirs", action="delete")])

    done = bring(tmp_path / "x.tar", tmp_path / "New").services["feeds"]

    assert 2 == done.set_aside
    assert "k5" in {one[0] for one in _aside(tmp_path / "New")}
    assert not {"bad", "theirs"} & {one[0] for one in _aside(tmp_path / "New")}


def test_no_secret_is_in_it(me: Path, tmp_path: Path) -> None:
    """Neither sign-ins nor keys nor a connector's settings: what is declared of the data, and the data. INV-08."""
    send(me, tmp_path / "x")
    whole = b"".join(path.read_bytes() for path in (tmp_path / "x").rglob("*") if path.is_file())
    service = Service(
        id="feeds", uid="u", connector="feeds", title="T", installed_at=1.0, settings={"password": SECRET}, account="me"
    )
    manifest = Manifest(name="feeds", title="F", folder="/x", types=TYPES, settings={"password": {"default": SECRET}})
    schema = msgspec.json.encode(schema_of(service, manifest))

    assert SECRET.encode() not in whole + schema
    assert not [
        secret
        for name in ("key", "device.sealed", "feeds/auth.sealed")
        if (secret := (me / name).read_bytes()) in whole
    ]
    assert not [path for path in (tmp_path / "x").rglob("*") if "sealed" in path.name or path.name == "key"]
    assert json.loads(schema)["types"]["entry"]["common"] == {"text": "text"}


def test_one_service_goes_into_another(me: Path, tmp_path: Path) -> None:
    """The archive of one, or its folder in an unpacked export of several."""
    send(me, tmp_path / "x.tar", ids=("feeds",))
    send(me, tmp_path / "both")

    one = bring(tmp_path / "x.tar", tmp_path / "New", into="notes")
    folder = bring(tmp_path / "both" / "notes", tmp_path / "New", into="feeds")

    assert one.is_whole, one
    assert folder.is_whole, folder
    assert facts_of(me, "feeds") == facts_of(tmp_path / "New", "notes")
    assert facts_of(me, "notes") == facts_of(tmp_path / "New", "feeds")
    with pytest.raises(BadRequest, match="more than one"):
        bring(tmp_path / "both", tmp_path / "New", into="feeds")


def test_a_service_that_is_not_there_is_left_and_told(me: Path, tmp_path: Path) -> None:
    """The others are imported."""
    (me / "notes").rename(me / "others")
    send(me, tmp_path / "x.tar", ids=("feeds", "others"))

    done = bring(tmp_path / "x.tar", tmp_path / "New")

    assert {"others"} == set(done.left)
    assert "Install it first." in done.left["others"]
    assert (22, False) == (done.services["feeds"].added, done.is_whole)


def test_a_store_that_cannot_be_read_fails_alone(me: Path, tmp_path: Path) -> None:
    """It is named; the export of the others is whole."""
    (me / "feeds" / "store.db").write_bytes(b"SQLite format 3\0" + b"x" * 9000)

    done = send(me, tmp_path / "x.tar")

    assert (["feeds"], ["notes"]) == ([one.service for one in done.failed], [one.service for one in done.services])
    assert 22 == bring(tmp_path / "x.tar", tmp_path / "New").services["notes"].added


def test_a_truncated_export_is_told_and_gives_what_is_whole(me: Path, tmp_path: Path) -> None:
    """At many lengths, and around each entry's boundary. S3."""
    send(me, tmp_path / "x.tar", ids=("feeds",), forms=Forms(csv=False))
    whole = (tmp_path / "x.tar").read_bytes()
    end = len(whole.rstrip(b"\0"))
    boundaries = [place for place in range(0, end, 512) if whole[place + 257 : place + 262] == b"ustar"]
    before = -1
    for length in sorted({place + delta for place in boundaries[2:] for delta in (-1, 0, 1)} | {end - 1}):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        try:
            done = bring(tmp_path / "cut.tar", tmp_path / "New")
            assert not done.is_whole, length
        except LockerError:
            pass
        with Reader.open(tmp_path / "New" / "feeds", types={}) as reader:
            assert before <= reader.head() <= 22
            before = reader.head()
    assert 22 == before
    assert bring(tmp_path / "x.tar", tmp_path / "New").is_whole


def test_a_changed_line_is_told(me: Path, tmp_path: Path) -> None:
    """By the hash of the value where it is one that says so, and by the digest of the whole."""
    send(me, tmp_path / "x", ids=("feeds",))
    facts = tmp_path / "x" / "feeds" / "facts.jsonl"
    lines = facts.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"n":3', b'"n":4')
    lines[5] = b'{"id": nonsense\n'
    facts.write_bytes(b"".join(lines))

    done = bring(tmp_path / "x", tmp_path / "New")

    feeds = done.services["feeds"]
    assert (20, 1, 1) == (feeds.added, feeds.refused, feeds.unreadable)
    assert "facts.jsonl is not what was written" in feeds.damages[0]
    assert ["feeds/facts.jsonl is not what it was"] == done.damages


def test_a_file_that_is_not_what_its_name_says_is_told(me: Path, tmp_path: Path) -> None:
    """It is not taken for the one it is called."""
    send(me, tmp_path / "x", ids=("feeds",))
    (file,) = (path for path in (tmp_path / "x" / "feeds" / "files").rglob("*") if path.is_file())
    file.write_bytes(FILE[:-1] + b"!")

    done = bring(tmp_path / "x", tmp_path / "New")

    assert "does not hold what its name says" in done.services["feeds"].damages[0]
    assert 0 == done.services["feeds"].files


def test_a_newer_export_is_refused(me: Path, tmp_path: Path) -> None:
    """The whole, or one service in it."""
    send(me, tmp_path / "x", ids=("feeds",))
    for name in ("export.json", "feeds/service.json"):
        path = tmp_path / "x" / name
        kept = path.read_bytes()
        path.write_bytes(kept.replace(b'"format": 1', b'"format": 2'))
        with pytest.raises(FormatTooNew):
            bring(tmp_path / "x", tmp_path / "New")
        path.write_bytes(kept)


def test_what_is_no_export_is_refused(me: Path, tmp_path: Path) -> None:
    """An archive of something else, one with a link in it, one that is missing."""
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("Readme"), io.BytesIO(b""))
    evil = tarfile.TarInfo("feeds/../../x")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.addfile(evil, io.BytesIO(b""))

    with pytest.raises(BadRequest, match="holds no facts"):
        bring(tmp_path / "other.tar", tmp_path / "New")
    with pytest.raises(FileDamaged):
        bring(tmp_path / "evil.tar", tmp_path / "New")
    with pytest.raises(NotFound):
        bring(tmp_path / "none.tar", tmp_path / "New")
    with pytest.raises(BadRequest, match="which service"):
        (tmp_path / "facts.jsonl").write_bytes(b"{}")
        bring(tmp_path / "facts.jsonl", tmp_path / "New")


def facts(me: Path) -> list[Fact]:
    """The facts of one store."""
    with Reader.open(me / "feeds", types={}) as reader:
        return reader.facts(0, limit=1000)


def test_lines_of_facts_are_imported(me: Path, tmp_path: Path) -> None:
    """A file that somebody cut out of an export, with an empty line in it."""
    lines = [msgspec.json.encode(fact) for fact in facts(me)]
    (tmp_path / "some.jsonl").write_bytes(b"\n".join([*lines[:4], b"", *lines[4:9]]))

    done = bring(tmp_path / "some.jsonl", tmp_path / "New", into="feeds")

    assert (9, True) == (done.services["feeds"].added, done.is_whole)


def test_a_line_that_nobody_could_have_written_keeps_no_other_out(me: Path, tmp_path: Path) -> None:
    """It is counted as unreadable; what stands behind it is taken, and the receipt says both."""
    lines = [msgspec.json.encode(fact) for fact in facts(me)]
    with (tmp_path / "some.jsonl").open("wb") as file:
        file.write(b"\n".join(lines[:3]) + b"\n")
        file.write(b'{"id": "' + b"x" * (FACT_LINE_BYTES_MAX + 2 * CHUNK_BYTES) + b'"}\n')
        file.write(b"\n".join(lines[3:7]))

    done = bring(tmp_path / "some.jsonl", tmp_path / "New", into="feeds").services["feeds"]

    assert (7, 1, False) == (done.added, done.unreadable, done.is_whole)


def test_a_fact_that_says_a_name_twice_is_none(me: Path, tmp_path: Path) -> None:
    """Which of both was meant nobody can tell: it is counted as unreadable, in lines and in frames, and not stored."""
    lines = [msgspec.json.encode(fact) for fact in facts(me)][:4]
    lines[1] = lines[1].replace(b'"value":{', b'"value":{"n":"first",', 1)
    lines[2] = lines[2].replace(b'"key":', b'"k\\u0065y":"first","key":', 1)
    (tmp_path / "some.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "some.log").write_bytes(b"".join(map(encode_frame, lines)))

    lined = bring(tmp_path / "some.jsonl", tmp_path / "New", into="feeds").services["feeds"]
    framed = bring(tmp_path / "some.log", tmp_path / "Other", into="feeds").services["feeds"]

    assert [(2, 2, False)] * 2 == [(done.added, done.unreadable, done.is_whole) for done in (lined, framed)]


def test_a_snapshot_and_a_log_are_imported(me: Path, tmp_path: Path) -> None:
    """Our own snapshot with every field; a log with ids and times; the second finds what the first brought."""
    send(me, tmp_path / "x", forms=Forms(snapshot=True), ids=("feeds",))
    snapshot = tmp_path / "x" / "feeds" / "facts.snap"
    log = tmp_path / "store.wal"
    log.write_bytes(b"".join(encode_frame(msgspec.json.encode(wire_form(fact))) for fact in facts(me)))

    done = bring(snapshot, tmp_path / "New", into="feeds")
    again = bring(log, tmp_path / "New", into="feeds")

    assert done.is_whole, done
    assert facts_of(me, "feeds") == facts_of(tmp_path / "New", "feeds")
    assert (0, 22, True) == (again.services["feeds"].added, again.services["feeds"].known, again.is_whole)


def test_a_damaged_log_gives_all_that_is_whole(me: Path, tmp_path: Path) -> None:
    """Half a snapshot, a flipped bit, a torn tail: what is lost is told, and the receipt says it too."""
    frames = [encode_frame(msgspec.json.encode(wire_form(fact))) for fact in facts(me)]
    frames[7] = frames[7][:40] + bytes([frames[7][40] ^ 8]) + frames[7][41:]
    log = tmp_path / "store.wal"
    log.write_bytes(b"".join(frames)[:-5])

    done = bring(log, tmp_path / "New", into="feeds").services["feeds"]

    assert (20, 2, False) == (done.added, len(done.damages), done.is_whole)
    assert "bad_crc" in done.damages[0]
    assert "truncated_frame" in done.damages[1]
    with opener(tmp_path / "New")("feeds") as store:
        assert done.damages == store.receipts(1)[0].document["damages"]


def test_an_export_without_its_facts_is_told(me: Path, tmp_path: Path) -> None:
    """How many there should be, and that none came."""
    send(me, tmp_path / "x", ids=("feeds",))
    (tmp_path / "x" / "feeds" / "facts.jsonl").unlink()

    done = bring(tmp_path / "x", tmp_path / "New").services["feeds"]

    assert ["facts.jsonl is not what was written: 22 facts were, 0 came"] == done.damages


def test_a_partial_snapshot_is_told(me: Path, tmp_path: Path) -> None:
    """The header's count is compared: 5 of 11 facts are never 11. S3."""
    header = {"type": "snapshot_header", "fact_count": 22, "written_at": 1.0}
    frames = [encode_frame(msgspec.json.encode(wire_form(fact))) for fact in facts(me)[:9]]
    (tmp_path / "half.snap").write_bytes(encode_frame(json.dumps(header).encode()) + b"".join(frames))

    done = bring(tmp_path / "half.snap", tmp_path / "New", into="feeds").services["feeds"]

    assert (9, ["the snapshot is partial: 22 facts were written, 9 came"]) == (done.added, done.damages)


def test_after_any_cut_of_a_snapshot_what_came_stays_and_writing_goes_on(me: Path, tmp_path: Path) -> None:
    """The facts wholly inside, no more; five more writes survive the next opening. S1."""
    header = encode_frame(json.dumps({"type": "snapshot_header", "fact_count": 5, "written_at": 1.0}).encode())
    frames = [encode_frame(msgspec.json.encode(wire_form(fact))) for fact in facts(me)[:5]]
    ends = [len(header) + len(b"".join(frames[: n + 1])) for n in range(5)]
    lengths = sorted({end + delta for end in (len(header), *ends[:-1]) for delta in (-1, 0, 1)})
    for length in lengths:
        new = tmp_path / f"New{length}"
        (tmp_path / "cut.snap").write_bytes((header + b"".join(frames))[:length])
        done = bring(tmp_path / "cut.snap", new, into="feeds").services["feeds"]
        whole = sum(end <= length for end in ends)
        assert (whole, False) == (done.added, done.is_whole)
        with opener(new)("feeds") as store:
            for n in range(5):
                store.commit([Change(type="entry", key=f"later{n}", value={"n": n})])
        with opener(new)("feeds") as store:
            assert whole + 5 == store.head()
            assert {f"later{n}" for n in range(5)} <= {r.key for r in store.records("entry", limit=100).records}


def test_another_codec_is_refused_naming_both(tmp_path: Path) -> None:
    """And nothing is taken. S19."""
    (tmp_path / "x.wal").write_bytes(encode_frame(msgspec.msgpack.encode({"store": "t", "fields": ["a"]})))

    with pytest.raises(BadRequest, match=r"MessagePack.*json"):
        bring(tmp_path / "x.wal", tmp_path / "New", into="feeds")


IMPORTER = """
import sys
from pathlib import Path
from core.backup import import_from
from core.model.clock import SystemClock
from core.store import Origin, Store
def opener(service_id):
    return Store.open(Path(sys.argv[2]) / service_id, types={}, origin=Origin("new/log", 1), clock=SystemClock())
print("started", flush=True)
import_from(Path(sys.argv[1]), open_store=opener, into=None, actor="owner")
"""


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_killed_import_is_finished_by_the_next(me: Path, tmp_path: Path, after_s: float) -> None:
    """kill -9 at any moment: what was stored is known the second time, nothing is lost or doubled."""
    with open_store(me, "feeds", ManualClock()) as store:
        fill(store, facts=400, start=100)
    send(me, tmp_path / "x.tar")
    (tmp_path / "New").mkdir()
    command = [sys.executable, "-c", IMPORTER, str(tmp_path / "x.tar"), str(tmp_path / "New")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as importer:
        assert importer.stdout is not None
        importer.stdout.readline()
        time.sleep(after_s)  # The moment of death itself.
        importer.send_signal(signal.SIGKILL)

    done = bring(tmp_path / "x.tar", tmp_path / "New")

    assert done.is_whole, done
    for service_id in UIDS:
        assert facts_of(me, service_id) == facts_of(tmp_path / "New", service_id)


def test_a_full_disk_ends_an_export_without_a_trace(me: Path, tmp_path: Path) -> None:
    """And works again when there is room."""
    with open_store(me, "feeds", ManualClock()) as store:
        store.files.put_file(io.BytesIO(os.urandom(2_000_000)))
    with small_disk(tmp_path / "disk", size_bytes=1024 * 1024) as disk:
        with pytest.raises(StorageFull):
            send(me, disk / "x")
        assert [] == list(disk.iterdir())
        send(me, disk / "x", forms=Forms(files=False))
        assert [] == check_archive(disk / "x")


def test_parquet_tables_hold_the_records(me: Path, tmp_path: Path) -> None:
    """Typed columns, the documents whole beside them; ten thousand rows and mixed kinds included."""
    import pyarrow.parquet as pq

    values: list[dict[str, Any]] = [
        {"n": 1, "f": 1.5, "mixed": "x", "deep": {"a": [1]}, "value": 2**70},
        {"n": -2, "f": 2, "mixed": 3, "yes": True},
    ]
    with open_store(me, "notes", ManualClock()) as store:
        store.commit([Change(type="mixed", key=f"k{n}", value=value) for n, value in enumerate(values)])
    table = parquet_tables(tmp_path / "env", tmp_path / "none.txt", environment=dict(os.environ))

    send(me, tmp_path / "x.tar", forms=Forms(parquet=table, csv=False))

    found = {item.name: text_of(item) for item in items(tmp_path / "x.tar")}
    rows = pq.read_table(io.BytesIO(found["notes/parquet/mixed.parquet"])).to_pylist()
    assert [1, -2] == [row["n"] for row in rows]
    assert [1.5, 2.0] == [row["f"] for row in rows]
    assert ["x", "3"] == [row["mixed"] for row in rows]
    assert [None, True] == [row["yes"] for row in rows]
    assert values == [json.loads(row["value_"]) for row in rows]
    assert 1_700_000_000 == int(rows[0]["at"].timestamp())
    assert 19 == pq.read_table(io.BytesIO(found["feeds/parquet/entry.parquet"])).num_rows


def test_a_table_that_takes_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words of ours, with what can be done."""
    monkeypatch.setattr("core.backup.parquet.WRITE_S_MAX", 0.0)
    table = parquet_tables(tmp_path / "env", tmp_path / "none.txt", environment=dict(os.environ))
    (tmp_path / "records").write_bytes(b"")

    with pytest.raises(Broken, match="was not written as Parquet within") as caught:
        table(tmp_path / "records", [], tmp_path / "table")
    assert "Export without --parquet." == caught.value.remedy


def test_parquet_gets_an_environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this Python has no pyarrow, what is pinned is installed beside it, with its hashes."""
    from core.backup import parquet

    asked = []
    monkeypatch.setattr(parquet, "PACKAGE", "no_such_package_as_this")
    monkeypatch.setattr(parquet, "make_environment", lambda blueprint, _progress: asked.append(blueprint))
    (tmp_path / "pins.txt").write_text("pyarrow==1\n")

    parquet.parquet_tables(tmp_path / "env", tmp_path / "pins.txt", environment={})

    (blueprint,) = asked
    assert (str(tmp_path / "env"), True) == (blueprint.folder, blueprint.hashed)
    assert not blueprint.is_ready(blueprint.folder, blueprint.requirements)
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / blueprint.stamp_name).write_bytes(
        blueprint.stamp_of(blueprint.folder, blueprint.requirements, None)
    )
    assert blueprint.is_ready(blueprint.folder, blueprint.requirements)
