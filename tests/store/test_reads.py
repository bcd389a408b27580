"""Reading in pages: nothing skipped, nothing repeated, everything bounded."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model.clock import ManualClock
from core.model.errors import BadRequest
from core.model.fact import Change
from core.store import Page, Store, reads
from core.store.log.facts import HISTORY, SINCE
from tests.store.conftest import ORIGIN, TYPES


def put(key: str, **fields: Any) -> Change:
    """A note with these fields in its value."""
    return Change(type="note", key=key, value={"id": key, **fields})


def pages(read: Callable[[str | None], Page], *, most: int = 10_000) -> list[str]:
    """The keys of all pages, in order."""
    keys: list[str] = []
    after = None
    for _ in range(most):
        page = read(after)
        keys += [record.key for record in page.records]
        after = page.next
        if after is None:
            return keys
    raise AssertionError("the pages do not end")


def test_pages_by_key_hold_every_record_once(store: Store) -> None:
    """In the order of the keys' bytes, tombstones left out."""
    store.commit([put(f"k{number:03}") for number in range(25)] + [put("é"), put("Z")])
    store.commit([Change(type="note", key="k007", action="delete")])
    expected = ["Z", *[f"k{number:03}" for number in range(25) if number != 7], "é"]

    for limit in (1, 4, 26, 27):
        assert expected == pages(lambda after, limit=limit: store.records("note", limit=limit, after=after))


def test_pages_by_time_hold_the_newest_first(store: Store, clock: ManualClock) -> None:
    """By the declared time, else by when it became known; equal times by position, the later first."""
    store.commit([put("old", written="2001-01-01"), put("none"), put("same-1", written=7), put("same-2", written=7)])
    expected = ["none", "old", "same-2", "same-1"]

    for limit in (1, 3, 4):
        assert expected == pages(
            lambda after, limit=limit: store.records("note", limit=limit, after=after, order="newest")
        )


def test_page_while_writing(store: Store) -> None:
    """Records that are added, changed or deleted between two pages move none of the others."""
    store.commit([put(f"k{number:03}") for number in range(100)])
    seen: list[str] = []
    after = None
    for number in range(100):
        page = store.records("note", limit=10, after=after)
        seen += [record.key for record in page.records]
        after = page.next
        if after is None:
            break
        store.commit([put(f"a{number}"), put(f"k{number:03}", n=1), Change(type="note", key=seen[0], action="delete")])

    assert [f"k{number:03}" for number in range(100)] == [key for key in seen if key.startswith("k")]
    assert sorted(set(seen)) == seen


def test_history_pages_are_newest_first(store: Store) -> None:
    """Every version once, the tombstone among them, and the one before each is found."""
    for number in range(7):
        store.commit([put("a", n=number), put("b", n=number)])
    store.commit([Change(type="note", key="a", action="delete")])
    seqs: list[int] = []
    after = None
    while True:
        page = store.history("note", "a", limit=3, after=after)
        seqs += [fact.seq for fact in page.facts]
        after = page.next
        if after is None:
            break

    assert [15, 13, 11, 9, 7, 5, 3, 1] == seqs
    newest = store.history("note", "a", limit=1).facts[0]
    before = store.previous(newest)
    assert before is not None
    assert (13, newest.causation) == (before.seq, before.id)
    first = store.facts(0, limit=1)[0]
    assert store.previous(first) is None


def test_facts_follow_the_log_to_its_head(store: Store) -> None:
    """Position by position, and nothing beyond the head."""
    store.commit([put(f"k{number}") for number in range(25)])
    seqs: list[int] = []
    while found := store.facts(seqs[-1] if seqs else 0, limit=10):
        seqs += [fact.seq for fact in found]

    assert list(range(1, 26)) == seqs
    assert [] == store.facts(25, limit=10)
    assert [] == store.facts(10**12, limit=10)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_limit_outside_its_bounds_is_refused(store: Store, limit: int) -> None:
    """Each listing takes 1 to 1000, no more and no less."""
    questions: list[Callable[[], Any]] = [
        lambda: store.records("note", limit=limit),
        lambda: store.records("note", limit=limit, order="newest"),
        lambda: store.history("note", "a", limit=limit),
        lambda: store.facts(0, limit=limit),
        lambda: store.runs(limit=limit),
        lambda: store.quarantined(limit),
    ]
    for ask in questions:
        with pytest.raises(BadRequest):
            ask()


def test_limits_at_their_bounds_are_taken(store: Store) -> None:
    """1 and 1000 are limits."""
    store.commit([put("a")])

    assert 1 == len(store.records("note", limit=1000).records) == len(store.records("note", limit=1).records)


@pytest.mark.parametrize("after", ["", "x", "!!", "bnVsbA", "WyJrZXkiXQ", "é", "a" * 5000])
def test_after_that_no_page_gave_is_refused(store: Store, after: str) -> None:
    """Garbage from outside is the caller's fault, never a wrong page."""
    with pytest.raises(BadRequest):
        store.records("note", limit=10, after=after)
    with pytest.raises(BadRequest):
        store.history("note", "a", limit=10, after=after)


def test_after_with_a_position_beyond_all_is_refused(store: Store) -> None:
    """A word in the form of a page's end, made up, with a number that no position can be."""
    store.commit([put("a"), put("b")])
    beyond = {kind: _word([kind, *place]) for kind, place in _BEYOND.items()}

    with pytest.raises(BadRequest):
        store.records("note", limit=1, after=beyond["newest"], order="newest")
    with pytest.raises(BadRequest):
        store.history("note", "a", limit=1, after=beyond["history"])
    with pytest.raises(BadRequest):
        store.changes(None, None, limit=1, after=beyond["changes"])
    with pytest.raises(BadRequest):
        store.search("a", limit=1, after=beyond["search"])


_BEYOND = {"newest": [1.0, 2**64], "history": [2**64], "changes": [0, 2**64], "search": [2**64]}


def _word(place: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def test_what_no_store_can_hold_is_the_askers_fault(store: Store) -> None:
    """A position past 64 bits and half a letter are no damage of the file."""
    for ask in (
        lambda: store.facts(2**63, limit=1),
        lambda: store.receipts(1, before=2**64),
        lambda: store.record("note", "half \ud800"),
        lambda: store.runs("half \ud800", limit=1),
    ):
        with pytest.raises(BadRequest):
            ask()


def test_after_of_another_order_is_refused(store: Store) -> None:
    """A page's end belongs to the order it came from."""
    store.commit([put("a"), put("b")])
    by_key = store.records("note", limit=1).next

    with pytest.raises(BadRequest):
        store.records("note", limit=1, after=by_key, order="newest")
    with pytest.raises(BadRequest):
        store.records("note", limit=1, order="oldest")


def test_pages_of_large_documents_end_early(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page weighs no more than its bound and one document, and the pages still hold everything."""
    monkeypatch.setattr(reads, "PAGE_BYTES_MAX", 1000)
    store.commit([put(f"k{number}", text="x" * 400) for number in range(9)])

    page = store.records("note", limit=100)
    assert (3, True) == (len(page.records), page.next is not None)
    assert 9 == len(pages(lambda after: store.records("note", limit=100, after=after)))
    seqs: list[int] = []
    while found := store.facts(seqs[-1] if seqs else 0, limit=100):
        assert len(found) <= 3
        seqs += [fact.seq for fact in found]
    assert list(range(1, 10)) == seqs


@settings(max_examples=30, deadline=None)
@given(keys=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1, max_size=9)))
def test_any_key_is_found_in_its_place(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    """Whatever letters a key has, it is listed once, in the order of its bytes, and found by itself."""
    folder = tmp_path_factory.mktemp("store")
    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=ManualClock()) as store:
        store.commit([put(key) for key in keys][:500])
        expected = sorted(set(keys), key=lambda key: key.encode())

        assert expected == pages(lambda after: store.records("note", limit=3, after=after))
        assert all(store.record("note", key) is not None for key in keys)


@pytest.mark.parametrize("statement", [SINCE, HISTORY])
def test_each_listing_of_facts_walks_an_index(store: Store, statement: str) -> None:
    """No read sorts or scans a table, however large it grows."""
    db = apsw.Connection(str(store.path), flags=apsw.SQLITE_OPEN_READONLY)
    asked = re.findall(r"\?\d*", statement)
    bindings = (1,) * (len(set(asked)) if asked[0] != "?" else len(asked))
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", bindings)]
    db.close()
    # A record's versions are two short lists, each of one page at most, put in order.
    plan = [
        step for step in plan if statement is not HISTORY or not step.startswith(("SCAN v", "SCAN (sub", "USE TEMP"))
    ]

    assert [] == [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step]


def test_reads_from_many_threads_agree(store: Store) -> None:
    """Any thread may ask while another writes; what was written is read at once."""
    stop = threading.Event()
    wrong: list[str] = []

    def ask() -> None:
        last = 0
        while not stop.is_set():
            head = store.head()
            if head < last or len(store.facts(0, limit=1000)) < head:
                wrong.append(f"{last} {head}")
            last = head

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(100):
        head = store.commit([put(f"k{number}")], bulk=False).head
        if store.head() != head:
            wrong.append(f"not read at once: {head}")
    stop.set()
    for thread in threads:
        thread.join(10)

    assert [] == wrong
