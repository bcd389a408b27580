"""Requests as they are read: what is no JSON, what is no object, and how errors travel there and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.errors import (
    BadRequest,
    Broken,
    ConflictingDuplicate,
    CursorTooOld,
    CursorUnknown,
    FileDamaged,
    HashMismatch,
    InvalidFact,
    LockerError,
    NotFound,
    SeqMoved,
    StorageFull,
    TokenRequired,
    TooBusy,
)
from core.netstore import protocol
from core.netstore.protocol import Refusal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b'{"op":"ping"', b'{"op":"ping"}x', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}',
        b'{"a":1e999}', b'{"a":1,"a":2}', b'{"a":{"b":1,"b":1}}', b'[{"x":1,"x":2}]', b'{"a":01}', b'"\xff"',
        b'{"\xc3":1}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800"}', b"\xef\xbb\xbf{}", b"{'a':1}", b'{"a":1,}',
        b"[" * 5000 + b"]" * 5000, b'{"a":1,"\\u0061":2}', b'{"x:":1,"x":2,"x":"\\u003a"}',
        b'{"a\\u003a":1,"b":1,"b":2}',
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Cut, followed by more, not UTF-8, not finite, a name twice: bad_json, whatever it would mean elsewhere."""
    refused = protocol.read_request(body)

    assert isinstance(refused, Refusal) and "bad_json" == refused.code


@pytest.mark.parametrize("body", [b"1", b'"op"', b"null", b"true", b"[]", b'[{"op":"ping"}]'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    """JSON of another kind."""
    refused = protocol.read_request(body)

    assert isinstance(refused, Refusal) and "not_an_object" == refused.code


@given(st.dictionaries(st.text(), JSON, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_every_object_is_read_as_it_is(document: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    """However it is written: with blanks, with escapes, with colons in its texts."""
    body = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    assert document == protocol.read_request(body)


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=5), st.data())
def test_a_name_twice_is_always_seen(document: dict[str, Any], data: st.DataObject) -> None:
    """At any depth one can be put in again, and is noticed."""
    name = data.draw(st.sampled_from(sorted(document)))
    members = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in document.items()]
    again = f"{json.dumps(name, ensure_ascii=data.draw(st.booleans()))}:{json.dumps(data.draw(JSON))}"
    members.insert(data.draw(st.integers(0, len(members))), again)
    text = "{" + ",".join(members) + "}"
    wrapped = data.draw(st.sampled_from(["%s", '{"fact":%s}', '{"facts":[%s,1]}'])) % text

    refused = protocol.read_request(wrapped.encode("utf-8", "surrogatepass"))

    assert isinstance(refused, Refusal) and "bad_json" == refused.code


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(body: bytes) -> None:
    """Whatever comes is an object or a refusal."""
    assert isinstance(protocol.read_request(body), dict | Refusal)


@pytest.mark.parametrize(
    "error",
    [
        InvalidFact("key is missing", field="key"), SeqMoved("it moved", current_seq=7), HashMismatch("not that"),
        ConflictingDuplicate("another"), CursorTooOld("gone", floor=12), CursorUnknown("whose?"), NotFound("nothing"),
        TokenRequired("who?"), BadRequest("what?"), TooBusy("later", retry_after_s=1.5),
    ],
    ids=lambda error: error.code,
)  # fmt: skip
def test_an_error_arrives_as_itself(error: LockerError) -> None:
    """Class, sentence and what it adds pass the wire."""
    refusal = protocol.refusal_of(error)
    assert refusal is not None

    arrived = protocol.error_of(json.loads(protocol.refused(refusal)))

    assert (type(error), str(error), error.retry_after_s) == (type(arrived), str(arrived), arrived.retry_after_s)
    for name in ("field", "current_seq", "floor"):
        assert getattr(error, name, None) == getattr(arrived, name, None)


@pytest.mark.parametrize("error", [FileDamaged("/home/ada/Me/notes/store.db is torn"), StorageFull("/home is full")])
def test_an_error_tells_no_path(error: LockerError) -> None:
    """What the disk does is told without saying where."""
    refusal = protocol.refusal_of(error)

    assert refusal is not None and "/" not in refusal.error


def test_what_is_ours_has_no_words_outside() -> None:
    """A fault of ours gets an incident's number instead of its text."""
    assert protocol.refusal_of(Broken("secret 42")) is None


@pytest.mark.parametrize(
    ("body", "request_id", "expected"),
    [
        (b'{"ok":true}', 7, b'{"ok":true,"request_id":7}'),
        (b'{"ok":true}', "a", b'{"ok":true,"request_id":"a"}'),
        (b'{"ok":true}', 0, b'{"ok":true,"request_id":0}'),
        (b'{"ok":true}', None, b'{"ok":true}'),
        (b'{"ok":true}', False, b'{"ok":true}'),
    ],
)
def test_the_request_id_comes_last(body: bytes, request_id: Any, expected: bytes) -> None:
    """Where it is true in Ruby's eyes, for which 0 is."""
    assert expected == protocol.with_request_id(body, {"op": "ping", "request_id": request_id})
