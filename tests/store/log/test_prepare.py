"""A change is judged before it meets the database: each rule, just inside and just outside."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgspec
import pytest

from core.model.errors import BadRecord
from core.model.fact import PROVENANCE_BYTES_MAX, VALUE_BYTES_MAX, Change
from core.model.ids import KEY_BYTES_MAX
from core.model.manifest import TypeSpec
from core.store import Store
from core.store.log.prepare import (
    SAMPLE_LETTERS_MAX,
    Prepared,
    Refusal,
    canonical_value,
    change_hash,
    is_same,
    prepare,
    prepare_all,
    refusal,
)
from tests.store.conftest import TYPES


def change(**fields: Any) -> Change:
    """A good change, but for `fields`."""
    return Change(**{"type": "note", "key": "a", "value": {"id": "a"}, **fields})


def judged(changes: list[Change]) -> tuple[list[Prepared], list[Refusal]]:
    """The changes after both judgements: of their names at once, of their values where they change something."""
    good, bad = prepare_all(changes, TYPES)
    for one in list(good):
        try:
            canonical_value(one.change)
        except BadRecord as err:
            good.remove(one)
            bad.append(refusal(one.change.type, one.change.key, err, one.change.value))
    return good, bad


@pytest.mark.parametrize(
    "fields",
    [
        {"key": "k" * KEY_BYTES_MAX},
        {"key": "é" * (KEY_BYTES_MAX // 2)},
        {"key": "a b/c#d?e%\u00a0"},
        {"type": "t" * 128},
        {"type": "__rel_follows"},
        {"value": {"x": "y" * (VALUE_BYTES_MAX - 8)}},
        {"order_key": 2**63 - 1},
        {"order_key": -(2**63)},
        {"valid_time": -1.5},
        {"derivation": {"x": "y" * (PROVENANCE_BYTES_MAX - 8)}},
        {"action": "delete", "value": {}},
    ],
)
def test_change_just_inside_its_bounds_is_taken(fields: dict[str, Any]) -> None:
    """What fits is taken as it is."""
    good, bad = judged([change(**fields)])

    assert [] == bad
    assert [change(**fields)] == [item.change for item in good]


@pytest.mark.parametrize(
    "fields",
    [
        {"key": ""},
        {"key": "k" * (KEY_BYTES_MAX + 1)},
        {"key": "é" * (KEY_BYTES_MAX // 2 + 1)},
        {"key": "a\nb"},
        {"key": "a\x7f"},
        {"key": "\ud800"},
        {"key": 7},
        {"key": None},
        {"type": ""},
        {"type": "t" * 129},
        {"type": "a\tb"},
        {"type": "__locker_erasures"},
        {"type": 7},
        {"value": {"x": "y" * (VALUE_BYTES_MAX - 7)}},
        {"value": "bad data from synclet"},
        {"value": None},
        {"value": [1]},
        {"value": {"x": math.nan}},
        {"value": {"x": object()}},
        {"value": {"x": "\ud800"}},
        {"common": "title"},
        {"common": {"at": math.inf}},
        {"action": "erase"},
        {"order_key": 2**63},
        {"order_key": -(2**63) - 1},
        {"order_key": "7"},
        {"order_key": True},
        {"valid_time": math.nan},
        {"valid_time": "2026"},
        {"derivation": {"x": "y" * (PROVENANCE_BYTES_MAX - 7)}},
        {"derivation": {"x": math.nan}},
        {"derivation": "me"},
    ],
)
def test_change_outside_its_bounds_is_refused_and_the_rest_goes_on(fields: dict[str, Any]) -> None:
    """A refusal names type and key in a storable form, and the neighbours are taken."""
    good, bad = judged([change(key="before"), change(**fields), change(key="after")])

    assert ["before", "after"] == [item.change.key for item in good]
    assert ["bad_record"] == [item.code for item in bad]
    assert all(bad[0].reason and text.isprintable() and text for text in (bad[0].type, bad[0].key))
    bad[0].sample.encode()


def test_what_is_no_change_at_all_is_refused() -> None:
    """A record whose fields are of other kinds than declared is one bad record, not a failure."""
    with pytest.raises(BadRecord):
        prepare(change(key="\x00"), volatile=())


def test_sample_of_a_refusal_is_bounded_and_shows_the_beginning() -> None:
    """The owner sees what came, not all of it."""
    _, bad = prepare_all([change(key="", value={"x": "y" * 100_000})], TYPES)

    assert bad[0].sample.startswith('{"x": "yyy')
    assert SAMPLE_LETTERS_MAX == len(bad[0].sample)


def test_usable_key_of_a_bad_record_is_kept_as_it_is() -> None:
    """A good version clears the quarantine by its key, so the key must be the same, letter for letter."""
    _, bad = judged([change(key="a\u00a0b", value={"x": math.nan})])

    assert "a\u00a0b" == bad[0].key


def test_different_unusable_keys_stay_apart() -> None:
    """Two records without a usable key do not hide each other in quarantine."""
    _, bad = prepare_all([change(key="x" * 600), change(key="x" * 601)], TYPES)

    assert 2 == len({item.key for item in bad})


def test_volatile_fields_are_left_out_of_the_change_test_alone() -> None:
    """Views may change without a fact; the title may not; the value itself keeps all."""
    first, _ = prepare_all([change(value={"title": "A", "views": 1, "stats": {"likes": 1, "stars": 2}})], TYPES)
    second, _ = prepare_all([change(value={"title": "A", "views": 9, "stats": {"likes": 8, "stars": 2}})], TYPES)
    third, _ = prepare_all([change(value={"title": "B", "views": 1, "stats": {"likes": 1, "stars": 2}})], TYPES)

    assert first[0].change_hash == second[0].change_hash
    assert first[0].change_hash != third[0].change_hash


@pytest.mark.parametrize("odd", [math.nan, -math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("big", [0, 2**70])
def test_a_number_that_is_none_is_no_stored_null(store: Store, odd: float, big: int) -> None:
    """It is encoded as null, and still is not the same: each is refused, and what is beside it goes on."""
    stored = [
        Change(type="note", key="plain", value={"n": None, "big": big}),
        Change(type="note", key="volatile", value={"n": [None], "views": 1}),
        Change(type="note", key="common", value={"n": 1}, common={"x": None}),
        Change(type="note", key="great", value={"n": None, "x": 1.5e308}),
    ]
    store.commit(stored)
    again = [
        msgspec.structs.replace(stored[0], value={"n": odd, "big": big}),
        msgspec.structs.replace(stored[1], value={"n": [odd], "views": 2}),
        msgspec.structs.replace(stored[2], common={"x": odd}),
        stored[3],
    ]

    done = store.commit(again)

    assert (1, 0, 3) == (done.same, done.updated, done.quarantined)
    refused = store.quarantined(10)
    assert {"plain", "volatile", "common"} == {one.key for one in refused}
    assert {"bad_record"} == {one.code for one in refused}
    assert [None, [None], 1, None] == [store.record("note", one.key).value["n"] for one in stored]


def test_common_counts_in_the_change_test() -> None:
    """A shared field that code computed anew is a change."""
    plain, titled = prepare_all([change(), change(common={"title": "A"})], TYPES)[0]

    assert plain.change_hash != titled.change_hash


def test_change_hash_is_the_same_on_every_device() -> None:
    """A fixed vector: two devices that import the same page must find the same."""
    expected = hashlib.sha256('{"a":"é","b":1.0}\n{"title":"T"}'.encode()).hexdigest()[:32]

    assert expected == change_hash({"b": 1.0, "a": "é", "views": 3}, {"title": "T"}, ("views",)).hex()


def test_numbers_written_otherwise_are_the_same() -> None:
    """1 and 1.0 hash apart, yet say the same; a volatile field says nothing."""
    assert is_same(({"n": 1.0, "views": 1}, {}), ({"n": 1, "views": 2}, {}), ("views",))
    assert not is_same(({"n": 1}, {}), ({"n": 1}, {"title": "T"}), ())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"isbn": 1}, "note: the record has nothing at 'id', where connector.toml says its key is"),
        ({"id": None}, "note: the record has nothing at 'id', where connector.toml says its key is"),
        ({"id": 1.5}, "note: what the record has at 'id' is no key, which is a text or a whole number"),
        ({"id": ""}, "note: what the record has at 'id' is no key, which is a text or a whole number"),
        ({"id": 7}, "note: the record has no key"),
    ],
)
def test_a_record_without_a_key_is_told_where_it_was_looked_for(value: dict[str, Any], reason: str) -> None:
    """A slip in the manifest shows in the first reason; another path may have been asked for."""
    _, bad = prepare_all([Change(type="note", key="", value=value)], {"note": TypeSpec(name="note", key="id")})

    assert [reason] == [one.reason for one in bad]
