"""A core for tests of connectors: it greets a real child process, takes its calls, and remembers them.

with FakeCore(tmp_path) as core:
    child = core.start("connectors/weather", settings={"city": "Bern"})
    runs = child.sync()
    records = child.records("reading")
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import requests

from core.model.errors import Forbidden, LockerError
from core.model.handshake import Greeting, parse_announcement
from core.model.problem import problem_response
from core.vault.cipher import KEY_BYTES, key_to_text

ROOT = Path(__file__).resolve().parents[2]
START_S = 15.0
ANSWER_S = 60.0
STOP_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a child asked of the core: `what` is the part after its id, such as `at`."""

    method: str
    what: str
    body: Mapping[str, Any]
    service: str = ""


@dataclass(kw_only=True)
class Identity:
    """Who a service is, the same over all its starts."""

    uid: str = field(default_factory=lambda: secrets.token_hex(16))
    key: str = field(default_factory=lambda: key_to_text(secrets.token_bytes(KEY_BYTES)))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class FakeCore:
    """The core's side of the contract on loopback. `refuse` makes it answer a kind of call with an error."""

    def __init__(self, folder: Path, *, root: Path = ROOT) -> None:
        self.folder = folder
        self.root = root
        self.calls: list[Call] = []
        self.map: dict[str, Any] = {}
        self.pending: dict[str, dict[str, float]] = {}
        self._refusals: dict[str, LockerError] = {}
        self._identities: dict[str, Identity] = {}
        self.children: list[Child] = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> FakeCore:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.end()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(STOP_S)

    @property
    def url(self) -> str:
        """Where children call this core."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def refuse(self, what: str, error: LockerError | None) -> None:
        """Answer calls of that kind with `error`, or properly again."""
        if error is None:
            self._refusals.pop(what, None)
        else:
            self._refusals[what] = error

    def asked(self, what: str) -> list[Mapping[str, Any]]:
        """The bodies of the calls of that kind, in order."""
        with self._changed:
            return [call.body for call in self.calls if call.what == what]

    def wait_for(self, condition: Callable[[], Any], *, timeout_s: float = 10.0) -> Any:
        """The first true answer of `condition`, asked again after each call; AssertionError when none comes."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if answer := condition():
                return answer
            with self._changed:
                self._changed.wait(0.02)
        raise AssertionError(f"it did not happen within {timeout_s:g} s; the calls: {self.calls[-20:]}")

    def identity(self, service_id: str) -> Identity:
        """The uid, key and token of a service."""
        return self._identities.setdefault(service_id, Identity())

    def greeting(
        self, connector: Path, *, service_id: str | None = None, settings: Mapping[str, Any] | None = None,
        account: str | None = None,
    ) -> Greeting:  # fmt: skip
        """The greeting for a service of that connector; makes its working directory."""
        service_id = service_id or connector.name
        working = self.folder / service_id
        working.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity = self.identity(service_id)
        return Greeting(
            port=0,
            working_directory=str(working),
            locker_url=self.url,
            id=service_id,
            uid=identity.uid,
            device="device",
            core_pid=os.getpid(),
            source_directory=str(connector),
            external_base=f"{self.url}/Me/{service_id}/",
            token=identity.token,
            key=identity.key,
            account=account,
            settings=dict(settings or {}),
        )

    def start(
        self, connector: str | Path, *, service_id: str | None = None, settings: Mapping[str, Any] | None = None,
        account: str | None = None,
    ) -> Child:  # fmt: skip
        """A running child of the connector in that folder, announced and answering."""
        folder = (self.root / connector).resolve()
        child = Child(
            self.greeting(folder, service_id=service_id, settings=settings, account=account), folder, self.root
        )
        self.children.append(child)
        child.wait_until_announced()
        return child

    def take(self, call: Call, token: str) -> LockerError | None:
        """Remember a call made with the service's token; the error it is answered with, if any."""
        known = self._identities.get(call.service)
        if known is not None and token != known.token:
            return Forbidden(f"this is not the token of {call.service}")
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        refusal = self._refusals.get(call.what)
        if call.what == "at" and refusal is None:
            self._schedule(call)
        return refusal

    def _schedule(self, call: Call) -> None:
        pending = self.pending.setdefault(call.service, {})
        if call.method == "DELETE":
            pending.pop(str(call.body.get("path")), None)
        else:
            pending[str(call.body.get("path"))] = float(call.body.get("at", 0))


class Child:
    """A connector's process and a client for it."""

    def __init__(self, greeting: Greeting, folder: Path, root: Path) -> None:
        self.greeting = greeting
        self.port = 0
        self.log: list[str] = []
        self._announced = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "connector.py"],
            cwd=folder,
            env={**_minimal_environment(), "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.process.stdin is not None
        self.process.stdin.write(greeting.to_line())
        self.process.stdin.flush()

    @property
    def folder(self) -> Path:
        """The working directory."""
        return Path(self.greeting.working_directory)

    def wait_until_announced(self) -> None:
        """Return when the child listens; AssertionError with its log when it does not."""
        if not self._announced.wait(START_S) or not self.port:
            raise AssertionError("the child did not announce itself:\n" + "\n".join(self.log[-60:]))

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request, as the core sends it."""
        headers = {"X-Locker-Token": self.greeting.token, "X-Locker-Actor": "owner", **options.pop("headers", {})}
        timeout = options.pop("timeout", ANSWER_S)
        return requests.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=timeout, **options
        )

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET, as the core sends it."""
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST, as the core sends it."""
        return self.ask("POST", path, **options)

    def sync(self, stream: str = "", *, wait_s: float = 50, actor: str = "core") -> list[dict[str, Any]]:
        """Run one stream, or all, to the end, as the schedule does or as `actor`; the runs."""
        path = f"/sync/{stream}" if stream else "/sync"
        answer = self.post(f"{path}?wait_s={wait_s}", headers={"X-Locker-Actor": actor})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["runs"])

    def records(self, type_name: str) -> dict[str, dict[str, Any]]:
        """Every current record of a type, by key."""
        found: dict[str, dict[str, Any]] = {}
        query: dict[str, Any] = {"limit": 500}
        while True:
            page = self.get(f"/records/{type_name}", params=query).json()
            found.update({record["key"]: record for record in page["records"]})
            if page["next"] is None:
                return found
            query["after"] = page["next"]

    def facts(self, since: str = "") -> list[dict[str, Any]]:
        """The change feed."""
        answer = self.get("/facts", params={"since": since} if since else {})
        assert answer.status_code == 200, answer.text
        return [msgspec.json.decode(line) for line in answer.content.splitlines()]

    def stop(self) -> int:
        """End it as the core does: close its stdin; the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self._gone()

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._gone()

    def kill(self) -> None:
        """SIGKILL, as a crash or a power cut."""
        self.process.kill()
        self._gone()

    def end(self) -> None:
        """Make sure that it is gone, and that its log is whole."""
        if self.process.poll() is None:
            self.kill()
        self._reader.join(STOP_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _gone(self) -> int:
        status = self.process.wait(STOP_S)
        self._reader.join(STOP_S)
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in self.process.stdout:
                announcement = None if self.port else parse_announcement(line)
                if announcement is not None:
                    self.port = announcement.port or self.greeting.port
                    self._announced.set()
                    continue
                self.log.append(line.decode("utf-8", "replace").rstrip())
        self._announced.set()


def _minimal_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ", "TMPDIR") if name in os.environ}


def _handler(core: FakeCore) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer: Any = core.map if self.path == "/map" else []
            if self.path.endswith("/at"):
                pending = core.pending.get(self.path.split("/")[2], {})
                answer = [{"path": path, "at": at} for path, at in pending.items()]
            self._respond(200, [], msgspec.json.encode(answer))

        def do_POST(self) -> None:
            self._take("POST")

        def do_DELETE(self) -> None:
            self._take("DELETE")

        def _take(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            _, _, service, what = self.path.split("/", 3)
            document = msgspec.json.decode(body, type=dict[str, Any]) if body else {}
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            error = core.take(Call(method=method, what=what, body=document, service=service), token)
            if error is None:
                self._respond(200, [], b'{"id": "event"}' if what == "event" else b"{}")
            else:
                self._respond(*problem_response(error))

        def _respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in [("content-type", "application/json"), *headers]:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """The calls are remembered; nothing is printed."""

    return Handler
