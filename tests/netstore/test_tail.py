"""The end of a log, as those who follow it read it: all of it, or word of what retention took before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model.clock import ManualClock
from core.model.errors import CursorTooOld
from core.model.fact import Change
from core.netstore.server.tail import Tail
from core.store import Origin, Policy, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one fact, of whose type only what counts is kept."""
    with Store.open(tmp_path / "notes", types={}, origin=Origin("d/x", 1), clock=ManualClock()) as store:
        store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
        commit(store, 0)
        yield store


def commit(store: Store, number: int) -> None:
    """One more version of a record."""
    store.commit([Change(type="note", key="k", value={"n": number})])


def seqs(tail: Tail, seq: int) -> list[int]:
    """The positions of what follows."""
    return [event.seq for event in tail.after(seq)]


def test_what_retention_took_before_it_was_read_is_told(store: Store) -> None:
    """To the one who stood at the end of the log when it was committed, and was the only one."""
    tail = Tail(store, events_max=1000, bytes_max=10**6)
    stood = store.head()
    assert [] == tail.after(stood)
    for number in range(1, 6):
        commit(store, number)
    tail.told()
    store.compact(actor="owner")
    tail.forget()
    tail.told()

    with pytest.raises(CursorTooOld) as refused:
        tail.after(stood)
    assert refused.value.floor == store.floor() - 1
    behind = seqs(tail, store.floor() - 1)
    assert [fact.seq for fact in store.facts(store.floor() - 1, limit=100)] == behind != []

    commit(store, 9)
    tail.told()
    assert [store.head()] == seqs(tail, behind[-1])


def test_a_hole_that_is_older_than_who_reads_is_none_of_theirs(store: Store) -> None:
    """Facts that were let go before somebody came are no loss to those who come."""
    for number in range(1, 4):
        commit(store, number)
    store.compact(actor="owner")
    tail = Tail(store, events_max=1000, bytes_max=10**6)
    commit(store, 4)
    tail.told()

    assert [store.head()] == seqs(tail, store.head() - 1)
