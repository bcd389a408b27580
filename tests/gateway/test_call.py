"""The core's own requests to children: a due sync, a batch of events."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.gateway.call import ANSWER_BYTES_MAX
from core.gateway.request import Caller
from core.model.errors import (
    AnswerInvalid,
    BadRequest,
    ChildCut,
    ChildDied,
    ChildMute,
    CoolingDown,
    LockerError,
    NotFound,
)
from tests.gateway.house import Backends, Core, RawChild, answer, fields_of, read_head


def served(script: Callable[[socket.socket], object], tmp_path: Path, **backends: Any) -> Core:
    """A core whose child foo follows a script."""
    child = RawChild(script)
    core = Core(Backends({"foo": child.port}, **backends), tmp_path)
    core.closing.enter_context(child)
    return core


def post(core: Core, path: str = "/sync/entry", *, body: bytes = b"", timeout_s: float = 5.0, **fields: str) -> Any:
    """A POST of the core's own."""
    return core.run(core.door.call("foo", "POST", path, headers=fields, body=body, timeout_s=timeout_s))


def test_the_answer_comes_back_whole(tmp_path: Path) -> None:
    """With the core's proof, the path and query as given, and the body; whatever its status."""
    heads: list[bytes] = []

    def script(peer: socket.socket) -> None:
        for status in ("200 OK", "401 No", "500 Oh"):
            head = read_head(peer)
            heads.append(head + peer.recv(int(fields_of(head)["content-length"]) or 1))
            peer.sendall(answer(status, b'{"a":1}', "Content-Type: application/json"))

    with served(script, tmp_path) as core:
        answers = [
            post(core, "/cb/a%2Fb?x=%20", body=b"[1]", **{"Content-Type": "application/jsonl"}) for _ in range(3)
        ]

    assert [(200, b'{"a":1}'), (401, b'{"a":1}'), (500, b'{"a":1}')] == [(a.status, a.body) for a in answers]
    assert (b"content-type", b"application/json") in answers[0].headers
    assert heads[0].startswith(b"POST /cb/a%2Fb?x=%20 HTTP/1.1\r\n") and heads[0].endswith(b"\r\n\r\n[1]")
    assert ("core", "all") == (fields_of(heads[0])["x-locker-actor"], fields_of(heads[0])["x-locker-scopes"])
    assert 0 == core.backends.leases


def test_a_request_for_somebody_says_for_whom(tmp_path: Path) -> None:
    """What the owner asks for on a page reaches the child as the owner's."""
    heads: list[bytes] = []

    def script(peer: socket.socket) -> None:
        heads.append(read_head(peer))
        peer.sendall(answer("200 OK", b""))

    with served(script, tmp_path) as core:
        caller = Caller("owner", ("all",))
        core.run(core.door.call("foo", "POST", "/sync", headers={}, body=b"", timeout_s=5.0, caller=caller))

    assert ("owner", "all") == (fields_of(heads[0])["x-locker-actor"], fields_of(heads[0])["x-locker-scopes"])


def test_a_sleeping_child_is_started_outside_the_time(tmp_path: Path) -> None:
    """The start has its own deadline."""

    async def start(_service_id: str) -> None:
        await asyncio.sleep(0.4)

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(answer("200 OK", b""))

    with served(script, tmp_path, start=start) as core:
        assert 200 == post(core, timeout_s=0.2).status


@pytest.mark.parametrize("opening", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab"])
def test_the_time_covers_the_whole_answer(tmp_path: Path, opening: bytes) -> None:
    """A child that says nothing, or only begins."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(opening)
        peer.recv(1)

    with served(script, tmp_path) as core:
        begun = time.monotonic()
        with pytest.raises(ChildMute):
            post(core, timeout_s=0.3)

        assert time.monotonic() - begun < 3
        assert 0 == core.backends.leases


def test_a_long_time_is_waited_for(tmp_path: Path) -> None:
    """Longer than the usual limit of a request, if the caller says so."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        time.sleep(0.5)
        peer.sendall(answer("200 OK", b""))

    with served(script, tmp_path) as core:
        core.door._limits = type(core.door._limits)(first_byte_s=0.1)

        assert 200 == post(core, timeout_s=5).status


@pytest.mark.parametrize("size", [ANSWER_BYTES_MAX, ANSWER_BYTES_MAX + 1])
def test_the_answer_is_bound(tmp_path: Path, size: int) -> None:
    """Just at the bound it is kept, just over it is refused."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(answer("200 OK", b"x" * size))

    with served(script, tmp_path) as core:
        if size <= ANSWER_BYTES_MAX:
            assert size == len(post(core).body)
        else:
            with pytest.raises(AnswerInvalid):
                post(core)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(b"", ChildDied), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", ChildCut), (b"x\r\n", AnswerInvalid)],
)
def test_what_breaks_is_raised(tmp_path: Path, raw: bytes, kind: type[LockerError]) -> None:
    """For the caller to decide; it is never sent twice."""
    heads: list[bytes] = []

    def script(peer: socket.socket) -> None:
        heads.append(read_head(peer))
        peer.sendall(raw)

    with served(script, tmp_path) as core:
        with pytest.raises(kind):
            post(core)

        assert 1 == len(heads)


def test_what_cannot_be_asked_is_raised(tmp_path: Path) -> None:
    """An unknown service, a path that leaves it, a start that fails; a large body is sent whole."""
    received = [0]

    async def start(_service_id: str) -> None:
        raise CoolingDown("foo keeps crashing")

    def script(peer: socket.socket) -> None:
        head = read_head(peer)
        left = int(fields_of(head)["content-length"])
        while left:
            piece = peer.recv(65536)
            received[0] += len(piece)
            left -= len(piece)
        peer.sendall(answer("200 OK", b""))

    with served(script, tmp_path) as core:
        with pytest.raises(NotFound):
            core.run(core.door.call("nobody", "POST", "/x", headers={}, body=b"", timeout_s=1))
        with pytest.raises(BadRequest):
            post(core, "/../bar/x")
        assert 200 == post(core, body=b"x" * 3_000_000).status
        assert 3_000_000 == received[0]
        core.backends.start = start
        with pytest.raises(CoolingDown):
            post(core)
