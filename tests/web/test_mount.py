"""Flask on the event loop: bodies within bounds, and no slow client holds a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, request

from core.web import openapi
from core.web.caller import Caller
from core.web.dashboard import PAGES
from core.web.mount import BODY_BYTES_MAX, THREADS, WAITING_MAX, WAITING_OF_ONE_CHILD_MAX, Mount, is_long_deed
from core.web.parts import Receive
from tests.web.conftest import OWNER_TOKEN, Site

HEAD = "POST /core/feeds/diary HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer " + OWNER_TOKEN + "\r\n"


def connect(site: Site, head: str) -> socket.socket:
    """A connection on which this head was sent."""
    connection = socket.create_connection(("127.0.0.1", site.port), timeout=10)
    connection.sendall((HEAD + head + "\r\n").format(port=site.port).encode())
    return connection


@pytest.mark.parametrize(("extra", "status"), [(0, 400), (1, 413)])
def test_oversized_bodies_are_refused(site: Site, extra: int, status: int) -> None:
    """A mebibyte is read (and is no JSON); one byte more is not."""
    site.world.install()
    headers = {"Authorization": f"Bearer {OWNER_TOKEN}"}
    answer = site.ask("POST", "/core/feeds/diary", headers=headers, body=b"x" * (BODY_BYTES_MAX + extra))

    assert status == answer.status


@pytest.mark.parametrize(("path", "is_owner"), [("/services/feeds/import", False), ("/services/feeds/title", True)])
def test_only_the_owners_files_may_be_larger(site: Site, path: str, is_owner: bool) -> None:
    """Not another's, and not what is sent to another path."""
    site.world.install()
    app = site.owner("POST", "/tokens", {"label": "x", "scopes": ["read"]}).json["token"]
    headers = {"Authorization": f"Bearer {OWNER_TOKEN if is_owner else app}"}

    assert 413 == site.ask("POST", path, headers=headers, body=b"x" * (BODY_BYTES_MAX + 1)).status


def test_an_oversized_body_in_chunks_is_refused_before_its_end(site: Site) -> None:
    """Nobody announced its size, so it is counted."""
    site.world.install()
    with connect(site, "Transfer-Encoding: chunked\r\n") as connection:
        connection.sendall(b"100001\r\n" + b"x" * (BODY_BYTES_MAX + 1) + b"\r\n")
        answer = connection.recv(100)

    assert answer.startswith(b"HTTP/1.1 413")


def test_slow_uploads_hold_no_thread(site: Site) -> None:
    """More half-sent bodies than there are threads, and the next request is answered at once."""
    site.world.install()
    slow = [connect(site, "Content-Length: 100\r\n") for _ in range(3 * THREADS)]
    answer = site.owner("GET", "/map")
    for connection in slow:
        connection.close()

    assert 200 == answer.status


def test_slow_readers_hold_no_thread(site: Site) -> None:
    """More clients that never read a large answer than there are threads, and the next is answered at once."""
    site.world.install()
    site.world.children.logs["feeds"] = ["x" * 2000] * 5000
    request_text = (
        f"GET /core/feeds/log?lines=5000 HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n"
        f"Authorization: Bearer {OWNER_TOKEN}\r\n\r\n"
    )
    slow = []
    for _ in range(THREADS + 2):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", site.port))
        connection.sendall(request_text.encode())
        slow.append(connection)
    answer = site.owner("GET", "/map")
    for connection in slow:
        connection.close()

    assert 200 == answer.status


@pytest.fixture
def flask() -> Iterator[Flask]:
    """A small application."""
    application = Flask(__name__)

    @application.post("/echo")
    def echo() -> Response:
        return Response(request.get_data())

    yield application


def scope(path: str = "/echo", *, length: int | None = None) -> dict[str, Any]:
    """A POST."""
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers, "http_version": "1.1",
        "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "scheme": "http",
    }  # fmt: skip


async def run(mount: Mount, receive: Receive, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages that answer one request."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await mount(asked, receive, send)
    return sent


def answered(flask: Flask, receive: Receive, asked: dict[str, Any], **how: float) -> list[dict[str, Any]]:
    """The messages that answer one request of an application mounted for it alone."""

    async def whole() -> list[dict[str, Any]]:
        mount = Mount(flask, **how)
        try:
            return await run(mount, receive, asked)
        finally:
            await mount.close()

    return asyncio.run(whole())


def test_a_body_arrives_whole(flask: Flask) -> None:
    """However many pieces it came in, and though nobody said its length."""
    pieces = iter([b"one ", b"", b"two"])

    async def receive() -> dict[str, Any]:
        piece = next(pieces)
        return {"type": "http.request", "body": piece, "more_body": piece != b"two"}

    assert b"one two" == b"".join(m.get("body", b"") for m in answered(flask, receive, scope()))


def test_a_body_that_does_not_end_in_time_is_refused(flask: Flask) -> None:
    """The wait is bounded."""

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    assert 400 == answered(flask, never, scope(length=10), body_deadline_s=0.05)[0]["status"]


def test_a_client_that_leaves_is_not_answered(flask: Flask) -> None:
    """Its half body runs nothing."""

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert [] == answered(flask, gone, scope(length=10))


def test_waiting_requests_are_bounded(flask: Flask) -> None:
    """One more than may wait is turned away, with the time to come back; the others are answered."""
    block = threading.Event()

    @flask.post("/wait")
    def wait() -> str:
        assert block.wait(20)
        return "done"

    async def whole() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def ask() -> tuple[list[int], dict[bytes, bytes]]:
        mount = Mount(flask)
        waiting = [asyncio.create_task(run(mount, whole, scope("/wait"))) for _ in range(WAITING_MAX)]
        await asyncio.sleep(0)
        refused = await run(mount, whole, scope("/wait"))
        block.set()
        done = await asyncio.gather(*waiting)
        await mount.close()
        return [refused[0]["status"], *sorted({sent[0]["status"] for sent in done})], dict(refused[0]["headers"])

    statuses, headers = asyncio.run(ask())

    assert [503, 200] == statuses
    assert b"1" == headers[b"retry-after"]


def test_lanes_do_not_wait_for_each_other(flask: Flask) -> None:
    """More changes than there are threads, be they long or quick, and a child's flood, keep nobody else waiting."""
    block = threading.Event()

    @flask.route("/stuck", methods=["GET", "POST"])
    def stuck() -> str:
        assert block.wait(20)
        return "done"

    @flask.post("/core/feeds/restart")
    def restart() -> str:
        return stuck()

    @flask.get("/quick")
    def quick() -> str:
        return "at once"

    @flask.put("/core/feeds/title")
    def title() -> str:
        return "at once"

    async def whole() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    def of(actor: str, method: str, path: str) -> dict[str, Any]:
        return {**scope(path), "method": method, "locker.caller": Caller(actor)}

    async def ask() -> tuple[list[int], int]:
        mount = Mount(flask)
        restarts = [of("owner", "POST", "/core/feeds/restart") for _ in range(2 * THREADS)]
        stuck = [asyncio.create_task(run(mount, whole, each)) for each in restarts]
        await asyncio.sleep(0)
        retitled = await asyncio.wait_for(run(mount, whole, of("owner", "PUT", "/core/feeds/title")), 10)
        changes = [of("owner", "POST", "/stuck") for _ in range(2 * THREADS)]
        flood = [of("service:flood", "GET", "/stuck") for _ in range(WAITING_OF_ONE_CHILD_MAX)]
        stuck += [asyncio.create_task(run(mount, whole, each)) for each in [*changes, *flood[: THREADS - 1]]]
        await asyncio.sleep(0)
        quick = [of("owner", "GET", "/quick"), of("nobody", "GET", "/quick"), of("service:calm", "GET", "/quick")]
        answers = [(await asyncio.wait_for(run(mount, whole, each), 10))[0]["status"] for each in quick]
        stuck += [asyncio.create_task(run(mount, whole, each)) for each in flood[THREADS - 1 :]]
        await asyncio.sleep(0)
        refused = (await run(mount, whole, of("service:flood", "GET", "/quick")))[0]["status"]
        block.set()
        await asyncio.gather(*stuck)
        await mount.close()
        return [retitled[0]["status"], *answers], refused

    answers, refused = asyncio.run(ask())

    assert [200, 200, 200, 200] == answers
    assert 503 == refused


def test_who_comes_while_the_core_stops_is_told_so(flask: Flask) -> None:
    """Who waits for a thread then, and who comes later, as a child that ends: that is no fault of the core's."""
    block, inside = threading.Event(), threading.Semaphore(0)

    @flask.post("/stuck")
    def stuck() -> str:
        inside.release()
        assert block.wait(20)
        return "done"

    async def whole() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def ask() -> list[int]:
        mount = Mount(flask)
        post = {**scope("/stuck"), "method": "POST"}
        asked = [asyncio.create_task(run(mount, whole, post)) for _ in range(THREADS + 1)]
        for _ in range(THREADS):
            assert await asyncio.to_thread(inside.acquire, timeout=20)
        closing = asyncio.create_task(mount.close())
        waiting = await asyncio.wait_for(asked[-1], 10)
        late = await run(mount, whole, post)
        block.set()
        done = await asyncio.gather(*asked[:-1])
        await closing
        assert b"Locker is stopping" in waiting[1]["body"]
        return [answer[0]["status"] for answer in (*done, waiting, late)]

    assert [200] * THREADS + [503] * 2 == asyncio.run(ask())


def test_what_may_take_long_has_a_lane_of_its_own() -> None:
    """Of the API and of the dashboard, exactly these changes wait for a child, an environment or a folder."""
    rows = {f"{row.method} {row.path}" for row in openapi.TABLE} | {f"{page.method} {page.path}" for page in PAGES}
    deeds = ("install", "uninstall", "enable", "disable", "resume", "stop", "restart")
    of_a_child = (
        "settings",
        "sync",
        "wake",
        "import",
        "store",
        "erase/<type>/<key>",
        "set-aside/retry",
        "set-aside/drop",
    )
    expected = {f"POST /core/<id>/{deed}" for deed in (*deeds, "erase")} | {"DELETE /kept/<id>"}
    expected |= {f"PUT /core/<id>/{what}" for what in ("settings", "retention", "store")}
    expected |= {f"POST /services/<id>/{deed}" for deed in (*deeds[1:], *of_a_child)}
    expected |= {"POST /dead-letters/<letter>/retry", "POST /owner/letters/<int:letter>/retry"}
    expected |= {"POST /install/<connector>", "POST /install/kept/<id>", "POST /install/kept/<id>/erase"}

    assert expected == {row for row in rows if is_long_deed(*row.split(" ", 1))}
