"""JSON read strictly: a name twice is seen wherever it stands and however it is written."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.strict import decode_object, decode_strictly

# Few letters, so that names and texts are often alike and full of what JSON itself is made of.
TEXTS = st.text(st.sampled_from('ab:"{}\\,é\n'), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def escaped(text: str) -> str:
    """`text` as JSON in which every letter is an escape."""
    return '"' + "".join(f"\\u{ord(letter):04x}" for letter in text) + '"'


@given(JSON, st.sampled_from([None, 1]), st.booleans())
def test_what_is_json_is_read_as_it_is(document: Any, indent: int | None, ascii_only: bool) -> None:
    """However it is written."""
    assert document == decode_strictly(json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode())


@given(JSON.filter(lambda document: isinstance(document, dict)), st.data())
def test_escapes_alone_make_no_name_stand_twice(document: dict[str, Any], data: st.DataObject) -> None:
    """Colons that are escapes raise a suspicion, and no more."""
    text = "{" + ",".join(f"{escaped(name)} :\n{json.dumps(value)}" for name, value in document.items()) + "}"

    assert document == decode_strictly(text.encode())


@given(st.dictionaries(TEXTS, JSON, min_size=1, max_size=4), st.booleans(), st.data())
def test_a_name_twice_is_refused(document: dict[str, Any], is_escaped: bool, data: st.DataObject) -> None:
    """At any depth, as it is or in escapes, beside texts that escape their colons."""
    name = data.draw(st.sampled_from(sorted(document)))
    members = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in document.items()]
    again = escaped(name) if is_escaped else json.dumps(name)
    members.insert(data.draw(st.integers(0, len(members))), f"{again}:{data.draw(st.sampled_from(['1', '{}']))}")
    texts = ",".join(escaped(text) for text in data.draw(st.lists(TEXTS, max_size=3)))
    text = data.draw(st.sampled_from(["%s", '{"x":%s}', '[{"x":[{},%s]},{}]'])) % ("{" + ",".join(members) + "}")

    with pytest.raises(ValueError, match="twice"):
        decode_strictly(f"[[{texts}],{text}]".encode())


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"a":1}x', b"NaN", b'{"a":1e999}', b'"\xff"', b'"\\ud800"', b"[" * 9000 + b"]" * 9000]
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    """Always as the same error."""
    with pytest.raises(ValueError, match="no JSON"):
        decode_strictly(text)


def test_an_object_is_wanted_where_it_says_so() -> None:
    """Anything else is refused in the same way."""
    with pytest.raises(ValueError, match="no object"):
        decode_object(b"[{}]")

    assert {"a": 1} == decode_object(b'{"a":1}')


def test_a_suspicion_builds_the_document_no_second_time() -> None:
    """What is looked at for a name twice costs little beside the document itself."""
    text = b'{"colon":"\\u003a","x":[' + b",".join([b"{}"] * 100_000) + b"]}"
    plain = text.replace(b"\\u003a", b"-")
    peaks = []
    for one in (plain, text):
        tracemalloc.start()
        decode_strictly(one)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.1 * peaks[0]
