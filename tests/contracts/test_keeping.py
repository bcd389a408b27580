"""What keeping promises, whoever is asked: batches with their cursor, quarantine, runs, numbers, receipts."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, NotFound
from core.model.fact import Change
from core.store import Aside, AtSeq, Policy, Run, Sample
from tests.contracts.keepers import Keeper, Kept


def put(key: str, **value: Any) -> Change:
    """A note as it is now."""
    return Change(type="note", key=key, value=value)


def gone(key: str) -> Change:
    """A note that is no more."""
    return Change(type="note", key=key, action="delete")


def test_a_batch_and_its_cursor_are_one(keeper: Keeper) -> None:
    """Both are there, in the next session too; or neither is."""
    store = keeper.session()
    done = store.commit([put("a", n=1), put("b", n=1)], cursor=("notes", {"page": [1, None]}), producer={"by": "test"})
    for bad in (("notes", object()), ("notes", float("nan"))):
        with pytest.raises(BadRequest):
            store.commit([put("c", n=1)], cursor=bad)
    with pytest.raises(BadRequest):
        store.commit([put(f"k{n}") for n in range(501)], cursor=("notes", 2))
    store = keeper.reopen() if keeper.lasts else store

    assert (2, 0, 2) == (done.new, done.same, done.head)
    assert {"page": [1, None]} == store.cursor("notes")
    assert ["a", "b"] == [fact.key for fact in store.facts(0, limit=9)]
    assert {"by": "test"} == store.facts(0, limit=1)[0].producer
    store.set_cursor("notes", 5)
    store.set_cursor("others", "x")
    assert (5, "x") == (store.cursor("notes"), store.cursor("others"))
    store.set_cursor("notes", None)
    assert store.cursor("notes") is None


def test_what_did_not_change_writes_nothing(store: Kept) -> None:
    """Volatile fields do not count; a deletion of nothing is none; what comes back is new."""
    store.commit([put("a", n=1, views=1), put("b", n=1)])
    done = store.commit(
        [put("a", n=1, views=2), put("b", n=2), put("c"), Change(type="note", key="d", action="delete")]
    )
    went = store.commit([gone("a")])
    back = store.commit([put("a", n=1, views=1)])

    assert (1, 1, 2, 0) == (done.new, done.updated, done.same, done.deleted)
    assert (1, 1) == (went.deleted, back.new)
    assert 6 == store.head()


def test_bad_records_wait_in_quarantine(store: Kept) -> None:
    """The others go on; each is kept with its reason and tried again; a good version clears it, or the owner does."""
    done = store.commit(
        [put("good", n=1), put("nan", n=float("nan")), put("long", n=1, t="x" * 4194305)],
        aside=[Aside(type="note", key="odd", reason="no title", value={"x": 1})],
    )
    store.commit([put("nan", n=float("nan"))])

    assert (1, 3) == (done.new, done.quarantined)
    waiting = {bad.key: bad for bad in store.quarantined(10)}
    assert ({"nan", "long", "odd"}, 2, "no title") == (set(waiting), waiting["nan"].times, waiting["odd"].reason)
    store.commit([put("nan", n=1)])
    again = store.retry_quarantined(["note"])
    assert (0, 2) == (again.new, again.refused + again.kept)
    dropped = store.drop_quarantined(waiting["odd"].position, actor="test")
    assert ("odd", ["long"]) == (dropped.key, [bad.key for bad in store.quarantined(10)])
    with pytest.raises(NotFound):
        store.drop_quarantined(waiting["odd"].position, actor="test")
    (receipt,) = store.receipts(5)
    assert ("drop", True, "odd") == (receipt.verb, receipt.actor.endswith("test"), receipt.document["key"])


def test_runs_are_kept_the_latest_first(keeper: Keeper) -> None:
    """The same id again replaces it; one stream's, or all."""
    store = keeper.session()
    runs = [Run(id=f"r{n}", stream="ab"[n % 2], started_at=n, ended_at=n + 1.0, status="ok", new=n) for n in range(4)]
    failed = Run(id="r3", stream="b", started_at=3, ended_at=9, status="failed", problem={"title": "no"})
    for run in [*runs, failed]:
        store.note_run(run)
    store = keeper.reopen() if keeper.lasts else store

    assert [failed, runs[2], runs[1], runs[0]] == store.runs(limit=9)
    assert [runs[2], runs[0]] == store.runs("a", limit=9)


def test_numbers_over_time(store: Kept) -> None:
    """In any order, the later of two for a moment; with a batch too; what is none is set aside; deleted by receipt."""
    done = store.series.append([("p", 120.0, 3.0), ("p", 0.0, 1.0), ("p", 60.0, 9.0), ("p", 60.0, 2.0), ("q", 5, 5)])
    odd = store.series.append([("r", 180.0, math.nan), ("p", 181.0, 4.0)])
    store.commit([put("a", n=1)], samples=[Sample("p", 240.0, 5.0)])

    assert (4, 0, 1, 1) == (done.kept, done.quarantined, odd.kept, odd.quarantined)
    assert ["r"] == [bad.key for bad in store.quarantined(5)]
    assert (["p", "q"], ["q"]) == (store.series.points(limit=5), store.series.points(limit=5, after="p"))
    page = store.series.samples("p", limit=2, since=60.0)
    assert [(60.0, 2.0), (120.0, 3.0)] == [(one.at, one.value) for one in page.moments]
    assert [181.0, 240.0] == [one.at for one in store.series.samples("p", limit=5, since=page.next or 0).moments]
    assert [0.0] == [one.at for one in store.series.samples("p", limit=5, until=60.0).moments]
    (hour,) = store.series.rollups("p", by="hour", limit=5).rollups
    assert (0.0, 1.0, 5.0, 15.0, 5) == (hour.start, hour.least, hour.greatest, hour.total, hour.count)
    last, before = store.series.last("p"), store.series.last("p", at=60.0)
    assert last is not None and before is not None
    assert (5.0, 2.0, None, "UTC") == (last.value, before.value, store.series.last("none"), store.series.timezone())
    assert 2 == store.series.delete("p", since=60.0, until=181.0, actor="test")
    assert [0.0, 181.0, 240.0] == [one.at for one in store.series.samples("p", limit=5).moments]
    assert "delete_samples" == store.receipts(1)[0].verb
    with pytest.raises(BadRequest):
        store.series.samples("p", limit=0)


def test_nothing_leaves_without_a_receipt(keeper: Keeper, clock: ManualClock) -> None:
    """By policy, by name, for ever: each says who, what and how many, and what stays is answered as before."""
    store = keeper.session()
    for n in range(4):
        store.commit([put("a", n=n), put("b", n=n), put("c", n=n)])
    ids = {fact.seq: fact.id for fact in store.facts(0, limit=20)}
    pruned = store.prune([ids[1]], actor="test")
    erased = store.erase(record=("note", "c"), actor="test")
    store.set_policy("note", Policy("rolling_window", 60.0), actor="test")
    clock.advance(3600)
    compacted = store.compact(actor="test")

    assert {"note": Policy("rolling_window", 60.0)} == store.policies()
    assert (1, 4) == (pruned["count"], erased["count"])
    assert compacted and all(str(one["actor"]).endswith("test") for one in (pruned, erased, *compacted))
    assert ["compact"] * len(compacted) + ["erase", "prune"] == [one.verb for one in store.receipts(10)]
    assert {"a": 3, "b": 3} == {one.key: one.value["n"] for one in store.records("note", limit=9).records}
    assert [] == [fact for fact in store.facts(0, limit=50) if fact.key == "c" and fact.value]
    with pytest.raises(NotFound):
        store.prune(["nobody"], actor="test")
    assert store.verify().is_whole
    store.rebuild()
    assert store.verify().is_whole
    record = store.record("note", "b", as_of=AtSeq(store.head()))
    assert record is not None and {"n": 3} == record.value


def test_files_that_nothing_names_go_by_receipt(keeper: Keeper, clock: ManualClock) -> None:
    """Those that a fact names stay; only who keeps the store puts files."""
    store = keeper.session()
    named = keeper.own.files.put_file(io.BytesIO(b"named"))
    keeper.own.files.put_file(io.BytesIO(b"not named"))
    store.commit([put("a", picture=named)])
    clock.step(1e10)
    done = store.collect_garbage(grace_s=0.0, actor="test")

    assert (1, len(b"not named")) == (done.files, done.bytes)
    assert 1 == keeper.own.files.totals().files
    assert "collect" == store.receipts(1)[0].verb


def test_how_it_fares(store: Kept) -> None:
    """Where the log stands, and that a verification found it whole."""
    store.commit([put("a", n=1)])
    store.verify()
    told = store.storage_status()

    assert (0, 1, False) == (told.floor_seq, told.indexed_seq, told.damaged)
    assert told.last_verify is not None and told.last_verify.is_whole


def test_a_rebuilding_changes_no_answer(store: Kept) -> None:
    """Current state, past, counts and numbers are folds. S23."""
    for n in range(5):
        store.commit([put(f"k{i}", n=(n + i) % 3, title=f"t{n}") for i in range(4)])
    store.commit([gone("k1")], samples=[Sample("p", 5.0, 1.0)])

    def answers() -> list[Any]:
        moments = [None, *map(AtSeq, range(0, 22, 3))]
        return [
            store.counts(),
            [
                store.records("note", limit=9, order=order, as_of=at)
                for order in ("key", "n", "newest")
                for at in moments
            ],
            [store.search("t3", limit=9, as_of=at).hits for at in moments],
            store.series.rollups("p", by="day", limit=5),
        ]

    before = answers()
    store.rebuild()
    assert before == answers()
