"""What was erased in one store stays erased in the next: by export and import, and as another store's own facts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.model.clock import ManualClock
from core.model.errors import HashMismatch, InvalidFact
from core.model.fact import Change, JsonObject, value_hash
from core.store import Appended, Entry, Import, Imported, Origin, Store

ELSEWHERE = Origin("other/0190a3c4-0000-7000-8000-00000000000f", 3)
PLACED: JsonObject = {"origin": "other/log", "origin_epoch": 1, "origin_seq": 1, "known_at": 5.0, "rev": (0, 5000)}


@pytest.fixture
def other(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """Another store, with a record of two versions."""
    (tmp_path / "Other").mkdir()
    with Store.open(tmp_path / "Other" / "notes", types={}, origin=ELSEWHERE, clock=clock) as made:
        for number in (1, 2):
            clock.advance(1.5)
            made.commit([Change(type="note", key="a", value={"n": number})])
        yield made


def _told(store: Store) -> list[JsonObject]:
    return [dict(msgspec.json.decode(msgspec.json.encode(fact))) for fact in store.facts(0, limit=1000)]


def _take(store: Store, documents: list[JsonObject]) -> Imported:
    taking = Import(store, source="a file", actor="owner")
    for document in documents:
        taking.take(document, size_bytes=1)
    return taking.finish()


@pytest.mark.parametrize("drop_hash", [False, True])
def test_an_erased_version_is_imported_as_erased(store: Store, other: Store, drop_hash: bool) -> None:
    """Whatever hash it kept: the version before it does not count again, and the receipt comes along."""
    newest = other.history("note", "a", limit=1).facts[0]
    other.erase(ids=[newest.id], drop_hash=drop_hash, actor="owner")
    documents = _told(other)

    done = _take(store, documents)

    assert (3, 0, True) == (done.added, done.refused, done.is_whole)
    assert store.record("note", "a") is None
    assert [one["value_hash"] for one in documents] == [fact.value_hash for fact in store.facts(0, limit=9)]
    store.rebuild()
    assert store.record("note", "a") is None
    again = _take(store, documents)
    assert (3, 0) == (again.known, again.added)


def test_receipts_are_imported_as_they_are(store: Store, other: Store) -> None:
    """Of every kind: what another store let go is read in its log here too, and is in no count."""
    other.prune([other.history("note", "a", limit=1).facts[0].id], actor="owner")
    other.erase(record=("note", "a"), actor="owner")

    done = _take(store, _told(other))

    assert (0, True) == (done.refused, done.is_whole)
    assert {"__fact_prune_receipts", "__locker_erasures"} <= {fact.type for fact in store.facts(0, limit=9)}
    assert {} == store.counts()


def test_a_receipt_of_the_incumbent_is_imported(store: Store) -> None:
    """It says nothing of where it was made."""
    document = {"id": "r", "store": "__compaction_receipts", "key": "1", "value": {"removed": 2}, "timestamp": 5.0}

    assert _take(store, [document]).is_whole


@pytest.mark.parametrize("name", ["__compaction_receipts", "__fact_prune_receipts", "__locker_erasures"])
def test_nobody_else_writes_receipts(store: Store, name: str) -> None:
    """Neither as a fact nor as a change."""
    (answer,) = store.append([Entry(type=name, key="1", value={"verb": "made up"})])
    done = store.commit([Change(type=name, key="1", value={"verb": "made up"})])

    assert isinstance(answer, InvalidFact)
    assert (0, 1, 0) == (done.new, done.quarantined, store.head())


def test_other_names_of_the_stores_own_stay_refused(store: Store) -> None:
    """A fact from elsewhere may be a receipt, and no other thing that is the store's own."""
    answers = store.append(
        [Entry(type=name, key="1", id=name, value={}, **PLACED) for name in ("__locker_sample", "__locker_x")]
    )

    assert [InvalidFact, InvalidFact] == [type(answer) for answer in answers]


def test_a_deletion_made_here_has_the_hash_of_nothing(store: Store) -> None:
    """Any hash is taken of a deletion from elsewhere only, and of a value never."""
    said: dict[str, Any] = {"type": "note", "key": "a", "value_hash": value_hash({"n": 1})}
    here, put = store.append(
        [Entry(id="h", action="delete", **said), Entry(id="p", value={"n": 2}, **said, **PLACED)]
    )  # fmt: skip
    (elsewhere,) = store.append([Entry(id="e", action="delete", **said, **PLACED)])

    assert [HashMismatch, HashMismatch, Appended] == [type(answer) for answer in (here, put, elsewhere)]
