"""Strangers, other websites and nosy children: who gets in, and who does not."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from core.web.mount import THREADS
from core.web.throttle import WRONG_ANSWERS_WAITING_MAX
from tests.web.conftest import OWNER_TOKEN, Site, wait_until

NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}


def test_health_needs_nothing(site: Site) -> None:
    """A stranger learns that the core is up, no more."""
    answer = site.ask("GET", "/health")

    assert (200, {"status": "up"}) == (answer.status, answer.json)


def test_health_waits_for_no_thread(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """While everything that reads is stuck it is told all the same; HEAD tells the same headers without the body."""
    until = threading.Event()
    begun = threading.Semaphore(0)

    def stuck() -> list[Any]:
        begun.release()
        assert until.wait(20)
        return []

    monkeypatch.setattr(site.world.services, "list", stuck)
    with ThreadPoolExecutor(THREADS) as pool:
        readers = [pool.submit(site.owner, "GET", "/map") for _ in range(THREADS)]
        try:
            assert all(begun.acquire(timeout=20) for _ in range(THREADS))
            got, head = (site.ask(method, "/health") for method in ("GET", "HEAD"))
        finally:
            until.set()
    kept = ("content-type", "content-length", "content-security-policy", "cache-control", "x-content-type-options")

    assert {200} == {reader.result().status for reader in readers}
    assert ((200, b'{"status":"up"}'), (200, b"")) == ((got.status, got.body), (head.status, head.body))
    assert "application/json" == got.headers["content-type"]
    assert [got.headers[name] for name in kept] == [head.headers[name] for name in kept]


@pytest.mark.parametrize(
    "path", ["/map", "/diary", "/metrics", "/openapi.json", "/tokens", "/events", "/Me/feeds/", "/", "/nothing"]
)
def test_reads_need_a_token(site: Site, path: str) -> None:
    """Without token or session nothing is told, not even whether the path exists."""
    answer = site.ask("GET", path)

    assert (401, "token_required", "Bearer") == (
        answer.status, answer.json["type"], answer.headers["www-authenticate"]
    )  # fmt: skip
    assert [] == site.world.door.seen


def test_owner_token_opens_everything(site: Site) -> None:
    """The token given at start is the owner's, on both hosts."""
    site.world.install()
    headers = {"Authorization": f"Bearer {OWNER_TOKEN}"}

    assert [200, 200] == [site.ask("GET", "/map", host=h, headers=headers).status for h in (None, site.dashboard)]


@pytest.mark.parametrize(
    "token", ["", "x", OWNER_TOKEN[:-1], OWNER_TOKEN + "x", OWNER_TOKEN.upper(), "ü" * 40, "x" * 600]
)
def test_wrong_token_is_refused(site: Site, token: str) -> None:
    """Almost right is wrong, and so is anything that is no token at all."""
    answer = site.ask("GET", "/map", headers={"Authorization": f"Bearer {token}".encode().decode("latin-1")})

    assert 401 == answer.status


def test_wrong_tokens_are_answered_late(site: Site) -> None:
    """Guessing is slow; the right token is not."""
    begun = time.monotonic()
    site.owner("GET", "/map", token="wrong")
    wrong_s = time.monotonic() - begun
    begun = time.monotonic()
    site.owner("GET", "/map")

    assert wrong_s > 0.45 > time.monotonic() - begun


def test_a_flood_of_wrong_tokens_is_bounded(site: Site) -> None:
    """Past the waiting room a guess is turned away at once, and a token the core made still opens."""
    app = site.owner("POST", "/tokens", {"label": "script"}).json["token"]
    request = f"GET /map HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nAuthorization: Bearer wrong\r\n\r\n".encode()
    guesses = [socket.create_connection(("127.0.0.1", site.port), timeout=10) for _ in range(WRONG_ANSWERS_WAITING_MAX)]
    for guess in guesses:
        guess.sendall(request)
    wait_until(lambda: site.owner("GET", "/map", token="one more").status == 503)
    with_app = site.owner("GET", "/map", token=app)
    answers = [guess.recv(64) for guess in guesses]
    for guess in guesses:
        guess.close()

    assert 200 == with_app.status
    assert {b"HTTP/1.1 401"} == {answer[:12] for answer in answers}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8042", "127.0.0.1", "locker.localhost.evil.example"])
def test_rebinding_host_is_refused(site: Site, host: str) -> None:
    """A name that only resolves to this machine opens nothing, token or not, and not even the login."""
    headers = {"Authorization": f"Bearer {OWNER_TOKEN}"}
    answers = [site.ask("GET", path, host=host, headers=headers) for path in ("/map", "/health", "/login")]

    assert [403, 403, 403] == [answer.status for answer in answers]


def test_two_hosts_are_refused(site: Site) -> None:
    """Nothing behind may come to believe the other one."""
    lines = [f"Host: 127.0.0.1:{site.port}", "Host: evil.example"]
    request = "GET /health HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = connection.recv(100)

    assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))


def test_localhost_moves_to_the_dashboards_host(site: Site) -> None:
    """Before any cookie could be set there; the path and the query come along and lead nowhere else."""
    answers = [
        site.ask(method, path, host=f"localhost:{site.port}")
        for method, path in (("GET", "/services/feeds?done=sync"), ("POST", "/core/x/at"), ("GET", "//evil.example/"))
    ]

    assert [308, 308, 308] == [answer.status for answer in answers]
    assert [f"{site.origin}/services/feeds?done=sync", f"{site.origin}/core/x/at", f"{site.origin}/evil.example/"] == [
        answer.headers["location"] for answer in answers
    ]
    assert all("set-cookie" not in answer.headers for answer in answers)


def test_a_session_on_127_0_0_1_is_ignored(site: Site) -> None:
    """A cookie of that host goes to every port, so it opens nothing there."""
    cookie = site.login()
    answer = site.ask("GET", "/map", headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})

    assert 401 == answer.status


def test_a_person_on_127_0_0_1_is_shown_the_dashboards_address(site: Site) -> None:
    """A page that says where to go, and what to do where that name is not known."""
    answer = site.ask("GET", "/", headers=NAVIGATION)

    assert 401 == answer.status
    assert f'href="{site.origin}/"' in answer.text
    assert "hosts file" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": ""}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""},
        {"Origin": "http://127.0.0.1:{port}"}, {"Origin": "http://locker.localhost:1"},
        {"Origin": "https://locker.localhost:{port}"},
    ],
)  # fmt: skip
def test_cross_site_post_refused(site: Site, headers: dict[str, str]) -> None:
    """A change by session counts only from the dashboard's own pages: both signs must be right."""
    site.world.install()
    more = {name.replace("-", "_"): value.format(port=site.port) for name, value in headers.items()}
    answer = site.browse("/core/feeds/disable", site.login(), method="POST", body=b"", **more)

    assert 403 == answer.status
    assert site.world.services.get("feeds").enabled


def test_the_dashboards_own_post_passes(site: Site) -> None:
    """The same request, begun by the dashboard."""
    site.world.install()
    answer = site.browse("/core/feeds/disable", site.login(), method="POST", body=b"")

    assert 200 == answer.status
    assert not site.world.services.get("feeds").enabled


@pytest.mark.parametrize("kind", ["cross-site", "same-site"])
def test_another_sites_script_reads_nothing_by_session(site: Site, kind: str) -> None:
    """Not even from another port of the dashboard's own host, where the cookie does come along."""
    answer = site.browse("/map", site.login(), Sec_Fetch_Site=kind, Sec_Fetch_Mode="no-cors")

    assert 403 == answer.status


def test_a_link_from_another_site_arrives(site: Site) -> None:
    """Without the Strict cookie the page is asked for again, once, from the dashboard's own host."""
    headers = {**NAVIGATION, "Sec-Fetch-Site": "cross-site"}
    first = site.ask("GET", "/services/feeds?x=%22%3E", host=site.dashboard, headers=headers)
    again = site.ask(
        "GET", "/services/feeds", host=site.dashboard, headers={**NAVIGATION, "Sec-Fetch-Site": "same-origin"}
    )

    assert (401, 401) == (first.status, again.status)
    assert "url=/services/feeds?x=%22%3E" in first.text
    assert "http-equiv" not in again.text
    assert "locker.py status" in again.text


@pytest.mark.parametrize(
    "path",
    [
        "/Me/feeds/../mail/",
        "/Me/feeds/%2e%2e/x",
        "/Me/feeds/..%2fmail",
        "/Me/feeds/a%5c..%5cb",
        "/Me/a%00b/",
        "/map?\xff",
    ],
)
def test_a_path_with_tricks_is_refused(site: Site, path: str) -> None:
    """What could mean something else to the next reader goes no further."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nAuthorization: Bearer {OWNER_TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(request.encode("latin-1") + b"Connection: close\r\n\r\n")
        answer = connection.recv(100)

    assert answer.startswith(b"HTTP/1.1 400")
    assert [] == site.world.door.seen


def test_nobody_can_pose_as_the_core(site: Site) -> None:
    """Headers by which the core speaks to a child are dropped, in either spelling; the rest passes."""
    site.world.install()
    forged = {"X-Locker-Actor": "owner", "X_Locker_Scopes": "all", "x-locker-token": "t", "X-Other": "kept"}
    site.ask("GET", "/Me/feeds/", headers={"Authorization": f"Bearer {OWNER_TOKEN}", **forged})
    names = {name.decode().replace("_", "-") for name, _ in site.world.door.seen[0]["headers"]}

    assert "x-other" in names
    assert set() == {name for name in names if name.startswith("x-locker")}


def test_the_caller_reaches_the_door(site: Site) -> None:
    """Owner, app and child are told apart behind the access layer."""
    site.world.install()
    app = site.owner("POST", "/tokens", {"label": "script", "scopes": ["read"]}).json
    asks = [OWNER_TOKEN, app["token"], site.world.child("feeds")]
    actors = [site.owner("GET", "/Me/feeds/records/entry", token=token).json["actor"] for token in asks]

    assert ["owner", f"app:{app['id']}", "service:feeds"] == actors


def test_child_reads_only_what_it_uses(site: Site) -> None:
    """app_reads_only_what_it_declared: another's records of a used type, and nothing else of anybody's."""
    site.world.install("feeds")
    site.world.install("mail")
    child = site.world.child("mail")
    asked = {
        "/Me/feeds/records/entry": 200,
        "/Me/feeds/records/feed": 403,
        "/Me/feeds/facts": 403,
        "/Me/feeds/": 403,
        "/Me/mail/facts": 200,
        "/events?types=entry/feeds": 200,
        "/events?types=message": 403,
        "/events": 403,
        "/events?types=message&types=entry/feeds": 403,
        "/events?types=entry/feeds&types=message": 403,
        "/events?services=feeds&services=mail": 403,
        "/map": 200,
        "/health": 200,
        "/diary": 403,
        "/tokens": 403,
        "/core/feeds/log": 403,
        "/core/feeds/settings": 403,
        "/core/mail/settings": 403,
        "/services/mail": 403,
        "/": 403,
    }

    assert asked == {path: site.owner("GET", path, token=child).status for path in asked}


def test_an_open_door_lets_strangers_through(site: Site) -> None:
    """A path the owner opened is reached without a token, by any method, as nobody; its neighbours are not."""
    site.world.install()
    site.world.open_doors.add(b"/Me/feeds/haystack")
    through = site.ask("POST", "/Me/feeds/haystack", headers={"Authorization": "Bearer of-its-own"}, body=b"")
    beside = site.ask("GET", "/Me/feeds/records/entry")

    assert (200, "nobody", 401) == (through.status, through.json["actor"], beside.status)


def test_a_foreign_page_is_nobody_at_an_open_door(site: Site) -> None:
    """The owner's session does not make another site's request the owner's."""
    site.world.install()
    site.world.open_doors.add(b"/Me/feeds/haystack")
    answer = site.browse("/Me/feeds/haystack", site.login(), method="POST", body=b"", Sec_Fetch_Site="cross-site")

    assert "nobody" == answer.json["actor"]


def test_upgrade_needs_the_same_proof(site: Site) -> None:
    """A WebSocket is judged like a request: no token, no connection; by session only from the dashboard."""
    site.world.install()
    cookie = site.login()

    async def status_of(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        host = named.pop("Host", f"127.0.0.1:{site.port}")
        try:
            sock = socket.create_connection(("127.0.0.1", site.port))
            async with connect(f"ws://{host}/Me/feeds/live", sock=sock, additional_headers=named, proxy=None):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    async def all_of() -> list[int]:
        return [
            await status_of(),
            await status_of(Authorization="Bearer wrong"),
            await status_of(Authorization=f"Bearer {OWNER_TOKEN}"),
            await status_of(Host=site.dashboard, Cookie=cookie),
            await status_of(Host=site.dashboard, Cookie=cookie, Origin="http://evil.example"),
            await status_of(Host=site.dashboard, Cookie=cookie, Origin=site.origin),
            await status_of(Host=f"evil.example:{site.port}", Authorization=f"Bearer {OWNER_TOKEN}"),
        ]

    assert [401, 401, 101, 403, 403, 101, 403] == asyncio.run(all_of())


@pytest.mark.parametrize("path", ["/", "/map", "/nothing", "/login", "/health"])
def test_every_answer_of_the_core_keeps_to_itself(site: Site, path: str) -> None:
    """No framing, no foreign code, no guessing of types, nothing stored, errors included."""
    headers = site.browse(path, site.login()).headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert f"script-src {site.origin}/static/ " in headers["content-security-policy"]
    assert "nosniff" == headers["x-content-type-options"]
    assert "same-origin" == headers["cross-origin-resource-policy"] == headers["cross-origin-opener-policy"]
    assert "no-store" == headers["cache-control"]
    assert "access-control-allow-origin" not in headers


def test_static_files_may_be_kept(site: Site) -> None:
    """They need no token, are the same for everybody, and their address changes with them."""
    answer = site.ask("GET", "/static/locker.css")

    assert 200 == answer.status
    assert "max-age" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"]
)
def test_static_files_stay_in_their_folder(site: Site, path: str) -> None:
    """There is no way up."""
    assert site.ask("GET", path).status in (400, 404)


def test_a_path_cannot_write_lines_into_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """What is decoded is written as what it is."""
    caplog.set_level("INFO")
    site.ask("GET", "/nothing%0aincident%20forged")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("core.")]

    assert any("/nothing\\nincident forged" in line for line in lines)
    assert not any("\n" in line for line in lines)


def test_no_secret_reaches_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Tickets, tokens and cookies stand in no line that the room writes."""
    caplog.set_level("DEBUG")
    cookie = site.login()
    site.browse("/nothing", cookie)
    site.owner("GET", "/nothing")
    site.ask("GET", "/login?ticket=of-nobody", host=site.dashboard)
    site.owner("GET", "/map", token="a-wrong-token")

    # The capture revives the server's own access log, which the core switches off.
    written = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("core."))
    assert "refused status=401" in written
    assert [] == [s for s in (cookie.partition("=")[2], OWNER_TOKEN, "of-nobody", "a-wrong-token") if s in written]
