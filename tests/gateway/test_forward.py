"""Exchanges with running children: every method, both ways, as streams; what breaks is told."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.gateway.house import (
    CHUNKED,
    HOST,
    TOKEN,
    Backends,
    Core,
    RawChild,
    answer,
    body_of,
    echo,
    fields_of,
    read_all,
    read_body,
    read_head,
    request,
    scripted,
    status_of,
)


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
