"""What a list can be asked for: examples that hold, orders that are declared, addresses that lead back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.model.fact import Record
from core.model.filter import parse, predicate
from core.model.manifest import TypeSpec
from core.web.dashboard.asked import EXAMPLES_MAX, Asked, examples, orders, sorted_by

SPEC = TypeSpec(name="repo", key="id", index=("stars", "owner.login", "Home Town"))
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def record(value: dict[str, Any]) -> Record:
    """A record of this value."""
    return Record(type="repo", key="k", value=value, common={}, at=1.0, seq=1)


@given(values=st.lists(st.dictionaries(st.text(max_size=12), VALUES, max_size=6), max_size=5))
def test_every_example_can_be_asked_and_fits_a_record(values: list[dict[str, Any]]) -> None:
    """Whatever names and texts the source uses."""
    records = [record(value) for value in values]

    found = examples(SPEC, records)

    assert len(found) <= EXAMPLES_MAX
    for text in found:
        judge = predicate(parse(text), SPEC)
        assert any(judge(one.value, one.common) for one in records), text


def test_examples_take_what_is_declared_first() -> None:
    """A number, a word, a longer text by one of its words; the key says nothing."""
    value = {"id": 7, "stars": 12, "owner": {"login": "octocat"}, "Home Town": "A town by the sea", "read": False}

    assert ["stars >= 12", 'owner->login == "octocat"', '`Home Town` contains "town"'] == examples(
        SPEC, [record(value)]
    )
    assert ["read == false"] == examples(SPEC, [record({"id": 7, "read": False, "o": {}})])
    assert [] == examples(SPEC, [])


def test_orders_are_those_that_the_type_declares() -> None:
    """Both ways of each, as a list takes them."""
    names = [one.name for one in orders(SPEC)]

    assert ["newest", "key", "stars", "-stars", "owner->login", "-owner->login", "`Home Town`", "-`Home Town`"] == names
    assert ["owner.login", None] == [sorted_by(SPEC, name) for name in ("-owner->login", "key")]


def test_an_address_says_what_is_asked() -> None:
    """Nothing that is so anyway, and one thing changed at a time."""
    asked = Asked(filter="a == 1", order="-stars", as_of="2026-11-20")

    assert "?filter=a+%3D%3D+1&order=-stars&as_of=2026-11-20" == asked.href()
    assert "?filter=a+%3D%3D+1&order=-stars" == asked.href(as_of="")
    assert "?after=x" == Asked().href(after="x")
