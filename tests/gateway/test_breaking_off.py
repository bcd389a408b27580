"""Exchanges that break off or stall: both sides are told, and let go within their limits."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.gateway.house import (
    CHUNKED,
    DEADLINE_S,
    EVENTS,
    HOST,
    answer,
    body_of,
    read_all,
    read_body,
    read_head,
    request,
    scripted,
    status_of,
    until,
)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"64\r\nabc",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
        CHUNKED + b"3\r\nabc\r\nzz",
    ],
)
@pytest.mark.parametrize("resets", [False, True])
def test_child_dies_mid_request(tmp_path: Path, raw: bytes, resets: bool) -> None:
    """An answer that breaks off is an error at the client, never a silent end."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(raw)
        time.sleep(0.1)
        if resets:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            peer.close()

    with scripted(script, tmp_path) as core:
        client = http.client.HTTPConnection(HOST, core.port, timeout=DEADLINE_S)
        client.request("GET", "/Me/foo/")
        response = client.getresponse()
        assert 200 == response.status
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
        client.close()
        until(lambda: core.backends.leases == 0)


def test_a_child_that_dies_before_its_answer_is_a_502(tmp_path: Path) -> None:
    """Once, for each that waited; nothing hangs."""

    def script(peer: socket.socket) -> None:
        read_body(peer, read_head(peer))

    with scripted(script, tmp_path) as core:
        codes = [status_of(core.ask(request("POST", "/Me/foo/", body=b"x" * size))) for size in (0, 10, 3_000_000)]

    assert [502, 502, 502] == codes


def test_a_child_that_dies_in_an_upload_leaves_nothing_running(tmp_path: Path) -> None:
    """Nobody waits on for the rest of a body that nobody wants any more."""

    async def tasks() -> int:
        return len(asyncio.all_tasks())

    with scripted(read_head, tmp_path) as core:
        before = core.run(tasks())
        with core.connect() as client:
            client.sendall(
                request("PUT", "/Me/foo/", "Content-Length: 9").replace(b"Content-Length: 0\r\n", b"") + b"x"
            )
            response = read_all(client)
        until(lambda: core.backends.leases == 0)
        time.sleep(0.1)

        assert 502 == status_of(response)
        assert before == core.run(tasks())


def test_a_mute_child_is_a_504_within_its_deadline(tmp_path: Path) -> None:
    """And its connection is not used again."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.recv(1)

    with scripted(script, tmp_path, first_byte_s=0.2) as core:
        begun = time.monotonic()
        response = core.ask(request("GET", "/Me/foo/"))

    assert (504, "child_mute") == (status_of(response), json.loads(body_of(response))["type"])
    assert 0.2 <= time.monotonic() - begun < 5


def test_a_request_may_ask_for_more_patience(tmp_path: Path) -> None:
    """`wait_s` and a margin, instead of the usual limit."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        time.sleep(0.5)
        peer.sendall(answer("200 OK", b"late"))

    with scripted(script, tmp_path, first_byte_s=0.2) as core:
        response = core.ask(request("POST", "/Me/foo/sync?wait_s=1"))

    assert 200 == status_of(response)


def test_the_deadline_counts_from_the_end_of_the_upload(tmp_path: Path) -> None:
    """A slow client is not the child's fault."""

    def script(peer: socket.socket) -> None:
        head = read_head(peer)
        peer.sendall(answer("200 OK", read_body(peer, head)))

    with scripted(script, tmp_path, first_byte_s=0.3, silence_s=0.5) as core, core.connect() as client:
        client.sendall(request("PUT", "/Me/foo/", "Content-Length: 5").replace(b"Content-Length: 0\r\n", b""))
        for letter in (b"a", b"b", b"c", b"d", b"e"):
            time.sleep(0.15)
            client.sendall(letter)

        assert b"abcde" == body_of(read_all(client))


def test_a_client_that_stops_sending_is_told(tmp_path: Path) -> None:
    """And the child is let go."""
    gone = threading.Event()

    def script(peer: socket.socket) -> None:
        head = read_head(peer)
        try:
            read_body(peer, head)
        except OSError:
            gone.set()

    with scripted(script, tmp_path, silence_s=0.3) as core, core.connect() as client:
        client.sendall(request("PUT", "/Me/foo/", "Content-Length: 5").replace(b"Content-Length: 0\r\n", b"") + b"ab")

        assert 400 == status_of(read_all(client))
        assert gone.wait(DEADLINE_S)


def test_silence_in_the_middle_of_an_answer_ends_it(tmp_path: Path) -> None:
    """Visibly."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(CHUNKED + b"3\r\nabc\r\n")
        peer.recv(1)

    with scripted(script, tmp_path, silence_s=0.2) as core:
        response = core.ask(request("GET", "/Me/foo/"))

    assert response.endswith(b"3\r\nabc\r\n")


def test_chunk_extensions_without_a_body_are_silence(tmp_path: Path) -> None:
    """Bytes that lead nowhere do not keep an answer alive."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(CHUNKED + b"3;")
        while True:
            peer.sendall(b"x")
            time.sleep(0.02)

    with scripted(script, tmp_path, silence_s=0.3) as core:
        response = core.ask(request("GET", "/Me/foo/"))

    assert 200 == status_of(response)


def test_an_event_stream_may_be_silent(tmp_path: Path) -> None:
    """It ends when either side does."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(EVENTS)
        time.sleep(0.6)
        peer.sendall(b"data: 1\n\n")

    with scripted(script, tmp_path, first_byte_s=0.2, silence_s=0.2) as core:
        response = core.ask(request("GET", "/Me/foo/"))

    assert b"data: 1\n\n" == body_of(response)


@pytest.mark.parametrize("opening", [b"", EVENTS, CHUNKED + b"3\r\nabc\r\n"])
def test_a_client_that_leaves_ends_the_childs_side_at_once(tmp_path: Path, opening: bytes) -> None:
    """Before the answer, in an event stream, in the middle of a body; and the lease is given back."""
    asked, gone = threading.Event(), threading.Event()

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(opening)
        asked.set()
        try:
            if not peer.recv(1):
                gone.set()
        except ConnectionResetError:
            gone.set()

    with scripted(script, tmp_path) as core:
        client = core.connect()
        client.sendall(request("GET", "/Me/foo/"))
        assert asked.wait(DEADLINE_S)
        time.sleep(0.1)
        begun = time.monotonic()
        client.close()

        assert gone.wait(DEADLINE_S)
        assert time.monotonic() - begun < 1
        until(lambda: core.backends.leases == 0)
        assert 1 == core.backends.leases_seen


def test_a_client_that_leaves_in_its_upload_cuts_it_for_the_child(tmp_path: Path) -> None:
    """The child never takes half a body for the whole."""
    seen: list[bytes] = []
    done = threading.Event()

    def script(peer: socket.socket) -> None:
        read_head(peer)
        seen.append(read_all(peer))
        done.set()

    with scripted(script, tmp_path) as core:
        client = core.connect()
        client.sendall(b"POST /Me/foo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        time.sleep(0.2)
        client.close()

        assert done.wait(DEADLINE_S)
        assert not seen[0].endswith(b"0\r\n\r\n")


def test_a_client_that_reads_nothing_holds_little_and_not_for_ever(tmp_path: Path) -> None:
    """The child is read no faster than the client; after the limit both are let go."""
    sent = [0]
    ended = threading.Event()

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                sent[0] += peer.send(b"x" * 65536)
        except OSError:
            ended.set()
            raise

    with scripted(script, tmp_path, silence_s=0.5) as core, core.connect() as client:
        client.sendall(request("GET", "/Me/foo/"))

        assert ended.wait(DEADLINE_S)
        assert sent[0] < 30_000_000
