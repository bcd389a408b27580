"""A real core door and real little children for it: uvicorn in a thread, raw sockets on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from core.gateway import Door, FrontLimits, GatewayLimits, open_listener, server_config
from core.model.errors import NotFound

DEADLINE_S = 20.0
HOST = "127.0.0.1"
TOKEN = "t" * 43
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Endpoint:
    """Where a child listens."""

    port: int
    token: str = TOKEN
    generation: int = 1
    service_id: str = "foo"


@dataclass
class Backends:
    """The supervisor's part, played: knows services by id and starts them as a test says."""

    ports: dict[str, int] = field(default_factory=dict)
    generation: int = 1
    start: Callable[[str], Any] | None = None
    faults: dict[str, Exception] = field(default_factory=dict)
    doors: tuple[str, ...] = ()
    dead: list[Endpoint] = field(default_factory=list)
    leases: int = 0
    leases_seen: int = 0

    def check(self, service_id: str, *, starts_sync: bool) -> None:
        if service_id in self.faults:
            raise self.faults[service_id]
        if service_id not in self.ports:
            raise NotFound(f"there is no service {service_id!r}")

    async def ensure_running(self, service_id: str) -> Endpoint:
        if self.start is not None:
            await self.start(service_id)
        return Endpoint(self.ports[service_id], generation=self.generation, service_id=service_id)

    @contextmanager
    def lease(self, service_id: str) -> Iterator[None]:
        self.leases += 1
        self.leases_seen += 1
        try:
            yield
        finally:
            self.leases -= 1

    def report_dead(self, endpoint: Any) -> None:
        self.dead.append(endpoint)

    def open_doors(self, service_id: str) -> tuple[str, ...]:
        return self.doors


class Core:
    """A door behind a real uvicorn, on an event loop of its own thread."""

    def __init__(
        self,
        backends: Backends,
        spool: Path,
        *,
        limits: GatewayLimits | None = None,
        front: FrontLimits | None = None,
        wrap: Callable[[Any], Any] = lambda door: door,
    ) -> None:
        self.backends = backends
        self._limits = limits or GatewayLimits()
        self._front = front or FrontLimits()
        self._spool = spool
        self._wrap = wrap
        self._ready = threading.Event()
        self.listener = open_listener(HOST, 0)
        self.port: int = self.listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.closing = ExitStack()

    def __enter__(self) -> Core:
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        self.closing.close()

    def _run(self) -> None:
        uvloop.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.door = Door(backends=self.backends, limits=self._limits, spool_folder=self._spool)
        config = server_config(self._wrap(self.door), host=HOST, port=self.port, limits=self._front, stop_grace_s=1)
        self.server = uvicorn.Server(config)
        self.loop.call_soon(self._ready.set)
        await self.server.serve(sockets=[self.listener])
        await self.door.close()

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the core's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE_S)

    def connect(self) -> socket.socket:
        """A client's socket, closed with the core at the latest."""
        return self.closing.enter_context(socket.create_connection((HOST, self.port), timeout=DEADLINE_S))

    def send(self, raw: bytes) -> socket.socket:
        """A client that has asked and waits."""
        client = self.connect()
        client.sendall(raw)
        return client

    def ask(self, raw: bytes) -> bytes:
        """Everything the core says to `raw` until it closes."""
        with self.connect() as client:
            client.sendall(raw)
            return read_all(client)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class RawChild:
    """A child made of bytes: `script` gets each accepted socket in a thread of its own."""

    def __init__(self, script: Callable[[socket.socket], object]) -> None:
        self._script = script
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self.heads: list[bytes] = []
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> RawChild:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for peer in self._sockets:
            shut(peer)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._sockets.append(peer)
            self._speak_to(peer)

    def _speak_to(self, peer: socket.socket) -> None:
        threading.Thread(target=self._speak, args=(peer,), daemon=True).start()

    def _speak(self, peer: socket.socket) -> None:
        peer.settimeout(DEADLINE_S)
        try:
            with suppress(OSError):
                self._script(peer)
        finally:
            shut(peer)


def shut(peer: socket.socket) -> None:
    """Close for good, whoever else holds it."""
    with suppress(OSError):
        peer.shutdown(socket.SHUT_RDWR)
    peer.close()


def read_all(peer: socket.socket) -> bytes:
    """Bytes until the other side closes; a reset counts as the end."""
    data = b""
    with suppress(ConnectionResetError):
        while piece := peer.recv(65536):
            data += piece
    return data


def read_head(peer: socket.socket) -> bytes:
    """One head, byte by byte so that nothing of the body is taken."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = peer.recv(1)
        if not piece:
            raise ConnectionResetError("closed before the head")
        head += piece
    return head


def answer(status: str, body: bytes, *fields: str) -> bytes:
    """A whole response."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def request(method: str, path: str, *fields: str, body: bytes = b"", close: bool = True) -> bytes:
    """A whole request; the core closes after it unless told otherwise."""
    lines = [f"{method} {path} HTTP/1.1", "Host: locker.localhost", *fields]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def status_of(response: bytes) -> int:
    """The status of a raw response."""
    return int(response.split(b" ", 2)[1])


def body_of(response: bytes) -> bytes:
    """The body of a raw response, chunks joined; raises when it is not whole."""
    head, _, rest = response.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return rest
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            assert rest == b"\r\n"
            return body
        assert rest[length : length + 2] == b"\r\n"
        body, rest = body + rest[:length], rest[length + 2 :]


def fields_of(response: bytes) -> dict[str, str]:
    """The header fields of a raw response."""
    head = response.partition(b"\r\n\r\n")[0].decode("latin-1")
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])}


def short(limits: GatewayLimits | None = None, **changes: Any) -> GatewayLimits:
    """Limits with some of them small."""
    return replace(limits or GatewayLimits(), **changes)


def read_body(peer: socket.socket, head: bytes) -> bytes:
    """A request's body as its head declares it."""
    length = int(fields_of(head).get("content-length", 0))
    body = b""
    if fields_of(head).get("transfer-encoding") == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += peer.recv(65536)
        return body_of(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body)
    while len(body) < length:
        piece = peer.recv(65536)
        if not piece:
            raise ConnectionResetError
        body += piece
    return body


def echo(peer: socket.socket) -> None:
    """A child that tells what it was asked, as JSON, over kept-alive connections."""
    while True:
        head = read_head(peer)
        body = read_body(peer, head)
        line, _, _ = head.partition(b"\r\n")
        told = {"line": line.decode("latin-1"), "fields": fields_of(head), "body": body.decode("latin-1")}
        payload = json.dumps(told).encode()
        if line.startswith(b"HEAD"):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(payload))
        else:
            peer.sendall(answer("200 OK", payload, "Content-Type: application/json"))


def scripted(script: Callable[[socket.socket], None], tmp_path: Path, **limits: float) -> Core:
    """A core whose child foo follows a script, not yet entered."""
    child = RawChild(script)
    core = Core(Backends({"foo": child.port}), tmp_path, limits=short(**limits))
    core.closing.enter_context(child)
    return core
