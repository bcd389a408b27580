"""A supervisor over a scratch Me, with real children from tests/fakes/programs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import tomllib
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from core.model.clock import Clock, SystemClock
from core.model.handshake import Greeting
from core.process import ChildLogs, Endpoint, LaunchSpec, LogLimits, ProcessLimits, State, Supervisor, Zygote
from core.process.launcher import minimal_environment

PROGRAMS = Path(__file__).resolve().parents[1] / "fakes" / "programs"
KEY = "key-" + "k" * 40
WAIT_S = 10.0
BRISK = ProcessLimits(stop_grace_s=0.5, close_s=3.0, watch_s=0.02, memory_watch_s=0.05)


class Yard:
    """One supervisor and what its services are; `async with` starts and closes it."""

    def __init__(
        self,
        me: Path,
        *,
        zygote: Zygote | None,
        limits: ProcessLimits = BRISK,
        clock: Clock | None = None,
        log_limits: LogLimits | None = None,
        environment: Mapping[str, str] | None = None,
        before_launch: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.me = me
        self.clock = clock or SystemClock()
        self.moves: list[tuple[str, str]] = []
        self.specs: dict[str, LaunchSpec] = {}
        self.refusals: dict[str, Exception] = {}
        self.greetings: list[Greeting] = []
        self.logs = ChildLogs(me / "logs", clock=self.clock, limits=log_limits)
        self.supervisor = Supervisor(
            spec_for=self._spec_for,
            me=me,
            clock=self.clock,
            limits=limits,
            zygote=zygote,
            logs=self.logs,
            on_change=self._on_change,
            environment=environment,
            **({} if before_launch is None else {"before_launch": before_launch}),
        )

    async def __aenter__(self) -> Yard:
        await self.supervisor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.supervisor.close()
        self.logs.close()

    def add(
        self,
        program: str,
        *,
        service_id: str | None = None,
        settings: dict[str, Any] | None = None,
        source: Path | None = None,
        **changes: Any,
    ) -> str:
        """Install a fake program as a service; `changes` go into its launch spec. Returns the service's id."""
        folder = source or PROGRAMS / program
        manifest = tomllib.loads((folder / "connector.toml").read_text()) if source is None else {}
        name = service_id or program.replace("_", "-")
        argv = tuple(manifest.get("run", "python connector.py").split())
        spec = LaunchSpec(
            service_id=name,
            uid=f"uid-of-{name}",
            title=name,
            argv=argv,
            source_directory=folder,
            working_directory=self.me / name,
            python=sys.executable,
            forkable=argv[0] == "python",
            start_timeout_s=10.0,
            idle_stop_s=600.0,
            resident=False,
            memory_bytes=512 * 1024 * 1024,
            reads=(),
            greeting=lambda port, token: self._greet(name, folder, settings or {}, port=port, token=token),
        )
        self.specs[name] = replace(spec, **changes)
        return name

    async def get(self, endpoint: Endpoint, path: str = "/") -> bytes:
        """The body of the child's answer."""
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{endpoint.port}{path}")

    async def get_json(self, endpoint: Endpoint, path: str = "/") -> Any:
        """The same, as JSON."""
        return json.loads(await self.get(endpoint, path))

    def states(self, service_id: str) -> list[str]:
        """The names of the states it went through."""
        return [name for who, name in self.moves if who == service_id]

    def log_text(self, service_id: str) -> str:
        """Everything in the service's log, rotated files included, oldest first."""
        files = sorted((self.me / "logs").glob(f"{service_id}.log*"), reverse=True)
        return "".join(file.read_text() for file in files)

    def _spec_for(self, service_id: str) -> LaunchSpec:
        if service_id in self.refusals:
            raise self.refusals[service_id]
        return self.specs[service_id]

    def _on_change(self, service_id: str, state: State) -> None:
        self.moves.append((service_id, state.name))

    def _greet(self, name: str, folder: Path, settings: dict[str, Any], *, port: int, token: str) -> Greeting:
        greeting = Greeting(
            port=port,
            working_directory=str(self.me / name),
            locker_url="http://127.0.0.1:9",
            id=name,
            uid=f"uid-of-{name}",
            device="device",
            core_pid=os.getpid(),
            source_directory=str(folder),
            external_base=f"http://127.0.0.1:9/Me/{name}/",
            token=token,
            key=KEY,
            settings=settings,
            app={"client_id": "public-id", "client_secret": "app-secret-value"},
        )
        self.greetings.append(greeting)
        return greeting


async def until(condition: Callable[[], object], *, within_s: float = WAIT_S) -> None:
    """Return when `condition` holds; fail the test when it does not come to hold in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        await asyncio.sleep(0.01)


def is_living(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def warm_parent(*preload: str) -> Zygote:
    """A started zygote with a minimal environment."""
    zygote = Zygote(preload=preload, environment=minimal_environment(os.environ))
    zygote.start()
    return zygote


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        body: bytes = answer.read()
    return body
