"""Small working stand-ins for the rooms behind `Parts`: the fakes that ship beside the web room's seams."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from core.events import DeadLetter, Listener
from core.library import Counts, Day, Matches
from core.library.days import parse_day, parse_moment
from core.model.clock import ManualClock
from core.model.errors import BadRequest, Conflict, LockerError, NotFound, SettingsInvalid
from core.model.event import Event, EventAction, Idr
from core.model.manifest import Manifest, parse_manifest
from core.process import Holder
from core.registry import FolderFault, Service, does_provide, provided
from core.schedule import Pending, plan
from core.store import CoreDb, Documents, Store
from core.web import Caller, ChildDetails, ChildState, Notice, Parts
from tests.web.fake_door import FakeDoor
from tests.web.fake_reader import FakeReader
from tests.web.samples import FEEDS, MAIL, SETTINGS, pending, service


class FakeCatalog:
    """Two connectors, and whatever faults a test adds."""

    def __init__(self) -> None:
        self.manifests = {m.name: m for m in (parse_manifest(FEEDS, "/c/feeds"), parse_manifest(MAIL, "/c/mail"))}
        self.folder_faults: list[FolderFault] = []
        self.refreshed = 0

    def refresh(self) -> None:
        self.refreshed += 1

    def entries(self) -> Mapping[str, Manifest]:
        return self.manifests

    def faults(self) -> Sequence[FolderFault]:
        return self.folder_faults

    def get(self, name: str, /) -> Manifest:
        if name not in self.manifests:
            raise NotFound(f"There is no connector {name!r}.")
        return self.manifests[name]


class FakeServices:
    """Services in a dictionary, with a check for what the tests' settings need."""

    def __init__(self, catalog: FakeCatalog) -> None:
        self._catalog = catalog
        self.services: dict[str, Service] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.erased: list[str] = []
        self.obstacles: dict[str, LockerError] = {}
        self.uninstalled: dict[str, Service] = {}

    def list(self) -> Sequence[Service]:
        return [self.services[name] for name in sorted(self.services)]

    def get(self, service_id: str, /) -> Service:
        if service_id not in self.services:
            raise NotFound(f"There is no service {service_id!r}.")
        return self.services[service_id]

    def providers(self, types: Sequence[str], /) -> Sequence[Service]:
        wanted = [name.strip() for name in types if name.strip()]
        return [
            one
            for one in self.list()
            if one.enabled and any(does_provide(provided(self._catalog.get(one.connector)), name) for name in wanted)
        ]

    def install(
        self, connector: str, *, settings: Mapping[str, Any], title: str | None, service_id: str | None
    ) -> Service:
        manifest = self._catalog.get(connector)
        wanted = service_id or connector
        settings = {**(self.settings[wanted] if wanted in self.uninstalled else {}), **settings}
        self._check(connector, settings)
        if wanted in self.services:
            raise Conflict(f"There is a service {wanted} already.")
        known = self.uninstalled.pop(wanted, None)
        self.services[wanted] = known or service(wanted, connector, title or manifest.title)
        self.settings[wanted] = dict(settings)
        return self.services[wanted]

    def uninstall(self, service_id: str, *, erase: bool) -> None:
        gone = self.services.pop(self.get(service_id).id)
        if erase:
            self.erased.append(service_id)
        else:
            self.uninstalled[service_id] = msgspec.structs.replace(gone, settings=self.settings[service_id])

    def kept(self) -> Sequence[Service]:
        return list(self.uninstalled.values())

    def erase_kept(self, service_id: str, /) -> None:
        self.uninstalled.pop(service_id)
        self.erased.append(service_id)

    def pause(self, service_id: str, /) -> Service:
        return self._change(service_id, paused=True)

    def resume(self, service_id: str, /) -> Service:
        return self._change(service_id, paused=False)

    def take_over(self) -> Sequence[str]:
        return [service.id for service in self.list() if self.resume(service.id)]

    def rename(self, service_id: str, title: str, /) -> Service:
        if not title.strip():
            raise BadRequest("a title has 1 to 80 characters")
        return self._change(service_id, title=title.strip())

    def sign_in(self, service_id: str, account: str, /) -> Service:
        if self.get(service_id).account not in (None, account):
            raise Conflict("it holds the data of another account")
        return self._change(service_id, account=account)

    def open_doors(self, service_id: str, paths: Sequence[str], /) -> Service:
        declared = self._catalog.get(self.get(service_id).connector).doors
        if set(paths) - set(declared):
            raise BadRequest("that is no door that the connector declares")
        return self._change(service_id, doors_open=tuple(path for path in declared if path in paths))

    def open_store(self, service_id: str, *, is_open: bool) -> Service:
        if self._catalog.get(self.get(service_id).connector).writer == "core":
            raise BadRequest("its connector writes it over the wire")
        return self._change(service_id, store_open=is_open)

    def _change(self, service_id: str, **fields: Any) -> Service:
        self.services[service_id] = msgspec.structs.replace(self.get(service_id), **fields)
        return self.services[service_id]

    def enable(self, service_id: str, /) -> Service:
        return self._change(service_id, enabled=True)

    def obstacle(self, service_id: str, /) -> LockerError | None:
        if self.get(service_id).connector not in self._catalog.entries():
            return NotFound("the connector cannot be used: provdes: is not a key", remedy="Correct /c/connector.toml.")
        return self.obstacles.get(service_id)

    def disable(self, service_id: str, /) -> Service:
        return self._change(service_id, enabled=False)

    def settings_of(self, service_id: str, /) -> Mapping[str, Any]:
        return self.settings[service_id]

    def update_settings(self, service_id: str, settings: Mapping[str, Any], /) -> Service:
        self._check(self.get(service_id).connector, settings)
        self.settings[service_id] = dict(settings)
        return self.services[service_id]

    def faults_in(self, connector: str, settings: Mapping[str, Any], /) -> Sequence[tuple[str, str]]:
        faults = []
        if connector == "feeds":
            feeds = settings.get("feeds") or []
            if not feeds:
                faults.append(("feeds", "needs at least one entry"))
            faults += [
                (f"feeds.{i}", "is not an address") for i, one in enumerate(feeds) if not str(one).startswith("http")
            ]
        for index, account in enumerate(settings.get("accounts", [])):
            faults += [(f"accounts.{index}.{n}", "is missing") for n in ("host", "password") if not account.get(n)]
        return faults

    def _check(self, connector: str, settings: Mapping[str, Any]) -> None:
        faults = self.faults_in(connector, settings)
        if faults:
            raise SettingsInvalid("; ".join(f"{path} {what}" for path, what in faults))


class FakeChildren:
    """Processes that only remember what was asked of them."""

    def __init__(self) -> None:
        self.states: dict[str, ChildState] = {}
        self.figures: dict[str, ChildDetails] = {}
        self.asked: list[tuple[str, ...]] = []
        self.held: dict[tuple[str, str], float] = {}
        self.logs: dict[str, list[str]] = {}
        self.sent: list[tuple[str, bytes]] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.answer: tuple[int, bytes] = (202, b'{"runs": []}')

    def state(self, service_id: str, /) -> ChildState:
        return self.states.get(service_id, ChildState("stopped"))

    def details(self, service_id: str, /) -> ChildDetails:
        return self.figures.get(service_id, ChildDetails())

    def stop(self, service_id: str, *, reason: str) -> None:
        self.asked.append(("stop", service_id))
        self.states[service_id] = ChildState("stopped")

    def restart(self, service_id: str, /) -> None:
        self.asked.append(("restart", service_id))
        self.states[service_id] = ChildState("running")

    def hold(self, service_id: str, *, reason: str, until: float) -> None:
        self.held[service_id, reason] = until

    def release(self, service_id: str, *, reason: str) -> None:
        self.held.pop((service_id, reason), None)

    def call(
        self, service_id: str, *, method: str, path: str, body: bytes, content_type: str, timeout_s: float
    ) -> tuple[int, bytes]:
        self.asked.append((method, service_id, path))
        self.sent.append((content_type, body))
        return self.answers.get(path.partition("?")[0], self.answer)

    def log(self, service_id: str, *, lines: int) -> Sequence[str]:
        return self.logs.get(service_id, [])[-lines:]


class FakeLibrary:
    """What was put on its tables, whatever is asked; what was asked is remembered."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.found = Matches(matches=[], next=None, counts={}, is_capped=False, is_cut=False, skipped=[])
        self.days: dict[str, Day] = {}
        self.counted = Counts(counts={}, skipped=[])

    def search(self, text: str, /, **options: Any) -> Matches:
        self.asked.append({"text": text, **options})
        return self.found

    def day(self, day: str | None, /, **options: Any) -> Day:
        self.asked.append({"day": day, **options})
        chosen = str(parse_day(day or "2026-03-10"))
        empty = Day(day=chosen, moments=[], next=None, older=None, newer=None, skipped=[])
        return self.days.get(chosen, empty)

    def counts(self) -> Counts:
        return self.counted

    def moment(self, text: str, /) -> float:
        return parse_moment(text, ZoneInfo("UTC"))


class FakeSchedule:
    """Pending calls in a dictionary, refused as the schedule itself refuses them."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.entries: dict[tuple[str, str], Pending] = {}

    def at(self, service_id: str, path: str, at: float, /) -> None:
        moment = plan.parse_at(at, now=self._clock.now())
        self.entries[service_id, path] = pending(service_id, plan.parse_path(path), moment)

    def cancel(self, service_id: str, path: str, /) -> bool:
        return self.entries.pop((service_id, path), None) is not None

    def pending(self, service_id: str | None = None, /) -> Sequence[Pending]:
        return [entry for entry in self.entries.values() if service_id in (None, entry.service)]


class FakeEvents:
    """Events in lists."""

    def __init__(self) -> None:
        self.heads: dict[str, int] = {}
        self.published: list[Event] = []
        self.registered: list[Listener] = []
        self.letters: dict[int, DeadLetter] = {}
        self.retried: list[int] = []
        self.erased: list[tuple[str, tuple[str, str] | None, tuple[str, ...]]] = []

    def committed(self, service_id: str, seq: int, /) -> None:
        self.heads[service_id] = seq

    def publish(self, service_id: str, *, idr: Idr, action: EventAction, value: Mapping[str, Any]) -> Event:
        event = Event(
            id=f"e{len(self.published) + 1}",
            idr=str(idr),
            action=action,
            service=service_id,
            type=idr.type,
            key=idr.key,
            seq=0,
            at=1.0,
            value=dict(value),
        )
        self.published.append(event)
        return event

    def listen(self, service_id: str, *, wanted: str, path: str) -> None:
        self.registered.append(Listener(service=service_id, type=wanted, path=path, source="call"))

    def deafen(self, service_id: str, *, wanted: str, path: str) -> bool:
        before = len(self.registered)
        self.registered = [x for x in self.registered if (x.service, x.type, x.path) != (service_id, wanted, path)]
        return len(self.registered) < before

    def listeners(self) -> Sequence[Listener]:
        return self.registered

    def dead_letters(self) -> Sequence[DeadLetter]:
        return list(self.letters.values())

    def forget_erased(self, service_id: str, *, record: tuple[str, str] | None, ids: Sequence[str]) -> None:
        self.erased.append((service_id, record, tuple(ids)))

    def retry(self, dead_id: int, /) -> None:
        if dead_id not in self.letters:
            raise NotFound(f"There is no letter {dead_id}.")
        self.retried.append(dead_id)

    def drop(self, dead_id: int, /) -> None:
        if self.letters.pop(dead_id, None) is None:
            raise NotFound(f"There is no letter {dead_id}.")


class World:
    """All fakes together, and the `Parts` made of them."""

    def __init__(self, folder: Path, *, port: int, owner_token: str | None = None, clock: Any = None) -> None:
        self.folder = folder
        self.clock = clock or ManualClock()
        (folder / "logs").mkdir(exist_ok=True)
        self.catalog = FakeCatalog()
        self.services = FakeServices(self.catalog)
        self.children = FakeChildren()
        self.schedule = FakeSchedule(self.clock)
        self.events = FakeEvents()
        self.readers: dict[str, FakeReader] = {}
        self.kept_stores: dict[str, Store] = {}
        self.store_sockets: dict[str, Path] = {}
        self.rests: dict[str, str] = {}
        self.cared_for: dict[str, dict[str, tuple[float, str]]] = {}
        self.coredb = CoreDb.open(folder / "core.db")
        self.documents = Documents(folder / "locker.json", self.clock)
        self.door = FakeDoor()
        self.stream = FakeDoor()
        self.ends: list[Callable[[Caller], bool]] = []
        self.child_tokens: dict[str, str] = {}
        self.holder = Holder.OUTSIDE
        self.looks = 0
        self.library = FakeLibrary()
        self.open_doors: set[bytes] = set()
        self.notices: list[Notice] = []
        self.parts = Parts(
            port=port,
            version="0.1.0",
            device="device",
            timezone="Europe/Berlin",
            clock=self.clock,
            catalog=self.catalog,
            services=self.services,
            children=self.children,
            schedule=self.schedule,
            events=self.events,
            reader=self.reader,
            library=self.library,
            kept_store=self.kept_stores.get,
            stranded=lambda _: None,
            rest_of=lambda service: self.rests.get(service.id, ""),
            store_socket=lambda service_id: self.store_sockets.get(service_id),
            cared_for=lambda service_id: self.cared_for.get(service_id, {}),
            coredb=self.coredb,
            documents=self.documents,
            door=self.door,
            event_stream=self.stream,
            end_streams=self.ends.append,
            service_of_token=self.child_tokens.get,
            is_open_door=lambda path: path in self.open_doors,
            log_file=lambda service_id: folder / "logs" / f"{service_id}.log",
            holder_of=self.holder_of,
            notices=lambda: self.notices,
            owner_token=owner_token,
            host_names=("locker.example",),
        )

    def holder_of(self, _client: tuple[str, int], _server: tuple[str, int]) -> Holder:
        self.looks += 1
        return self.holder

    @contextlib.contextmanager
    def reader(self, service_id: str) -> Iterator[FakeReader]:
        yield self.readers.setdefault(service_id, FakeReader())

    def install(self, connector: str = "feeds", service_id: str | None = None) -> str:
        """A service with settings that fit, by the owner's hand."""
        settings: dict[str, Any] = SETTINGS.get(connector, {})
        return self.services.install(connector, settings=settings, title=None, service_id=service_id).id

    def child(self, service_id: str) -> str:
        """The token of a service's child."""
        token = f"child-token-of-{service_id}"
        self.child_tokens[token] = service_id
        return token

    def close(self) -> None:
        """Let go of the files."""
        self.coredb.close()
