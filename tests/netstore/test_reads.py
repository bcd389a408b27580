"""What is asked over the wire beside the log: filters, moments of the past, words, where a fact comes from, removal."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.model.filter import parse
from core.netstore import Cursor, Door, Grant, NetworkStore, one_store
from core.store import AtSeq, AtTime, Entry, Store
from tests.contracts.waiting import wait_until
from tests.netstore.served import Bare, Served, fact


@pytest.fixture
def filled(served: Served, clock: ManualClock) -> Served:
    """Ten notes, a second apart, then the first one changed and the second one gone."""
    for number in range(10):
        clock.advance(1)
        value = {"title": f"note {number}", "n": number, "owner": {"name": "ada" if number % 2 else "bob"}}
        served.store.append([Entry(type="note", key=f"k{number}", value=value)])
    clock.advance(1)
    served.store.append([Entry(type="note", key="k0", value={"title": "changed", "n": 100})])
    served.store.append([Entry(type="note", key="k1", action="delete")])
    return served


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, ["k0", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"]),
        ({"n": 5}, ["k5"]),
        ({"title": "note 7", "n": 7}, ["k7"]),
        ({"owner->name": "ada"}, ["k3", "k5", "k7", "k9"]),
        ({"owner": None}, ["k0"]),
        ("n > 7", ["k0", "k8", "k9"]),
    ],
)
def test_a_query_finds_what_fits(filled: Served, where: Any, expected: list[str]) -> None:
    """Fields and values, or the filter language."""
    reply = filled.bare().ask(op="query", store="note", where=where)

    assert (expected, None) == ([item["key"] for item in reply["items"]], reply["next"])
    assert {"key", "value", "seq"} == set(reply["items"][0])


def test_a_query_is_paged_and_ordered(filled: Served) -> None:
    """By key or the newest first, each page behind the one before."""
    bare = filled.bare()
    keys, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        reply = bare.ask(op="query", store="note", order="newest", limit=4, cursor=cursor)
        keys += [item["key"] for item in reply["items"]]
        cursor, pages = reply["next"], pages + 1

    assert ["k0", "k9", "k8", "k7", "k6", "k5", "k4", "k3", "k2"] == keys


@pytest.mark.parametrize("where", [{"n": [1]}, 5, "n >", {"tree": {"type": "nothing"}}, {"tree": {"type": "and"}}])
def test_a_filter_that_is_none_is_refused(bare: Bare, where: Any) -> None:
    """With the place of its fault where it is a text."""
    assert "invalid_request" == bare.ask(op="query", store="note", where=where)["error_code"]


def test_a_filter_s_tree_has_bounds(bare: Bare) -> None:
    """One that no text could have made is not evaluated."""
    deep: dict[str, Any] = {"type": "every"}
    for _ in range(200):
        deep = {"type": "and", "terms": [deep]}
    wide = {"type": "or", "terms": [{"type": "every"}] * 300}

    for tree in (deep, wide):
        assert "invalid_request" == bare.ask(op="query", store="note", where={"tree": tree})["error_code"]


def test_the_past_is_read_over_the_wire(filled: Served, client: NetworkStore) -> None:
    """By position and by time, a record, a list and a history, as the store itself answers."""
    store: Store = filled.store
    moments = [None, AtSeq(1), AtSeq(10), AtSeq(11), AtTime(1_700_000_003.0), AtTime(1_700_000_010.5)]
    filters = [None, parse('n > 3 and owner->name == "ada"')]
    for as_of in moments:
        for key in ("k0", "k1", "k9"):
            assert store.record("note", key, as_of=as_of) == client.record("note", key, as_of=as_of)
            assert store.history("note", key, limit=5, as_of=as_of) == client.history("note", key, limit=5, as_of=as_of)
        for where in filters:
            here = store.records("note", limit=3, order="newest", where=where, as_of=as_of)
            there = client.records("note", limit=3, order="newest", where=where, as_of=as_of)
            assert here == there
            assert store.count("note", where=where, as_of=as_of) == client.count("note", where=where, as_of=as_of)
        assert store.changes(as_of, None, limit=3) == client.changes(as_of, None, limit=3)


@pytest.mark.parametrize("as_of", ["now", {"seq": -1}, {"seq": 1.5}, {"time": "x"}, {"seq": 1, "time": 2}, [], True])
def test_what_is_no_moment_is_refused(bare: Bare, as_of: Any) -> None:
    """A position, or a time."""
    assert "invalid_request" == bare.ask(op="read", store="note", key="k", as_of=as_of)["error_code"]


def test_a_lineage_is_the_chain_of_parents(bare: Bare) -> None:
    """Oldest first, with a digest that two devices can compare."""
    for number in range(1, 4):
        bare.ask(op="write_fact", fact=fact(number, key="k"))
    bare.ask(op="write_fact", fact=fact(9, key="other"))
    reply = bare.ask(op="lineage", fact_id=fact(3)["id"])

    chain = reply["chain"]
    told = "".join(f"{one['id']}:{one['value_hash']}:{one['causation'] or ''}\n" for one in chain)
    assert [1, 2, 3] == [one["value"]["n"] for one in chain]
    assert (True, hashlib.sha256(told.encode()).hexdigest()) == (reply["complete"], reply["digest"])
    assert "not_found" == bare.ask(op="lineage", fact_id="nobody")["error_code"]


def test_pruned_facts_leave_a_receipt_and_no_memory(filled: Served) -> None:
    """Removed by id with the admin's scope; a cursor from before is too old, and nothing is served from memory."""
    bare = filled.bare()
    follower = filled.bare()
    follower.ask(op="subscribe")
    first = filled.store.facts(0, limit=1)[0]
    filled.server.committed(filled.store)
    receipt = bare.ask(op="prune", ids=[first.id])["receipt"]
    receipts = bare.ask(op="receipts")["receipts"]
    late = {"store_epoch": filled.store.epoch(), "seq": 0}
    floor = filled.store.floor()

    assert receipt and receipts[0]["verb"] == "prune"
    assert 0 < floor
    assert "cursor_too_old" == bare.ask(op="subscribe", cursor=late)["error_code"]
    assert "cursor_too_old" == bare.ask(op="read", store="note", key="k0", as_of={"seq": 1})["error_code"]
    assert 2 == bare.ask(op="replay")["facts"][0]["seq"]
    assert bare.ask(op="subscribe", cursor={**late, "seq": floor - 1})["ok"]


def test_erased_facts_are_told_to_nobody(filled: Served) -> None:
    """What was just committed, and is at hand for followers, is forgotten when it is erased."""
    admin, follower = filled.bare(), filled.bare()
    follower.ask(op="subscribe", cursor={"store_epoch": filled.store.epoch(), "seq": 0})
    while follower.reply().get("event") != "caught_up":
        pass
    written = admin.ask(op="write_fact", fact=fact(1, value={"secret": "hunter2"}))
    follower.reply()
    admin.ask(op="erase", ids=[fact(1)["id"]])
    late = filled.bare()
    late.ask(op="subscribe", cursor={"store_epoch": filled.store.epoch(), "seq": written["seq"] - 1})

    assert "hunter2" not in str(late.reply())


def test_removal_wants_the_admin_s_scope(filled: Served) -> None:
    """Reading and writing are not enough."""
    door = Door(store_of=one_store(filled.store), open_to=Grant("app"))
    path = filled.server.serve_unix(filled.folder / "app.sock", door)
    with NetworkStore(str(path), transport="unix") as client:
        codes = []
        for op, members in (("compact", {}), ("prune", {"ids": []}), ("erase", {"ids": []}), ("rebuild", {})):
            with pytest.raises(Exception, match="scope admin"):
                client.ask(op, **members)
            codes.append(op)

    assert 4 == len(codes)


def test_a_search_is_the_store_s_own(filled: Served, bare: Bare) -> None:
    """Hits with type, key, place, the words around and a rank; as of a moment too, page by page."""
    wait_until(lambda: len(bare.ask(op="search", q="note")["hits"]) == 8)
    hits = bare.ask(op="search", q="changed", stores=["note"])["hits"]
    then = bare.ask(op="search", q="changed", as_of={"seq": 5})["hits"]
    first = bare.ask(op="search", q="note", stores=["note"], limit=5)
    second = bare.ask(op="search", q="note", stores=["note"], limit=5, cursor=first["next"])

    assert [("note", "k0", 11)] == [(hit["store"], hit["key"], hit["seq"]) for hit in hits]
    assert "changed" in hits[0]["snippet"] and isinstance(hits[0]["rank"], float)
    assert [] == then
    assert {f"k{n}" for n in range(2, 10)} == {hit["key"] for hit in first["hits"] + second["hits"]}
    assert filled.store.head() == first["indexed_seq"]
    with NetworkStore(str(filled.path), transport="unix") as client:
        for as_of in (None, AtSeq(5)):
            here = filled.store.search("note", limit=3, types=["note"], as_of=as_of)
            assert here == client.search("note", limit=3, types=["note"], as_of=as_of)


def test_a_cursor_is_what_the_client_keeps(client: NetworkStore) -> None:
    """Epoch and position, as they travel."""
    client.append([Entry(type="a", key="k")])

    assert Cursor(client.epoch(), 1) == Cursor(store_epoch=client.epoch(), seq=client.head())


@pytest.mark.parametrize(("op", "name"), [("receipts", "before"), ("previous", "seq"), ("shared", "seq")])
def test_a_position_that_no_log_has_is_refused(filled: Served, op: str, name: str) -> None:
    """Below nothing, or beyond what can be numbered; just within, there is merely nothing."""
    bare = filled.bare()
    refused = [bare.ask(op=op, **{name: seq}).get("error_code") for seq in (-(2**63), -1, 2**63, 2**64)]
    last = bare.ask(op=op, **{name: 2**63 - 1})

    assert ["invalid_request"] * 4 == refused
    assert last["ok"] or last["error_code"] == "not_found"
