"""Exchanges with running children: every method, both ways, as streams; what breaks is told."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.gateway.connection import IDLE_S_MAX
from tests.gateway.house import (
    DEADLINE_S,
    HOST,
    TOKEN,
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

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


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


@pytest.fixture
def echoing(tmp_path: Path) -> Iterator[tuple[Core, RawChild]]:
    """A core with an echoing child named foo."""
    with RawChild(echo) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
        yield core, child


def scripted(script: Callable[[socket.socket], None], tmp_path: Path, **limits: float) -> Core:
    """A core whose child foo follows a script, not yet entered."""
    child = RawChild(script)
    core = Core(Backends({"foo": child.port}), tmp_path, limits=short(**limits))
    core.closing.enter_context(child)
    return core


def test_put_patch_delete(echoing: tuple[Core, RawChild]) -> None:
    """Every method passes with its body, query and fields; GET and POST are only two of them."""
    core, _ = echoing
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "MKCALENDAR"):
        body = b"" if method == "GET" else "grüße".encode()
        told = json.loads(
            body_of(
                core.ask(request(method, "/Me/foo/a%2Fb//c?x=%20y&z", "Content-Type: a/b", "X-Thing: 1", body=body))
            )
        )

        assert f"{method} /a%2Fb//c?x=%20y&z HTTP/1.1" == told["line"]
        assert body.decode("latin-1") == told["body"]
        assert ("a/b", "1") == (told["fields"]["content-type"], told["fields"]["x-thing"])


def test_the_child_is_told_who_asks_by_the_core_alone(echoing: tuple[Core, RawChild]) -> None:
    """Token, actor and scopes are ours; what a client claims is dropped, and the core's cookie stays here."""
    core, child = echoing
    told = json.loads(
        body_of(
            core.ask(
                request(
                    "GET",
                    "/Me/foo/",
                    "X-Locker-Actor: owner",
                    "X_Locker_Actor: owner",
                    "X-Locker-Token: x",
                    "Authorization: Bearer secret",
                    "Cookie: locker_session=secret; a=b",
                    "X-Forwarded-For: 1.2.3.4",
                )
            )
        )
    )["fields"]

    assert (TOKEN, "nobody", "") == (told["x-locker-token"], told["x-locker-actor"], told["x-locker-scopes"])
    assert (f"{HOST}:{child.port}", "a=b") == (told["host"], told["cookie"])
    assert not {"authorization", "x_locker_actor", "x-forwarded-for", "connection"} & set(told)


def test_the_caller_that_access_found_is_told(tmp_path: Path) -> None:
    """Its actor and scopes go with the request."""

    class Caller:
        actor, scopes = "app:12", ("read", "write")

    def wrap(door: object) -> object:
        async def app(scope: dict[str, object], receive: object, send: object) -> None:
            scope["locker.caller"] = Caller()
            await door(scope, receive, send)  # type: ignore[operator]

        return app

    with RawChild(echo) as child, Core(Backends({"foo": child.port}), tmp_path, wrap=wrap) as core:
        told = json.loads(body_of(core.ask(request("GET", "/Me/foo/"))))["fields"]

    assert ("app:12", "read write") == (told["x-locker-actor"], told["x-locker-scopes"])


def test_authorization_passes_through_an_open_door_only(echoing: tuple[Core, RawChild]) -> None:
    """The path and what lies below it."""
    core, _ = echoing
    core.backends.doors = ("/dav",)
    told = {
        path: json.loads(body_of(core.ask(request("GET", f"/Me/foo{path}", "Authorization: Basic x"))))["fields"]
        for path in ("/dav", "/dav/x", "/davx", "/")
    }

    assert [True, True, False, False] == ["authorization" in fields for fields in told.values()]


def test_head_tells_the_length_and_sends_no_body(echoing: tuple[Core, RawChild]) -> None:
    """And the connection to the child serves the next request."""
    core, child = echoing
    first = core.ask(request("HEAD", "/Me/foo/"))
    second = core.ask(request("GET", "/Me/foo/"))

    assert int(fields_of(first)["content-length"]) > 0
    assert b"" == first.partition(b"\r\n\r\n")[2]
    assert (200, 1) == (status_of(second), child.accepted)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/9\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\nX-Trailer: 1\r\n\r\n",
    ],
)
def test_every_shape_of_answer_passes(tmp_path: Path, raw: bytes) -> None:
    """Without body, partial, in chunks, by length, or until the connection closes."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(raw)

    with scripted(script, tmp_path) as core:
        response = core.ask(request("GET", "/Me/foo/", "Range: bytes=2-4"))

    assert status_of(raw.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")) == status_of(response)
    assert (b"abc" if b"abc" in raw or b"bc" in raw else b"") == body_of(response)
    assert b"x-trailer" not in response.lower()


def test_a_range_reaches_the_child(echoing: tuple[Core, RawChild]) -> None:
    """And so do conditions."""
    core, _ = echoing
    told = json.loads(body_of(core.ask(request("GET", "/Me/foo/", "Range: bytes=0-1", "If-Range: x"))))["fields"]

    assert ("bytes=0-1", "x") == (told["range"], told["if-range"])


def test_redirects_and_cookies_stay_within_the_service(tmp_path: Path) -> None:
    """A redirect to the child's own address works for the browser; its cookies lie under its prefix."""
    port = 0

    def script(peer: socket.socket) -> None:
        read_head(peer)
        where = f"Location: http://127.0.0.1:{port}/next?x=1"
        peer.sendall(answer("302 Found", b"", where, "Set-Cookie: a=b; Path=/", "Set-Cookie: locker_session=evil"))

    with RawChild(script) as child, Core(Backends({"foo": child.port}), tmp_path) as core:
        port = child.port
        response = core.ask(request("GET", "/Me/foo/"))

    assert "/Me/foo/next?x=1" == fields_of(response)["location"]
    assert "a=b; Path=/Me/foo/" == fields_of(response)["set-cookie"]
    assert b"locker_session" not in response


@pytest.mark.parametrize("where", ["http://127.0.0.1:1/", "http://locker.localhost:9/", "//localhost:1/x"])
def test_a_redirect_to_another_local_program_is_a_502(tmp_path: Path, where: str) -> None:
    """And nothing of it reaches the browser."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(answer("302 Found", b"", f"Location: {where}"))

    with scripted(script, tmp_path) as core:
        response = core.ask(request("GET", "/Me/foo/"))

    assert 502 == status_of(response)
    assert "location" not in fields_of(response)


def test_a_redirect_to_the_core_itself_passes(tmp_path: Path) -> None:
    """Its own pages are no other program."""
    core_port = 0

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(answer("302 Found", b"", f"Location: http://127.0.0.1:{core_port}/services/foo"))

    with scripted(script, tmp_path) as core:
        core_port = core.port
        response = core.ask(request("GET", "/Me/foo/"))

    assert f"http://127.0.0.1:{core_port}/services/foo" == fields_of(response)["location"]


def test_foreign_html_is_sandboxed(tmp_path: Path) -> None:
    """An opaque origin without scripts: it can do nothing in the owner's name."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(answer("200 OK", b"<script>", "Content-Type: text/html"))

    with scripted(script, tmp_path) as core:
        fields = fields_of(core.ask(request("GET", "/Me/foo/")))

    assert ("sandbox", "nosniff") == (fields["content-security-policy"], fields["x-content-type-options"])


def test_half_a_body_reaches_the_child_before_the_rest_is_sent(tmp_path: Path) -> None:
    """The upload streams: what the child has seen comes back while the client still sends."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(CHUNKED)
        for _ in range(3):
            piece = peer.recv(100)
            peer.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        peer.sendall(b"0\r\n\r\n")

    with scripted(script, tmp_path) as core, core.connect() as client:
        client.sendall(request("PUT", "/Me/foo/", "Content-Length: 9").replace(b"Content-Length: 0\r\n", b""))
        for part in (b"one", b"two", b"six"):
            client.sendall(part)
            seen = b""
            while part not in seen:
                piece = client.recv(4096)
                assert piece
                seen += piece


def test_a_chunked_upload_arrives_whole(echoing: tuple[Core, RawChild]) -> None:
    """Of unknown length, in many pieces."""
    core, _ = echoing
    with core.connect() as client:
        client.sendall(b"POST /Me/foo/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for number in range(50):
            client.sendall(b"4\r\n%04d\r\n" % number)
        client.sendall(b"0\r\nX-Locker-Actor: owner\r\n\r\n")
        told = json.loads(body_of(read_all(client)))

    assert "".join(f"{n:04d}" for n in range(50)) == told["body"]
    assert ("chunked", "nobody") == (told["fields"]["transfer-encoding"], told["fields"]["x-locker-actor"])


def test_a_client_that_expects_100_continue_gets_it_and_the_child_does_not(echoing: tuple[Core, RawChild]) -> None:
    """The core answers for itself; the child sees an ordinary request."""
    core, _ = echoing
    with core.connect() as client:
        head = request("POST", "/Me/foo/", "Expect: 100-continue", body=b"abc")[:-3]
        client.sendall(head)
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == client.recv(100)
        client.sendall(b"abc")
        told = json.loads(body_of(read_all(client)))

    assert "abc" == told["body"]
    assert "expect" not in told["fields"]


def test_an_early_final_answer_reaches_a_client_that_is_still_sending(tmp_path: Path) -> None:
    """The child has judged the head; the rest of the body is read to nowhere, and the answer is not lost."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(answer("403 Forbidden", b"no"))
        while peer.recv(65536):
            pass

    with scripted(script, tmp_path) as core, core.connect() as client:
        client.sendall(request("POST", "/Me/foo/", "Content-Length: 50000000").replace(b"Content-Length: 0\r\n", b""))
        client.sendall(b"x" * 100_000)
        begin = client.recv(4096)
        for _ in range(20):
            client.sendall(b"x" * 100_000)

        assert 403 == status_of(begin)


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


def test_ten_megabytes_pass_unchanged(tmp_path: Path) -> None:
    """Down and up."""
    blob = bytes(range(256)) * 40_000

    def script(peer: socket.socket) -> None:
        while True:
            head = read_head(peer)
            body = read_body(peer, head)
            peer.sendall(answer("200 OK", body or blob))

    with scripted(script, tmp_path) as core:
        assert blob == body_of(core.ask(request("GET", "/Me/foo/")))
        assert blob == body_of(core.ask(request("POST", "/Me/foo/", body=blob)))


def test_tiny_chunks_pass(tmp_path: Path) -> None:
    """A child that sends one byte per chunk costs time, not correctness."""

    def script(peer: socket.socket) -> None:
        read_head(peer)
        peer.sendall(CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")

    with scripted(script, tmp_path) as core:
        assert b"x" * 100_000 == body_of(core.ask(request("GET", "/Me/foo/")))


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
