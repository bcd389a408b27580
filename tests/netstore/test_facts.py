"""Facts of the wire as they are read: the quick way for the usual shape, and field by field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core.netstore import facts
from core.store import Entry

USUAL = {
    "id": "00000000-0000-4000-8000-000000000001",
    "store": "tasks",
    "key": "t1",
    "value": {"title": "Hello", "status": "open", "n": 1},
    "value_hash": None,
    "causation": None,
    "transaction_time": 1700000000.25,
    "valid_time": None,
    "schema_version": 1,
    "producer": None,
    "derivation": None,
}


def _by_field(document: dict[str, Any]) -> Any:
    return facts._entry_by_field(dict(document), if_seq=None, may_be_foreign=False)


def test_usual_fact_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the Ruby client sends needs no look at each field."""
    expected = _by_field(USUAL)
    monkeypatch.setattr(facts, "_entry_by_field", None)
    found = facts.entry_of(USUAL)

    assert isinstance(found, Entry)
    assert msgspec.structs.asdict(expected) == msgspec.structs.asdict(found)


@pytest.mark.parametrize(
    "more",
    [
        {"transaction_time": 1700000000},
        {"valid_time": 12, "schema_version": 3},
        {"producer": {"name": "x"}, "derivation": {"from": ["y"]}},
        {"action": "delete", "value": {}},
        {"common": {"title": "Hello"}, "causation": "other"},
        {"unknown": [1, 2], "if_seq": 4},
        {"timestamp": 1700000000.5, "transaction_time": None},
    ],
)
def test_both_ways_read_the_same(more: dict[str, Any]) -> None:
    """Whichever way a fact is read, it is the same fact."""
    document = {**USUAL, **more}
    expected, found = _by_field(document), facts.entry_of(dict(document))

    assert isinstance(found, Entry)
    assert msgspec.structs.asdict(expected) == msgspec.structs.asdict(found)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("id", None), ("store", 5), ("key", None), ("value", []), ("schema_version", True), ("transaction_time", "now")],
)
def test_wrong_field_is_named(field: str, wrong: object) -> None:
    """What the quick way cannot read is told field by field."""
    found = facts.entry_of({**USUAL, field: wrong})

    assert field == getattr(found, "field", None)
