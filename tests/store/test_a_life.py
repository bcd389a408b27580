"""A store's whole life at size: loaded, edited, thinned, synced again; its history is exactly that."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import psutil
import pytest

from core.model.clock import ManualClock
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import AtSeq, Commit, Origin, Store
from core.store.care.checkup import check_up

TYPES = {"note": TypeSpec(name="note", time="written", title="title", text=("body",), index=("group",))}
BATCH = 500
EDITED_EACH, DELETED_EACH = 100, 1000
EDITED, DELETED = 7, 3  # What is left over where a number is divided by these.
GROWTH_BYTES_MAX = 100 * 1024 * 1024
FOLDS = ("current", "past", "tally")


def note(number: int, edition: int = 0) -> Change:
    """A record of about 200 bytes; one word of it is its own, and one its edition's."""
    value = {
        "id": number,
        "title": f"title {number % 97} own{number}",
        "body": f"edition{edition} of{edition}x{number} " + "some words that many others have " * 3,
        "group": number % 50,
        "written": 1_600_000_000 + number,
    }
    return Change(type="note", key=f"n{number:07}", value=value)


def latest(number: int) -> Change:
    """The record as its source has it in the end."""
    return note(number, int(number % EDITED_EACH == EDITED))


def committed(store: Store, changes: Iterator[Change]) -> Commit:
    """What all of them did, in batches, each with its cursor."""
    did = dict.fromkeys(("new", "updated", "same", "deleted", "quarantined"), 0)
    batch: list[Change] = []
    for number, change in enumerate(changes, 1):
        batch.append(change)
        if len(batch) == BATCH:
            _add(did, store.commit(batch, cursor=("note", number)))
            batch = []
    _add(did, store.commit(batch))
    return Commit(**did, head=store.head())


def _add(did: dict[str, int], done: Commit) -> None:
    for name in did:
        did[name] += getattr(done, name)


def folded(path: Path) -> dict[str, str]:
    """A digest over each fold's rows, in order."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        digests = {}
        for table in FOLDS:
            whole = hashlib.sha256()
            for row in db.execute(
                f"SELECT * FROM {table} ORDER BY 1, 2, 3" if table != "tally" else "SELECT * FROM tally"
            ):
                whole.update(msgspec.msgpack.encode(row))
            digests[table] = whole.hexdigest()
        return digests
    finally:
        db.close()


def counted(path: Path, question: str) -> Any:
    """What ordinary SQLite answers."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.execute(question).get
    finally:
        db.close()


@pytest.mark.parametrize(
    "count", [10_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_a_store_s_history_is_what_was_done(tmp_path: Path, clock: ManualClock, count: int) -> None:
    """All records, then 1 in 100 edited, 1 in 1000 deleted, then the same again: each fact counted, none too many."""
    folder, origin = tmp_path / "notes", Origin("d/n", 1)
    edits, deletions = count // EDITED_EACH, count // DELETED_EACH
    kept = [number for number in range(count) if number % DELETED_EACH != DELETED]
    before = psutil.Process(os.getpid()).memory_info().rss
    with Store.open(folder, types=TYPES, origin=origin, clock=clock) as store:
        loaded = committed(store, (note(number) for number in range(count)))
        edited = committed(store, (note(number, 1) for number in range(EDITED, count, EDITED_EACH)))
        gone = (Change(type="note", key=note(n).key, action="delete") for n in range(DELETED, count, DELETED_EACH))
        deleted = committed(store, gone)
    with Store.open(folder, types=TYPES, origin=origin, clock=clock) as store:
        again = committed(store, (latest(number) for number in kept))
        grown = psutil.Process(os.getpid()).memory_info().rss - before

        assert Commit(new=count, head=count) == loaded
        assert Commit(updated=edits, head=count + edits) == edited
        assert Commit(deleted=deletions, head=count + edits + deletions) == deleted
        assert Commit(same=count - deletions, head=count + edits + deletions) == again
        assert {"note": count - deletions} == store.counts()
        assert grown < GROWTH_BYTES_MAX
        path = store.path
        assert count + edits + deletions == counted(path, "SELECT count(*) FROM fact")
        assert deletions == counted(path, "SELECT count(*) FROM fact WHERE deleted = 1")
        assert count == counted(path, "SELECT count(*) FROM current")
        assert edits + deletions == counted(path, "SELECT count(*) FROM past")
        assert [] == store.quarantined(1)
        for number in range(0, count, count // 200):
            _check_one(store, number, count)
        for number in (*range(EDITED, count, count // 20), *range(DELETED, count, count // 10)):
            _check_one(store, number, count)
        folds = folded(path)
        store.rebuild()
        assert folds == folded(path)
    found = check_up(path, types=TYPES, wait=lambda _seconds: None)
    assert found.is_whole, found


def _check_one(store: Store, number: int, count: int) -> None:
    """The record now and then, its versions, and that its words find it, each at its time."""
    is_edited, is_deleted = number % EDITED_EACH == EDITED, number % DELETED_EACH == DELETED
    key, loaded = note(number).key, AtSeq(count)
    now, then = store.record("note", key), store.record("note", key, as_of=loaded)
    assert then is not None and note(number).value == then.value
    assert (None if is_deleted else latest(number).value) == (None if now is None else now.value)
    actions = [fact.action for fact in store.history("note", key, limit=10).facts]
    assert [*["delete"] * is_deleted, *["put"] * (1 + is_edited)] == actions
    for edition, as_of, is_there in (
        (0, loaded, True),
        (1, loaded, False),
        (0, None, not is_edited and not is_deleted),
        (1, None, is_edited),
    ):
        hits = store.search(f"own{number} of{edition}x{number}", types=["note"], limit=3, as_of=as_of).hits
        assert [key] * is_there == [hit.record.key for hit in hits], (number, edition, as_of)
