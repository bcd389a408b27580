"""The fast canonical form is the model's canonical form, byte for byte, refusals included."""

from __future__ import annotations

import enum
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.errors import BadRecord
from core.model.fact import canonical_json
from core.store.canonical import canonical

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
def test_canonical_equals_the_models(document: dict[str, Any]) -> None:
    """For every JSON document the two agree."""
    assert canonical_json(document) == canonical(document)


@pytest.mark.parametrize(
    "value",
    [
        {"x": ":1.5 and [2e3"},
        {"x": 2**70, "y": -(2**64)},
        {"\U0001f600": 1, "\uffee": 2},
        {"x": (1, 2)},
        {"x": Colour.RED},
        {"x": "é", "y": "\x7f\u2028\t"},
        {"x": [[[[]]]] * 30},
        {"x": -0.0, "y": 1.0, "z": 1e21},
    ],
)
def test_canonical_equals_the_models_in_awkward_cases(value: dict[str, Any]) -> None:
    """Numbers within texts, big integers, letters beyond the basic plane, tuples, enums, many brackets."""
    assert canonical_json(value) == canonical(value)


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
        _nested(65),
        _nested(5000),
    ],
)
def test_canonical_refuses_what_the_model_refuses(value: Any) -> None:
    """What is not JSON is refused, though the fast encoder has some form for it."""
    with pytest.raises(BadRecord):
        canonical(value)


def test_depth_bound_is_the_models() -> None:
    """64 levels pass, 65 do not."""
    assert canonical_json(_nested(63)) == canonical(_nested(63))
    assert canonical_json(_nested(64)) == canonical(_nested(64))
