"""One answer of a child: read to its end however it arrives, and never taken for whole when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.gateway.answer import FRAMING_BYTES_MAX, INTERIM_ANSWERS_MAX, Answer
from core.gateway.limits import HEAD_BYTES_MAX, HEAD_FIELDS_MAX
from core.model.errors import AnswerInvalid, ChildCut, ChildDied, LockerError

OK = b"HTTP/1.1 200 OK\r\n"


class Read:
    """What became of an answer: its head, its body, and whether the connection may be used again."""

    def __init__(self, answer: Answer, body: bytes) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.reusable = answer.reusable
        self.body = body


def read(pieces: Sequence[bytes], *, method: str = "GET", closes: bool = False, breaks: bool = False) -> Read:
    """Feed the pieces, then close or break the connection if told to; raises what stopped the answer."""

    async def scenario() -> Read:
        answer = Answer(asyncio.get_running_loop(), "foo", method=method)
        for piece in pieces:
            answer.feed(piece)
        if breaks:
            answer.break_off()
        elif closes:
            answer.end()
        await asyncio.wait_for(answer.head(), 2)
        body = b""
        while piece := await asyncio.wait_for(answer.piece(), 2):
            body += piece
        assert answer.is_finished
        return Read(answer, body)

    return asyncio.run(scenario())


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces."""
    edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(edges)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 500), max_size=12))
def test_it_reads_the_same_however_it_is_cut(places: list[int]) -> None:
    """An interim answer, a head, chunks and trailers, in any pieces."""
    data = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        + OK
        + b"Transfer-Encoding: chunked\r\nA: b\r\n\r\n3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    result = read(cut(data, places))

    assert (200, b"abcdefg", True) == (result.status, result.body, result.reusable)
    assert [(b"Transfer-Encoding", b"chunked"), (b"A", b"b")] == result.headers


@pytest.mark.parametrize(
    ("data", "method", "body", "reusable"),
    [
        (OK + b"Content-Length: 3\r\n\r\nabc", "GET", b"abc", True),
        (OK + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc", "GET", b"abc", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "GET", b"abc", False),
        (OK + b"Content-Length: 3\r\n\r\nabcd", "GET", b"abc", False),
        (OK + b"Content-Length: 0\r\n\r\n" + OK, "GET", b"", False),
        (OK + b"Content-Length: 3\r\n\r\n", "HEAD", b"", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", "HEAD", b"", True),
        (OK + b"\r\n", "HEAD", b"", False),
        (OK + b"Content-Length: 3\r\n\r\nabc", "HEAD", b"", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "GET", b"", True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", "GET", b"", False),
    ],
)
def test_its_end_is_known_from_its_head(data: bytes, method: str, body: bytes, reusable: bool) -> None:
    """By length, by method, by status; bytes after the end make the connection unfit for another."""
    result = read([data], method=method)

    assert body == result.body
    assert reusable == result.reusable


def test_without_length_it_ends_with_the_connection() -> None:
    """A close is its end; a broken connection is not."""
    assert read([OK + b"\r\nab", b"c"], closes=True).body == b"abc"
    with pytest.raises(ChildCut):
        read([OK + b"\r\nab", b"c"], breaks=True)


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Content-Length: 5\r\n\r\nabc",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n8\r\nabc",
    ],
)
def test_a_body_that_breaks_off_is_told(data: bytes) -> None:
    """What came before is still handed on; its end is an error."""
    with pytest.raises(ChildCut):
        read([data], closes=True)


@pytest.mark.parametrize("data", [b"", b"HT", OK, OK + b"Content-Length: 3\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_connection_closed_before_the_head_is_a_dead_child(data: bytes) -> None:
    """It never answered."""
    with pytest.raises(ChildDied):
        read([data], closes=True)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        OK + b"A: b\r\n c\r\n\r\n",
        OK + b"A : b\r\n\r\n",
        OK + b": b\r\n\r\n",
        OK + b"A: b\x00\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 99 No\r\n\r\n",
        b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n",
        b"HTTP/1.1 102 P\r\n\r\n" * (INTERIM_ANSWERS_MAX + 1) + OK + b"Content-Length: 0\r\n\r\n",
    ],
)
def test_what_is_not_http_is_told_as_such(data: bytes) -> None:
    """Ambiguous framing and malformed heads are refused, not guessed at."""
    with pytest.raises(AnswerInvalid):
        read([data], closes=True)


def test_interim_answers_are_skipped_up_to_a_bound() -> None:
    """As many as the bound; their fields are not the answer's."""
    data = b"HTTP/1.1 102 P\r\nA: b\r\n\r\n" * INTERIM_ANSWERS_MAX + OK + b"Content-Length: 0\r\n\r\n"

    assert [(b"Content-Length", b"0")] == read([data]).headers


def test_the_number_of_fields_is_bound() -> None:
    """Just at the bound it is read, just over it is not."""
    fields = b"A: b\r\n" * (HEAD_FIELDS_MAX - 1)

    assert HEAD_FIELDS_MAX == len(read([OK + b"Content-Length: 0\r\n" + fields + b"\r\n"]).headers)
    with pytest.raises(AnswerInvalid):
        read([OK + b"Content-Length: 0\r\nA: b\r\n" + fields + b"\r\n"])


@pytest.mark.parametrize("piece_bytes", [1000, 10**6])
def test_the_size_of_the_head_is_bound(piece_bytes: int) -> None:
    """Arriving at once or bit by bit, with its end or without."""

    def head(size: int) -> bytes:
        fixed = len(b"Content-Length") + 1 + 4 + len(b"A") + 4
        return OK + b"Content-Length: 0\r\nA: " + b"x" * (size - fixed) + b"\r\n\r\n"

    def pieces(data: bytes) -> list[bytes]:
        return [data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)]

    assert read(pieces(head(HEAD_BYTES_MAX - 100))).status == 200
    with pytest.raises(AnswerInvalid):
        read(pieces(head(HEAD_BYTES_MAX + 1)))
    with pytest.raises(AnswerInvalid):
        read(pieces(OK + b"A: " + b"x" * (HEAD_BYTES_MAX + 1)))


@pytest.mark.parametrize("junk", [b"3;" + b"x" * 1000, b"0\r\nT: " + b"x" * 1000])
def test_framing_without_a_body_is_bound(junk: bytes) -> None:
    """Chunk extensions and trailers that never end."""
    pieces = [OK + b"Transfer-Encoding: chunked\r\n\r\n", junk] + [b"x" * 1000] * (FRAMING_BYTES_MAX // 1000 + 1)

    with pytest.raises(AnswerInvalid):
        read(pieces)


def test_trailers_are_dropped() -> None:
    """They come after the head was judged."""
    data = OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nSet-Cookie: locker_session=x\r\n\r\n"

    assert [(b"Transfer-Encoding", b"chunked")] == read([data]).headers


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    OK,
                    b"\r\n",
                    b"Content-Length: 5\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"3\r\nabc\r\n",
                    b"0\r\n\r\n",
                    b"HTTP/1.1 204 No\r\n\r\n",
                    b"Connection: close\r\n",
                    b"HTTP/1.1 100 C\r\n\r\n",
                    b"A: b\r\n",
                ]
            ),
        ),
        max_size=12,
    ),
    st.sampled_from(["GET", "HEAD", "POST"]),
)
def test_random_bytes_end_in_an_answer_or_an_error_of_ours(pieces: list[bytes], method: str) -> None:
    """No crash, no hang, whatever a child says before it closes."""
    try:
        result = read(pieces, method=method, closes=True)
    except LockerError as error:
        assert error.status == 502
        return

    assert 200 <= result.status <= 599
