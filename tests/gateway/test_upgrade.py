"""WebSockets pass both ways, keep their subprotocol and close codes, and are bounded."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from core.gateway.limits import MESSAGE_BYTES_MAX
from core.model.errors import ServiceDisabled
from tests.gateway.house import DEADLINE_S, HOST, TOKEN, Backends, Core, RawChild, answer, read_head, short, until

Handler = Callable[[ServerConnection], Awaitable[None]]


@contextmanager
def child_of(handler: Handler, **options: Any) -> Iterator[int]:
    """A child that speaks WebSocket, on an event loop of its own thread; gives its port."""
    ready: list[Any] = []
    up = threading.Event()

    async def main() -> None:
        options.setdefault("subprotocols", None)
        async with serve(handler, HOST, 0, max_size=2 * MESSAGE_BYTES_MAX, **options) as server:
            stop = asyncio.get_running_loop().create_future()
            ready.extend([server.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop])
            up.set()
            await stop

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert up.wait(DEADLINE_S)
    try:
        yield ready[0]
    finally:
        ready[1].call_soon_threadsafe(ready[2].set_result, None)
        thread.join(DEADLINE_S)


async def echo(peer: ServerConnection) -> None:
    """Say what was said."""
    async for message in peer:
        await peer.send(message)


def open_to(core: Core, path: str = "/Me/foo/ws", **options: Any) -> ClientConnection:
    """A client's WebSocket through the core."""
    options.setdefault("max_size", None)
    return connect(f"ws://{HOST}:{core.port}{path}", proxy=None, compression=None, **options)


@contextmanager
def house(handler: Handler, tmp_path: Path, **options: Any) -> Iterator[Core]:
    """A core with such a child named foo."""
    with child_of(handler, **options) as port, Core(Backends({"foo": port}), tmp_path) as core:
        yield core


def test_text_and_bytes_pass_both_ways(tmp_path: Path) -> None:
    """Each as what it is, in order, empty and large ones too."""
    messages: list[str | bytes] = ["grüße", b"\x00\xff", "", b"", "x" * 200_000, b"y" * 1_000_000]
    with house(echo, tmp_path) as core, open_to(core) as client:
        for message in messages:
            client.send(message)

        assert messages == [client.recv(DEADLINE_S) for _ in messages]


def test_a_child_may_speak_first_and_alone(tmp_path: Path) -> None:
    """A thousand messages, none lost, and its close ends it."""

    async def handler(peer: ServerConnection) -> None:
        for number in range(1000):
            await peer.send(str(number))

    with house(handler, tmp_path) as core, open_to(core) as client:
        assert [str(number) for number in range(1000)] == list(client)
        assert (CloseCode.NORMAL_CLOSURE, "") == (client.close_code, client.close_reason)


def test_the_handshake_carries_what_a_request_would(tmp_path: Path) -> None:
    """Path and query untouched, the core's own fields, cookies without the core's, no credentials."""
    seen: dict[str, Any] = {}

    async def handler(peer: ServerConnection) -> None:
        assert peer.request is not None
        seen.update(path=peer.request.path, **{k.lower(): v for k, v in peer.request.headers.raw_items()})

    fields = {
        "Cookie": "locker_session=secret; a=b", "Authorization": "Bearer x", "X-Locker-Actor": "owner", "X-Thing": "1",
    }  # fmt: skip
    with (
        house(handler, tmp_path) as core,
        open_to(core, "/Me/foo/a%2Fb;c=d?x=%20", additional_headers=fields, origin="http://locker.localhost") as client,
    ):  # type: ignore[arg-type]
        list(client)

    assert "/a%2Fb;c=d?x=%20" == seen["path"]
    assert (TOKEN, "nobody", "a=b", "1") == (
        seen["x-locker-token"],
        seen["x-locker-actor"],
        seen["cookie"],
        seen["x-thing"],
    )
    assert "http://locker.localhost" == seen["origin"]
    assert "authorization" not in seen


def test_the_subprotocol_is_the_childs_choice(tmp_path: Path) -> None:
    """Of those the client offers."""
    with (
        house(echo, tmp_path, subprotocols=[Subprotocol("two")]) as core,
        open_to(core, subprotocols=[Subprotocol("one"), Subprotocol("two")]) as client,
    ):
        assert "two" == client.subprotocol


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1000, "done"), (1001, "off"), (4321, "ä" * 50), (1011, "x")])
def test_the_childs_close_code_reaches_the_client(tmp_path: Path, code: int, reason: str) -> None:
    """With its reason."""

    async def handler(peer: ServerConnection) -> None:
        await peer.close(code, reason)

    with house(handler, tmp_path) as core, open_to(core) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE_S)

        assert (code, reason) == (client.close_code, client.close_reason)


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (1001, ""), (3456, "bye")])
def test_the_clients_close_code_reaches_the_child(tmp_path: Path, code: int, reason: str) -> None:
    """With its reason, at once."""
    seen: list[tuple[int | None, str | None]] = []
    ended = threading.Event()

    async def handler(peer: ServerConnection) -> None:
        await peer.wait_closed()
        seen.append((peer.close_code, peer.close_reason))
        ended.set()

    with house(handler, tmp_path) as core, open_to(core) as client:
        begun = time.monotonic()
        client.close(code, reason)

        assert ended.wait(DEADLINE_S) and time.monotonic() - begun < 1
        assert [(code, reason)] == seen
        until(lambda: core.backends.leases == 0)


def test_a_client_that_vanishes_ends_the_childs_side(tmp_path: Path) -> None:
    """Without a word of farewell."""
    ended = threading.Event()

    async def handler(peer: ServerConnection) -> None:
        await peer.wait_closed()
        ended.set()

    with house(handler, tmp_path) as core, open_to(core) as client:
        client.socket.shutdown(socket.SHUT_RDWR)

        assert ended.wait(DEADLINE_S)


def test_a_child_that_vanishes_is_told_as_an_error(tmp_path: Path) -> None:
    """A broken connection is not a clean end."""

    async def handler(peer: ServerConnection) -> None:
        peer.transport.abort()

    with house(handler, tmp_path) as core, open_to(core) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE_S)

        assert 1011 == client.close_code


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_child_that_refuses_answers_the_client_itself(tmp_path: Path, status: int) -> None:
    """Its status and body pass."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(answer(f"{status} No", b"not here", "X-Thing: 1", "Set-Cookie: locker_session=evil"))

    with RawChild(script) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
        with pytest.raises(InvalidStatus) as refusal:
            open_to(core)

        response = refusal.value.response
        assert (status, b"not here", "1") == (response.status_code, response.body, response.headers["X-Thing"])
        assert "Set-Cookie" not in response.headers


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """The core's proof goes to the child alone; the client is told the redirect, judged like any other."""
    elsewhere = threading.Event()

    def trap(peer: socket.socket) -> None:
        read_head(peer)
        elsewhere.set()

    with RawChild(trap) as other:

        def script(peer: socket.socket) -> None:
            read_head(peer)
            peer.sendall(answer("302 Found", b"", f"Location: http://127.0.0.1:{other.port}/"))

        with RawChild(script) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
            with pytest.raises(InvalidStatus) as refusal:
                open_to(core)

            assert 502 == refusal.value.response.status_code
            assert not elsewhere.is_set()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    ],
)
def test_a_child_that_cannot_shake_hands_is_a_502(tmp_path: Path, raw: bytes) -> None:
    """It closes, babbles, or gets the proof wrong."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(raw)

    with RawChild(script) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
        with pytest.raises(InvalidStatus) as refusal:
            open_to(core)

        assert 502 == refusal.value.response.status_code
        assert "application/problem+json" == refusal.value.response.headers["Content-Type"]
        until(lambda: core.backends.leases == 0)


def test_a_mute_child_is_a_504(tmp_path: Path) -> None:
    """Within the first byte's deadline."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.recv(1)

    with (
        RawChild(script) as child,
        Core(Backends({"foo": child.port}), tmp_path, limits=short(first_byte_s=0.2)) as core,
    ):
        with pytest.raises(InvalidStatus) as refusal:
            open_to(core)

        assert 504 == refusal.value.response.status_code


def test_a_refused_connection_is_reported(tmp_path: Path) -> None:
    """As for any request."""
    with socket.create_server((HOST, 0)) as gone:
        port = gone.getsockname()[1]
    with Core(Backends({"foo": port}), tmp_path) as core:
        with pytest.raises(InvalidStatus) as refusal:
            open_to(core)

        assert 502 == refusal.value.response.status_code
        assert [port] == [endpoint.port for endpoint in core.backends.dead]


@pytest.mark.parametrize(
    ("path", "status"), [("/Me/nobody/", 404), ("/Me/off/", 503), ("/Me/foo/%2e%2e/x", 400), ("/Me/", 404)]
)
def test_what_is_refused_is_refused_as_a_problem(tmp_path: Path, path: str, status: int) -> None:
    """Before the handshake is answered."""
    backends = Backends({"foo": 1, "off": 1}, faults={"off": ServiceDisabled("off is switched off")})
    with Core(backends, tmp_path) as core:
        with pytest.raises(InvalidStatus) as refusal:
            open_to(core, path)

        response = refusal.value.response
        assert status == response.status_code == json.loads(response.body or b"")["status"]


def test_a_client_may_leave_while_the_child_starts(tmp_path: Path) -> None:
    """Its place and lease are given back."""
    waiting = threading.Event()

    async def start(_service_id: str) -> None:
        waiting.set()
        await asyncio.sleep(DEADLINE_S)

    with Core(Backends({"foo": 1}, start=start), tmp_path) as core:
        client = core.send(
            b"GET /Me/foo/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert waiting.wait(DEADLINE_S)
        assert 1 == core.backends.leases
        client.close()
        until(lambda: not core.backends.leases and not core.door.waiting("foo"))


def test_an_upgrade_outlives_the_silence_limit(tmp_path: Path) -> None:
    """It ends when either side does."""
    with (
        child_of(echo) as port,
        Core(Backends({"foo": port}), tmp_path, limits=short(silence_s=0.1, first_byte_s=0.1)) as core,
        open_to(core) as client,
    ):
        time.sleep(0.5)
        client.send("still here")

        assert "still here" == client.recv(DEADLINE_S)


@pytest.mark.parametrize("size", [MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX + 1])
@pytest.mark.parametrize("from_child", [True, False])
def test_a_message_has_a_size_limit_each_way(tmp_path: Path, size: int, from_child: bool) -> None:
    """Just at the bound it passes, just over it ends the connection with 1009."""

    async def handler(peer: ServerConnection) -> None:
        if from_child:
            await peer.send(b"x" * size)
        else:
            await peer.send(str(len(await peer.recv())))

    with house(handler, tmp_path) as core, open_to(core) as client:
        try:
            if not from_child:
                client.send(b"x" * size)
            passed = int(len(client.recv(DEADLINE_S)) if from_child else client.recv(DEADLINE_S)) == size
        except ConnectionClosed:
            passed = False

        assert passed == (size <= MESSAGE_BYTES_MAX)


def test_a_slow_client_slows_the_child(tmp_path: Path) -> None:
    """What it does not read is not taken from the child."""
    sent = [0]

    async def handler(peer: ServerConnection) -> None:
        while True:
            await peer.send(b"x" * 100_000)
            sent[0] += 100_000

    with house(handler, tmp_path) as core:
        client = core.send(
            b"GET /Me/foo/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        level = -1
        while level != sent[0]:
            level = sent[0]
            time.sleep(0.3)

        assert 0 < level < 30_000_000
        client.close()
