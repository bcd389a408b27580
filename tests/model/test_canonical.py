"""The quick way to the canonical form gives what the letter of the rule gives, refusals included."""

from __future__ import annotations

import enum
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.canonical import canonical_json, written_out
from core.model.errors import BadRecord

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20)
)
DOCUMENTS = st.dictionaries(
    st.text(max_size=6),
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_size=6,
)


class Colour(enum.StrEnum):
    """A text that is more than a text."""

    RED = "red"


@given(DOCUMENTS)
def test_quick_equals_written_out(document: dict[str, Any]) -> None:
    """For every JSON document the two agree."""
    assert written_out(document) == canonical_json(document)


@pytest.mark.parametrize(
    "value",
    [
        {"x": ":1.5 and [2e3"},
        {"x": 2**70, "y": -(2**64)},
        {"\U0001f600": 1, "\uffee": 2},
        {"x": (1, 2)},
        {"x": Colour.RED},
        {Colour.RED: 1},
        {"x": "é", "y": "\x7f\u2028\t"},
        {"x": [[[[]]]] * 30},
        {"x": -0.0, "y": 1.0, "z": 1e21},
    ],
)
def test_quick_equals_written_out_in_awkward_cases(value: dict[str, Any]) -> None:
    """Numbers within texts, big integers, letters beyond the basic plane, tuples, enums, many brackets."""
    assert written_out(value) == canonical_json(value)


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {"x": math.nan},
        {"x": math.inf},
        {1: "x"},
        {"x": {2: 3}},
        {"x": datetime(2026, 1, 1, tzinfo=UTC)},
        {"x": Decimal("1.5")},
        {"x": {1, 2}},
        {"x": b"bytes"},
        {"x": "\ud800"},
        {"x": object()},
        {"x": 10**5000},
        _nested(65),
        _nested(5000),
    ],
)
def test_quick_refuses_what_is_not_json(value: Any) -> None:
    """What is not JSON is refused, though the fast encoder has some form for it."""
    with pytest.raises(BadRecord):
        canonical_json(value)


def test_depth_bound_is_the_same() -> None:
    """64 levels pass, 65 do not."""
    assert written_out(_nested(63)) == canonical_json(_nested(63))
    assert written_out(_nested(64)) == canonical_json(_nested(64))
