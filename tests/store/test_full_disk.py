"""A full disk: a clear error, nothing lost, and work as before once there is room again."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from core.model.clock import ManualClock
from core.model.errors import LockerError, StorageFull
from core.model.fact import Change
from core.store import CoreDb, Documents, Store
from tests.store.conftest import ORIGIN, TYPES
from tests.store.disks import small_disk

DISK_BYTES = 4 * 1024 * 1024


def put(key: str) -> Change:
    """A note of about 20 kB."""
    return Change(type="note", key=key, value={"id": key, "text": os.urandom(10_000).hex()})


def fill(folder: Path) -> Path:
    """A file that leaves no free byte on the folder's disk."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as err:
                assert errno.ENOSPC == err.errno
    return path


def test_full_disk_is_told_and_nothing_is_lost(tmp_path: Path, clock: ManualClock) -> None:
    """Writes fail as StorageFull until there is room; what was acknowledged is read all the while."""
    with small_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk:
        store = Store.open(disk / "notes", types=TYPES, origin=ORIGIN, clock=clock)
        store.commit([put("first")], cursor=("notes", 0))
        filler = fill(disk)
        for _ in range(3):
            with pytest.raises(StorageFull):
                for number in range(200):
                    store.commit([put(f"lost-{number}")], cursor=("notes", "lost"))
            assert store.record("note", "first") is not None
        kept = store.records("note", limit=1000).records
        filler.unlink()

        assert 1 == store.commit([put("second")], cursor=("notes", 2)).new
        assert {*(record.key for record in kept), "second"} == {
            record.key for record in store.records("note", limit=1000).records
        }
        assert 2 == store.cursor("notes")
        store.rebuild()
        store.close()
        with Store.open(disk / "notes", types=TYPES, origin=ORIGIN, clock=clock) as again:
            assert again.was_clean
            assert {"note": len(kept) + 1} == again.counts()


def test_disk_that_fills_while_writing_keeps_whole_commits(tmp_path: Path, clock: ManualClock) -> None:
    """Each commit is there with its cursor or not at all, up to the last that fitted."""
    with small_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk:
        store = Store.open(disk / "notes", types=TYPES, origin=ORIGIN, clock=clock)
        acknowledged = 0
        with pytest.raises(StorageFull):
            for number in range(1, 1000):
                store.commit([put(f"{number}-{n}") for n in range(3)], cursor=("notes", number))
                acknowledged = number

        assert 3 < acknowledged
        assert acknowledged == store.cursor("notes")
        assert {"note": 3 * acknowledged} == store.counts()
        store.close()


def test_store_cannot_be_made_or_opened_on_a_full_disk(tmp_path: Path, clock: ManualClock) -> None:
    """The error is clear in both cases, and the store opens when there is room again."""
    with small_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk:
        with Store.open(disk / "notes", types=TYPES, origin=ORIGIN, clock=clock) as store:
            store.commit([put("a")])
        filler = fill(disk)
        with pytest.raises(StorageFull):
            Store.open(disk / "new", types=TYPES, origin=ORIGIN, clock=clock)
        try:
            Store.open(disk / "notes", types=TYPES, origin=ORIGIN, clock=clock).close()
        except LockerError as err:
            assert isinstance(err, StorageFull)  # Where the log of before has room enough, it opens.
        filler.unlink()

        with Store.open(disk / "notes", types=TYPES, origin=ORIGIN, clock=clock) as store:
            assert {"note": 1} == store.counts()


def test_file_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, clock: ManualClock) -> None:
    """A file is kept whole or not at all."""
    with small_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk:
        store = Store.open(disk / "notes", types=TYPES, origin=ORIGIN, clock=clock)
        with pytest.raises(StorageFull):
            store.files.put_file(io.BytesIO(b"x" * DISK_BYTES))

        assert [] == list((disk / "notes" / "files" / "unfinished").iterdir())
        store.close()


def test_documents_keep_their_state_on_a_full_disk(tmp_path: Path, clock: ManualClock) -> None:
    """A change that does not fit is refused, and the one before stands, in memory and on disk."""
    with small_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk:
        documents = Documents(disk / "locker.json", clock)
        documents.table("services").insert({"id": "a"})
        filler = fill(disk)
        with pytest.raises(StorageFull):
            documents.table("services").insert({"id": "b", "text": "x" * 100_000})

        assert [{"id": "a"}] == documents.table("services").all()
        filler.unlink()
        documents.table("services").insert({"id": "c"})
        assert [{"id": "a"}, {"id": "c"}] == Documents(disk / "locker.json", clock).table("services").all()


def test_core_db_works_again_when_there_is_room(tmp_path: Path) -> None:
    """The core's own database tells the same, and goes on."""
    with small_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk, CoreDb.open(disk / "core.db") as core:
        insert = "INSERT INTO diary (at, service, level, message) VALUES (1.0, 'notes', 0, ?)"
        core.write(lambda db: db.execute(insert, ("first",)))
        filler = fill(disk)
        with pytest.raises(StorageFull):
            for _ in range(200):
                core.write(lambda db: db.execute(insert, ("x" * 20_000,)))
        kept = core.read("SELECT count(*) FROM diary")[0][0]
        filler.unlink()
        core.write(lambda db: db.execute(insert, ("second",)))

        assert [(kept + 1,)] == core.read("SELECT count(*) FROM diary")
