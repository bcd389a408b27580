"""Real stores and a real core.db, with services that take events as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.events import Bus, Deliveries, DeliveryLimits, LogSource
from core.model.clock import ManualClock
from core.model.errors import ServiceDisabled
from core.model.fact import Change, Fact
from core.model.ids import uuid7
from core.model.manifest import TypeSpec
from core.store import CoreDb, Origin, Reader, Store

TYPES = {name: TypeSpec(name=name) for name in ("contact", "tweet", "link")}
QUICK = DeliveryLimits(batch_wait_s=0.0, backoff_first_s=0.001, backoff_max_s=0.005, call_s_max=5.0)
Answer = int | Exception


async def until(condition: Callable[[], object], *, timeout_s: float = 15.0) -> None:
    """Return when the condition holds; fail after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        await asyncio.sleep(0.002)


class Shelf:
    """One service's store, as its child writes it and as the core reads it."""

    def __init__(self, folder: Path, clock: ManualClock, *, network: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        card = folder / "uid"
        if not card.exists():
            card.write_text(str(uuid7(clock.now())))
        self.uid = card.read_text()
        self.account: str | None = "me"
        self.network = network
        self.store = Store.open(folder, types=TYPES, origin=Origin(f"device/{self.uid}", 1), clock=clock)
        self.reader = Reader.open(folder, types=TYPES)

    def network_of(self, type_name: str, /) -> str:
        return self.network

    def epoch(self) -> str:
        return self.reader.epoch()

    def head(self) -> int:
        return self.reader.head()

    def floor(self) -> int:
        return self.reader.floor()

    def facts(self, since: int, /, *, limit: int) -> list[Fact]:
        return self.reader.facts(since, limit=limit)

    def previous(self, fact: Fact, /) -> Fact | None:
        return self.reader.previous(fact)

    def close(self) -> None:
        self.reader.close()
        self.store.close()


class EventDesk:
    """A bus over the shelves, and deliveries to services that answer 200 unless `answer` says otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.coredb = CoreDb.open(folder / "core.db")
        self.shelves: dict[str, Shelf] = {}
        self.broken: dict[str, LogSource] = {}
        self.uses: dict[str, set[str]] = {}
        self.switched_off: set[str] = set()
        self.posts: list[tuple[str, str, list[dict[str, Any]]]] = []
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[Mapping[str, str]] = []
        self.answer: Callable[[str, list[dict[str, Any]]], Answer] = lambda path, events: 200
        self.bus = self.new_bus()
        self.deliveries = self.new_deliveries()

    def new_bus(self) -> Bus:
        """Another bus over the same shelves."""
        return Bus(self.coredb, self.clock, lambda: {**self.shelves, **self.broken})

    def new_deliveries(self, limits: DeliveryLimits = QUICK) -> Deliveries:
        """Other deliveries over the same core.db."""
        return Deliveries(
            self.bus, self.coredb, self.clock, self.post, allowed=self.allowed, check=self.check, limits=limits,
            random_unit=lambda: 1.0,
        )  # fmt: skip

    def allowed(self, service: str, name: str) -> bool:
        """Every type, unless the test set what the service uses."""
        return service not in self.uses or name in self.uses[service]

    def check(self, service: str) -> None:
        """Refuse what the test switched off."""
        if service in self.switched_off:
            raise ServiceDisabled(f"{service} is switched off")

    def shelf(self, service: str, *, network: str = "") -> Shelf:
        """The service's shelf, put up at the first call."""
        if service not in self.shelves:
            self.shelves[service] = Shelf(self.folder / service, self.clock, network=network or service)
        return self.shelves[service]

    def put(self, service: str, *keys: str, type: str = "contact", tell: bool = True, **value: Any) -> None:
        """Store records of the service, and tell."""
        changes = [Change(type=type, key=key, value={"id": key, **value}) for key in keys]
        self.commit(service, changes, tell=tell)

    def delete(self, service: str, key: str, *, type: str = "contact") -> None:
        """Store a deletion, and tell."""
        self.commit(service, [Change(type=type, key=key, action="delete")])

    def commit(self, service: str, changes: list[Change], *, tell: bool = True) -> None:
        """Store changes, and tell."""
        store = self.shelf(service).store
        store.commit(changes, producer={"stream": "timeline"})
        if tell:
            self.bus.committed(service, store.head())

    async def post(self, service: str, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Take the lines as `answer` says."""
        events = [msgspec.json.decode(line) for line in body.splitlines()]
        self.posts.append((service, path, events))
        self.headers.append(headers)
        answer = self.answer(path, events)
        if isinstance(answer, Exception):
            raise answer
        if answer == 200:
            self.taken += [(path, event) for event in events]
        return answer

    def heard(self, path: str = "/cb") -> list[str]:
        """The keys that the path has taken, in order."""
        return [event["key"] for at, event in self.taken if at == path]

    async def restart(self, limits: DeliveryLimits = QUICK) -> None:
        """Stop and start everything over the same files."""
        await self.deliveries.close()
        self.bus = self.new_bus()
        self.deliveries = self.new_deliveries(limits)
        await self.deliveries.start()

    def positions(self) -> dict[tuple[str, str], int]:
        """Durable positions: path and log to seq."""
        rows = self.coredb.read("SELECT path, log, seq FROM position")
        return {(path, log): seq for path, log, seq in rows}

    def close(self) -> None:
        """Let go of every file."""
        for shelf in self.shelves.values():
            shelf.close()
        self.coredb.close()


@contextlib.contextmanager
def new_desk(tmp_path: Path) -> Iterator[EventDesk]:
    """A desk with nothing running."""
    desk = EventDesk(tmp_path)
    try:
        yield desk
    finally:
        desk.close()


@contextlib.asynccontextmanager
async def open_desk(tmp_path: Path) -> AsyncIterator[EventDesk]:
    """A desk whose deliveries run, stopped at the end."""
    with new_desk(tmp_path) as desk:
        try:
            await desk.deliveries.start()
            yield desk
        finally:
            await desk.deliveries.close()
