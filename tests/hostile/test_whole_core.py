"""Strangers at a whole core: other websites, rebinding names, forged requests, floods, and connectors that pry."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.fakes.house import ROOT, TOKEN, House, open_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One core that all of them attack; it knows the little programs too."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "config").mkdir()
    paths = json.dumps([str(ROOT / "connectors"), str(ROOT / "tests" / "fakes" / "programs")])
    (folder / "config" / "locker.toml").write_text(f"connector_paths = {paths}\n")
    with open_house(folder) as started:
        started.install("feeds")
        started.install("obedient")
        started.install("tells-token")
        yield started


@pytest.fixture(autouse=True)
def still_well(house: House) -> Iterator[None]:
    """Whatever was tried, the core answers its owner afterwards."""
    yield
    assert house.get("/map").ok


PRIVATE = (
    "/", "/map", "/available", "/diary", "/events", "/metrics", "/openapi.json", "/tokens", "/Me/feeds/records/entry",
    "/Me/feeds/", "/core/feeds/settings", "/core/feeds/log",
)  # fmt: skip


def _raw(house: House, data: bytes, *, timeout_s: float = 15.0) -> bytes:
    """Everything the core answers to these bytes until it closes or falls silent."""
    with socket.create_connection(("127.0.0.1", house.port), timeout=timeout_s) as stream:
        answer = b""
        try:
            stream.sendall(data)
            while part := stream.recv(65536):
                answer += part
                if len(answer) > 1_000_000:
                    break
        except (TimeoutError, ConnectionError):
            pass
        return answer


def _head(house: House, *lines: str, method: str = "GET", path: str = "/map", host: str | None = None) -> bytes:
    first = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{house.port}'}"]
    return "\r\n".join([*first, *lines, "Connection: close", "", ""]).encode()


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


BEARER = f"Authorization: Bearer {TOKEN}"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "localhost.evil.example",
        "[::1]:1",
        "{port}",
    ],
)
@pytest.mark.parametrize(
    "path", ["/", "/map", "/health", "/login?ticket=x", "/Me/feeds/", "/static/locker.css", "/events"]
)
def test_a_rebinding_name_gets_nothing(house: House, host: str, path: str) -> None:
    """INV-11: under any name but its own the core answers with a refusal, whatever token comes along."""
    answer = _raw(house, _head(house, BEARER, path=path, host=host.format(port=house.port)))

    assert _status(answer) in (400, 403, 421), answer[:200]
    assert b"feeds" not in answer.split(b"\r\n\r\n", 1)[1]


@pytest.mark.parametrize("path", PRIVATE)
@pytest.mark.parametrize("token", [None, "wrong", "x" * 10_000])
def test_no_reading_without_a_token(house: House, path: str, token: str | None) -> None:
    """Reads are as private as writes."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = requests.get(house.url + path, headers=headers, timeout=10, allow_redirects=False)

    assert answer.status_code in (302, 303, 401, 403, 429, 431)
    assert "installed" not in answer.text and "records" not in answer.text


@pytest.fixture(scope="module")
def cookie(house: House) -> str:
    """The owner's session, as the browser keeps it."""
    address = house.login_url.replace("locker.localhost", "127.0.0.1")
    host = {"Host": f"locker.localhost:{house.port}"}
    answer = requests.get(address, headers=host, timeout=10, allow_redirects=False)
    cookie = answer.headers.get("set-cookie", "").split(";")[0]
    assert cookie.startswith("locker_session="), answer.headers
    return cookie


def test_a_stolen_session_is_of_no_use_to_a_child(house: House, cookie: str) -> None:
    """INV-11: a connector that got hold of the owner's cookie cannot use it, whatever it sends along."""
    house.install("thief")
    own = f"http://locker.localhost:{house.port}"
    headers = {"Host": own[7:], "Origin": own, "Sec-Fetch-Site": "same-origin", "Cookie": cookie}

    answers = house.post("/Me/thief/", data=cookie).json()

    assert dict.fromkeys(answers, "401") == answers
    assert 6 == len(answers)
    assert [] == [token for token in house.get("/tokens").json() if token["label"] == "mine"]
    owners = requests.post(f"{house.url}/tokens", headers=headers, json={"label": "o", "scopes": ["all"]}, timeout=10)
    assert 201 == owners.status_code


def test_a_session_on_another_website_cannot_act(house: House, cookie: str) -> None:
    """cross_site_post_refused: with the owner's own cookie, a foreign page changes nothing and reads nothing."""
    host = {"Host": f"locker.localhost:{house.port}"}

    def post(**headers: str) -> int:
        sent = {**host, "Cookie": cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return requests.post(
            f"{house.url}/core/obedient/stop", headers=sent, timeout=10, allow_redirects=False
        ).status_code

    own = f"http://locker.localhost:{house.port}"
    refused = [
        post(),
        post(Origin="http://evil.example", Sec_Fetch_Site="cross-site"),
        post(Origin=own, Sec_Fetch_Site="cross-site"),
        post(Origin="null", Sec_Fetch_Site="same-origin"),
        post(Origin=own, Sec_Fetch_Site="same-site"),
        post(Sec_Fetch_Site="same-origin"),
        post(Origin=f"http://127.0.0.1:{house.port}", Sec_Fetch_Site="same-origin"),
    ]

    assert [403] * len(refused) == refused
    assert post(Origin=own, Sec_Fetch_Site="same-origin") < 400
    on_loopback = requests.get(f"{house.url}/map", headers={"Cookie": cookie}, timeout=10)
    assert 401 == on_loopback.status_code


def test_get_cannot_change_state(house: House) -> None:
    """Every call that changes something answers a GET with 405 and the method to use."""
    for what in (
        "install",
        "uninstall",
        "enable",
        "disable",
        "stop",
        "restart",
        "committed",
        "listen",
        "deafen",
        "event",
    ):
        answer = house.get(f"/core/obedient/{what}")

        assert (405, True) == (answer.status_code, "POST" in answer.headers["Allow"]), what


@pytest.mark.parametrize(
    "path",
    ["/Me/../locker.json", "/Me/feeds/../../core.db", "/Me/%2e%2e/key", "/Me/feeds/..%2f..%2fkey",
     "/Me/feeds/%2e%2e/%2e%2e/key",
     "/Me/key", "/Me/logs/core.log", "/Me/owner/store.db", "/Me/core/", "/Me//etc/passwd", "/static/../../core.py",
     "/static/%2e%2e/%2e%2e/house.py", "/Me/feeds/files/../store.db", "/Me/feeds/\x00"],
)  # fmt: skip
def test_no_path_leads_out(house: House, path: str) -> None:
    """Nothing under Me is a file server, and no dots or codes lead anywhere."""
    answer = _raw(house, _head(house, BEARER, path=path))

    assert _status(answer) in (302, 308, 400, 404), answer[:300]
    assert b"SQLite format" not in answer and b"root:" not in answer and b"master" not in answer


SMUGGLED = "GET /core/obedient/log HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [("Content-Length: 4", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
     ("Content-Length: 4", "Content-Length: 44"), ("Transfer-Encoding: xchunked",), ("Transfer-Encoding : chunked",),
     ("Content-Length: +4",), ("Content-Length: 4, 44",), ("Transfer-Encoding:\x0bchunked",)],
)  # fmt: skip
def test_no_request_hides_in_another(house: House, lines: tuple[str, ...]) -> None:
    """Two lengths, two encodings or a strange one: one refusal, never a second request seen by somebody behind."""
    head = "\r\n".join([f"POST /Me/obedient/ HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\n{BEARER}", *lines])
    answer = _raw(house, f"{head}\r\n\r\n0\r\n\r\n{SMUGGLED}".encode("latin-1"), timeout_s=3)

    assert answer.count(b"HTTP/1.1 200") == 0, answer[:400]


def test_a_body_of_a_gigabyte_is_refused_early(house: House) -> None:
    """INV-10: declared or chunked, it is stopped at the limit, and the core's memory does not follow it."""
    assert house.process is not None
    core = psutil.Process(house.process.pid)
    before = core.memory_info().rss
    declared = _raw(house, _head(house, BEARER, "Content-Length: 1073741824", method="POST", path="/Me/obedient/"))

    def endless() -> Iterator[bytes]:
        for _ in range(1024):
            yield b"x" * 1024 * 1024

    try:
        chunked = house.post("/Me/obedient/", data=endless(), timeout=60).status_code
    except requests.ConnectionError:
        chunked = 413

    assert 413 == _status(declared)
    assert chunked in (413, 501)
    assert core.memory_info().rss - before < 100 * 1024 * 1024


def test_ten_thousand_header_lines(house: House) -> None:
    """A head without end is cut off."""
    answer = _raw(house, _head(house, BEARER, *[f"X-{n}: y" for n in range(10_000)]))

    assert _status(answer) in (0, 400, 431)


def test_slow_loris(house: House) -> None:
    """Two hundred clients that send a letter a second keep nobody else waiting, and are let go."""
    streams = [socket.create_connection(("127.0.0.1", house.port), timeout=20) for _ in range(200)]
    try:
        for stream in streams:
            stream.sendall(b"GET /map HT")
        began = time.monotonic()
        assert house.get("/map").ok
        assert time.monotonic() - began < 2
        assert all(b"408" in stream.recv(1000) for stream in streams)
    finally:
        for stream in streams:
            stream.close()


def test_a_prying_child_finds_nothing(house: House) -> None:
    """INV-11: of its neighbour's folder and socket, the key, and the core in /proc, it gets nothing."""
    house.install("reads-neighbour", settings={"neighbour": "feeds"})
    assert house.get("/Me/feeds/status").ok
    found = house.get("/Me/reads-neighbour/")

    assert {"write own folder", "read own folder", "read own source", "read certificates"} == set(found.json())


def test_no_secret_of_the_owner_reaches_a_child(house: House) -> None:
    """Neither the session's cookie nor the owner's token nor a forged actor is handed on."""
    forged = {"Cookie": "locker_session=abc; theirs=1", "X-Locker-Actor": "forged", "X-Locker-Token": "forged"}
    headers = house.get("/Me/tells-token/", headers=forged).json()["headers"]
    seen = json.dumps(headers)

    assert TOKEN not in seen and "locker_session" not in seen and "forged" not in seen
    assert ("theirs=1", "owner") == (headers.get("cookie", headers.get("Cookie")), _header(headers, "x-locker-actor"))


def _header(headers: dict[str, str], name: str) -> str | None:
    return next((value for given, value in headers.items() if given.lower() == name), None)


def test_the_owners_token_is_in_no_environment(house: House) -> None:
    """No process below the core has it in its environment or its arguments."""
    living = [process for process in house.children() if process.status() != psutil.STATUS_ZOMBIE]

    assert living
    for process in living:
        assert TOKEN not in Path(f"/proc/{process.pid}/environ").read_text(errors="replace")
        assert TOKEN not in " ".join(process.cmdline())


def test_a_child_that_redirects_to_its_own_port(house: House) -> None:
    """The browser is never sent to a child's port, where the core's rules do not hold."""
    house.install("redirects")
    own = house.get("/Me/redirects/own", allow_redirects=False)
    other = house.get("/Me/redirects/localhost", allow_redirects=False)
    far = house.get("/Me/redirects/far", allow_redirects=False)

    assert (302, "/Me/redirects/there") == (own.status_code, own.headers["Location"])
    assert 502 == other.status_code
    assert "https://example.org/" == far.headers["Location"]


def test_a_service_cannot_act_for_another(house: House) -> None:
    """wrong_service_token_403: a child's token opens its own calls, no other service's, and no owner's."""
    token = house.get("/Me/tells-token/").json()["token"]

    def ask(method: str, path: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(method, house.url + path, headers=headers, json={}, timeout=10).status_code

    assert 200 == ask("GET", "/map")
    assert 403 == ask("POST", "/core/feeds/stop")
    assert 403 == ask("POST", "/core/feeds/at")
    assert 403 == ask("POST", "/core/tells-token/stop")
    assert 403 == ask("POST", "/core/new/install")
    assert 403 == ask("GET", "/Me/feeds/records/entry")
    assert 403 == ask("GET", "/tokens")
    assert 403 == ask("GET", "/diary")
