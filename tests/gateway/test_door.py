"""Requests to services asleep, starting, gone, disabled: kept in order, within bounds, answered honestly."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.model.errors import ChildSilent, CoolingDown, ServiceDisabled
from tests.gateway.house import (
    DEADLINE_S,
    Backends,
    Core,
    RawChild,
    answer,
    body_of,
    fields_of,
    read_all,
    read_head,
    request,
    short,
    status_of,
    until,
)

MIB = 1024 * 1024


class Gate:
    """A start that lasts until a test opens the gate."""

    def __init__(self) -> None:
        self.waiting = 0
        self.fault: Exception | None = None
        self._is_open = False
        self._changed: asyncio.Event | None = None

    async def __call__(self, _service_id: str) -> None:
        if self._is_open:
            return
        if self._changed is None:
            self._changed = asyncio.Event()
        self.waiting += 1
        try:
            await self._changed.wait()
        finally:
            self.waiting -= 1
        if self.fault is not None:
            raise self.fault

    def open(self, core: Core) -> None:
        """Let everybody go on, with the fault if there is one."""
        self._is_open = self.fault is None
        changed = self._changed
        if changed is not None:
            core.loop.call_soon_threadsafe(changed.set)


def listing(seen: list[bytes]) -> Callable[[socket.socket], None]:
    """A child that notes each request line and body, and says `fine`."""

    def script(peer: socket.socket) -> None:
        while True:
            head = read_head(peer)
            length = int(fields_of(head).get("content-length", 0))
            seen.append(head.partition(b" HTTP")[0])
            left = length
            while left:
                left -= len(peer.recv(min(left, 65536)))
            peer.sendall(answer("200 OK", b"%d" % length))

    return script


class OneByOne(RawChild):
    """A child that takes the next connection only after the last one's answer, so that it sees who came first."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.seen: list[bytes] = []

    def _speak_to(self, peer: socket.socket) -> None:
        head = read_head(peer)
        self.seen.append(head.partition(b" HTTP")[0])
        left = int(fields_of(head).get("content-length", 0))
        while left:
            left -= len(peer.recv(min(left, 65536)))
        peer.sendall(answer("200 OK", b"fine", "Connection: close"))
        peer.close()


def test_slow_starter(tmp_path: Path) -> None:
    """GET and POST sent together to a sleeping service both get 200; after its end two more both get 200."""
    gate, seen = Gate(), []  # type: ignore[var-annotated]
    with RawChild(listing(seen)) as child, Core(Backends({"foo": child.port}, start=gate), tmp_path) as core:
        clients = [core.send(request("GET", "/Me/foo/")), core.send(request("POST", "/Me/foo/", body=b"abc"))]
        until(lambda: gate.waiting == 2)
        gate.open(core)
        first = [status_of(read_all(client)) for client in clients]
        with RawChild(listing(seen)) as again:
            core.backends.ports["foo"], core.backends.generation = again.port, 2
            clients = [core.send(request("GET", "/Me/foo/")), core.send(request("POST", "/Me/foo/", body=b"abc"))]
            second = [status_of(read_all(client)) for client in clients]

    assert [200, 200, 200, 200] == first + second


def test_waiting_requests_go_out_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    """Large bodies and small, whoever came first is first."""
    gate = Gate()
    with OneByOne() as child, Core(Backends({"foo": child.port}, start=gate), tmp_path) as core:
        clients = []
        for number in range(12):
            body = b"x" * (2 * MIB if number % 4 == 0 else 3)
            clients.append(core.send(request("PUT", f"/Me/foo/{number}", body=body)))
            until(lambda expected=number + 1: core.door.waiting("foo") == expected)  # type: ignore[misc]
        gate.open(core)
        codes = [status_of(read_all(client)) for client in clients]

    assert [200] * 12 == codes
    assert [b"PUT /%d" % number for number in range(12)] == child.seen
    assert 0 == core.door.waiting("foo")


def test_a_burst_to_a_running_child_goes_out_side_by_side(tmp_path: Path) -> None:
    """Nobody waits for another's answer."""
    together = threading.Barrier(8, timeout=DEADLINE_S)

    def script(peer: socket.socket) -> None:
        read_head(peer)
        together.wait()
        peer.sendall(answer("200 OK", b"fine"))

    with RawChild(script) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
        clients = [core.send(request("GET", "/Me/foo/")) for _ in range(8)]

        assert [200] * 8 == [status_of(read_all(client)) for client in clients]


def test_no_more_than_the_bound_may_wait(tmp_path: Path) -> None:
    """INV-10: just at the bound all are kept; one more is refused at once, with a time to come back."""
    gate, seen = Gate(), []  # type: ignore[var-annotated]
    backends = Backends({"bar": 0}, start=gate)
    with RawChild(listing(seen)) as child, Core(backends, tmp_path, limits=short(waiting_requests_max=5)) as core:
        backends.ports["foo"] = child.port
        clients = [core.send(request("GET", "/Me/foo/")) for _ in range(5)]
        until(lambda: core.door.waiting("foo") == 5)
        refusal = core.ask(request("GET", "/Me/foo/"))
        gate.open(core)
        codes = [status_of(read_all(client)) for client in clients]

    assert (503, "too_busy") == (status_of(refusal), json.loads(body_of(refusal))["type"])
    assert int(fields_of(refusal)["retry-after"]) >= 1
    assert [200] * 5 == codes


def test_client_leaves_while_waiting(tmp_path: Path) -> None:
    """Its place is free at once, its lease given back, and the child never hears of it."""
    gate, seen = Gate(), []  # type: ignore[var-annotated]
    backends = Backends({}, start=gate)
    with RawChild(listing(seen)) as child, Core(backends, tmp_path, limits=short(waiting_requests_max=2)) as core:
        backends.ports["foo"] = child.port
        gone = core.send(request("GET", "/Me/foo/gone"))
        stays = core.send(request("GET", "/Me/foo/stays"))
        until(lambda: core.door.waiting("foo") == 2)
        gone.close()
        until(lambda: core.door.waiting("foo") == 1 and backends.leases == 1)
        late = core.send(request("GET", "/Me/foo/late"))
        until(lambda: core.door.waiting("foo") == 2)
        gate.open(core)

        assert [200, 200] == [status_of(read_all(stays)), status_of(read_all(late))]
        assert [b"GET /late", b"GET /stays"] == sorted(seen)


def test_a_client_that_leaves_in_the_middle_of_its_upload_frees_the_spool(tmp_path: Path) -> None:
    """What was kept for it is let go."""
    gate = Gate()
    with Core(Backends({"foo": 1}, start=gate), tmp_path) as core:
        client = core.send(
            request("PUT", "/Me/foo/", f"Content-Length: {9 * MIB}").replace(b"Content-Length: 0\r\n", b"")
        )
        client.sendall(b"x" * 3 * MIB)
        until(lambda: core.door._spool.taken_bytes > MIB)
        client.close()
        until(lambda: core.door._spool.taken_bytes == 0 and core.backends.leases == 0)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size", "status", "spooled"),
    [(MIB, 200, False), (MIB + 1, 200, True), (4 * MIB, 200, True), (4 * MIB + 1, 413, False)],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_waiting_body_is_kept_in_memory_then_spooled_then_refused(
    tmp_path: Path, size: int, status: int, spooled: bool, chunked: bool
) -> None:
    """Just under and just over each bound; a length that is known too large is refused before it is read."""
    gate, seen = Gate(), []  # type: ignore[var-annotated]
    limits = short(body_memory_bytes=MIB, body_bytes_max=4 * MIB)

    def script(peer: socket.socket) -> None:
        head = read_head(peer)
        seen.append(head)
        total, tail = 0, b""
        while (not tail.endswith(b"0\r\n\r\n")) if chunked else (total < size):
            piece = peer.recv(65536)
            total, tail = total + len(piece), (tail + piece)[-5:]
        peer.sendall(answer("200 OK", b"%d" % total))

    with RawChild(script) as child, Core(Backends({"foo": child.port}, start=gate), tmp_path, limits=limits) as core:
        client = core.connect()
        if chunked:
            client.sendall(
                b"PUT /Me/foo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            )
            client.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size))
        else:
            client.sendall(request("PUT", "/Me/foo/", body=b"x" * size))
        if status == 200:
            until(lambda: core.run(_kept(core)) >= 1 and (not spooled or core.door._spool.taken_bytes > 0))
            time.sleep(0.1)  # The rest of the body arrives; only its peak in the spool is looked at.
            taken = core.door._spool.taken_bytes
            gate.open(core)
            response = read_all(client)
            assert spooled == (taken > 0)
            assert int(body_of(response)) >= size
        else:
            response = read_all(client)

        assert status == status_of(response)
        until(lambda: core.door._spool.taken_bytes == 0)


async def _kept(core: Core) -> int:
    return core.door.waiting("foo")


def test_a_body_over_the_limit_is_refused_by_a_running_child_too(tmp_path: Path) -> None:
    """The answer does not depend on whether the child sleeps."""
    limits = short(body_bytes_max=MIB)
    with RawChild(read_all) as child, Core(Backends({"foo": child.port}), tmp_path, limits=limits) as core:
        known = core.ask(request("PUT", "/Me/foo/", body=b"x" * (MIB + 1)))
        with core.connect() as client:
            client.sendall(b"PUT /Me/foo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (MIB + 1, b"x" * (MIB + 1)))
            unknown = client.recv(65536)

    assert [413, 413] == [status_of(known), status_of(unknown)]


def test_a_known_length_over_the_limit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    """No 100 Continue for it."""
    with Core(Backends({"foo": 1}), tmp_path, limits=short(body_bytes_max=MIB)) as core, core.connect() as client:
        client.sendall(b"PUT /Me/foo/ HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9000000\r\n\r\n")

        assert 413 == status_of(client.recv(65536))


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (ChildSilent("foo wrote nothing within 15 s"), 504),
        (CoolingDown("foo keeps crashing", retry_after_s=4.2), 503),
    ],
)
def test_a_start_that_fails_is_told_to_all_that_wait(tmp_path: Path, fault: Exception, status: int) -> None:
    """With the supervisor's own reason."""
    gate = Gate()
    gate.fault = fault
    with Core(Backends({"foo": 1}, start=gate), tmp_path) as core:
        clients = [core.send(request("PUT", "/Me/foo/", body=b"x" * size)) for size in (0, 3, 2 * MIB)]
        until(lambda: gate.waiting == 3)
        gate.open(core)
        answers = [read_all(client) for client in clients]

    assert [status] * 3 == [status_of(a) for a in answers]
    assert str(fault) == json.loads(body_of(answers[0]))["detail"]
    assert 0 == core.door.waiting("foo") == core.backends.leases


def test_unknown_and_disabled(tmp_path: Path) -> None:
    """404 and 503, for every method, as problem documents."""
    backends = Backends({"foo": 1}, faults={"foo": ServiceDisabled("foo is switched off")})
    with Core(backends, tmp_path) as core:
        answers = [core.ask(request(m, p)) for m in ("GET", "POST") for p in ("/Me/nobody/x", "/Me/foo/x", "/Me/foo")]

    assert [404, 503, 503] * 2 == [status_of(a) for a in answers]
    assert {"application/problem+json"} == {fields_of(a)["content-type"] for a in answers}
    assert 0 == backends.leases_seen


def test_query_without_slash(tmp_path: Path) -> None:
    """`/Me/foo?x=1` is foo, not a service named `foo?x=1`; a method with a body keeps it."""
    with Core(Backends({"foo": 1}), tmp_path) as core:
        answers = [
            core.ask(request(m, p)) for m, p in (("GET", "/Me/foo"), ("GET", "/Me/foo?x=1&y=%2F"), ("POST", "/Me/foo"))
        ]

    assert [
        (302, "/Me/foo/"),
        (302, "/Me/foo/?x=1&y=%2F"),
        (308, "/Me/foo/"),
    ] == [(status_of(a), fields_of(a)["location"]) for a in answers]


def test_a_browser_that_goes_to_a_service_sees_the_cores_page(tmp_path: Path) -> None:
    """A navigation to its root, and only that; everybody else gets the child's own answer."""
    seen: list[bytes] = []
    going = ("Accept: text/html,*/*", "Sec-Fetch-Mode: navigate")
    with RawChild(listing(seen)) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
        page = core.ask(request("GET", "/Me/foo/", *going))
        others = [
            core.ask(request("GET", "/Me/foo/x", *going)),
            core.ask(request("GET", "/Me/foo/", "Accept: text/html")),
            core.ask(request("GET", "/Me/foo/", "Accept: application/json", "Sec-Fetch-Mode: navigate")),
            core.ask(request("POST", "/Me/foo/", *going)),
        ]

    assert (303, "/services/foo") == (status_of(page), fields_of(page)["location"])
    assert [200] * 4 == [status_of(a) for a in others]


@pytest.mark.parametrize("destination", ["script", "worker", "serviceworker", "sharedworker", "style"])
def test_a_services_bytes_are_no_code_of_a_page(tmp_path: Path, destination: str) -> None:
    """Whatever tag asks for them."""
    with Core(Backends({"foo": 1}), tmp_path) as core:
        assert 403 == status_of(core.ask(request("GET", "/Me/foo/x.js", f"Sec-Fetch-Dest: {destination}")))


@pytest.mark.parametrize(
    "path",
    ["/Me/foo/../bar/", "/Me/foo/%2e%2e/bar/", "/Me/foo/a/..%2f..%2fbar", "/Me/foo/%00", "/Me/foo/a%0d%0aX:%20y"],
)
def test_a_path_that_plays_tricks_is_refused(tmp_path: Path, path: str) -> None:
    """Before anything is started."""
    gate = Gate()
    with Core(Backends({"foo": 1, "bar": 1}, start=gate), tmp_path) as core:
        assert 400 == status_of(core.ask(request("GET", path)))
        assert 0 == core.backends.leases_seen


def test_encoded_slashes_reach_the_child_as_they_are(tmp_path: Path) -> None:
    """A key that is an address stays one segment."""
    seen: list[bytes] = []
    with RawChild(listing(seen)) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
        for path in (b"/records/x/https%3A%2F%2Fa%2Fb", b"//a//", b"/%E2%82%AC;p=1", b"/a%252Fb"):
            core.ask(request("GET", "/Me/foo" + path.decode()))
            assert b"GET " + path == seen.pop()


def test_a_lease_is_held_from_the_wait_to_the_last_byte(tmp_path: Path) -> None:
    """Idle time counts from the end of the last one."""
    gate, more = Gate(), threading.Event()

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        assert more.wait(DEADLINE_S)
        peer.sendall(b"cd")

    with RawChild(script) as child, Core(Backends({"foo": child.port}, start=gate), tmp_path) as core:
        client = core.send(request("GET", "/Me/foo/"))
        until(lambda: gate.waiting == 1)
        waiting = core.backends.leases
        gate.open(core)
        begun = client.recv(65536)
        streaming = core.backends.leases
        more.set()
        assert (begun + read_all(client)).endswith(b"abcd")
        until(lambda: core.backends.leases == 0)

    assert (1, 1) == (waiting, streaming)


def test_closing_the_door_ends_what_waits_and_what_streams(tmp_path: Path) -> None:
    """Waiting requests hear that Locker stops; streams end; nothing holds the core up."""
    gate = Gate()

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        peer.recv(1)

    backends = Backends({})
    with RawChild(script) as child, Core(backends, tmp_path) as core:
        backends.ports["foo"] = child.port
        stream = core.send(request("GET", "/Me/foo/"))
        assert b"200 OK" in stream.recv(65536)
        backends.start = gate
        waits = core.send(request("GET", "/Me/foo/"))
        until(lambda: gate.waiting == 1)
        core.run(core.door.close())

        assert 503 == status_of(read_all(waits))
        assert not read_all(stream).endswith(b"0\r\n\r\n")
        assert 503 == status_of(core.ask(request("GET", "/Me/foo/")))


def test_a_fault_of_ours_is_told_without_its_text(tmp_path: Path) -> None:
    """It may hold a secret; the log has it."""

    async def start(_service_id: str) -> None:
        raise RuntimeError("the key is hunter2")

    with Core(Backends({"foo": 1}, start=start), tmp_path) as core:
        response = core.ask(request("GET", "/Me/foo/"))

    assert 500 == status_of(response)
    assert b"hunter2" not in response


def test_many_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    """Some leave, some ask for nonsense, some are served: every lease, place and byte comes back."""
    seen: list[bytes] = []
    with RawChild(listing(seen)) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
        clients = []
        for number in range(60):
            client = core.send(request("PUT", f"/Me/foo/{number}", body=b"x" * (number * 1000)))
            clients.append(client)
            if number % 3 == 0:
                client.close()
        codes = [status_of(read_all(c)) for n, c in enumerate(clients) if n % 3]
        until(lambda: core.backends.leases == 0 and core.door.waiting("foo") == 0)

    assert [200] * 40 == codes
