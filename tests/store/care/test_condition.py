"""What a store's status says of its storage."""

from __future__ import annotations

from pathlib import Path

import apsw
import msgspec
import pytest

from core.model.clock import ManualClock
from core.model.errors import FileDamaged
from core.model.fact import Change
from core.store import Reader
from core.store.care.condition import LastVerify
from core.store.care.findings import MARKER, QUARANTINE, Findings
from core.store.care.retention import Policy
from tests.store.conftest import TYPES, OpenStore


def test_condition_tells_where_a_store_stands(open_store: OpenStore, folder: Path) -> None:
    """Sizes, floor, how far the index reaches; nothing is wrong."""
    store = open_store()
    for number in range(3):
        store.commit([Change(type="note", key="a", value={"n": number})])
    store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
    store.compact(actor="owner")
    told = store.storage_status()

    assert (3, False, (), None) == (told.floor_seq, told.damaged, told.quarantine, told.last_verify)
    assert (folder / "store.db").stat().st_size == told.db_bytes
    assert told.wal_bytes > 0 and told.free_bytes > 0


def test_verification_is_kept_for_the_status(open_store: OpenStore, folder: Path, clock: ManualClock) -> None:
    """Every reader then sees when it was and what is bad."""
    store = open_store()
    for number in range(3):
        store.commit([Change(type="note", key="a", value={"n": number})])
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("UPDATE fact SET value = '{}' WHERE seq = 2")
    db.close()
    found = store.verify(wait=lambda _: None)

    assert (2, (2,)) == (found.facts, found.bad)
    with Reader.open(folder, types=TYPES) as reader:
        last = LastVerify(at=clock.now(), facts=2, is_whole=False, bad_count=1, bad=(2,))
        assert last == reader.storage_status().last_verify
        assert found == reader.verify(wait=lambda _: None)


def test_damage_and_copies_are_told(open_store: OpenStore, folder: Path) -> None:
    """A store that waits for its owner says so, and what was set aside is listed."""
    open_store().close()
    (folder / QUARANTINE).mkdir()
    (folder / QUARANTINE / "20261120T000000Z-wal").write_bytes(b"")
    (folder / MARKER).write_bytes(msgspec.json.encode(Findings(verdict="damaged", at=1.0)))
    with Reader.open(folder, types=TYPES) as reader:
        told = reader.storage_status()

    assert (True, ("20261120T000000Z-wal",)) == (told.damaged, told.quarantine)


@pytest.mark.parametrize(("name", "value"), [("last_verify", "no JSON"), ("floor_seq", "many")])
def test_a_strange_row_is_damage(open_store: OpenStore, folder: Path, name: str, value: str) -> None:
    """Told as such: the status of one store must not bring down that of all."""
    open_store().close()
    db = apsw.Connection(str(folder / "store.db"))
    db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))
    db.close()

    with Reader.open(folder, types=TYPES) as reader, pytest.raises(FileDamaged, match="a row that cannot be read"):
        reader.storage_status()


def test_a_store_that_is_not_there_has_a_condition(folder: Path) -> None:
    """Everything is nothing."""
    with Reader.open(folder, types=TYPES) as reader:
        told = reader.storage_status()

    assert (0, 0, 0, 0, False) == (told.floor_seq, told.indexed_seq, told.db_bytes, told.wal_bytes, told.damaged)
