"""Words are found soon after a single write, at once after a bulk one, and after a death of the writer in between."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from core.model.errors import StorageFull
from core.model.fact import Change
from core.store import Store
from core.store.log.ledger import Ledger
from core.store.words import text
from tests.store.conftest import OpenStore

DEADLINE_S = 10.0


def put(key: str, text: str) -> Change:
    """A note with a text."""
    return Change(type="note", key=key, value={"title": text, "id": key})


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.005)


def indexed(store: Store) -> list[int]:
    """The versions that have words in the index."""
    return [row[0] for row in store.rows("SELECT id FROM text_docsize ORDER BY id")]


def test_bulk_writes_are_indexed_with_their_commit(store: Store) -> None:
    """In the same transaction."""
    store.commit([put("a", "milk"), put("b", "bread")])

    assert [1, 2] == indexed(store)


def test_single_writes_are_indexed_soon_after(store: Store) -> None:
    """And a bulk write takes those that lag behind with it."""
    store.commit([put("a", "milk")], bulk=False)
    until(lambda: indexed(store) == [1])
    store.commit([put("a", "oat milk")], bulk=False)
    store.commit([put("b", "bread")])

    assert [1, 2, 3] == indexed(store)


def test_what_lagged_when_the_writer_ended_is_indexed_at_the_next_open(open_store: OpenStore) -> None:
    """Closing does not wait for the index."""
    with open_store() as store:
        store._indexer.close()
        store.commit([put("a", "milk")], bulk=False)
        assert [] == indexed(store)
    with open_store() as store:
        until(lambda: indexed(store) == [1])


def test_indexing_that_failed_goes_on_with_the_next_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bulk one too, which leaves much that lags behind to it."""

    def fail() -> bool:
        raise StorageFull("no room")

    monkeypatch.setattr(text, "_CATCH_UP_FACTS", 0)
    with monkeypatch.context() as patched:
        patched.setattr(store._indexer, "_index", fail)
        store.commit([put("a", "milk")], bulk=False)
        until(lambda: store._indexer.is_stuck)
    store.commit([put("b", "bread"), put("c", "butter")])

    until(lambda: indexed(store) == [1, 2, 3])


def test_rebuilding_makes_the_same_index(store: Store) -> None:
    """From the facts alone."""
    store.commit([put("a", "milk"), put("b", "bread")])
    store.commit([put("a", "oat milk"), Change(type="note", key="b", action="delete")])
    before = indexed(store)
    store._submit(Ledger.rebuild, bulk=True)

    assert [1, 2, 3] == before == indexed(store)
