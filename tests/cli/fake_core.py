"""A core as the commands see it: a socket that gives tickets, and HTTP that answers what the test put there."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from core.cli.running_core import console_path

TOKEN = "lkc_a-token-for-ten-minutes"


@dataclass(frozen=True)
class Asked:
    """One request that the core got."""

    method: str
    path: str
    body: Any
    authorization: str


@dataclass
class FakeCore:
    """What it answers, by method and path; what it was asked, in order; the stores that it lent and got back.

    `line` is what its socket answers with.
    """

    me: Path
    url: str = ""
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    lent: list[str] = field(default_factory=list)
    line: bytes = b""
    logins: int = 0
    cuts: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def login_url(self) -> str:
        """The address that its socket gave last; each one is another."""
        return f"http://locker.localhost:1/login?ticket={self.logins}"

    def answer(self, method: str, path: str, body: Any, *, status: int = 200, cut_bytes: int = 0) -> None:
        """Answer this from now on; bytes are sent as they are, and the last `cut_bytes` never."""
        self.answers[method, path] = (status, body)
        self.cuts[method, path] = cut_bytes


@contextmanager
def running(me: Path) -> Iterator[FakeCore]:
    """A fake core over this Me for as long as the block lasts."""
    core = FakeCore(me)

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            core.asked.append(Asked(self.command, self.path, body, self.headers.get("authorization", "")))
            missing = (
                404,
                {
                    "type": "not_found",
                    "detail": f"Nothing at {self.path}.",
                    "remedy": "GET /map lists those there are.",
                },
            )
            status, content = core.answers.get((self.command, self.path), missing)
            sent = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent[: len(sent) - core.cuts.get((self.command, self.path), 0)])

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    core.url = f"http://127.0.0.1:{server.server_address[1]}"
    core.line = json.dumps({"url": core.url, "token": TOKEN}).encode() + b"\n"
    me.mkdir(parents=True, exist_ok=True)
    path = console_path(me)
    path.parent.mkdir(exist_ok=True, mode=0o700)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(str(path))
    door.listen()
    threads = [
        threading.Thread(target=server.serve_forever, args=(0.02,)),
        threading.Thread(target=_give_tickets, args=(door, core)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield core
    finally:
        server.shutdown()
        server.server_close()
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        path.unlink()
        for thread in threads:
            thread.join(10)


def _give_tickets(door: socket.socket, core: FakeCore) -> None:
    while True:
        try:
            caller, _ = door.accept()
        except OSError:
            return
        with caller, caller.makefile("rb") as lines:
            request = json.loads(lines.readline())
            if request == {"op": "login"}:
                core.logins += 1
                caller.sendall(json.dumps({"url": core.login_url}).encode() + b"\n")
                continue
            if request["op"] == "borrow":
                core.lent.append(request["service"])
                caller.sendall(json.dumps({"borrowed": request["service"]}).encode() + b"\n")
                lines.read()
                core.lent.append(f"{request['service']} is back")
                continue
            assert request == {"op": "ticket"}
            caller.sendall(core.line)
