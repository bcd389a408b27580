"""Reading what another process writes: at once, in pages, and without trusting a byte of it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.errors import FactDamaged, FileDamaged, FolderUnusable, FormatTooNew, LockerError, TooBusy
from core.model.fact import Change
from core.store import Page, Reader, Store
from core.store import connection as connection_module
from core.store.care.checkup import check_up
from core.store.care.salvage import examine
from core.store.schema import MIGRATIONS
from tests.store.conftest import ORIGIN, TYPES, OpenStore


def put(key: str, **fields: Any) -> Change:
    """A note with these fields in its value."""
    return Change(type="note", key=key, value={"id": key, **fields})


@pytest.fixture
def reader(folder: Path) -> Iterator[Reader]:
    """A reader of the folder's store, whether there is one or not."""
    with Reader.open(folder, types=TYPES) as opened:
        yield opened


def everything(reader: Reader) -> list[Any]:
    """Each question once."""
    found: list[Any] = [reader.head(), reader.epoch(), reader.opens(), reader.counts(), reader.record("note", "a")]
    found += [reader.records("note", limit=10), reader.records("note", limit=10, order="newest")]
    found += [reader.history("note", "a", limit=10).facts, reader.facts(0, limit=10), reader.cursor("notes")]
    return [*found, reader.runs(limit=10), reader.quarantined(10)]


EMPTY = [0, "", 0, {}, None, Page(records=[], next=None), Page(records=[], next=None), [], [], None, [], []]


def test_missing_store_gives_empty_answers(reader: Reader, folder: Path) -> None:
    """A service that never stored anything is empty; asking makes no file."""
    assert EMPTY == everything(reader)
    assert [] == list(folder.iterdir())


def test_missing_folder_gives_empty_answers(tmp_path: Path) -> None:
    """So is one whose folder is not there."""
    with Reader.open(tmp_path / "gone", types=TYPES) as reader:
        assert EMPTY == everything(reader)


def test_file_without_tables_yet_gives_empty_answers(reader: Reader, folder: Path) -> None:
    """A writer that has only just made the file has stored nothing."""
    (folder / "store.db").touch()

    assert EMPTY == everything(reader)


def test_reader_sees_what_the_writer_sees(reader: Reader, open_store: OpenStore) -> None:
    """Every question has the same answer on both sides."""
    reader.head()
    store = open_store()
    store.commit([put("a", n=1), put("b", n=float("nan"))], cursor=("notes", 1))

    assert everything(store) == everything(reader)  # type: ignore[arg-type]
    assert 1 == reader.head()


WRITER = """
import sys
from pathlib import Path
from core.model.clock import SystemClock
from core.model.fact import Change
from core.store import Origin, Store
store = Store.open(Path(sys.argv[1]), types={}, origin=Origin("d", 1), clock=SystemClock())
for line in sys.stdin:
    print(store.commit([Change(type="note", key=line.strip(), value={})]).head, flush=True)
store.close()
"""


def test_commit_of_another_process_is_seen_at_once(reader: Reader, folder: Path) -> None:
    """The moment the writer has its answer, a reader elsewhere has the fact; also after the writer is gone."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for number in range(1, 51):
            writer.stdin.write(f"k{number}\n")
            writer.stdin.flush()
            assert f"{number}\n" == writer.stdout.readline()
            assert number == reader.head()
            assert reader.record("note", f"k{number}") is not None
        writer.stdin.close()
        assert 0 == writer.wait(20)

    assert 50 == reader.head()


def test_reader_follows_a_store_that_was_replaced(reader: Reader, open_store: OpenStore, folder: Path) -> None:
    """After an erasure and a new start under the same name, the new store is read."""
    store = open_store()
    store.commit([put("a"), put("b")])
    assert 2 == reader.head()
    store.close()
    shutil.rmtree(folder)
    assert EMPTY == everything(reader)
    folder.mkdir()
    store = open_store()
    store.commit([put("c")])

    assert (1, store.epoch()) == (reader.head(), reader.epoch())


def test_reader_keeps_no_transaction_open(open_store: OpenStore, reader: Reader, folder: Path) -> None:
    """After any read the whole write-ahead log can be folded into the file."""
    store = open_store()
    store.commit([put(f"k{number}") for number in range(50)])
    everything(reader)
    reader.records("note", limit=10)
    db = apsw.Connection(str(folder / "store.db"))

    busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.close()
    assert 0 == busy
    assert 0 == (folder / "store.db-wal").stat().st_size


def test_reader_can_write_nothing(open_store: OpenStore, reader: Reader) -> None:
    """A statement that writes fails, whoever comes to send one."""
    open_store().commit([put("a")])

    with pytest.raises(LockerError):
        reader.rows("DELETE FROM fact")
    assert 1 == reader.head()


def test_newer_store_is_refused(reader: Reader, open_store: OpenStore, folder: Path) -> None:
    """A store of a later Locker is neither read wrongly nor written."""
    open_store().close()
    _execute(folder, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    with pytest.raises(FormatTooNew):
        reader.head()
    with pytest.raises(FormatTooNew):
        open_store()


def test_database_of_another_program_is_refused(reader: Reader, open_store: OpenStore, folder: Path) -> None:
    """A database that is none of ours is left alone."""
    _execute(folder, "CREATE TABLE fact (seq)")

    with pytest.raises(FileDamaged):
        reader.head()
    with pytest.raises(FileDamaged):
        open_store()


def _execute(folder: Path, *statements: str) -> None:
    db = apsw.Connection(str(folder / "store.db"))
    for statement in statements:
        db.execute(statement)
    db.close()


def _forged(folder: Path, *statements: str) -> None:
    """A store of ours, changed by somebody who may write any schema."""
    db = apsw.Connection(str(folder / "store.db"))
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    for statement in statements:
        db.execute(statement)
    db.close()


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
FORGERIES = {
    "table_missing": ["DROP TABLE fact"],
    "column_missing": ["ALTER TABLE fact DROP COLUMN transaction_time"],
    "view_instead_of_table": ["DROP TABLE meta", f"CREATE VIEW meta AS SELECT 'opens' AS name, ({ENDLESS}) AS value"],
    "value_no_json": ["UPDATE fact SET value = '{'"],
    "value_no_object": ["UPDATE fact SET value = '[1]'"],
    "value_deep": ["UPDATE fact SET value = '{\"a\":' || replace(hex(zeroblob(50000)), '00', '[') || '}'"],
    "value_not_utf8": ["UPDATE fact SET value = CAST(x'7b2261223a22ff227d' AS TEXT)"],
    "value_huge": ["UPDATE fact SET value = CAST(zeroblob(40000000) AS TEXT)"],
    "id_of_wrong_size": ["UPDATE fact SET id = x'00'"],
    "id_a_number": ["UPDATE fact SET id = 7"],
    "epoch_a_number": ["UPDATE meta SET value = 1000000000000 WHERE name = 'store_epoch'"],
    "opens_a_text": ["UPDATE meta SET value = 'many' WHERE name = 'opens'"],
    "loose_types": [
        "DROP TABLE current",
        "CREATE TABLE current (type, key, seq, deleted, change_hash, at)",
        "INSERT INTO current SELECT type, key, seq, 0, NULL, 'now' FROM fact",
    ],
    "cursor_no_json": ["UPDATE cursor SET value = '{'"],
    "run_problem_no_json": ["UPDATE run SET problem = 'x'"],
}


@pytest.mark.parametrize("statements", FORGERIES.values(), ids=FORGERIES)
def test_forged_store_is_damage_never_a_crash(
    reader: Reader, open_store: OpenStore, folder: Path, statements: list[str]
) -> None:
    """Each question is answered or fails as FileDamaged, within its bound of steps."""
    from core.store import Run

    store = open_store()
    store.commit([put("a", n=1)], cursor=("notes", 1))
    store.note_run(Run(id="1", stream="notes", started_at=1.0, ended_at=2.0, status="ok"))
    store.close()
    _forged(folder, *statements)

    assert 0 < _damages(reader)


QUESTIONS: list[Callable[[Reader], Any]] = [
    lambda reader: reader.head(),
    lambda reader: reader.epoch(),
    lambda reader: reader.opens(),
    lambda reader: reader.counts(),
    lambda reader: reader.record("note", "a"),
    lambda reader: reader.records("note", limit=10),
    lambda reader: reader.records("note", limit=10, order="newest"),
    lambda reader: reader.verbatim("note", limit=10),
    lambda reader: reader.history("note", "a", limit=10),
    lambda reader: reader.facts(0, limit=10),
    lambda reader: reader.cursor("notes"),
    lambda reader: reader.runs(limit=10),
    lambda reader: reader.quarantined(10),
]


def _damages(reader: Reader) -> int:
    """How many questions met damage, of the file or of one fact; any other exception goes through."""
    damages = 0
    for ask in QUESTIONS:
        try:
            ask(reader)
        except (FileDamaged, FactDamaged):
            damages += 1
    return damages


def test_statement_without_end_is_stopped(reader: Reader, open_store: OpenStore) -> None:
    """The step limit ends what a forged schema could make endless."""
    open_store().commit([put("a")])
    started = time.monotonic()

    with pytest.raises(FileDamaged):
        reader.rows(ENDLESS)
    assert time.monotonic() - started < 20
    assert 1 == reader.head()


def test_step_limit_counts_each_statement_alone(folder: Path, open_store: OpenStore) -> None:
    """Just under the limit a statement ends by itself, again and again; over it, it is stopped."""
    open_store().commit([put("a")])
    db = connection_module.open_for_reading(folder / "store.db")
    limit = connection_module.StepLimit(db, steps_max=100_000)
    count = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) SELECT count(*) FROM n"

    for _ in range(5):
        limit.restart()
        assert (4000,) == db.execute(count, (4000,)).fetchone()
    limit.restart()
    with pytest.raises(apsw.InterruptError):
        db.execute(count, (100_000,)).fetchone()
    db.close()


def test_garbage_is_damage(reader: Reader, folder: Path) -> None:
    """A file that is no database."""
    (folder / "store.db").write_bytes(random.Random(1).randbytes(8192))

    assert len(QUESTIONS) == _damages(reader)


def _misled(folder: Path, whole: list[Any]) -> bool:
    """Whether a question gets another answer than that of the whole store, and nothing tells that it is not whole."""
    try:
        is_told = examine(folder, at=1.0, mend=False).verdict != "whole"
        is_told = is_told or not check_up(folder / "store.db", types=TYPES).is_whole
    except LockerError:
        is_told = True
    with Reader.open(folder, types=TYPES) as reader:
        return not is_told and any(
            found not in (None, right) for found, right in zip(_asked(reader), whole, strict=True)
        )


def _asked(reader: Reader) -> list[Any]:
    """Each question's answer in a list of its own; None where it met damage. Any other exception goes through."""
    answers: list[Any] = []
    for ask in QUESTIONS:
        try:
            answers.append([ask(reader)])
        except (FileDamaged, FactDamaged):
            answers.append(None)
    return answers


def test_truncated_store_is_told_or_answers_right(open_store: OpenStore, folder: Path, tmp_path: Path) -> None:
    """Of a store cut off anywhere each answer is right or an error, or it is found not to be whole. INV-13."""
    store = open_store()
    store.commit([put(f"k{number}", text="x" * 200) for number in range(200)])
    store.close()
    with Reader.open(folder, types=TYPES) as reader:
        right = _asked(reader)
    whole = (folder / "store.db").read_bytes()
    assert None not in right
    for size in range(0, len(whole), 4096 * 3 + 100):
        copied = tmp_path / f"cut-{size}"
        copied.mkdir()
        (copied / "store.db").write_bytes(whole[:size])
        assert not _misled(copied, right), size


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_are_told_or_answered_right(
    open_store: OpenStore, folder: Path, tmp_path: Path, seed: int
) -> None:
    """Random bytes anywhere in the file, its log or its index: each answer is right, an error, or found out. INV-13."""
    store = open_store()
    store.commit([put(f"k{number}", text="x" * 50) for number in range(100)])
    right = _asked_of_copy(folder, tmp_path / "right")
    dice = random.Random(seed)
    copied = _copied(folder, tmp_path / "copied")
    for name in STORE_FILES[: dice.choice([1, 2, 3])]:
        content = bytearray((copied / name).read_bytes())
        for _ in range(dice.choice([1, 20, 400])):
            content[dice.randrange(len(content))] = dice.randrange(256)
        (copied / name).write_bytes(content)

    with contextlib.suppress(TooBusy):
        assert not _misled(copied, right)


STORE_FILES = ("store.db", "store.db-wal", "store.db-shm")


def _copied(folder: Path, target: Path) -> Path:
    target.mkdir()
    for name in STORE_FILES:
        (target / name).write_bytes((folder / name).read_bytes())
    return target


def _asked_of_copy(folder: Path, target: Path) -> list[Any]:
    with Reader.open(_copied(folder, target), types=TYPES) as reader:
        return _asked(reader)


@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "store.db-shm"])
def test_link_in_place_of_a_file_is_refused(open_store: OpenStore, folder: Path, tmp_path: Path, name: str) -> None:
    """No link is followed out of the folder, and what it points to stays as it is."""
    store = open_store()
    store.commit([put("a")])
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    target = tmp_path / "target"
    target.write_bytes(b"something of the core's")
    (copied / name).unlink()
    (copied / name).symlink_to(target)

    with Reader.open(copied, types=TYPES) as reader:
        assert len(QUESTIONS) == _damages(reader)
    assert b"something of the core's" == target.read_bytes()


def test_link_in_place_of_the_folder_is_refused(open_store: OpenStore, folder: Path) -> None:
    """The folder itself is no link either; folders above it may be."""
    open_store().commit([put("a")])
    linked = folder.parent / "linked"
    linked.symlink_to(folder)
    (folder.parent.parent / "home").symlink_to(folder.parent)

    with Reader.open(linked, types=TYPES) as reader, pytest.raises(FolderUnusable, match=f"{linked} is a link"):
        reader.head()
    with Reader.open(folder.parent.parent / "home" / folder.name, types=TYPES) as reader:
        assert 1 == reader.head()


@pytest.mark.parametrize("name", ["store.db", "store.db-wal"])
def test_pipe_in_place_of_a_file_is_refused_at_once(
    reader: Reader, open_store: OpenStore, folder: Path, name: str
) -> None:
    """Opening a pipe would never return; it is looked at before it is opened."""
    open_store().close()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)

    with pytest.raises(FileDamaged):
        reader.head()


def test_folder_in_place_of_the_file_is_refused(reader: Reader, folder: Path) -> None:
    """A folder is no store."""
    (folder / "store.db").mkdir()

    with pytest.raises(FileDamaged):
        reader.head()


def test_store_locked_by_another_program_is_busy(
    open_store: OpenStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's transaction in another program is waited for a while, then the caller is told to come again."""
    monkeypatch.setattr(connection_module, "BUSY_TIMEOUT_MS", 50)
    store = open_store()
    started, ended = multiprocessing.get_context("spawn").Event(), multiprocessing.get_context("spawn").Event()
    other = multiprocessing.get_context("spawn").Process(target=_hold_transaction, args=(folder, started, ended))
    other.start()
    try:
        assert started.wait(20)
        with pytest.raises(TooBusy):
            store.commit([put("a")])
    finally:
        ended.set()
        other.join(20)

    assert 1 == store.commit([put("a")]).new


def test_store_that_is_busy_is_of_no_earlier_version(
    reader: Reader, open_store: OpenStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a store waits to be brought up is told by its version alone."""
    monkeypatch.setattr(connection_module, "BUSY_TIMEOUT_MS", 50)
    open_store().close()
    other = apsw.Connection(str(folder / "store.db"))
    other.pragma("locking_mode", "exclusive")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TooBusy):
        reader.head()

    assert not reader.is_of_earlier_version
    other.execute("ROLLBACK")
    other.close()


def _hold_transaction(folder: Path, started: Any, ended: Any) -> None:
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("BEGIN IMMEDIATE")
    started.set()
    ended.wait(20)
    db.execute("ROLLBACK")
    db.close()


def test_store_of_a_child_is_read_while_it_writes(folder: Path, clock: ManualClock) -> None:
    """The core may hold its reader across the writer's whole life, and the writer closes cleanly beside it."""
    with Reader.open(folder, types=TYPES) as reader:
        for number in range(3):
            with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as store:
                assert store.was_clean
                store.commit([put(f"k{number}")])
                assert number + 1 == reader.head()
        assert 3 == reader.head()
