"""What is compared: Locker, the peer, and the child itself with nothing in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.bench._wire import Place, Refused, Wire
from tests.fakes.house import ROOT, TOKEN, House

PROGRAMS = Path(__file__).resolve().parent / "programs"
PEER = "jupyter-server-proxy"
BASE = "/bench"
UP_S_MAX = 30.0
PORTS_TRIED_MAX = 3
AUTHORIZATION = (("Authorization", f"Bearer {TOKEN}"),)


class Ours(House):
    """A real core with the benches' programs among its connectors."""

    command: tuple[str, ...] = (sys.executable, "-m", "core.cli")

    def __init__(self, folder: Path, *, spawn: str = "auto", environment: dict[str, str] | None = None) -> None:
        super().__init__(folder, environment={"LOCKER_SPAWN": spawn, **(environment or {})})
        paths = json.dumps([str(PROGRAMS)])
        (self.config / "locker.toml").write_text(f"connector_paths = {paths}\n", "utf-8")

    def start(self, *, timeout_s: float = UP_S_MAX) -> Ours:
        """Start the core and wait until it answers."""
        self.launch()
        self.wait(lambda: self.login_url, timeout_s=timeout_s, what="the login address")
        self.wait(lambda: self.get("/health").ok, timeout_s=timeout_s, what="an answer of /health")
        return self

    def launch(self) -> None:
        """Start the core; its port is known once it has said so."""
        self.output, self.login_url = [], ""
        self.process = subprocess.Popen(
            [*self.command, "run", "--me", str(self.me), "--config", str(self.config), "--port", "0", "--no-browser"],
            cwd=ROOT, env={**os.environ, "LOCKER_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1", **self.environment},
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Ours:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def place(self, service: str) -> Place:
        """Where requests for a service go; the owner's token comes along and is checked each time."""
        return Place(self.port, f"/Me/{service}", AUTHORIZATION)

    def make_cold(self, service: str) -> None:
        """Stop the service's child; it is gone when this returns."""
        answer = self.post(f"/core/{service}/stop")
        assert answer.ok, answer.text

    @property
    def core(self) -> psutil.Process:
        """The core's own process."""
        assert self.process is not None
        return psutil.Process(self.process.pid)


class Peer:
    """The peer's standalone proxy in front of one program, which it starts at the first request."""

    def __init__(self, program: str) -> None:
        self._program = program
        for _ in range(PORTS_TRIED_MAX):
            self.port = free_port()
            self._process = self._started()
            # Somebody else may have taken the port meanwhile: the peer ends then.
            if _await(lambda: self._is_up() or self._process.poll() is not None) and self._process.poll() is None:
                self.place = Place(self.port, BASE)
                return
            self.close()
        raise AssertionError("the peer does not start")

    def _started(self) -> subprocess.Popen[bytes]:
        command = [
            str(Path(sys.executable).with_name("jupyter-standaloneproxy")), f"--port={self.port}",
            "--address=127.0.0.1", f"--base-url={BASE}", "--no-authentication", "--activity-interval=0", "--",
            sys.executable, str(PROGRAMS / self._program / "connector.py"), "{port}",
        ]  # fmt: skip
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def core(self) -> psutil.Process:
        """The proxy's own process."""
        return psutil.Process(self._process.pid)

    def close(self) -> None:
        """End it and its child."""
        below = self.core.children(recursive=True) if self._process.poll() is None else []
        self._process.kill()
        self._process.wait()
        for child in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def _is_up(self) -> bool:
        # Outside its base it answers 404 and starts no child.
        with Wire(self.port) as wire:
            try:
                wire.exchange(Place(self.port).request("/"))
            except Refused as refusal:
                return " 404 " in str(refusal)
        return False


@contextlib.contextmanager
def direct(program: str) -> Iterator[Place]:
    """The program itself, listening."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(PROGRAMS / program / "connector.py"), str(port)],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await_answer(Place(port), program)
        yield Place(port)
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Memory(NamedTuple):
    """A process's memory in MB: resident, its proportional share (shared pages divided among those who share), and
    what is its own alone."""

    resident: float
    proportional: float
    own: float


def memory_of(process: psutil.Process) -> Memory:
    """What a process takes at the moment."""
    found = process.memory_full_info()
    return Memory(found.rss / 1e6, getattr(found, "pss", found.rss) / 1e6, found.uss / 1e6)


def await_answer(place: Place, what: str) -> None:
    """Return once something answers there."""

    def answers() -> bool:
        with Wire(place.port) as wire:
            return bool(wire.exchange(place.request("/")))

    if not _await(answers):
        raise AssertionError(f"{what} did not answer within {UP_S_MAX:g} s")


def _await(condition: Callable[[], bool]) -> bool:
    """Whether the condition came true within its time."""
    deadline = time.monotonic() + UP_S_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if condition():
                return True
        time.sleep(0.02)
    return False
