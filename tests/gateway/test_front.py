"""What a hostile client may do before anybody has judged it: not much, and not for long."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.gateway import FrontLimits, open_listener
from core.gateway.front import FRAMING_BYTES_MAX, PIPELINED_MAX
from core.gateway.limits import HEAD_BYTES_MAX, HEAD_FIELDS_MAX
from core.gateway.server import DESCRIPTORS_WANTED
from core.model.errors import PortTaken
from tests.gateway.house import (
    DEADLINE_S,
    HOST,
    Backends,
    Core,
    RawChild,
    answer,
    body_of,
    fields_of,
    read_all,
    read_head,
    request,
    status_of,
    until,
)

POST = b"POST /Me/foo/ HTTP/1.1\r\nHost: a\r\n"
QUICK = FrontLimits(head_s=0.3, keep_alive_s=1, body_window_s=0.3, body_window_bytes_min=10, connections_max=20)


class Told:
    """A child that keeps every byte it was sent, and says `fine` to each head."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def __call__(self, peer: socket.socket) -> None:
        while True:
            head = read_head(peer)
            self.heads.append(head)
            left = int(fields_of(head).get("content-length", 0))
            while left:
                left -= len(peer.recv(left))
            peer.sendall(answer("200 OK", b"fine"))


@pytest.fixture
def told() -> Told:
    """What the child heard."""
    return Told()


@pytest.fixture
def core(tmp_path: Path, told: Told, request: pytest.FixtureRequest) -> Iterator[Core]:
    """A core with that child, under the front limits a test names."""
    front = getattr(request, "param", FrontLimits())
    with RawChild(told) as child, Core(Backends({"foo": child.port}), tmp_path, front=front) as running:
        yield running


@pytest.mark.parametrize("core", [QUICK], indirect=True)
@pytest.mark.parametrize(
    "raw",
    [
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        POST + b"Content-Length: 3, 3\r\n\r\nabc",
        POST + b"Content-Length: +3\r\n\r\nabc",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 0x3\r\n\r\nabc",
        POST + b"Content-Length : 3\r\n\r\nabc",
        POST + b"Content-Length: 99999999999999999999\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        POST + b"X: a\r\n b\r\n\r\n",
        POST + b" X: a\r\n\r\n",
        POST + b"X: a\x00b\r\n\r\n",
        POST + b"X: a\rb\r\n\r\n",
        POST + b": a\r\n\r\n",
        POST + b"X\x00: a\r\n\r\n",
        b"GET /Me/foo/ HTTP/1.1\nHost: a\n\n",
        b"GET /Me/foo/ HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET /Me/foo/\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /Me/foo/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /Me/foo/ x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /Me/foo/ HTTP/1.2.3\r\nHost: a\r\n\r\n",
        b"GET /Me/foo/ HTTP/9.9\r\nHost: a\r\n\r\n",
        b"get /Me/foo/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(core: Core, told: Told, raw: bytes) -> None:
    """Smuggling needs two opinions on where a request ends: an ambiguous one reaches no child."""
    response = core.ask(raw)

    assert 400 == status_of(response)
    assert [] == told.heads


def test_bytes_after_a_request_are_another_request_for_the_core(core: Core, told: Told) -> None:
    """Never a part of what the child gets: it sees what the core framed."""
    inner = b"GET /Me/foo/smuggled HTTP/1.1\r\nHost: a\r\nX-Locker-Actor: owner\r\nConnection: close\r\n\r\n"
    core.ask(POST + b"Content-Length: 3\r\n\r\nabc" + inner)

    assert [b"POST / ", b"GET /smuggled "] == [head[: head.index(b"HTTP")] for head in told.heads]
    assert b"X-Locker-Actor: owner" not in told.heads[1]


@pytest.mark.parametrize("core", [QUICK], indirect=True)
def test_an_upgrade_to_something_else_is_an_ordinary_request(core: Core, told: Told) -> None:
    """Nothing is switched, and the child is not asked to."""
    response = core.ask(
        request("GET", "/Me/foo/", "Upgrade: h2c", "Connection: Upgrade", "HTTP2-Settings: x", close=False)
    )

    assert 200 == status_of(response)
    assert b"upgrade" not in told.heads[0].lower()


def test_an_absolute_address_is_read_by_its_path(core: Core, told: Told) -> None:
    """The host is judged by the Host field alone, by whoever judges it."""
    core.ask(b"GET http://evil.example/Me/foo/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    assert told.heads[0].startswith(b"GET /x HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(("count", "status"), [(HEAD_FIELDS_MAX, 200), (HEAD_FIELDS_MAX + 1, 431), (10_000, 431)])
def test_the_number_of_fields_is_bound(core: Core, count: int, status: int) -> None:
    """Just at the bound, just over, far over."""
    fields = b"".join(b"X: y\r\n" for _ in range(count - 2))

    assert status == status_of(
        core.ask(b"GET /Me/foo/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + fields + b"\r\n")
    )


@pytest.mark.parametrize("where", ["url", "value", "name"])
@pytest.mark.parametrize(("size", "status"), [(HEAD_BYTES_MAX - 300, 200), (HEAD_BYTES_MAX + 1, 431), (3_000_000, 431)])
def test_the_size_of_a_head_is_bound(core: Core, where: str, size: int, status: int) -> None:
    """Wherever its bytes are, and whether its end ever comes."""
    big = b"x" * size
    path = b"/Me/foo/" + (big if where == "url" else b"")
    name, value = (big if where == "name" else b"X"), (big if where == "value" else b"y")
    raw = b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b: %b\r\n\r\n" % (path, name, value)

    with core.connect() as client:
        try:
            client.sendall(raw if size < 1_000_000 else raw[:-4])
        except OSError:
            assert status == 431
        else:
            assert status == status_of(read_all(client))


def test_trailers_never_become_headers(core: Core, told: Told) -> None:
    """They come after access has judged the request."""
    core.backends.start = _a_moment
    core.ask(
        POST
        + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer x\r\nCookie: a=b\r\n\r\n"
    )

    assert b"Bearer" not in told.heads[0]
    assert b"ookie" not in told.heads[0]


async def _a_moment(_service_id: str) -> None:
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("junk", [b"3;" + b"x" * 1000, b"0\r\nT: " + b"x" * 1000])
def test_framing_that_never_ends_is_bound(core: Core, junk: bytes) -> None:
    """Chunk extensions and trailers carry nothing, so they may not go on."""
    with core.connect() as client:
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + junk)
        sent = 0
        with pytest.raises(OSError):
            while sent < 100 * FRAMING_BYTES_MAX:
                sent += client.send(b"x" * 1000)
                time.sleep(0.0005)


def test_many_requests_at_once_are_bound(core: Core, told: Told) -> None:
    """A few in a row are served in turn; a pile of them is not kept."""
    one = request("GET", "/Me/foo/", close=False)
    few = core.send(one * PIPELINED_MAX)
    data = b""
    while data.count(b"fine") < PIPELINED_MAX:
        data += few.recv(65536)
    pile = core.ask(one * (PIPELINED_MAX + 100))

    assert pile.count(b"HTTP/1.1 200") + 1 < PIPELINED_MAX + 100


def test_a_client_that_leaves_is_noticed_behind_a_second_request(tmp_path: Path) -> None:
    """Each request of the connection hears of it."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        peer.recv(1)

    with RawChild(script) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
        client = core.send(request("GET", "/Me/foo/", close=False))
        client.recv(65536)
        client.sendall(request("GET", "/Me/foo/", close=False))
        time.sleep(0.1)
        client.close()
        until(lambda: core.backends.leases == 0)


@pytest.mark.parametrize("core", [QUICK], indirect=True)
@pytest.mark.parametrize("first", [b"", b"G", b"GET /Me/foo/ HTTP/1.1\r\nHost: a\r\n", b"\r\n"])
def test_a_head_has_a_deadline_however_it_trickles(core: Core, first: bytes) -> None:
    """A byte now and then does not buy more time."""
    begun = time.monotonic()
    with core.connect() as client:
        client.sendall(first)
        client.settimeout(0.05)
        while True:
            assert time.monotonic() - begun < 5
            try:
                if client.recv(4096) == b"":
                    break
            except TimeoutError:
                try:
                    client.sendall(b"X" if first.strip() else first)
                except OSError:
                    break
            except OSError:
                break


@pytest.mark.parametrize("core", [QUICK], indirect=True)
def test_a_second_head_has_a_deadline_too(core: Core) -> None:
    """On a kept-alive connection as on a new one; blank lines are no request."""
    with core.connect() as client:
        client.sendall(request("GET", "/Me/foo/", close=False))
        assert b"fine" in client.recv(65536)
        begun = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - begun < 5:
                client.sendall(b"\r\n")
                time.sleep(0.05)


@pytest.mark.parametrize("core", [QUICK], indirect=True)
def test_a_body_that_trickles_is_ended(core: Core) -> None:
    """Fewer bytes in a window than the least; the client is told while nobody else has answered."""
    with core.connect() as client:
        client.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        client.settimeout(0.1)
        begun, data = time.monotonic(), b""
        while b"\r\n\r\n" not in data:
            assert time.monotonic() - begun < 5
            try:
                data += client.recv(4096)
            except TimeoutError:
                client.sendall(b"x")

    assert 408 == status_of(data)
    until(lambda: core.backends.leases == 0)


@pytest.mark.parametrize("core", [QUICK], indirect=True)
def test_a_steady_upload_is_left_alone(core: Core) -> None:
    """Slow is not hostile."""
    with core.connect() as client:
        client.sendall(POST + b"Connection: close\r\nContent-Length: 100\r\n\r\n")
        for _ in range(20):
            client.sendall(b"xxxxx")
            time.sleep(0.05)

        assert b"fine" == body_of(read_all(client))


@pytest.mark.parametrize("core", [QUICK], indirect=True)
def test_a_refused_body_is_not_read_for_ever(core: Core) -> None:
    """After the answer a client has a moment to finish, then the connection ends."""
    with core.connect() as client:
        client.sendall(b"POST /Me/nobody/ HTTP/1.1\r\nHost: a\r\nContent-Length: 60000000\r\n\r\n")
        assert 404 == status_of(client.recv(65536))
        begun = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - begun < 10:
                client.sendall(b"x")
                time.sleep(0.02)


def test_an_answer_before_the_bodys_end_leaves_the_connection_usable(core: Core) -> None:
    """If the client finishes its body at once."""
    with core.connect() as client:
        client.sendall(b"POST /Me/nobody/ HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n")
        first = client.recv(65536)
        client.sendall(b"x" * 600_000 + request("GET", "/Me/foo/"))
        second = read_all(client)

    assert (404, 200) == (status_of(first), status_of(second))


@pytest.mark.parametrize("core", [FrontLimits(connections_max=20, head_s=DEADLINE_S)], indirect=True)
def test_idle_connections_make_room_for_a_new_one(core: Core) -> None:
    """A crowd that says nothing does not keep the owner out."""
    crowd = [core.connect() for _ in range(60)]
    until(lambda: len(core.server.server_state.connections) <= 20)

    assert 200 == status_of(core.ask(request("GET", "/Me/foo/")))
    assert len(core.server.server_state.connections) <= 20
    assert 60 == len(crowd)


@pytest.mark.parametrize("core", [FrontLimits(connections_max=5)], indirect=True)
def test_busy_connections_are_not_ended_for_a_new_one(core: Core) -> None:
    """When all are in use the next is refused, and when one ends there is room again."""
    core.backends.start = _never
    busy = [core.send(request("GET", "/Me/foo/")) for _ in range(5)]
    until(lambda: core.backends.leases == 5)
    refused = core.ask(request("GET", "/Me/foo/"))
    busy[0].close()
    until(lambda: core.backends.leases == 4)
    core.backends.start = None
    core.backends.ports["bar"] = core.backends.ports["foo"]

    assert 503 == status_of(refused)
    assert 200 == status_of(core.ask(request("GET", "/Me/bar/")))


async def _never(_service_id: str) -> None:
    await asyncio.sleep(DEADLINE_S)


def test_a_client_that_never_reads_is_ended_by_the_kernel(tmp_path: Path) -> None:
    """Also when its answer is complete and only waits to be read: accepted sockets carry the limit."""
    listener = open_listener(HOST, 0)
    with listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
        assert 60_000 == accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


def test_a_taken_port_is_told_as_such() -> None:
    """It is never moved."""
    with socket.create_server((HOST, 0)) as other, pytest.raises(PortTaken):
        open_listener(HOST, other.getsockname()[1])


def test_room_for_descriptors_is_made() -> None:
    """The soft limit that most shells give is below what a thousand connections to children need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        open_listener(HOST, 0).close()
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert min(DESCRIPTORS_WANTED, hard if hard != resource.RLIM_INFINITY else DESCRIPTORS_WANTED) == allowed


def test_the_server_does_not_name_itself(core: Core) -> None:
    """No server field, one date."""
    response = core.ask(request("GET", "/Me/foo/"))

    assert "server" not in fields_of(response)
    assert 1 == response.lower().count(b"\r\ndate:")


def test_random_bytes_harm_nobody(core: Core) -> None:
    """The core still serves after every kind of noise."""
    noise = [
        bytes(range(256)),
        b"\r\n" * 1000,
        b"\x00" * 10_000,
        b"GET /" + b"%" * 5000,
        b"POST / HTTP/1.1\r\n" * 50,
        b"0\r\n\r\n",
    ]
    for raw in noise:
        client = core.send(raw)
        client.shutdown(socket.SHUT_WR)
        read_all(client)

    assert b"fine" == body_of(core.ask(request("GET", "/Me/foo/")))
    assert json.loads(body_of(core.ask(request("GET", "/Me/nobody/"))))["status"] == 404
