"""The load generator against a server made of bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.bench._wire import Crowd, Place, Refused, Wire

REQUEST = Place(1).request("/")


@contextlib.contextmanager
def _server(*pieces: bytes, connections: int = 1) -> Iterator[int]:
    """Answers the first bytes of each connection with `pieces`, then hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        lines = [listener.accept()[0] for _ in range(connections)]
        for line in lines:
            line.recv(65536)
            for piece in pieces:
                line.sendall(piece)
            line.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(10)
        listener.close()


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",),
        (b"HTTP/1.1 200 OK\r\ncontent-le", b"ngth: 11\r\n\r", b"\nhello ", b"world"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nhello \r\n5", b"\r\nworld\r\n0\r\n\r\n"),
    ],
    ids=["whole", "in pieces", "chunked"],
)
def test_body_is_counted_whole(pieces: tuple[bytes, ...]) -> None:
    """However the answer is framed and cut, all of its body counts and nothing else does."""
    with _server(*pieces) as port, Wire(port) as wire:
        timing = wire.exchange(REQUEST)

    assert 11 == timing.body_bytes
    assert 0 < timing.first_ms <= timing.last_ms


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    ],
    ids=["refused", "cut"],
)
def test_no_figure_of_a_failure(answer: bytes) -> None:
    """What is not a whole answer of 200 is never counted as a quick one."""
    with _server(answer) as port, Wire(port) as wire, pytest.raises(Refused):
        wire.exchange(REQUEST)


def test_crowd_counts_everyone() -> None:
    """Each of many gets its own timing."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    with _server(answer, connections=20) as port, Crowd(port, 20) as crowd:
        timings = crowd.ask_once(REQUEST)

    assert 20 == len(timings)


def test_crowd_forgives_nobody() -> None:
    """One refusal among many ends the measurement."""
    answer = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
    with _server(answer, connections=3) as port, Crowd(port, 3) as crowd, pytest.raises(Refused):
        crowd.ask_once(REQUEST)
