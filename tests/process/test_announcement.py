"""Hearing the announcement out of a child's first output."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model.errors import HandshakeInvalid
from core.model.handshake import LINE_BYTES_MAX
from core.process.announcement import AnnouncementReader


def reader(*, lines: int = 10, size: int = 1000) -> AnnouncementReader:
    """A reader with small bounds."""
    return AnnouncementReader("github", noise_lines_max=lines, noise_bytes_max=size)


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), max_size=12))
def test_any_cut_gives_the_same(cuts: list[int]) -> None:
    """However the output is cut into pieces, noise, announcement and rest are the same."""
    text = b'noise one\n\n{not json\n{"port": 28213}\nlog text\nunfinished'
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    hearing = reader()
    heard = b"".join(hearing.feed(text[a:b]) for a, b in itertools.pairwise(places) if not hearing.announcement)
    position = text.index(b"log text")

    assert hearing.announcement is not None and 28213 == hearing.announcement.port
    assert heard.startswith(b"noise one\n\n{not json\n")
    assert text[position:].startswith(heard.removeprefix(b"noise one\n\n{not json\n"))


def test_empty_object_means_the_suggested_port() -> None:
    """`{}` announces without naming a port."""
    hearing = reader()
    hearing.feed(b"{}\n")

    assert hearing.announcement is not None and hearing.announcement.port is None


def test_nothing_of_the_announcement_is_log_text() -> None:
    """INV-08: the line itself, an echo of the greeting perhaps, is handed to nobody."""
    hearing = reader()
    heard = hearing.feed(b'{"port": 1, "token": "secret"}\nafter\n')

    assert b"after\n" == heard


def test_a_line_is_heard_up_to_its_bound() -> None:
    """INV-10: 64 KiB are a line, one byte more is an error, ended or not."""
    reader(size=10**6).feed(b"x" * LINE_BYTES_MAX + b"\n")
    reader(size=10**6).feed(b"x" * LINE_BYTES_MAX)

    for ending in (b"", b"\n"):
        with pytest.raises(HandshakeInvalid, match="github wrote a line over 65536 bytes"):
            reader(size=10**6).feed(b"x" * (LINE_BYTES_MAX + 1) + ending)


@pytest.mark.parametrize(("lines", "size", "is_heard"), [(3, 6, True), (2, 6, False), (3, 5, False)])
def test_noise_is_counted_by_lines_and_bytes(lines: int, size: int, is_heard: bool) -> None:
    """INV-10: just within both bounds passes, just over either does not."""
    hearing = reader(lines=lines, size=size)

    if is_heard:
        hearing.feed(b"a\nb\nc\n{}\n")
        assert hearing.announcement is not None
        return
    with pytest.raises(HandshakeInvalid, match="too much"):
        hearing.feed(b"a\nb\nc\n{}\n")


@pytest.mark.parametrize("line", [b'{"port": "80"}', b'{"port": 0}', b'{"port": 65536}', b'{"protocol": 2}'])
def test_an_announcement_that_breaks_the_contract(line: bytes) -> None:
    """A JSON object with a wrong port or protocol is an error, not noise."""
    with pytest.raises(HandshakeInvalid):
        reader().feed(line + b"\n")


def test_an_unfinished_line_can_be_taken_out() -> None:
    """What a child wrote before it ended is not lost to its log."""
    hearing = reader()
    heard = hearing.feed(b"one\ntwo")

    assert (b"one\n", b"two", b"") == (heard, hearing.rest(), hearing.rest())
