"""A store that is made where another was, or that lost facts, makes its own in another epoch of their log."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.fact import Change, Fact
from core.store import Import, Store
from core.store.care.recovery import accept_salvage, repair
from core.store.exchange.backup import renew_epoch
from core.store.lock import LOCK_NAME, WriterLock
from tests.store.conftest import ORIGIN, TYPES, OpenStore
from tests.store.exchange.test_imports import told

PAGE_BYTES = 4096


def written(open_store: OpenStore, *keys: str) -> list[Fact]:
    """What one writer adds, a record for each key, as the log has it."""
    store = open_store()
    before = store.head()
    for key in keys:
        store.commit([Change(type="note", key=key, value={"key": key})])
    facts = store.facts(before, limit=100)
    store.close()
    return facts


def lose(folder: Path) -> None:
    """The database is gone, as after somebody moved it away."""
    for path in folder.glob("store.db*"):
        path.unlink()


def places(facts: list[Fact]) -> list[tuple[int, int]]:
    """The epochs and positions in the log that the facts were made in."""
    return [(fact.origin_epoch, fact.origin_seq) for fact in facts]


def test_a_store_made_where_one_was_has_the_next_epoch(open_store: OpenStore, folder: Path) -> None:
    """Facts of the lost store that come back later stand beside those made meanwhile, none in another's place."""
    lost = written(open_store, "a", "b", "c")
    lose(folder)

    made = written(open_store, "d", "e")
    with open_store() as store:
        taking = Import(store, source="an export", actor="owner")
        for fact in lost:
            taking.take(told(fact), size_bytes=1)
        done = taking.finish()
        more = store.commit([Change(type="note", key="f", value={})])
        facts = store.facts(0, limit=100)

    assert [(1, 1), (1, 2), (1, 3)] == places(lost)
    assert [(2, 1), (2, 2)] == places(made)
    assert done.is_whole
    assert [(2, 1), (2, 2), (1, 1), (1, 2), (1, 3), (2, 3)] == places(facts)
    assert 6 == more.head


def test_an_epoch_stays_while_the_store_does(open_store: OpenStore, folder: Path) -> None:
    """Opening again changes nothing, whatever of the two that know it is gone; each loss gives the next epoch."""
    written(open_store, "a")
    lose(folder)
    written(open_store, "a")
    assert [(2, 2)] == places(written(open_store, "b"))

    (folder / LOCK_NAME).unlink()
    assert [(2, 3)] == places(written(open_store, "c"))

    lose(folder)
    assert [(3, 1)] == places(written(open_store, "a"))


def test_a_later_epoch_that_is_given_counts(folder: Path, open_store: OpenStore) -> None:
    """A restore gives the next epoch; a store that was in that already goes on in the one after."""
    written(open_store, "a")
    lose(folder)
    written(open_store, "b")
    copied = folder.parent / "back"
    copied.mkdir()
    shutil.copyfile(folder / "store.db", copied / "store.db")

    renew_epoch(copied / "store.db")

    for given, made_in in ((2, 3), (7, 7)):
        origin = type(ORIGIN)(ORIGIN.log, given)
        with Store.open(copied, types=TYPES, origin=origin, clock=ManualClock()) as store:
            store.commit([Change(type="note", key=f"of {given}", value={})])
            assert [(made_in, 1)] == places(store.facts(store.head() - 1, limit=1))


@pytest.mark.parametrize("left", [b"", b"{}", b'{"pid": 1, "boot_id": "", "clean": true}'])
def test_whoever_wrote_before_epochs_were_noted_is_counted(left: bytes, folder: Path, open_store: OpenStore) -> None:
    """A lock's file that says nothing of an epoch tells at least that somebody wrote; an empty one does not."""
    (folder / LOCK_NAME).write_bytes(left)

    assert [(1 if left == b"" else 2, 1)] == places(written(open_store, "a"))


def test_an_epoch_is_used_up_by_who_dies_making_the_store(folder: Path, open_store: OpenStore) -> None:
    """It is noted before the database is there: what was made with it nobody knows."""
    lock = WriterLock.acquire(folder)
    lock.note_epoch(5)
    lock.forget()

    assert [(6, 1)] == places(written(open_store, "a"))


def test_what_was_salvaged_goes_on_in_another_epoch(open_store: OpenStore, folder: Path, clock: ManualClock) -> None:
    """The positions of lost facts are given to no other fact, since other devices may know the lost ones."""
    made = written(open_store, *"abcdef")
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("UPDATE fact SET value = '{}' WHERE seq > 4")
    page = db.execute("SELECT pageno FROM dbstat WHERE name = 'current_newest' AND pagetype = 'leaf'").get
    db.close()
    with open(folder / "store.db", "r+b") as file:
        file.seek(page * PAGE_BYTES - 1)
        file.write(b"\x7f")
    found = repair(folder, clock=clock)
    assert found is not None and ("damaged", 4) == (found.verdict, found.salvaged)

    accept_salvage(folder, actor="owner", clock=clock)

    again = written(open_store, "g")
    assert 6 == made[-1].origin_seq
    assert [(2, 1)] == places(again)
    assert [(2, 2)] == places(written(open_store, "h"))
