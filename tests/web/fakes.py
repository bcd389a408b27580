"""Small working stand-ins for the rooms behind `Parts`: the fakes that ship beside the web room's seams."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from core.events import DeadLetter, Listener
from core.library import Counts, Day, Matches
from core.library.days import parse_day, parse_moment
from core.model.clock import ManualClock
from core.model.errors import BadRequest, Conflict, NotFound, SettingsInvalid
from core.model.event import Event, EventAction, Idr
from core.model.fact import Fact, Record
from core.model.filter import Every, Filter, predicate
from core.model.manifest import Manifest, TypeSpec, parse_manifest
from core.process import Holder
from core.registry import FolderFault, Service, does_provide, provided
from core.schedule import Pending, plan
from core.store import (
    AsOf,
    AtTime,
    Changed,
    ChangePage,
    CoreDb,
    Count,
    Documents,
    FactPage,
    Page,
    Policy,
    Quarantined,
    Receipt,
    Run,
    Store,
)
from core.web import Caller, ChildDetails, ChildState, Notice, Parts
from core.web.parts import Message, Receive, Scope, Send

FEEDS = """
name = "feeds"
title = "Feeds"
description = "Web feeds: RSS, Atom and JSON Feed."
version = "1.0"
provides = ["entry/feeds", "feed/feeds"]
[types.entry]
key = "id"
title = "title"
[types.feed]
key = "url"
[streams.entry]
title = "Entries"
types = ["entry", "feed"]
frequency = "30m"
[settings.feeds]
type = "array"
title = "Feeds"
description = "The addresses of the feeds."
minItems = 1
items = { type = "string", format = "url" }
[settings.keep_html]
type = "boolean"
title = "Keep the HTML"
default = true
"""
MAIL = """
name = "mail"
title = "Mail"
description = "Mailboxes over IMAP."
provides = ["message/mail", "contact/mail"]
uses = ["entry/feeds", "photo"]
[types.message]
key = "id"
[types.contact]
key = "id"
[streams.message]
title = "Messages"
[settings.accounts]
type = "array"
title = "Accounts"
items = { type = "object", title = "Account", required = ["host", "password"], properties = { \
host = { type = "string", title = "Server" }, \
port = { type = "integer", title = "Port", default = 993, minimum = 1, maximum = 65535 }, \
password = { type = "string", title = "Password", secret = true } } }
[settings.since]
type = "string"
title = "From when on"
enum = ["always", "year", "month"]
default = "year"
[settings.token]
type = "string"
title = "App token"
secret = true
"""

NOTES = """
name = "notes"
title = "Notes"
description = "Keeps what you write, in a file of its own."
run = "node connector.js"
[types.note]
key = "id"
[doors]
paths = ["/api", "/dav"]
[features.import]
path = "/list"
accept = ".opml,.xml"
title = "Import a list"
[features.export]
path = "/list"
title = "Export the list"
"""
SETTINGS: Mapping[str, dict[str, Any]] = {"feeds": {"feeds": ["https://example.org/feed"]}, "mail": {"accounts": []}}


def service(service_id: str, connector: str, title: str, *, enabled: bool = True) -> Service:
    """An installed service."""
    uid = f"uid-{service_id}"
    return Service(
        id=service_id, uid=uid, connector=connector, title=title, enabled=enabled, installed_at=1_700_000_000.0
    )


def pending(service_id: str, path: str, at: float, *, tries: int = 0, last_problem: str | None = None) -> Pending:
    """A call that is due."""
    return Pending(service=service_id, path=path, at=at, kind="asked", tries=tries, last_problem=last_problem)


def letter(
    number: int, service_id: str = "mail", path: str = "/hear", *, last_tried: float = 1_700_000_100.0
) -> DeadLetter:
    """An event that its listener kept refusing."""
    return DeadLetter(
        id=number, service=service_id, path=path, first_seen=1_700_000_000.0, last_tried=last_tried, tries=10,
        problem="it answered 500", events="[]",
    )  # fmt: skip


def run(stream: str, started_at: float, ended_at: float, **more: Any) -> Run:
    """One run of a stream, well ended unless told."""
    return Run(
        **{"id": f"{stream}-{started_at}", "status": "ok", **more},
        stream=stream,
        started_at=started_at,
        ended_at=ended_at,
    )


def set_aside(type_name: str, key: str, reason: str, *, last_seen: float, times: int = 1) -> Quarantined:
    """A record in quarantine."""
    return Quarantined(
        position=1,
        type=type_name, key=key, code="bad_record", reason=reason, sample="{", first_seen=last_seen,
        last_seen=last_seen, times=times,
    )  # fmt: skip


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


@dataclass
class FakeReader:
    """A store in lists: every fact in the order it was committed."""

    facts: list[Fact] = field(default_factory=list)
    all_runs: list[Run] = field(default_factory=list)
    aside: list[Quarantined] = field(default_factory=list)
    incarnation: str = "0a"
    given: list[Receipt] = field(default_factory=list)
    kept_policies: dict[str, Policy] = field(default_factory=dict)

    def put(self, type_name: str, key: str, value: dict[str, Any], *, common: dict[str, Any] | None = None) -> None:
        """Commit a version of a record."""
        seq = len(self.facts) + 1
        self.facts.append(
            Fact(
                seq=seq,
                id=f"f{seq}",
                type=type_name,
                key=key,
                action="put",
                value=value,
                common=common or {},
                value_hash="00",
                causation=None,
                transaction_time=1_700_000_000.0 + seq,
                valid_time=None,
                schema_version=1,
                producer=None,
                derivation=None,
                origin="d/u",
                origin_epoch=1,
                origin_seq=seq,
                known_at=1_700_000_000.0 + seq,
                rev=(seq, 0),
                recorded_at=1_700_000_000.0 + seq,
            )
        )

    def epoch(self) -> str:
        return self.incarnation

    def counts(self) -> Mapping[str, int]:
        counted: dict[str, int] = {}
        for type_name, _ in self._current():
            counted[type_name] = counted.get(type_name, 0) + 1
        return counted

    def record(self, type_name: str, key: str, /, *, as_of: AsOf | None = None) -> Record | None:
        return self._current(as_of).get((type_name, key))

    def count(self, type_name: str, /, *, where: Filter | None = None, as_of: AsOf | None = None) -> Count:
        return Count(count=len(self._matching(type_name, where, as_of)), is_exact=True)

    def changes(self, start: AsOf | None, end: AsOf | None, /, **_: Any) -> ChangePage:
        before, after = self._current(start or AtTime(0.0)), self._current(end)
        changes = [
            Changed(
                type=one.type, key=one.key, action="update" if name in before else "new", seq=one.seq,
                before=before[name].seq if name in before else None, recorded_at=one.at,
            )
            for name, one in after.items()
            if before.get(name) != one
        ]  # fmt: skip
        return ChangePage(changes=changes[:50], next=None)

    def records(
        self,
        type_name: str,
        /,
        *,
        limit: int,
        after: str | None,
        order: str,
        where: Filter | None = None,
        as_of: AsOf | None = None,
    ) -> Page:
        found = self._matching(type_name, where, as_of)
        found.sort(key=lambda record: -record.seq if order == "newest" else record.key)
        start = int(after or 0)
        more = len(found) > start + limit
        return Page(records=found[start : start + limit], next=str(start + limit) if more else None)

    def history(self, type_name: str, key: str, /, *, limit: int, after: Any) -> FactPage:
        found = [fact for fact in reversed(self.facts) if (fact.type, fact.key) == (type_name, key)]
        return FactPage(facts=found[:limit], next=None)

    def runs(self, stream: str | None = None, /, *, limit: int) -> Sequence[Run]:
        found = [run for run in self.all_runs if stream in (None, run.stream)]
        return sorted(found, key=lambda run: -run.started_at)[:limit]

    def quarantined(self, limit: int, /) -> Sequence[Quarantined]:
        return self.aside[:limit]

    def receipts(self, limit: int, /, *, before: int | None = None) -> Sequence[Receipt]:
        return [one for one in self.given if before is None or one.seq < before][:limit]

    def policies(self) -> Mapping[str, Policy]:
        return self.kept_policies

    def _matching(self, type_name: str, where: Filter | None, as_of: AsOf | None) -> list[Record]:
        judge = predicate(where or Every(), TypeSpec(name=type_name))
        found = [record for (kind, _), record in self._current(as_of).items() if kind == type_name]
        return [record for record in found if judge(record.value, record.common)]

    def _current(self, as_of: AsOf | None = None) -> dict[tuple[str, str], Record]:
        until = as_of.time if isinstance(as_of, AtTime) else inf
        return {
            (f.type, f.key): Record(type=f.type, key=f.key, value=f.value, common=f.common, at=f.known_at, seq=f.seq)
            for f in self.facts
            if f.known_at <= until
        }


class FakeDoor:
    """Answers every request under /Me/ with what it was given, as JSON; its paths may be open doors.

    As the event stream, it tells each of `told` once, to whoever is there.
    """

    def __init__(self) -> None:
        self.seen: list[Scope] = []
        self.told: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1000})
            return
        wants_stream = b"text/event-stream" in dict(scope["headers"]).get(b"accept", b"")
        if wants_stream and scope["path"].endswith("/status"):
            await _stream(receive, send)
            return
        if wants_stream and scope["path"] == "/events":
            await self._tell(receive, send)
            return
        caller = scope["locker.caller"]
        body = f'{{"actor": "{caller.actor}", "path": "{scope["path"]}"}}'.encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    async def _tell(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b": here\n\n", "more_body": True})
        gone = asyncio.ensure_future(_gone(receive))
        while not gone.done():
            while self.told:
                body = f"event: {self.told.pop(0)}\ndata: {{}}\n\n".encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await asyncio.wait([gone], timeout=0.05)


async def _stream(receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    steps = [("status", '{"stream": "entry", "state": "running", "run": "r1"}')]
    steps += [("progress", f'{{"stream": "entry", "done": {done}, "total": 20}}') for done in (10, 20)]
    steps += [("run", '{"stream": "entry", "status": "ok", "new": 20, "updated": 0, "deleted": 0}')]
    for kind, data in steps:
        await send(
            {"type": "http.response.body", "body": f"event: {kind}\ndata: {data}\n\n".encode(), "more_body": True}
        )
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return


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
