"""Requests to the outside, against servers that mean harm or do it: all on this machine."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from connectors.sdk import AnswerTooLarge, Session, checked, retry_after_s, text_of
from connectors.sdk.addresses import origin_of, typed_origins
from core.model.errors import Broken, Forbidden, LockerError, NotFound, Offline, RateLimited, Reauthorise, Retry

Reply = Callable[[socket.socket, bytes], None]


class OddServer:
    """A listener that hands each connection to the next of its replies, the last one for ever."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/"

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                request = connection.recv(65536)
                self.requests.append(request)
                reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
                reply(connection, request)
            except OSError:
                return


def answer(body: bytes, *headers: str, status: str = "200 OK") -> Reply:
    """A proper answer."""

    def reply(connection: socket.socket, _: bytes) -> None:
        head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers])
        connection.sendall(head.encode("latin-1") + b"\r\n\r\n" + body)

    return reply


def redirect(url: str, status: str = "302 Found") -> Reply:
    """An answer that sends somewhere else."""
    return answer(b"", f"Location: {url}", status=status)


def drip(head: bytes, every_s: float = 0.05) -> Reply:
    """One byte at a time, for ever, after `head`."""

    def reply(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            time.sleep(every_s)

    return reply


def endless(head: bytes, chunk: bytes) -> Reply:
    """As much as the reader takes."""

    def reply(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(chunk)

    return reply


@pytest.fixture
def odd() -> Iterator[Callable[..., OddServer]]:
    """Makes servers that are gone at the end."""
    servers: list[OddServer] = []

    def make(*replies: Reply) -> OddServer:
        servers.append(OddServer(*replies))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def session(*servers: OddServer, **options: Any) -> Session:
    """A session whose owner typed the addresses of these servers."""
    return Session(typed=typed_origins([server.url for server in servers]), **options)


def test_a_plain_answer_is_read(odd: Callable[..., OddServer]) -> None:
    """It is a requests session like any other."""
    server = odd(answer(b'{"a": 1}', "Content-Type: application/json"))
    with session(server) as one:
        assert {"a": 1} == one.get(server.url).json()
    assert b"User-Agent: Locker" in server.requests[0]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_answers_are_read(odd: Callable[..., OddServer], coding: str) -> None:
    """And handed out decompressed."""
    body = gzip.compress(b"hello" * 1000) if coding == "gzip" else zlib.compress(b"hello" * 1000)
    server = odd(answer(body, f"Content-Encoding: {coding}"))
    with session(server) as one:
        assert b"hello" * 1000 == one.get(server.url).content


def test_the_size_is_bounded_just_under_and_just_over(odd: Callable[..., OddServer]) -> None:
    """A body of the limit passes, one byte more does not."""
    server = odd(answer(b"x" * 1000), answer(b"x" * 1001))
    with session(server, body_bytes_max=1000) as one:
        assert 1000 == len(one.get(server.url).content)
        with pytest.raises(AnswerTooLarge):
            one.get(server.url)


def test_an_endless_body_is_left(odd: Callable[..., OddServer]) -> None:
    """Chunked or without length: reading stops at the limit."""
    for head in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        chunk = b"x" * 65536 if b"chunked" not in head else b"10000\r\n" + b"x" * 65536 + b"\r\n"
        server = odd(endless(head, chunk))
        with session(server, body_bytes_max=1_000_000) as one, pytest.raises(AnswerTooLarge):
            one.get(server.url)


def test_a_gzip_bomb_is_left(odd: Callable[..., OddServer]) -> None:
    """The limit counts what comes out, not what goes in."""
    server = odd(answer(gzip.compress(b"\0" * 200_000_000, 9), "Content-Encoding: gzip"))
    with session(server, body_bytes_max=1_000_000) as one, pytest.raises(AnswerTooLarge):
        one.get(server.url)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200",
        b"",
    ],
)
def test_a_drip_meets_the_deadline(odd: Callable[..., OddServer], head: bytes) -> None:
    """One byte at a time keeps every read alive; the whole answer has a time all the same."""
    server = odd(drip(head))
    started = time.monotonic()
    with session(server, deadline_s=0.6) as one, pytest.raises(requests.Timeout):
        one.get(server.url)

    assert time.monotonic() - started < 3


def test_silence_meets_the_deadline(odd: Callable[..., OddServer]) -> None:
    """A server that takes the request and says nothing."""
    server = odd(lambda connection, _: time.sleep(5))
    started = time.monotonic()
    with session(server, deadline_s=0.5) as one, pytest.raises(requests.Timeout):
        one.get(server.url)

    assert time.monotonic() - started < 3


def test_a_drip_after_a_redirect_meets_the_same_deadline(odd: Callable[..., OddServer]) -> None:
    """One time holds for all of a request."""
    slow = odd(drip(b"HTTP/1.1 200 OK\r\n\r\n"))
    first = odd(redirect(slow.url))
    started = time.monotonic()
    with session(first, slow, deadline_s=0.6) as one, pytest.raises(requests.Timeout):
        one.get(first.url)

    assert time.monotonic() - started < 3


def test_a_broken_off_body_is_an_error(odd: Callable[..., OddServer]) -> None:
    """Fewer bytes than promised are not taken for the whole."""
    server = odd(lambda connection, _: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
    with session(server) as one, pytest.raises(requests.RequestException):
        one.get(server.url)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_answer_is_an_error_of_requests(odd: Callable[..., OddServer], reply: bytes) -> None:
    """Garbage becomes an exception that connectors know."""
    server = odd(lambda connection, _: connection.sendall(reply))
    with session(server) as one, pytest.raises(requests.RequestException):
        one.get(server.url)


def test_redirects_end(odd: Callable[..., OddServer]) -> None:
    """A circle is left after ten."""
    server = odd(answer(b""))
    server.replies = [redirect(server.url)]
    with session(server) as one, pytest.raises(requests.TooManyRedirects):
        one.get(server.url)

    assert 11 == len(server.requests)


def test_the_body_of_a_redirect_is_not_read(odd: Callable[..., OddServer]) -> None:
    """It may have no end."""
    target = odd(answer(b"here"))
    head = f"HTTP/1.1 302 Found\r\nLocation: {target.url}\r\n\r\n".encode()
    first = odd(endless(head, b"x" * 65536))
    with session(first, target) as one:
        assert b"here" == one.get(first.url).content


def test_private_addresses_are_refused_unless_typed(odd: Callable[..., OddServer]) -> None:
    """Nobody but the owner leads a connector to this machine; the port counts too."""
    mine, other = odd(answer(b"mine")), odd(answer(b"other"))
    with session(mine) as one:
        assert b"mine" == one.get(mine.url).content
        with pytest.raises(Forbidden, match="this machine"):
            one.get(other.url)
    assert [] == other.requests


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_every_way_to_write_loopback_is_refused(host: str) -> None:
    """What counts is the address that the name leads to."""
    with Session(typed=frozenset()) as one, pytest.raises((Forbidden, requests.ConnectionError)):
        one.get(f"http://{host}:9/")


def test_a_redirect_to_a_private_address_is_refused(odd: Callable[..., OddServer]) -> None:
    """The check is made at each hop."""
    inside = odd(answer(b"secret"))
    outside = odd(redirect(inside.url))
    with session(outside) as one, pytest.raises(Forbidden):
        one.get(outside.url)

    assert [] == inside.requests


def test_a_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch, odd: Callable[..., OddServer]) -> None:
    """A public name with a private address: the address decides, and it is the one that is called."""
    inside = odd(answer(b"secret"))
    port = origin_of(inside.url)[1]  # type: ignore[index]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with Session(typed=frozenset()) as one, pytest.raises(Forbidden):
        one.get(f"http://rebinding.example.org:{port}/")

    assert [] == inside.requests


def test_a_redirect_to_another_scheme_is_refused(odd: Callable[..., OddServer]) -> None:
    """Files of this machine are no web pages."""
    server = odd(redirect("file:///etc/passwd"))
    with session(server) as one, pytest.raises(requests.exceptions.RequestException):
        one.get(server.url)


def test_credentials_stay_with_their_origin(odd: Callable[..., OddServer]) -> None:
    """Authorization, keys in headers of any name, and cookies do not follow to another origin; they do within it."""
    there = odd(answer(b"there"))
    here = odd(redirect("/again"), redirect(there.url))
    with session(here, there) as one:
        one.headers.update({"Authorization": "Bearer s1", "X-Api-Key": "s2", "Private-Token": "s3"})
        one.cookies.set("session", "s4", domain="127.0.0.1")
        one.get(here.url)

    assert all(f"s{n}".encode() in here.requests[1] for n in (1, 2, 3, 4))
    assert not any(f"s{n}".encode() in there.requests[0] for n in (1, 2, 3, 4))


def test_a_body_does_not_follow_to_another_origin(odd: Callable[..., OddServer]) -> None:
    """307 and 308 would send what was posted, a password perhaps, to somebody else."""
    there = odd(answer(b"there"))
    here = odd(redirect(there.url, "307 Temporary Redirect"))
    with session(here, there) as one, pytest.raises(Forbidden):
        one.post(here.url, data={"password": "secret"})

    assert [] == there.requests


def test_only_named_hosts_are_called(odd: Callable[..., OddServer]) -> None:
    """The manifest's hosts, beside those the owner typed."""
    server = odd(answer(b"x"))
    with Session(typed=frozenset(), hosts=("api.example.org",)) as one, pytest.raises(Forbidden, match="manifest"):
        one.get("http://other.example.org/")
    with Session(typed=typed_origins(server.url), hosts=("api.example.org",)) as one:
        assert b"x" == one.get(server.url).content


def test_a_streamed_body_can_be_bounded(odd: Callable[..., OddServer]) -> None:
    """For files too large for memory: read in pieces, within size and time."""
    server = odd(answer(b"x" * 5000), answer(b"x" * 5000), drip(b"HTTP/1.1 200 OK\r\n\r\n"))
    with session(server, body_bytes_max=5000) as one:
        body = one.bounded(one.get(server.url, stream=True))
        pieces = list(iter(lambda: body.read(700), b""))
        assert 5000 == sum(map(len, pieces))
        assert max(map(len, pieces)) <= 700
    with session(server, body_bytes_max=4999) as one, pytest.raises(AnswerTooLarge):
        body = one.bounded(one.get(server.url, stream=True))
        list(iter(lambda: body.read(700), b""))
    with session(server, deadline_s=0.4) as one, pytest.raises(requests.Timeout):
        body = one.bounded(one.get(server.url, stream=True))
        list(iter(lambda: body.read(700), b""))


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        ("401 Unauthorized", [], Reauthorise),
        ("403 Forbidden", [], Broken),
        ("403 Forbidden", ["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 9999999999"], RateLimited),
        ("404 Not Found", [], NotFound),
        ("410 Gone", [], NotFound),
        ("408 Request Timeout", [], Retry),
        ("429 Too Many Requests", ["Retry-After: 7"], RateLimited),
        ("503 Service Unavailable", ["Retry-After: 7"], Offline),
        ("500 Internal Server Error", [], Offline),
    ],
)
def test_a_status_means_an_error(
    odd: Callable[..., OddServer], status: str, headers: list[str], kind: type[LockerError]
) -> None:
    """`checked` turns what a server refused into what must happen next."""
    server = odd(answer(b"", *headers, status=status))
    with session(server) as one, pytest.raises(kind) as caught:
        checked(one.get(server.url))

    assert kind is type(caught.value)
    if "Retry-After: 7" in headers:
        assert 7 == caught.value.retry_after_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": "Fri, 20 Nov 2026 10:00:30 GMT"}, 30.0),
        ({"Retry-After": "Fri, 20 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"X-RateLimit-Reset": "1795168860"}, 60.0),
        ({}, None),
    ],
)
def test_how_long_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, a date, a reset time, or nothing that can be read."""
    assert seconds == retry_after_s(headers, now=1795168800.0)


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain; charset=utf-8", "grün".encode(), "grün"),
        ("text/plain; charset=iso-8859-1", "grün".encode("latin-1"), "grün"),
        ("text/plain; charset=martian", "grün".encode(), "grün"),
        ("text/plain; charset=idna", "grün".encode(), "grün"),
        ("application/json", "grün".encode(), "grün"),
        ("text/plain; charset=utf-8", b"gr\xfcn", "gr\ufffdn"),
    ],
)
def test_text_is_never_refused(odd: Callable[..., OddServer], content_type: str, body: bytes, text: str) -> None:
    """A wrong charset costs a letter, not the run."""
    server = odd(answer(body, f"Content-Type: {content_type}"))
    with session(server) as one:
        assert text == text_of(one.get(server.url))


def test_kept_alive_connections_are_bounded_too(odd: Callable[..., OddServer]) -> None:
    """The deadline holds for the second request on a connection as for the first."""

    def twice(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.recv(65536)
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")(connection, b"")

    server = odd(twice)
    with session(server, deadline_s=0.6) as one:
        assert b"ok" == one.get(server.url).content
        with pytest.raises(requests.Timeout):
            one.get(server.url)
