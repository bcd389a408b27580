"""Frames: the golden bytes, any cut of the stream, and what each broken one is called."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.frames import (
    OVERHEAD_BYTES,
    BadFrame,
    FrameFault,
    FrameReader,
    FrameSearch,
    encode_frame,
    frame_at,
)

WRITE = (
    '{"fact":{"id":"00000000-0000-4000-8000-000000000001","store":"tasks","key":"t1","value":{"title":"Hello",'
    '"status":"open","n":1},"value_hash":"657fefd933bb4aef9741f77cb8387424adc2590e6b90be5d6e8e9e0dc04bbf9b",'
    '"causation":null,"transaction_time":1700000000.25,"valid_time":null,"schema_version":1,"producer":null,'
    '"derivation":null},"op":"write_fact"}'
)


@pytest.mark.parametrize(
    ("body", "length", "crc"),
    [
        ('{"op":"ping"}', "0000000d", "f369e448"),
        ('{"ok":true,"pong":true}', "00000017", "ce87e230"),
        ('{"op":"subscribe","stores":["tasks"]}', "00000025", "6c20861a"),
        ("", "00000000", "00000000"),
        (WRITE, "0000015c", "fa712b93"),
    ],
)
def test_golden_frames(body: str, length: str, crc: str) -> None:
    """The bytes that the Ruby client sends and expects, both ways."""
    frame = encode_frame(body.encode())

    assert f"{length}{body.encode().hex()}{crc}" == frame.hex()
    assert body.encode() == frame_at(frame, 0)


@given(bodies=st.lists(st.binary(max_size=60), max_size=8), cuts=st.lists(st.integers(1, 40), min_size=1))
def test_frames_come_out_however_the_bytes_come_in(bodies: list[bytes], cuts: list[int]) -> None:
    """Any cutting of the stream gives the same bodies, in order, and a clean end."""
    stream = b"".join(map(encode_frame, bodies))
    reader, got, place, turn = FrameReader(), [], 0, 0
    while place < len(stream):
        size = cuts[turn % len(cuts)]
        reader.feed(stream[place : place + size])
        got += list(reader)
        place, turn = place + size, turn + 1

    assert bodies == got
    assert reader.end() is None
    assert len(stream) == reader.at
    assert 0 == reader.pending


def test_every_cut_is_told_with_its_bytes() -> None:
    """A frame that ends early is truncated, at every length but the whole and none."""
    frame = encode_frame(b'{"n":1}')
    for length in range(1, len(frame)):
        reader = FrameReader()
        reader.feed(frame[:length])
        assert reader.take() is None
        end = reader.end()
        assert end is not None
        assert (FrameFault.TRUNCATED, 0, length) == (end.fault, end.at, end.have)


def test_every_flipped_bit_of_body_and_sum_is_bad() -> None:
    """A changed body or sum never passes; the reader is spent from then on."""
    frame = encode_frame(b'{"n":1}')
    for place in range(4, len(frame)):
        for bit in range(8):
            reader = FrameReader()
            broken = bytearray(frame)
            broken[place] ^= 1 << bit
            reader.feed(bytes(broken) + frame)
            found = reader.take()
            assert isinstance(found, BadFrame)
            assert FrameFault.BAD_CRC is found.fault
            assert found == reader.take() == reader.end()


def test_a_length_beyond_the_limit_is_refused_before_the_body_comes() -> None:
    """At the limit a frame passes; one byte more is too large as soon as its four length bytes are there."""
    reader = FrameReader(bytes_max=10)
    reader.feed(encode_frame(b"0123456789") + (11).to_bytes(4, "big"))

    found = list(reader)

    assert b"0123456789" == found[0]
    assert BadFrame(fault=FrameFault.TOO_LARGE, at=18, wanted=11 + OVERHEAD_BYTES, have=4) == found[1]
    assert isinstance(frame_at(b"\xff\xff\xff\xff", 0), BadFrame)


def test_the_next_whole_frame_after_damage_is_found() -> None:
    """Behind a torn frame and noise that looks like lengths, the next frame whose sum holds."""
    whole = encode_frame(b'{"n":2}')
    data = encode_frame(b'{"n":1}')[:-3] + b"\x00\x00\x00\x07{noise}" + whole

    search = FrameSearch(bytes_max=1024, checked_bytes_max=10_000)

    assert len(data) - len(whole) == search.find(data, 1, stop=len(data))
    assert search.find(data, len(data) - len(whole) + 1, stop=len(data)) is None
    assert search.find(data, 1, stop=len(data) - len(whole)) is None
    assert not search.is_spent


@given(before=st.binary(max_size=60), after=st.binary(max_size=60), body=st.binary(max_size=20))
def test_a_search_finds_what_looking_at_every_place_finds(before: bytes, after: bytes, body: bytes) -> None:
    """The quick search and the plain one agree wherever the frame stands."""
    data = before + encode_frame(b"{" + body + b"}") + after
    plain = next(
        place
        for place in range(len(data))
        if isinstance(there := frame_at(data, place, bytes_max=64), bytes) and there[:1] + there[-1:] == b"{}"
    )

    assert plain == FrameSearch(bytes_max=64, checked_bytes_max=100_000).find(data, 0, stop=len(data))


def test_a_search_among_lookalikes_ends() -> None:
    """Bytes that look like the beginning of a large frame everywhere cost the agreed sum, no more."""
    data = b"\x00\x04\x00\x03{}}}" * 200_000
    search = FrameSearch(bytes_max=8 * 1024 * 1024, checked_bytes_max=16 * 1024 * 1024)
    started = time.monotonic()

    place = search.find(data, 0, stop=len(data))

    assert place is None
    assert search.is_spent
    assert time.monotonic() - started < 10


@given(data=st.binary(max_size=400))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Whatever comes, the answer is bodies, and at most one bad frame at the end."""
    reader = FrameReader(bytes_max=64)
    reader.feed(data)

    found = list(reader)

    assert all(isinstance(body, bytes) for body in found[:-1])
    assert sum(len(body) + OVERHEAD_BYTES for body in found if isinstance(body, bytes)) <= len(data)
