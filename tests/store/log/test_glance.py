"""What a glance at a record's JSON reads is what its documents say, and what is no JSON is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.manifest import TypeSpec
from core.store.log.facts import json_text
from core.store.log.fold import common_of
from core.store.log.glance import Glance

NAMES = st.sampled_from(["name", "by", "0", "", "é", 'with "quotes"', "back\\slash", "a b"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    LEAVES | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)


@given(
    title=st.none() | PATHS,
    common=st.dictionaries(st.sampled_from(["title", "author", "link"]), PATHS),
    value=OBJECTS,
    own=st.none() | st.dictionaries(st.sampled_from(["title", "author"]), VALUES),
)
def test_a_glance_reads_the_shared_fields(
    title: str | None, common: dict[str, str], value: dict[str, Any], own: dict[str, Any] | None
) -> None:
    """Whatever the paths and the documents: as the fold computes them."""
    spec = TypeSpec(name="note", title=title, common=common)
    texts = json_text(value), None if own is None else json_text(own)

    assert common_of(spec, value, own or {}) == Glance(spec).common(*texts)


@pytest.mark.parametrize("paths", [{}, {"title": "name"}, {"title": "by.name"}, {"title": 'with "quotes"'}])
@pytest.mark.parametrize("text", ["", "[]", "null", '{"a":1', '{"a":1}}', '{"a":01}', '{"a":"\x01"}', "[" * 100_000])
def test_what_is_no_object_is_told(paths: dict[str, str], text: str) -> None:
    """Also in the parts that nobody asks for."""
    with pytest.raises((msgspec.MsgspecError, ValueError, RecursionError)):
        Glance(TypeSpec(name="note", common=paths)).common(text, None)
    with pytest.raises((msgspec.MsgspecError, ValueError, RecursionError)):
        Glance(TypeSpec(name="note", common=paths)).common("{}", text)
