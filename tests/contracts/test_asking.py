"""What can be asked, whoever is asked: pages, the past, histories, filters, words, what changed."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, CursorTooOld
from core.model.fact import Change
from core.model.filter import Path, parse
from core.store import AtSeq, AtTime, Entry, Policy
from tests.contracts.keepers import Keeper, Kept, taken
from tests.contracts.waiting import pages, wait_until

# Pages end only where the writer is not quicker than they are.
WRITES_MEANWHILE = 300


def put(key: str, **value: Any) -> Change:
    """A note as it is now."""
    return Change(type="note", key=key, value=value)


def keys(store: Kept, where: str | None = None, **how: Any) -> list[str]:
    """The keys of a list, read in pages of two."""
    judge = None if where is None else parse(where)
    found = pages(lambda after: store.records("note", limit=2, after=after, where=judge, **how), "records")
    return [record.key for record in found]


def found(store: Kept, words: str, **how: Any) -> list[str]:
    """The keys that a search finds, the best first."""
    return [hit.key for hit in pages(lambda after: store.search(words, limit=2, after=after, **how), "hits")]


def test_paging_while_others_write_misses_and_repeats_nothing(keeper: Keeper) -> None:
    """Of the log, all facts up to the moment's end; of a list by key, every record that was there all along."""
    store, writing = keeper.session(), keeper.session()
    for n in range(5):
        store.commit([put(f"k{n}{i:02}", n=i) for i in range(20)])
    head, done = store.head(), threading.Event()

    def write() -> None:
        n = 0
        while not done.is_set() and n < WRITES_MEANWHILE:
            writing.commit([put(f"k{n % 5}x{n:04}", n=n), put(f"k{n % 5}{n % 20:02}", n=-n)])
            n += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        listed = keys(store)
        seqs: list[int] = []
        while len(seqs) < 2 * head and (page := store.facts(seqs[-1] if seqs else 0, limit=7)):
            seqs += [fact.seq for fact in page]
    finally:
        done.set()
        writer.join(60)

    assert sorted(set(listed)) == listed
    assert {f"k{n}{i:02}" for n in range(5) for i in range(20)} <= set(listed)
    assert [*range(1, len(seqs) + 1)] == seqs
    assert len(seqs) >= head


def test_as_of_has_edges(keeper: Keeper, clock: ManualClock) -> None:
    """A position and a time are inclusive; before the first there is nothing, beyond the last the present."""
    store = keeper.session()
    store.commit([put("a", n=1)])
    clock.advance(10)
    store.commit([put("a", n=2), put("b", n=1)])
    clock.advance(10)
    store.commit([Change(type="note", key="a", action="delete")])
    start = clock.now() - 20
    moments = [
        (AtSeq(0), {}), (AtSeq(1), {"a": 1}), (AtSeq(2), {"a": 2}), (AtSeq(3), {"a": 2, "b": 1}), (AtSeq(4), {"b": 1}),
        (AtSeq(99), {"b": 1}), (None, {"b": 1}),
        (AtTime(start - 0.001), {}), (AtTime(start), {"a": 1}), (AtTime(start + 9.999), {"a": 1}),
        (AtTime(start + 10), {"a": 2, "b": 1}), (AtTime(start + 20), {"b": 1}), (AtTime(start + 1e6), {"b": 1}),
    ]  # fmt: skip

    for as_of, expected in moments:
        for order in ("key", "newest", "n"):
            page = store.records("note", limit=10, order=order, as_of=as_of)
            assert expected == {record.key: record.value["n"] for record in page.records}, (as_of, order)
        for key in ("a", "b"):
            record = store.record("note", key, as_of=as_of)
            assert expected.get(key) == (None if record is None else record.value["n"])
        assert len(expected) == store.count("note", as_of=as_of).count
    for bad in (AtSeq(-1),):
        with pytest.raises(BadRequest):
            store.record("note", "a", as_of=bad)


def test_below_the_floor_there_is_an_error_and_no_answer(keeper: Keeper) -> None:
    """What retention took is never answered wrongly; what it left is answered as before."""
    store = keeper.session()
    for n in range(4):
        store.commit([put("a", n=n)])
    store.set_policy("note", Policy("ephemeral"), actor="test")
    store.compact(actor="test")

    assert 4 == store.floor()
    for ask in (
        lambda: store.record("note", "a", as_of=AtSeq(2)),
        lambda: store.records("note", limit=5, as_of=AtSeq(3)),
        lambda: store.count("note", as_of=AtSeq(3)),
    ):
        with pytest.raises(CursorTooOld) as told:
            ask()
        assert 4 == told.value.floor
    record = store.record("note", "a", as_of=AtSeq(4))
    assert record is not None and {"n": 3} == record.value


def test_history_is_the_newest_first_and_ends_where_it_is_told(keeper: Keeper, clock: ManualClock) -> None:
    """Deletions are in it; a moment is inclusive; pages join."""
    store = keeper.session()
    for n in range(5):
        store.commit([put("a", n=n), put("b", n=n)])
        clock.advance(1)
    store.commit([Change(type="note", key="a", action="delete")])

    def seqs(**how: Any) -> list[int]:
        facts = pages(lambda after: store.history("note", "a", limit=2, after=after, **how), "facts")
        return [fact.seq for fact in facts]

    assert [11, 9, 7, 5, 3, 1] == seqs()
    assert [5, 3, 1] == seqs(as_of=AtSeq(5)) == seqs(as_of=AtSeq(6))
    assert [3, 1] == seqs(as_of=AtTime(clock.now() - 4))
    assert [1] == seqs(as_of=AtTime(clock.now() - 4.5))
    assert [] == seqs(as_of=AtSeq(0))
    assert "delete" == store.history("note", "a", limit=1).facts[0].action


def test_filters_orders_and_pages(store: Kept) -> None:
    """By an index and without one; every order in pages of two; a count; some fields alone."""
    store.commit([put(f"k{n}", n=n % 3, title=f"T{n}", written=100 - n, deep={"x": n}) for n in range(9)])

    assert [f"k{n}" for n in range(9)] == keys(store) == keys(store, order="newest")
    assert ["k0", "k3", "k6", "k1", "k4", "k7", "k2", "k5", "k8"] == keys(store, order="n")
    assert keys(store, order="n")[::-1] == keys(store, order="-n")
    assert ["k2", "k5", "k8"] == keys(store, "n == 2") == keys(store, "n > 1 and deep")
    assert ["k4", "k5"] == keys(store, "deep->x >= 4 and deep->x < 6")
    assert ["k7", "k8"] == keys(store, 'title in ["T7", "T8"]')
    assert [] == keys(store, "none")
    assert 3 == store.count("note", where=parse("n == 2")).count
    (one,) = store.records("note", limit=1, fields=[Path(("n",))]).records
    assert {"n": 0} == one.value
    for bad in ({"limit": 0}, {"limit": 1001}, {"limit": 5, "order": "deep"}, {"limit": 5, "after": "nonsense"}):
        with pytest.raises(BadRequest):
            store.records("note", **bad)


def test_words_are_found_as_they_stand_and_as_they_stood(store: Kept) -> None:
    """After a write, an update, a deletion, a rebuilding, an erasure: what is said, and what was."""
    store.commit([put("a", title="Green apple", body="a fruit"), put("b", title="Pear", body="beside the apple")])
    assert ["a", "b"] == found(store, "apple")
    store.commit([put("a", title="Red cherry")])
    store.commit([Change(type="note", key="b", action="delete")])

    for _ in range(2):
        assert ([], ["a"], []) == (found(store, "apple"), found(store, "cherry"), found(store, "pear"))
        assert ["a", "b"] == found(store, "apple", as_of=AtSeq(2))
        assert ["b"] == found(store, "apple", as_of=AtSeq(3))
        assert ["a"] == found(store, "che*") == found(store, '"red cherry"')
        store.rebuild()
    assert [] == found(store, "apple", types=["other"], as_of=AtSeq(2))
    store.erase(record=("note", "a"), actor="test")
    store.rebuild()
    assert ([], ["b"]) == (found(store, "cherry"), found(store, "apple", as_of=AtSeq(2)))


def test_a_single_write_s_words_are_found_soon(store: Kept) -> None:
    """They follow in a later group; nobody has to do anything for it."""
    taken(store.append([Entry(type="note", key="a", value={"title": "lately"})]))
    wait_until(lambda: found(store, "lately") == ["a"])


def test_what_changed_between_two_moments(store: Kept) -> None:
    """Each record that is not the same at both once, with what became of it."""
    store.commit([put("a", n=1), put("b", n=1), put("c", n=1)])
    store.commit([put("a", n=2), put("d", n=1), put("e", n=1)])
    store.commit([Change(type="note", key="b", action="delete"), Change(type="note", key="e", action="delete")])

    def told(start: AtSeq | None, end: AtSeq | None) -> dict[str, str]:
        changes = pages(lambda after: store.changes(start, end, limit=2, after=after), "changes")
        return {one.key: one.action for one in changes}

    assert {"a": "update", "b": "delete", "d": "new"} == told(AtSeq(3), None)
    assert {"a": "new", "b": "new", "c": "new"} == told(None, AtSeq(3))
    assert {"a": "update", "d": "new"} == told(AtSeq(3), AtSeq(5))
    assert {} == told(AtSeq(5), AtSeq(5))


def test_facts_are_found_by_id_and_their_shared_fields_said(store: Kept) -> None:
    """An id that nobody used is no fact."""
    store.commit([put("a", title="A")])
    (fact,) = store.facts(0, limit=5)

    assert fact == store.fact(fact.id)
    assert store.fact("nobody") is None
    assert {"title": "A"} == store.shared(fact)
    assert [] == store.facts(1, limit=5)


def test_a_store_without_facts_answers_too(store: Kept) -> None:
    """Nothing is there, and that is no error."""
    assert (0, {}, None, [], []) == (
        store.head(), store.counts(), store.record("note", "a"), store.records("note", limit=5).records,
        store.facts(0, limit=5),
    )  # fmt: skip
    assert (0, [], [], [], None) == (
        store.count("none").count, store.search("x", limit=5).hits, store.runs(limit=5), store.quarantined(5),
        store.cursor("none"),
    )  # fmt: skip
    assert (0, 1) == (store.floor(), store.opens())
