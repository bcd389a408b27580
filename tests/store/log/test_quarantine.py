"""What was refused is kept whole where it can be, tried again through the same door, or dropped with a receipt."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, NotFound
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import Aside, Entry, Store
from core.store.log import quarantine
from core.store.log.mending import RETRY_MAX, Retried
from core.store.log.prepare import key_shown
from core.store.log.quarantine import Quarantine, Waiting
from core.store.log.refused import WHOLE_BYTES_MAX, change_in, whole_change
from tests.store.conftest import OpenStore

NOTE = {"note": TypeSpec(name="note", key="uid")}


def mend(folder: Path, changed: Callable[[str], str]) -> None:
    """What is in quarantine, as if what refused it had been mended."""
    db = apsw.Connection(str(folder / "store.db"))
    rows: list[Any] = db.execute("SELECT position, value FROM quarantine WHERE value IS NOT NULL").fetchall()
    for position, value in rows:
        db.execute("UPDATE quarantine SET value = ? WHERE position = ?", (changed(value), position))
    db.close()


def test_record_without_a_key_is_stored_once_the_manifest_says_where_it_is(open_store: OpenStore) -> None:
    """The value is whole, the shared fields too; the good version leaves the quarantine."""
    store = open_store(types={"note": TypeSpec(name="note", key="id")})
    change = Change(type="note", key="", value={"uid": 7, "a": "é"}, common={"title": "T"}, valid_time=9.5, order_key=3)
    store.commit([change])
    [kept] = store.quarantined(10)
    assert kept.can_retry
    assert Retried(refused=1) == store.retry_quarantined()
    store.close()

    store = open_store(types=NOTE)
    assert Retried(new=1) == store.retry_quarantined()

    assert [] == store.quarantined(10)
    [fact] = store.facts(0, limit=10)
    assert ("7", {"uid": 7, "a": "é"}, {"title": "T"}, 9.5) == (fact.key, fact.value, fact.common, fact.valid_time)
    assert 3 == fact.rev[1]


def test_still_bad_record_gains_times_and_keeps_its_first_day(store: Store, clock: ManualClock) -> None:
    """Trying is counted like another coming, with the reason of today."""
    store.commit([Change(type="note", key="k", value={"a": 1}, order_key=2**70)])
    [before] = store.quarantined(10)
    clock.advance(60)

    assert Retried(refused=1) == store.retry_quarantined()

    [after] = store.quarantined(10)
    assert (before.position, before.first_seen, 2) == (after.position, after.first_seen, after.times)
    assert before.last_seen + 60 == after.last_seen


def test_each_outcome_is_counted(open_store: OpenStore, folder: Path) -> None:
    """New, changed, unchanged and deleted ones, those that are bad still, and those that nothing is made of."""
    store = open_store(types={})
    store.commit([Change(type="note", key=key, value={"a": 1}) for key in ("same", "changed", "gone")])
    bad: dict[str, Any] = {"order_key": 2**70}
    store.commit(
        [
            Change(type="note", key="new", value={"a": 1}, **bad),
            Change(type="note", key="same", value={"a": 1}, **bad),
            Change(type="note", key="changed", value={"a": 2}, **bad),
            Change(type="note", key="gone", action="delete", **bad),
            Change(type="note", key="bad", value={"a": 1}, valid_time=math.inf),
            Change(type="note", key="no number", value={"a": math.nan}),
        ],
        aside=[Aside(type="note", key="aside", reason="no title", value={"a": 1})],
    )
    store.close()
    mend(folder, lambda value: value.replace(str(2**70), "null"))
    store = open_store(types={})

    done = store.retry_quarantined()

    assert Retried(new=1, updated=1, same=1, deleted=1, refused=0, kept=3) == done
    assert {"bad", "no number", "aside"} == {one.key for one in store.quarantined(10)}
    assert [False, False, False] == [one.can_retry for one in store.quarantined(10)]
    gone, changed = store.record("note", "gone"), store.record("note", "changed")
    assert gone is None
    assert changed is not None
    assert {"a": 2} == changed.value


def test_old_version_does_not_replace_one_that_came_after_its_refusal(
    open_store: OpenStore, clock: ManualClock
) -> None:
    """Its key is known only when it is tried; it stays and says why, however often it is tried."""
    store = open_store(types={})
    store.commit([Change(type="note", key="", value={"uid": "k", "v": "old"})])
    store.commit([Change(type="note", key="k", value={"uid": "k", "v": "new"})])
    clock.advance(60)
    assert Retried(refused=1) == store.retry_quarantined()
    store.close()
    store = open_store(types=NOTE)

    assert Retried(superseded=1) == store.retry_quarantined()
    assert Retried(superseded=1) == store.retry_quarantined()

    [kept] = store.quarantined(10)
    record = store.record("note", "k")
    assert record is not None
    assert ({"uid": "k", "v": "new"}, 1) == (record.value, store.head())
    assert ("a later version of k is stored", 2) == (kept.reason, kept.times)


def test_old_version_does_not_bring_back_what_was_deleted_after_its_refusal(open_store: OpenStore) -> None:
    """A tombstone is a version too."""
    store = open_store(types={})
    store.commit([Change(type="note", key="k", value={"v": "first"})])
    store.commit([Change(type="note", key="", value={"uid": "k", "v": "old"})])
    store.commit([Change(type="note", key="k", action="delete")])
    store.close()
    store = open_store(types=NOTE)

    assert Retried(superseded=1) == store.retry_quarantined()

    assert None is store.record("note", "k")


def test_refusal_without_a_head_is_weighed_by_when_it_came(
    open_store: OpenStore, folder: Path, clock: ManualClock
) -> None:
    """A later moment says enough."""
    store = open_store(types={})
    store.commit([Change(type="note", key="", value={"uid": "k", "v": "old"})])
    clock.advance(1)
    store.commit([Change(type="note", key="k", value={"uid": "k", "v": "new"})])
    store.close()
    mend(folder, lambda value: value.replace(',"head":0}', "}"))
    store = open_store(types=NOTE)

    assert Retried(superseded=1) == store.retry_quarantined()


def test_two_refused_versions_of_a_record_are_both_stored_in_their_order(open_store: OpenStore, folder: Path) -> None:
    """What the same retry stored before is no later version; the one refused last counts, wherever it stands."""
    store = open_store(types={})
    store.commit([Change(type="note", key="", value={"uid": "k", "v": 1})])
    store.commit([Change(type="note", key="k", value={"uid": "k", "v": 2}, order_key=2**70)])
    store.close()
    mend(folder, lambda value: value.replace(str(2**70), "null"))
    store = open_store(types=NOTE)

    assert Retried(new=1, updated=1) == store.retry_quarantined()

    record = store.record("note", "k")
    assert record is not None
    assert {"uid": "k", "v": 2} == record.value
    assert [] == store.quarantined(10)


def test_version_refused_last_is_not_replaced_by_one_that_stands_behind_it(open_store: OpenStore, folder: Path) -> None:
    """A record keeps the place of its first refusal: what it holds may be later than what follows."""
    store = open_store(types={})
    store.commit([Change(type="note", key="k", value={"uid": "k", "v": 0}, order_key=2**70)])
    store.commit([Change(type="note", key="", value={"uid": "k", "v": 1})])
    store.commit([Change(type="note", key="other", value={})])
    store.commit([Change(type="note", key="k", value={"uid": "k", "v": 2}, order_key=2**70)])
    store.close()
    mend(folder, lambda value: value.replace(str(2**70), "null"))
    store = open_store(types=NOTE)

    assert Retried(new=1, superseded=1) == store.retry_quarantined()

    record = store.record("note", "k")
    assert record is not None
    assert {"uid": "k", "v": 2} == record.value


def test_stored_version_leaves_another_of_its_record_that_is_bad_still(open_store: OpenStore) -> None:
    """What was refused after it is not given up."""
    store = open_store(types={})
    store.commit([Change(type="note", key="", value={"uid": "k", "v": 1})])
    store.commit([Change(type="note", key="k", value={"uid": "k", "v": 2}, order_key=2**70)])
    store.close()
    store = open_store(types=NOTE)

    assert Retried(new=1, refused=1) == store.retry_quarantined()

    assert ["k"] == [one.key for one in store.quarantined(10)]


def test_appended_version_clears_what_was_refused(store: Store) -> None:
    """A good version is one however it came; of other records nothing goes."""
    entry = Entry(type="note", key="k", id="0190a3c4-0000-7000-8000-000000000001", value={"v": "new"})
    store.commit([Change(type="note", key=key, value={"v": "old"}, order_key=2**70) for key in ("k", "other", "bad")])

    store.append([entry, Entry(type="note", key="bad", value={"v": math.nan})])

    assert {"other", "bad"} == {one.key for one in store.quarantined(10)}


def test_appended_version_that_was_there_before_clears_nothing(store: Store) -> None:
    """An export that is taken in once more says nothing of what was refused since."""
    entry = Entry(type="note", key="k", id="0190a3c4-0000-7000-8000-000000000001", value={"v": "old"})
    store.append([entry])
    store.commit([Change(type="note", key="k", value={"v": "new"}, order_key=2**70)])

    store.append([entry])

    assert ["k"] == [one.key for one in store.quarantined(10)]


def test_append_that_is_undone_clears_nothing(store: Store) -> None:
    """Nothing was stored."""
    store.commit([Change(type="note", key="k", value={"v": "old"}, order_key=2**70)])

    store.append([Entry(type="note", key="k", value={"v": "new"}), Entry(type="note", key="", value={})], atomic=True)

    assert ["k"] == [one.key for one in store.quarantined(10)]


def test_retry_is_of_some_types_and_in_pages(store: Store) -> None:
    """No call does more than it was asked for; `next` says where the following begins."""
    for number in range(5):
        kind = "note" if number % 2 else "mail"
        store.commit([Change(type=kind, key=str(number), value={}, order_key=2**70)])

    first = store.retry_quarantined(["mail"], limit=2)
    assert (2, 3) == (first.refused, first.next)
    last = store.retry_quarantined(["mail"], limit=2, after=first.next or 0)

    assert (1, None) == (last.refused, last.next)
    assert {"0": 2, "1": 1, "2": 2, "3": 1, "4": 2} == {one.key: one.times for one in store.quarantined(10)}
    assert Retried() == store.retry_quarantined([])


@pytest.mark.parametrize("limit", [0, RETRY_MAX + 1])
def test_retry_is_bounded(store: Store, limit: int) -> None:
    """A transaction holds the writer for a bounded time."""
    with pytest.raises(BadRequest):
        store.retry_quarantined(limit=limit)


def test_dropped_record_leaves_a_receipt(store: Store) -> None:
    """It says what was given up; what is not there cannot be dropped."""
    store.commit([Change(type="note", key="k", value={}, order_key=2**70)])
    [kept] = store.quarantined(10)

    assert kept == store.drop_quarantined(kept.position, actor="owner")

    assert [] == store.quarantined(10)
    [receipt] = store.receipts(10)
    assert ("drop", "owner", "note", "k") == (
        receipt.verb,
        receipt.actor,
        receipt.document["type"],
        receipt.document["key"],
    )
    with pytest.raises(NotFound):
        store.drop_quarantined(kept.position, actor="owner")
    assert 1 == len(store.receipts(10))


def test_good_version_still_clears_after_a_retry(store: Store) -> None:
    """The names that the writer remembers follow what is tried, dropped and put."""
    store.commit([Change(type="note", key=key, value={}, order_key=2**70) for key in ("a", "b")])
    store.retry_quarantined()
    store.commit([Change(type="note", key="a", value={})])
    [kept] = store.quarantined(10)
    store.drop_quarantined(kept.position, actor="owner")
    store.commit([Change(type="note", key="b", value={}, order_key=2**70)])
    store.commit([Change(type="note", key="b", value={})])

    assert [] == store.quarantined(10)


@pytest.mark.parametrize("size", [WHOLE_BYTES_MAX, WHOLE_BYTES_MAX + 1])
def test_whole_is_kept_up_to_its_bound(size: int) -> None:
    """One byte more, and only its beginning is."""
    empty = len(whole_change(Change(type="t", key="k", value={"a": ""})) or "")

    whole = whole_change(Change(type="t", key="k", value={"a": "x" * (size - empty)}))

    assert (size if size <= WHOLE_BYTES_MAX else 0) == len(whole or "")


@pytest.mark.parametrize(
    "value",
    [
        {"a": math.nan}, {"a": math.inf}, {1: "a"}, {"a": {1, 2}}, {"a": b"x"}, {"a": "\ud800"}, {"a": object()},
        {"a": (1, 2)},
    ],
)  # fmt: skip
def test_what_json_cannot_say_is_never_kept_as_something_else(value: Any) -> None:
    """A number that is none must not come back as null."""
    assert None is whole_change(Change(type="t", key="k", value=value))


def test_change_comes_back_as_it_was() -> None:
    """Every field of it."""
    change = Change(
        type="t", key="k", action="delete", value={"a": [1, 2.5, None]}, common={"b": "c"}, valid_time=1.5, order_key=7,
        derivation={"d": 1},
    )  # fmt: skip

    assert change == change_in(whole_change(change), "t", None)
    assert None is change_in(None, "t", None)
    assert None is change_in('{"change": {"value": []}}', "t", None)
    assert None is change_in("no json", "t", None)


def waiting(key: str, *, last_seen: float = 1.0, **refused: Any) -> Waiting:
    """A note as it waits in another store."""
    return Waiting(
        type="note", key=key, code="bad_record", reason="no", sample="", first_seen=0.5, last_seen=last_seen, times=2,
        refused=refused or None,
    )  # fmt: skip


def test_what_has_no_room_in_quarantine_is_counted(store: Store, folder: Path) -> None:
    """What waits here already needs none."""
    store.close()
    db = apsw.Connection(str(folder / "store.db"))
    kept = Quarantine(db, rows_max=3)

    first = kept.take_in([waiting(f"k{n}") for n in range(5)], now=9.0)
    again = kept.take_in([waiting(f"k{n}") for n in range(5)], now=9.0)

    assert [(3, 2), (0, 2)] == [(one.set_aside, one.no_room) for one in (first, again)]
    assert 3 == db.execute("SELECT count(*) FROM quarantine").get
    db.close()


def test_what_waited_elsewhere_replaces_no_version(store: Store, clock: ManualClock) -> None:
    """Tried again, it is stored where its record has none, whenever it says that it was seen last."""
    store.commit([Change(type="note", key=key, value={"v": "here"}) for key in ("a", "b")])
    far = 1e308
    put = {"value": {"v": "there"}}
    came = store.take_waiting(
        [
            waiting("a", last_seen=far, change={"key": "a", **put}),
            waiting("b", last_seen=far, change={"key": "b", "action": "delete"}),
            waiting("c", last_seen=far, change={"key": "c", **put}),
        ]
    )

    assert (3, 3) == (came.set_aside, sum(one.can_retry for one in store.quarantined(9)))
    assert {clock.now()} == {one.last_seen for one in store.quarantined(9)}
    assert Retried(new=1, superseded=2) == store.retry_quarantined()
    assert [("a", "here"), ("b", "here"), ("c", "there")] == [
        (one.key, one.value["v"]) for one in store.records("note", limit=9).records
    ]


def test_what_waited_elsewhere_replaces_no_version_of_the_record_that_it_turns_out_to_be(
    open_store: OpenStore,
) -> None:
    """Its key is read anew here, and the name that is written is the one that is judged."""
    store = open_store(types=NOTE)
    store.commit([Change(type="note", key="k", value={"uid": "k", "v": "here"})])
    one = waiting(key_shown(""), last_seen=1e308, change={"value": {"uid": "k", "v": "there"}})
    assert one.is_of_its_record()
    store.take_waiting([one])

    assert Retried(superseded=1) == store.retry_quarantined()

    assert "here" == store.records("note", limit=9).records[0].value["v"]


@pytest.mark.parametrize(
    "change",
    [{"key": "other", "value": {}}, {"value": {"a": 1}}, {"key": "k", "type": "page", "value": {}}, {"key": 7}, "x"],
)
def test_a_change_of_another_record_is_none_of_its_own(change: Any) -> None:
    """What waits under one name is no change of another."""
    assert not waiting("k", change=change).is_of_its_record()
    assert waiting("k", change={"key": "k", "value": {}}).is_of_its_record()
    assert waiting("k", value={"n": 7}).is_of_its_record()


@pytest.mark.parametrize("key", ["", "a\x00b", "k" * 3000, "plain", 7, "\ud800"])
def test_whatever_is_refused_is_of_its_record(store: Store, folder: Path, key: Any) -> None:
    """However its name is shown, what goes out is taken in."""
    store.commit([Change(type="note", key=key, value={"a": 1}, order_key=2**70)])
    rows = store.rows(quarantine.WHOLE, (0, 9))

    assert [True] == [quarantine.waiting_of(row).is_of_its_record() for row in rows]
