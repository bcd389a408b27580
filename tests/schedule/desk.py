"""A scheduler over a real core.db and a clock that moves when told, with services that answer as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from core.model.clock import ManualClock
from core.model.errors import NotFound, ServiceDisabled
from core.schedule import Pending, Scheduler
from core.store import CoreDb

MINUTE = 60.0
HOUR = 3600.0
DAY = 86_400.0


async def until(condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
    """Return when the condition holds; fail after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        await asyncio.sleep(0.002)


class Desk:
    """What a scheduler needs, and a note of whom it called; answers are 200 unless `answer` says otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        self.coredb = CoreDb.open(path)
        self.services = ["feeds", "github", "mail"]
        self.switched_off: set[str] = set()
        self.frequencies: list[tuple[str, str, float]] = []
        self.calls: list[tuple[str, str]] = []
        self.answers: dict[tuple[str, str], int | Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.open_calls: Counter[tuple[str, str]] = Counter()
        self.most_open = 0
        self.random_unit = 0.5
        self.scheduler = self.new_scheduler()

    def new_scheduler(self) -> Scheduler:
        """Another scheduler over the same list, as after a restart."""
        return Scheduler(
            self.coredb,
            self.clock,
            self.call,
            lambda: list(self.frequencies),
            services=lambda: list(self.services),
            check=self.check,
            random_unit=lambda: self.random_unit,
            pulse_s=0.02,
        )

    def check(self, service: str) -> None:
        """Refuse what is not installed, and what the test switched off."""
        if service not in self.services:
            raise NotFound(f"there is no service {service}")
        if service in self.switched_off:
            raise ServiceDisabled(f"{service} is switched off")

    async def call(self, service: str, path: str) -> int:
        """Answer as `answers` says, as soon as the gate is open."""
        self.calls.append((service, path))
        self.open_calls[service, path] += 1
        self.most_open = max(self.most_open, self.open_calls.total())
        assert self.open_calls[service, path] == 1, "two calls of one path at once"
        try:
            await self.gate.wait()
        finally:
            self.open_calls[service, path] -= 1
        answer = self.answers.get((service, path), 200)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def pass_time(self, seconds: float) -> None:
        """Let time pass minute by minute, each call that comes due being answered before the next minute."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.clock.advance(min(MINUTE / 2, end - self.clock.monotonic()))
            await self.settle()

    async def settle(self) -> None:
        """Return when everything due has been called and answered."""
        self.scheduler.replan()
        await until(self.is_quiet)

    def is_quiet(self) -> bool:
        """Whether nothing is due or under way."""
        due = self.coredb.read("SELECT 1 FROM pending_at WHERE at <= ? AND tries < 12", (self.clock.now(),))
        under_way = "SELECT 1 FROM pending_at WHERE kind = 'fallback' AND tries > 0 AND last_problem IS NULL"
        return not due and not self.open_calls.total() and not self.coredb.read(under_way)

    def entries(self, service: str | None = None) -> dict[str, Pending]:
        """The pending calls by path."""
        rows = self.coredb.read("SELECT service, path, at, kind, tries, last_problem FROM pending_at")
        names = ("service", "path", "at", "kind", "tries", "last_problem")
        pending = [Pending(**dict(zip(names, row, strict=True))) for row in rows]
        return {each.path: each for each in pending if service in (None, each.service)}

    async def restart(self) -> None:
        """Stop the scheduler and start another over the same list."""
        await self.scheduler.stop()
        self.scheduler = self.new_scheduler()
        await self.scheduler.start()


@contextlib.asynccontextmanager
async def open_desk(tmp_path: Path, *, start: bool = True) -> AsyncIterator[Desk]:
    """A desk whose scheduler runs, stopped at the end."""
    desk = Desk(tmp_path / "core.db")
    try:
        if start:
            await desk.scheduler.start()
        yield desk
    finally:
        desk.gate.set()
        await desk.scheduler.stop()
        desk.coredb.close()
