"""The four conditions on the outer server, held against a real one: uvicorn with the door, and Flask beside it."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from a2wsgi import WSGIMiddleware
from flask import Flask
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

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
    status_of,
)

STREAMS = 500
STREAMS_BYTES_MAX = 30 * 1024 * 1024
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n"


def beside(door: Any) -> Any:
    """The door for `/Me/…`, Flask for everything else."""
    flask = Flask("beside")

    @flask.get("/health")
    def health() -> str:
        return "up"

    wsgi = WSGIMiddleware(flask, workers=2)  # type: ignore[arg-type]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (door if scope["path"].startswith("/Me/") else wsgi)(scope, receive, send)

    return app


class Child:
    """Speaks as each condition needs it, and tells when its peer is gone."""

    def __init__(self) -> None:
        self.gone = threading.Semaphore(0)
        self.seen = threading.Event()

    def __call__(self, peer: socket.socket) -> None:
        head = read_head(peer)
        if b"/upload" in head:
            assert peer.recv(100) == b"half"
            self.seen.set()
            assert peer.recv(100) == b"rest"
            peer.sendall(answer("200 OK", b"whole"))
        elif b"/events" in head:
            peer.sendall(EVENTS)
            try:
                peer.recv(1)
            finally:
                self.gone.release()


@pytest.fixture
def child() -> Child:
    """What the child saw."""
    return Child()


@pytest.fixture
def core(tmp_path: Path, child: Child) -> Iterator[Core]:
    """The core as it is served; clients, core and children are all in this process, so it needs many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8 * STREAMS
    if soft < wanted and (hard == resource.RLIM_INFINITY or hard >= wanted):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with RawChild(child) as raw, Core(Backends({"foo": raw.port}), tmp_path, wrap=beside) as running:
        yield running


def test_flask_answers_beside_the_door(core: Core) -> None:
    """Everything that is not below /Me/."""
    assert b"up" == body_of(core.ask(request("GET", "/health")))


def test_a_body_is_streamed_before_its_end(core: Core, child: Child) -> None:
    """Half of it is with the child while the client still holds the rest."""
    raw = request("POST", "/Me/foo/upload", body=b"halfrest")
    client = core.send(raw[:-4])
    assert child.seen.wait(DEADLINE_S)
    client.sendall(raw[-4:])

    assert client.recv(65536).endswith(b"whole")


def test_an_upgrade_is_proxied(core: Core, tmp_path: Path) -> None:
    """A WebSocket to the child, through the same port."""

    def echo(peer: ServerConnection) -> None:
        for message in peer:
            peer.send(message)

    with serve(echo, HOST, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        core.backends.ports["bar"] = server.socket.getsockname()[1]
        with connect(f"ws://{HOST}:{core.port}/Me/bar/", proxy=None) as client:
            client.send("hello")
            assert "hello" == client.recv(DEADLINE_S)
        server.shutdown()
        thread.join(DEADLINE_S)


def test_a_disconnect_is_seen_within_a_second(core: Core, child: Child) -> None:
    """By the child, in an idle event stream."""
    client = core.send(request("GET", "/Me/foo/events"))
    assert b"hello" in client.recv(65536)
    begun = time.monotonic()
    client.close()

    assert child.gone.acquire(timeout=1)
    assert time.monotonic() - begun < 1


def test_five_hundred_idle_streams_are_cheap(core: Core, child: Child) -> None:
    """Under 30 MB with the children's threads of this very process; and a request beside them is quick."""
    process = psutil.Process()
    core.ask(request("GET", "/health"))
    before = process.memory_info().rss
    clients = []
    for _ in range(STREAMS):
        client = core.send(request("GET", "/Me/foo/events"))
        clients.append(client)
    for client in clients:
        assert b"200 OK" in client.recv(65536)
    grown = process.memory_info().rss - before
    took_s = min(_timed(core) for _ in range(5))

    assert grown < STREAMS_BYTES_MAX
    assert took_s < 0.1
    assert STREAMS == core.backends.leases
    for client in clients:
        client.close()
    for _ in range(STREAMS):
        assert child.gone.acquire(timeout=DEADLINE_S)


def _timed(core: Core) -> float:
    begun = time.perf_counter()
    assert 200 == status_of(core.ask(request("GET", "/health")))
    return time.perf_counter() - begun
