"""A place in every log as one text."""

from __future__ import annotations

import base64
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events.cursor import CURSOR_CHARS_MAX, LOGS_MAX, Position, decode_cursor, encode_cursor
from core.model.errors import BadRequest, TooBusy

UID = st.one_of(
    st.just(""), st.uuids().map(str), st.uuids().map(lambda u: str(u).upper()), st.text("abc-", max_size=40)
)
EPOCH = st.one_of(st.just(""), st.binary(max_size=16).map(bytes.hex), st.text("ABCxyz0", max_size=9))
POSITIONS = st.dictionaries(UID, st.builds(Position, EPOCH, st.integers(1, 2**62)), max_size=20)


@given(POSITIONS)
def test_a_cursor_comes_back_unchanged(positions: dict[str, Position]) -> None:
    """Whatever uids and epochs look like, the text says them exactly, in letters that fit a header and a query."""
    text = encode_cursor(positions)

    assert positions == decode_cursor(text)
    assert text.replace("-", "").replace("_", "").isalnum()


def test_the_beginning_is_short() -> None:
    """Logs at their beginning say nothing, and the beginning of all is 0."""
    assert "0" == encode_cursor({}) == encode_cursor({"": Position("", 0)})
    assert {} == decode_cursor("0")


def test_a_cursor_is_compact() -> None:
    """Fifty services take some three thousand letters; as many logs as allowed fit into the bound, one more not."""
    positions = {str(uuid.uuid4()): Position("00" * 16, 2**40) for _ in range(LOGS_MAX)}
    fifty = dict(list(positions.items())[:50])

    assert len(encode_cursor(fifty)) < 3200
    assert positions == decode_cursor(encode_cursor(positions))
    assert len(encode_cursor(positions)) < CURSOR_CHARS_MAX
    with pytest.raises(TooBusy):
        encode_cursor({**positions, "one more": Position("", 1)})


@pytest.mark.parametrize(
    "form",
    [None, 7, [], [1], [2, []], [1, [["", "", 0]]], [1, [["", "", -1]]], [1, [["", "", 2**63]]],
     [1, [[b"short", "", 1]]], [1, [["", 7, 1]]], [1, [["", "", 1], ["", "", 2]]], [1, [["", "", 1.5]]],
     [1, [[None, "", 1]]]],
)  # fmt: skip
def test_what_is_no_cursor(form: object) -> None:
    """Other forms, positions that cannot be, and a log named twice are refused."""
    text = base64.urlsafe_b64encode(msgspec.msgpack.encode(form)).decode().rstrip("=")

    with pytest.raises(BadRequest):
        decode_cursor(text)


@given(st.text(max_size=100).filter(lambda text: text != "0"))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the reader fail in another way."""
    try:
        decode_cursor(text)
    except BadRequest as error:
        assert error.remedy
