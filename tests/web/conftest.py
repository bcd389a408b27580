"""A real server on loopback with the composed application and the fakes behind it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
import uvloop

from core.gateway import FrontLimits, server_config
from core.web import Web, build
from tests.web.fakes import World

T = TypeVar("T")
OWNER_TOKEN = "owner-token-of-more-than-32-characters"
DEADLINE_S = 10.0


@dataclass
class Answer:
    """A whole response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Site:
    """The running server, and a client that says exactly what it is told to say."""

    def __init__(self, world: World, web: Web, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self.world = world
        self.web = web
        self.port = port
        self.loop = loop
        self.dashboard = f"locker.localhost:{port}"
        self.origin = f"http://locker.localhost:{port}"

    def on_loop(self, call: Callable[[], T]) -> T:
        """What `call` gives when it runs on the server's loop."""

        async def run() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(DEADLINE_S)

    def ask(
        self,
        method: str,
        path: str,
        *,
        host: str | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request to 127.0.0.1."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", host or f"127.0.0.1:{self.port}")
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, response.read())
        finally:
            connection.close()

    def owner(self, method: str, path: str, content: Any = None, *, token: str = OWNER_TOKEN, **fields: str) -> Answer:
        """Ask with a token; `content` goes as JSON, `fields` go as a form."""
        headers = {"Authorization": f"Bearer {token}"}
        body = None
        if content is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(content).encode()
        elif fields:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
        return self.ask(method, path, headers=headers, body=body)

    def login(self) -> str:
        """The cookie of a new session, as a browser sends it."""
        path = self.on_loop(self.web.login_url).removeprefix(self.origin)
        answer = self.ask("GET", path, host=self.dashboard)
        assert answer.status == 200, answer.text
        return answer.headers["set-cookie"].partition(";")[0]

    def browse(self, path: str, cookie: str, *, method: str = "GET", body: bytes | None = None, **more: str) -> Answer:
        """Ask as the dashboard's own page does in the owner's browser."""
        headers = {
            "Cookie": cookie,
            "Accept": "text/html,application/xhtml+xml",
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "navigate",
        }
        if method != "GET":
            headers["Origin"] = self.origin
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        headers.update({name.replace("_", "-"): value for name, value in more.items()})
        return self.ask(method, path, host=self.dashboard, headers=headers, body=body)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A server with the owner's token, on a port of its own."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    world = World(tmp_path, port=port, owner_token=OWNER_TOKEN)
    web = build(world.parts)
    server = uvicorn.Server(server_config(web, host="127.0.0.1", port=port, limits=FrontLimits(), stop_grace_s=1))
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve(sockets=[listener])
        await web.close()

    thread = threading.Thread(target=lambda: uvloop.run(serve()), daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    yield Site(world, web, loops[0], port)
    server.should_exit = True
    server.force_exit = True
    thread.join(DEADLINE_S)
    listener.close()
    world.close()


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail when it does not within the deadline."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "the condition did not come to hold"
        time.sleep(0.005)
