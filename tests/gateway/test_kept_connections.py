"""Connections to a child are kept and used again, never for what cannot be sent twice."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from core.gateway.connection import IDLE_S_MAX
from tests.gateway.house import (
    DEADLINE_S,
    HOST,
    Backends,
    Core,
    RawChild,
    answer,
    body_of,
    read_head,
    request,
    scripted,
    status_of,
)


def test_connections_to_a_child_are_kept(echoing: tuple[Core, RawChild]) -> None:
    """One after another they share one; side by side each has its own."""
    core, child = echoing
    for _ in range(5):
        assert 200 == status_of(core.ask(request("GET", "/Me/foo/")))
        assert 200 == status_of(core.ask(request("POST", "/Me/foo/", body=b"x")))

    assert 1 == child.accepted


def test_another_start_of_the_child_gets_other_connections(echoing: tuple[Core, RawChild]) -> None:
    """Those of the earlier one are let go."""
    core, child = echoing
    core.ask(request("GET", "/Me/foo/"))
    core.backends.generation = 2
    core.ask(request("GET", "/Me/foo/"))
    core.ask(request("GET", "/Me/foo/"))

    assert 2 == child.accepted


def closing_after(count: int, seen: list[bytes]) -> Callable[[socket.socket], None]:
    """A child that answers so many requests per connection, then closes it when the next one comes."""

    def script(peer: socket.socket) -> None:
        for _ in range(count):
            seen.append(read_head(peer))
            peer.sendall(answer("200 OK", b"fine"))
        seen.append(b"late " + read_head(peer))

    return script


def test_a_stale_connection_costs_a_get_nothing(tmp_path: Path) -> None:
    """A request that is safe to repeat goes out once more, on a fresh connection."""
    seen: list[bytes] = []
    with scripted(closing_after(1, seen), tmp_path) as core:
        answers = [core.ask(request("GET", f"/Me/foo/{n}")) for n in range(2)]

    assert [200, 200] == [status_of(a) for a in answers]
    assert [b"GET /0", b"late GET /1", b"GET /1"] == [s.split(b" HTTP")[0] for s in seen]


def test_a_post_is_never_sent_twice(tmp_path: Path) -> None:
    """After its first byte went out its fate is unknown: the client is told so."""
    seen: list[bytes] = []
    with scripted(closing_after(1, seen), tmp_path) as core:
        core.ask(request("GET", "/Me/foo/0"))
        response = core.ask(request("POST", "/Me/foo/1", body=b""))

    assert 502 == status_of(response)
    assert [b"GET /0", b"late POST /1"] == [s.split(b" HTTP")[0] for s in seen]


def test_a_get_is_repeated_once_only(tmp_path: Path) -> None:
    """A child that closes on fresh connections too is dead."""
    seen: list[bytes] = []
    with scripted(closing_after(0, seen), tmp_path) as core:
        response = core.ask(request("GET", "/Me/foo/"))

    assert (502, 1) == (status_of(response), len(seen))
    assert "child_died" == json.loads(body_of(response))["type"]


def test_a_get_with_a_body_is_not_repeated(tmp_path: Path) -> None:
    """Its body has gone by."""
    seen: list[bytes] = []
    with scripted(closing_after(1, seen), tmp_path) as core:
        core.ask(request("GET", "/Me/foo/0"))
        response = core.ask(request("GET", "/Me/foo/1", body=b"x"))

    assert (502, 2) == (status_of(response), len(seen))


def test_an_idle_connection_that_the_child_closed_is_not_used(tmp_path: Path) -> None:
    """No byte was sent on it, so any request may take another one."""
    closed = threading.Event()

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(answer("200 OK", b"fine"))
        peer.close()
        closed.set()

    with scripted(script, tmp_path) as core:
        core.ask(request("GET", "/Me/foo/"))
        assert closed.wait(DEADLINE_S)
        time.sleep(0.05)  # The close has to travel; used too early, this request would be a 502 for a good reason.
        response = core.ask(request("POST", "/Me/foo/", body=b"x"))

    assert 200 == status_of(response)


def test_bytes_nobody_asked_for_end_the_connection(tmp_path: Path) -> None:
    """They would be taken for the next answer."""
    said = threading.Event()
    count = [0]

    def script(peer: socket.socket) -> None:
        count[0] += 1
        read_head(peer)
        peer.sendall(answer("200 OK", b"fine"))
        if count[0] == 1:
            time.sleep(0.05)
            peer.sendall(answer("200 OK", b"poison"))
            said.set()
        read_head(peer)

    with scripted(script, tmp_path) as core:
        core.ask(request("GET", "/Me/foo/"))
        assert said.wait(DEADLINE_S)
        time.sleep(0.05)

        assert b"fine" == body_of(core.ask(request("GET", "/Me/foo/")))
        assert 2 == count[0]


def test_a_second_answer_in_the_same_breath_is_not_kept(tmp_path: Path) -> None:
    """The client gets the first one; the connection is let go."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(answer("200 OK", b"first") + answer("200 OK", b"second"))
        read_head(peer)

    with scripted(script, tmp_path) as core:
        answers = [body_of(core.ask(request("GET", "/Me/foo/"))) for _ in range(3)]

    assert [b"first"] * 3 == answers


def test_a_refused_connection_is_reported_and_a_502(tmp_path: Path) -> None:
    """The supervisor learns that the child is not there."""
    with socket.create_server((HOST, 0)) as gone:
        port = gone.getsockname()[1]
    with Core(Backends({"foo": port}), tmp_path) as core:
        response = core.ask(request("GET", "/Me/foo/"))

    assert (502, "child_died") == (status_of(response), json.loads(body_of(response))["type"])
    assert [port] == [endpoint.port for endpoint in core.backends.dead]


def test_idle_connections_are_let_go_before_the_child_would(tmp_path: Path) -> None:
    """Common servers close after five seconds."""
    closed = threading.Event()

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(answer("200 OK", b"fine"))
        if peer.recv(1) == b"":
            closed.set()

    with scripted(script, tmp_path) as core:
        core.ask(request("GET", "/Me/foo/"))

        assert IDLE_S_MAX < 5
        assert closed.wait(3 * IDLE_S_MAX)
