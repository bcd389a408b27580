"""A type has a number from its first fact on, and no sooner; a store has so many of them and no more."""

from __future__ import annotations

import pytest

from core.model.errors import InvalidFact
from core.model.fact import Change
from core.store import Entry, Store
from core.store.log import sheet as sheet_module


def types_of(store: Store) -> set[str]:
    """The types that have a number, but for those that are declared."""
    return {str(name) for (name,) in store.rows("SELECT name FROM type")} - {"note"}


def test_a_refused_fact_leaves_no_type_behind(store: Store) -> None:
    """Whatever it is refused for; neither do those beside it, where none is added without all."""
    moved = [Entry(type=f"made-up-{n}", key="k", value={}, if_seq=5) for n in range(3)]
    store.append(moved)
    store.append([Entry(type="good", key="k", value={}), *moved], atomic=True)
    store.commit([Change(type="made-up", key="k", value={"n": "\ud800"})])
    store.commit([Change(type="gone", key="k", action="delete")])

    assert set() == types_of(store)


def test_several_new_types_come_in_one_batch(store: Store) -> None:
    """Each with its own number, the same again afterwards."""
    for n in range(2):
        store.commit([Change(type=name, key=str(key), value={"n": n}) for name in "abc" for key in range(2)])

    assert {"a": 2, "b": 2, "c": 2} == store.counts()
    assert set("abc") == types_of(store)
    assert [12] == [store.head()]


@pytest.mark.parametrize(("room", "expected"), [(3, 2), (2, 1)])
def test_types_beyond_the_bound_are_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, room: int, expected: int
) -> None:
    """As facts by their error, as changes into quarantine; what is known is written on, and receipts always."""
    monkeypatch.setattr(sheet_module, "TYPES_MAX", room)
    first, second = store.append([Entry(type=name, key="k", value={}) for name in "ab"])
    done = store.commit([Change(type="c", key="k", value={"n": 1}), Change(type="a", key="k", value={"n": 1})])
    store.prune([store.facts(0, limit=1)[0].id], actor="owner")

    assert expected == len(set("abc") & types_of(store))
    assert (1, 1) == (done.updated, done.quarantined)
    assert not isinstance(first, InvalidFact)
    assert (expected == 1) == isinstance(second, InvalidFact)
    assert ["bad_record"] == [one.code for one in store.quarantined(10)]
