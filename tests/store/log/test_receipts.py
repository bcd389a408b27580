"""Receipts: of a bounded size whatever they tell, and those of another store taken in once, however many there are."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from core.model.errors import BadRecord
from core.model.fact import Change, JsonObject
from core.store import FROM_STORE, Reader, Store
from core.store.care import retention
from core.store.care.candidate import _named_in
from core.store.care.retention import Policy
from core.store.log.receipts import RECEIPT_BYTES_MAX, Left, bounded


def left(at: float, document: JsonObject, *, epoch: str = "aa") -> Left:
    """A receipt of another store."""
    return Left(store_epoch=epoch, verb="erase", at=at, actor="owner", document=document)


def size(document: JsonObject) -> int:
    """Its bytes as they are kept."""
    return len(msgspec.json.encode(document))


def test_a_receipt_at_its_bound_is_kept_as_it_is() -> None:
    """One byte more, and its longest list is cut, with how many are left out; the positions are cut last."""
    room = RECEIPT_BYTES_MAX - size({"ranges": [[1, 2]] * 9, "few": ["a"], "ids": [""]})
    fits: JsonObject = {"ranges": [[1, 2]] * 9, "few": ["a"], "ids": ["x" * room]}
    assert fits == bounded(fits)

    more: JsonObject = {"ranges": [[1, 2]] * 150_000, "few": ["a"], "ids": ["x" * 40] * 30_000}
    cut = bounded(more)

    assert size(cut) <= RECEIPT_BYTES_MAX
    assert more["ranges"] == cut["ranges"]
    assert 30_000 == len(cut["ids"]) + cut["ids_left_out"]
    with pytest.raises(BadRecord):
        bounded({"said": "x" * RECEIPT_BYTES_MAX, "ids": ["y"]})


def test_what_is_left_here_is_bounded(store: Store, folder: Path) -> None:
    """Whatever was to be told: every reader can read it."""
    store.leave_receipt("import", actor="owner", document={"problems": ["y" * 100] * 200_000})

    with Reader.open(folder, types={}) as reader:
        [one] = reader.receipts(1)
    assert 200_000 == len(one.document["problems"]) + one.document["problems_left_out"]
    assert RECEIPT_BYTES_MAX // 3 < size(one.document) <= RECEIPT_BYTES_MAX


def test_large_receipts_come_in_pages(store: Store, folder: Path) -> None:
    """As many as there are, they are read to the end."""
    for n in range(70):
        store.leave_receipt("import", actor="owner", document={"n": n, "said": "x" * (RECEIPT_BYTES_MAX - 100)})

    found: list[int] = []
    with Reader.open(folder, types={}) as reader:
        before = None
        while page := reader.receipts(1000, before=before):
            found += [one.document["n"] for one in page]
            before = page[-1].seq

    assert list(range(69, -1, -1)) == found


def test_a_receipt_is_taken_in_once(store: Store) -> None:
    """Known by its verb, time and document; those of two stores are two, and what was left here is here."""
    store.leave_receipt("erase", actor="owner", document={"count": 9})
    [own] = store.receipts(1)
    batch = [
        left(1.0, {"count": 1}), left(1.0, {"count": 1}), left(1.0, {"count": 1}, epoch="bb"), left(2.0, {"count": 1}),
        left(1.0, {"count": 1, FROM_STORE: "aa"}), left(own.at, own.document), left(own.at + 1, own.document),
    ]  # fmt: skip

    assert 4 == store.take_receipts(batch)
    assert 0 == store.take_receipts(batch)

    came = {(one.at, one.document["count"], one.document.get(FROM_STORE)) for one in store.receipts(10)}
    assert {(1.0, 1, "aa"), (1.0, 1, "bb"), (2.0, 1, "aa"), (own.at + 1, 9, "aa"), (own.at, 9, None)} == came


def test_many_receipts_are_taken_in_without_looking_for_each(store: Store) -> None:
    """Also where thousands are here."""
    begun = time.process_time()
    for start in range(0, 20_000, 1000):
        batch = [left(float(n), {"count": n}) for n in range(start, start + 1000)]
        assert 1000 == store.take_receipts(batch)

    assert time.process_time() - begun < 6


def test_more_positions_than_one_receipt_tells_are_told_in_further_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is lost to whoever looks for what was erased; the first says how many they are."""
    monkeypatch.setattr(retention, "RANGES_TOLD_MAX", 3)
    for n in range(7):
        store.commit([Change(type="note", key=key, value={"n": n}) for key in ("a", "b")])

    done = store.erase(record=("note", "a"), actor="owner")

    receipts = [one.document for one in reversed(store.receipts(10))]
    assert done == receipts[0]
    assert [(7, 3), (0, 3), (0, 1)] == [(one["count"], len(one["ranges"])) for one in receipts]
    named = [span for one in receipts for span in _named_in(msgspec.json.encode(one).decode())]
    assert [(seq, seq) for seq in range(1, 15, 2)] == named
    assert receipts == [fact.value for fact in store.facts(14, limit=9)]


def test_policies_of_many_types_take_several_receipts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they let go goes all the same."""
    monkeypatch.setattr(retention, "TYPES_TOLD_MAX", 2)
    for name in ("p", "q", "r"):
        store.set_policy(name, Policy("ephemeral"), actor="owner")
        for n in range(3):
            store.commit([Change(type=name, key="k", value={"n": n})])

    assert [["p", "q"], ["r"]] == [list(one["policies"]) for one in store.compact(actor="owner")]
    assert 3 == sum(fact.type in ("p", "q", "r") for fact in store.facts(0, limit=100))
