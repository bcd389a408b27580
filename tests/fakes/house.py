"""A whole Locker for a test: a real core process over a scratch Me, asked over HTTP like anyone would."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import requests

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "owner-token-of-the-tests-0123456789abcdef"
READY = re.compile(r"http://locker\.localhost:(\d+)/login\?ticket=(\S+)")


class House:
    """One core over one Me; `start` returns when it answers, `stop` when it and its children have gone."""

    def __init__(
        self, folder: Path, *, environment: dict[str, str] | None = None, arguments: tuple[str, ...] = ()
    ) -> None:
        self.folder = folder
        self.me = folder / "Me"
        self.config = folder / "config"
        self.environment = environment or {}
        self.arguments = arguments
        self.port = 0
        self.login_url = ""
        self.output: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.config.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """The core's address for programs."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, timeout_s: float = 30.0) -> House:
        """Start the core and wait until it has printed its login address and answers."""
        environment = {**os.environ, "LOCKER_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1", **self.environment}
        command = [sys.executable, "-m", "core.cli", "run", "--me", str(self.me), "--config", str(self.config)]
        self.output = []
        self.login_url = ""
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), "--no-browser", *self.arguments],
            cwd=ROOT, env=environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        self.wait(lambda: self.login_url, timeout_s=timeout_s, what="the login address")
        self.wait(lambda: self.get("/health").ok, timeout_s=timeout_s, what="an answer of /health")
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line.rstrip())
            if match := READY.search(line):
                self.port = int(match[1])
                self.login_url = match[0]

    def wait(self, condition: Any, *, timeout_s: float = 20.0, what: str = "the condition") -> Any:
        """The first true answer of `condition`, asked again and again until the deadline."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.ConnectionError):
                if answer := condition():
                    return answer
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the core ended with {self.process.returncode}:\n" + "\n".join(self.output[-40:]))
            time.sleep(0.02)
        raise AssertionError(f"no {what} within {timeout_s} s:\n" + "\n".join(self.output[-40:]))

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request as the owner, by token."""
        headers = {"Authorization": f"Bearer {TOKEN}", **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=options.pop("timeout", 40), **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET as the owner."""
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST as the owner."""
        return self.ask("POST", path, **options)

    def install(
        self, connector: str, *, id: str | None = None, settings: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Install a connector; the service record."""
        body = {"connector": connector, "settings": settings or {}}
        answer = self.post(f"/core/{id or connector}/install", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def sync(self, service: str, *, wait_s: int = 30) -> list[dict[str, Any]]:
        """Run every stream of a service; its runs."""
        answer = self.post(f"/Me/{service}/sync?wait_s={wait_s}")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["runs"])

    def records(self, service: str, kind: str) -> dict[str, dict[str, Any]]:
        """All current records of a type by key, page by page."""
        found: dict[str, dict[str, Any]] = {}
        after = None
        while True:
            query = {"limit": "500", **({"after": after} if after else {})}
            page = self.get(f"/Me/{service}/records/{kind}", params=query).json()
            found.update({record["key"]: record for record in page["records"]})
            after = page["next"]
            if after is None:
                return found

    def children(self) -> list[psutil.Process]:
        """Every process below the core, the zygote included."""
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def kill(self) -> list[psutil.Process]:
        """SIGKILL the core; the processes that were below it."""
        assert self.process is not None
        below = self.children()
        self.process.kill()
        self.process.wait(10)
        self.let_go()
        return below

    def stop(self, *, timeout_s: float = 10.0) -> int:
        """Ctrl-C; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                below = self.kill()
                for child in below:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
                raise
        self.let_go()
        return self.process.returncode

    def let_go(self) -> None:
        """Close what was opened to hear the core that has ended."""
        if self._reader is not None:
            self._reader.join(5)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()


@contextlib.contextmanager
def open_house(folder: Path, **options: Any) -> Iterator[House]:
    """A started house, stopped at the end whatever happens, with no process left behind."""
    house = House(folder, **options)
    try:
        yield house.start()
    finally:
        leftovers = house.children() if house.process is not None and house.process.poll() is None else []
        if house.process is not None and house.process.poll() is None:
            house.stop()
        house.let_go()
        for child in leftovers:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
