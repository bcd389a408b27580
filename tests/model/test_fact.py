"""The canonical form and what may be stored."""

from __future__ import annotations

import json
import math
import struct

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from core.model.canonical import VALUE_DEPTH_MAX, canonical_json
from core.model.errors import BadRecord
from core.model.fact import VALUE_BYTES_MAX, Change, check_change, value_hash

SAFE_INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | SAFE_INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)


@given(DOCUMENTS)
def test_canonical_form_is_rfc_8785(document: object) -> None:
    """Whatever JSON can say is written exactly as an independent implementation of RFC 8785 writes it."""
    assert rfc8785.dumps(document) == canonical_json(document)


@given(st.integers(0, 2**64 - 1))
def test_floats_are_written_as_ecmascript_writes_them(bits: int) -> None:
    """Any finite double, drawn by its bit pattern, agrees with the independent implementation."""
    number = struct.unpack("<d", struct.pack("<Q", bits))[0]
    if math.isfinite(number):
        assert rfc8785.dumps(number) == canonical_json(number)


@given(st.dictionaries(TEXT, SAFE_INTEGERS | TEXT, max_size=8))
def test_key_order_does_not_change_the_hash(document: dict[str, object]) -> None:
    """The same members in another order hash to the same value."""
    assert value_hash(document) == value_hash(dict(reversed(list(document.items()))))


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, -(2**63) - 1, 10**40])
def test_large_integers_keep_every_digit(number: int) -> None:
    """Service ids above 2^53 are not rounded."""
    assert json.dumps({"id": number}, separators=(",", ":")).encode() == canonical_json({"id": number})


def test_reference_vector() -> None:
    """The published vector of the store's wire hashes to the published digest."""
    digest = "657fefd933bb4aef9741f77cb8387424adc2590e6b90be5d6e8e9e0dc04bbf9b"

    assert digest == value_hash({"title": "Hello", "status": "open", "n": 1})


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, {"a": -math.inf}, {1: "a"}, {"a": {2, 3}}, {"a": b"x"}, "\ud800"]
)
def test_what_json_cannot_say_is_a_bad_record(value: object) -> None:
    """NaN, infinities, keys that are not text, sets, bytes and lone surrogates are refused."""
    with pytest.raises(BadRecord):
        canonical_json(value)


def _nested(depth: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_depth_limit_holds_at_its_edge() -> None:
    """The deepest allowed value is stored, one level more is refused."""
    canonical_json(_nested(VALUE_DEPTH_MAX))

    with pytest.raises(BadRecord, match="nested deeper"):
        canonical_json(_nested(VALUE_DEPTH_MAX + 1))


def test_size_limit_holds_at_its_edge() -> None:
    """A value of exactly the limit is stored, one byte more is refused."""
    room = VALUE_BYTES_MAX - len('{"a":""}')
    check_change(Change(type="note", key="1", value={"a": "x" * room}))

    with pytest.raises(BadRecord, match="allowed are"):
        check_change(Change(type="note", key="1", value={"a": "x" * (room + 1)}))


@pytest.mark.parametrize("key", ["", "x" * 513, "a\nb", "a\x7f", "\ud800"])
def test_keys_that_cannot_be_stored(key: str) -> None:
    """Empty, over-long and unprintable keys are refused."""
    with pytest.raises(BadRecord):
        check_change(Change(type="note", key=key))


@pytest.mark.parametrize("key", ["0", " ", "ä" * 256, "#/?%&", "x" * 512])
def test_awkward_keys_are_kept(key: str) -> None:
    """A key of zero, blanks, signs or non-Latin letters is a key."""
    check_change(Change(type="note", key=key))
