"""Children that say anything at all: the client gets an answer or a visible end, and the core goes on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.house import (
    Backends,
    Core,
    RawChild,
    body_of,
    fields_of,
    read_all,
    read_head,
    request,
    short,
    status_of,
    until,
)

GROWTH_BYTES_MAX = 60 * 1024 * 1024
PARTS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 304 N\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"\r\n",
            b"Content-Length: 5\r\n", b"Content-Length: 5000000\r\n", b"Transfer-Encoding: chunked\r\n", b"hello",
            b"5\r\nhello\r\n", b"0\r\n\r\n", b"5;x=y\r\nhello\r\n", b"Connection: close\r\n",
            b"Location: //localhost:1/\r\n", b"Content-Type: text/html\r\n",
            b"Location: /x\r\n", b"Set-Cookie: a=b\r\n", b"Set-Cookie: locker_session=x\r\n",
            b"X-Locker-Actor: owner\r\n", b"Content-Type: text/event-stream\r\n", b"A: " + b"x" * 70_000,
        ]
    ),
)  # fmt: skip


class Parrot:
    """A child that answers every request with the bytes it was given, then ends or breaks the connection."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.resets = False

    def __call__(self, peer: socket.socket) -> None:
        read_head(peer)
        for part in self.parts:
            peer.sendall(part)
        if self.resets:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            peer.close()


@pytest.fixture(scope="module")
def parrot() -> Parrot:
    """One for all examples."""
    return Parrot()


@pytest.fixture(scope="module")
def core(parrot: Parrot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """One for all examples, so that what one leaves behind meets the next."""
    spool: Path = tmp_path_factory.mktemp("spool")
    with RawChild(parrot) as child, Core(Backends({"foo": child.port}), spool, limits=short(silence_s=2)) as running:
        yield running


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PARTS, max_size=10), st.booleans(), st.sampled_from(["GET", "HEAD", "POST"]))
def test_whatever_a_child_says_ends_well(
    core: Core, parrot: Parrot, parts: list[bytes], resets: bool, method: str
) -> None:
    """In time; as an answer without the core's secrets in it, or as a 502, or as one that visibly breaks off."""
    parrot.parts, parrot.resets = parts, resets
    begun = time.monotonic()
    response = core.ask(request(method, "/Me/foo/"))

    assert time.monotonic() - begun < 10
    assert 200 <= status_of(response) < 600
    fields = fields_of(response)
    assert "x-locker-actor" not in fields
    assert "locker_session" not in fields.get("set-cookie", "")
    assert "localhost" not in fields.get("location", "")
    if fields.get("content-type") == "text/html":
        assert "sandbox" in fields["content-security-policy"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.booleans())
def test_whatever_a_client_says_ends_well(core: Core, parrot: Parrot, noise: bytes, first: bool) -> None:
    """After which the next client is served."""
    parrot.parts, parrot.resets = [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"], False
    whole = request("POST", "/Me/foo/", body=b"x", close=False)
    client = core.connect()
    client.sendall(noise + whole if first else whole + noise)
    client.shutdown(socket.SHUT_WR)
    read_all(client)

    assert b"hello" == body_of(core.ask(request("GET", "/Me/foo/")))


def test_nothing_is_left_behind(core: Core, parrot: Parrot) -> None:
    """After all of that: no lease, no place, and memory as before, also when a child never stops talking."""
    parrot.parts, parrot.resets = [b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1_000_000], False
    before = psutil.Process().memory_info().rss
    for _ in range(5):
        assert 502 == status_of(core.ask(request("GET", "/Me/foo/")))
    until(lambda: core.backends.leases == 0)

    assert 0 == core.door.waiting("foo")
    assert psutil.Process().memory_info().rss - before < GROWTH_BYTES_MAX
