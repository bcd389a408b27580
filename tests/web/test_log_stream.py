"""A service's log as it is written, over HTTP."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.web.log_stream import STREAMS_MAX
from tests.web.conftest import DEADLINE_S, OWNER_TOKEN, Site, wait_until


@contextmanager
def following(site: Site, query: str = "", token: str = OWNER_TOKEN) -> Iterator[http.client.HTTPResponse]:
    """The open stream of the log of `feeds`."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=DEADLINE_S)
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    connection.request("GET", f"/core/feeds/log{query}", headers=headers)
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def lines(answer: http.client.HTTPResponse, count: int) -> list[str]:
    """The data of the next events."""
    found: list[str] = []
    while len(found) < count:
        line = answer.readline()
        assert line, f"the stream ended after {found}"
        if line.startswith(b"data: "):
            found.append(line[6:-1].decode())
    return found


@pytest.fixture
def log(site: Site) -> Path:
    """The log's file; the service is installed and has written two lines."""
    site.world.install()
    path = site.world.parts.log_file("feeds")
    path.write_text("one\ntwo\n")
    return path


def append(path: Path, text: str) -> None:
    """Write on, as the core does."""
    with path.open("a") as file:
        file.write(text)


def test_new_lines_come_as_they_are_written(site: Site, log: Path) -> None:
    """After the last ones, and across a rotation."""
    with following(site, "?lines=1") as answer:
        kind = answer.getheader("Content-Type")
        first = lines(answer, 1)
        append(log, "three\n")
        second = lines(answer, 1)
        log.rename(log.with_name("feeds.log.1"))
        append(log, "four\nfive: \u00fc\n")
        third = lines(answer, 2)

    assert "text/event-stream; charset=utf-8" == kind
    assert (["two"], ["three"], ["four", "five: \u00fc"]) == (first, second, third)


def test_those_who_do_not_ask_for_events_get_json(site: Site, log: Path) -> None:
    """As ever."""
    site.world.children.logs["feeds"] = ["one"]

    assert {"lines": ["one"]} == site.owner("GET", "/core/feeds/log").json


@pytest.mark.parametrize("query", ["?lines=0", "?lines=5001", "?lines=x", f"?lines={'9' * 5000}", "?lines="])
def test_a_wrong_number_is_refused(site: Site, log: Path, query: str) -> None:
    """By the same bounds as the list's."""
    with following(site, query) as answer:
        assert (400, "application/problem+json") == (answer.status, answer.getheader("Content-Type"))


def test_logs_are_the_owners(site: Site, log: Path) -> None:
    """Neither the child itself nor a reading app, and no service that is none."""
    reader = site.owner("POST", "/tokens", {"label": "x", "scopes": ["read", "sync"]}).json["token"]
    for token, status in ((site.world.child("feeds"), 403), (reader, 403), ("wrong", 401)):
        with following(site, token=token) as answer:
            assert status == answer.status
    answer = site.ask(
        "GET", "/core/nobody/log", headers={"Authorization": f"Bearer {OWNER_TOKEN}", "Accept": "text/event-stream"}
    )
    assert 404 == answer.status


def test_a_stream_ends_with_its_token(site: Site, log: Path) -> None:
    """Within a moment; another token's goes on."""
    made = [site.owner("POST", "/tokens", {"label": "x"}).json for _ in range(2)]
    with following(site, token=made[0]["token"]) as gone, following(site, token=made[1]["token"]) as stays:
        lines(gone, 2)
        lines(stays, 2)
        site.owner("DELETE", f"/tokens/{made[0]['id']}")
        rest = gone.read()
        append(log, "three\n")

        assert (b"", ["three"]) == (rest.replace(b": still here", b"").strip(), lines(stays, 1))


def test_followers_are_bounded_and_hold_no_thread(site: Site, log: Path) -> None:
    """The last one that is allowed still works, the next is told to wait, and everything else goes on."""
    request = (
        f"GET /core/feeds/log HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {OWNER_TOKEN}\r\n\r\n"
    ).encode()
    streams = [socket.create_connection(("127.0.0.1", site.port), timeout=DEADLINE_S) for _ in range(STREAMS_MAX)]
    try:
        for stream in streams:
            stream.sendall(request)
        assert {True} == {b" 200 " in stream.recv(12 + 5) for stream in streams}
        with following(site) as answer:
            assert (503, "2") == (answer.status, answer.getheader("Retry-After"))
        assert 200 == site.owner("GET", "/map").status
    finally:
        for stream in streams:
            stream.close()

    def is_free() -> bool:
        with following(site) as answer:
            return answer.status == 200

    wait_until(is_free)
