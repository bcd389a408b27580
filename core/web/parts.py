"""What the web room is given: every other room as the few calls it needs, handed over once at assembly.

All calls are synchronous and may be made from any thread; whoever assembles bridges them to the event loop.
Calls that meet a problem raise a class of core.model.errors. The fakes that ship beside these seams are in
tests/web/fakes.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from core.model.clock import Clock
from core.model.event import Event, EventAction, Idr
from core.model.fact import Fact, Record
from core.model.manifest import Manifest

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Rooms spell the mappings of ASGI differently, so an application is taken as it is.
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]
Order = Literal["key", "newest"]
T = TypeVar("T")


class FolderFault(Protocol):
    """A connector folder that cannot be used, with everything that is wrong with it."""

    @property
    def folder(self) -> object: ...
    @property
    def name(self) -> str: ...
    @property
    def faults(self) -> Sequence[str]: ...


class Catalog(Protocol):
    """The connectors that could be installed."""

    def refresh(self) -> None:
        """Look at the folders again; cheap when nothing changed."""

    def entries(self) -> Mapping[str, Manifest]:
        """Every usable connector by its name."""

    def faults(self) -> Sequence[FolderFault]:
        """The folders that could not be read, each with its reasons."""

    def get(self, name: str, /) -> Manifest:
        """The connector of that name, or NotFound."""


class Service(Protocol):
    """An installed connector; its settings are asked for apart."""

    @property
    def id(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def connector(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def account(self) -> str | None: ...
    @property
    def installed_at(self) -> float: ...


class Services(Protocol):
    """The installed services and what a person set in them."""

    def list(self) -> Sequence[Service]:
        """All of them, in the order of their ids."""

    def get(self, service_id: str, /) -> Service:
        """One of them, or NotFound."""

    def install(
        self, connector: str, *, settings: Mapping[str, Any], title: str | None, service_id: str | None
    ) -> Service:
        """A new service; without `service_id` the connector's name, or its first free numbered form."""

    def uninstall(self, service_id: str, *, erase: bool) -> None:
        """Forget the service; its folder goes only with `erase`."""

    def enable(self, service_id: str, /) -> Service: ...
    def disable(self, service_id: str, /) -> Service: ...

    def settings_of(self, service_id: str, /) -> Mapping[str, Any]:
        """The full settings, secrets included: never to be shown as they are."""

    def update_settings(self, service_id: str, settings: Mapping[str, Any], /) -> Service:
        """Replace the settings as a whole, secrets included; SettingsInvalid names what does not fit."""

    def faults_in(self, connector: str, settings: Mapping[str, Any], /) -> Sequence[tuple[str, str]]:
        """What is wrong with these settings: pairs of a dotted path (`feeds.0.url`) and a sentence."""


@dataclass(frozen=True)
class ChildState:
    """A child's lifecycle as a person sees it: stopped, starting, running, stopping or failed.

    `until` is the time before which a failed child is not started again.
    """

    name: str
    reason: str = ""
    detail: str = ""
    until: float | None = None
    crashes: int = 0


@dataclass(frozen=True)
class ChildDetails:
    """Figures of a running child; shown to the owner only."""

    pid: int | None = None
    memory_bytes: int | None = None
    cpu_s: float | None = None
    started_at: float | None = None
    holds: Sequence[str] = ()
    leases: int = 0
    sandbox: str = ""
    last_exit: str | None = None


class Children(Protocol):
    """The processes of the services."""

    def state(self, service_id: str, /) -> ChildState: ...
    def details(self, service_id: str, /) -> ChildDetails: ...
    def stop(self, service_id: str, *, reason: str) -> None: ...

    def restart(self, service_id: str, /) -> None:
        """Stop and start it; also ends the wait after crashes."""

    def hold(self, service_id: str, *, reason: str, until: float) -> None:
        """Keep it from being stopped for idleness until then."""

    def release(self, service_id: str, *, reason: str) -> None: ...

    def call(
        self, service_id: str, *, method: str, path: str, body: bytes, content_type: str, timeout_s: float
    ) -> tuple[int, bytes]:
        """Status and body of the child's answer to the owner's request; starts the child if it sleeps."""

    def log(self, service_id: str, *, lines: int) -> Sequence[str]:
        """The last lines of the service's log, oldest first; empty when there is none."""


class Pending(Protocol):
    """A call that is due at a time."""

    @property
    def service(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def kind(self) -> str: ...
    @property
    def tries(self) -> int: ...
    @property
    def last_problem(self) -> str | None: ...


class Schedule(Protocol):
    """What is called when."""

    def at(self, service_id: str, path: str, at: float, /) -> None:
        """Call the path under `/Me/<service>` at that time; one entry per service and path."""

    def cancel(self, service_id: str, path: str, /) -> bool:
        """Whether there was such an entry; it is gone."""

    def pending(self, service_id: str | None = None, /) -> Sequence[Pending]: ...


class Listener(Protocol):
    """A service that wants events of a type."""

    @property
    def service(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def source(self) -> str: ...


class DeadLetter(Protocol):
    """A batch that its listener kept refusing."""

    @property
    def id(self) -> int: ...
    @property
    def service(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def first_seen(self) -> float: ...
    @property
    def last_tried(self) -> float: ...
    @property
    def tries(self) -> int: ...
    @property
    def problem(self) -> str | None: ...


class Events(Protocol):
    """What happened, and who hears of it."""

    def committed(self, service_id: str, seq: int, /) -> None:
        """The child's tell that its log reaches `seq`; returns at once."""

    def publish(self, service_id: str, *, idr: Idr, action: EventAction, value: Mapping[str, Any]) -> Event: ...
    def listen(self, service_id: str, *, wanted: str, path: str) -> None: ...

    def deafen(self, service_id: str, *, wanted: str, path: str) -> bool:
        """Whether it listened so; it does not any more."""

    def listeners(self) -> Sequence[Listener]: ...
    def dead_letters(self) -> Sequence[DeadLetter]: ...

    def retry(self, dead_id: int, /) -> None:
        """Deliver it again now, or NotFound."""

    def drop(self, dead_id: int, /) -> None:
        """Give it up for good, or NotFound."""


class Run(Protocol):
    """One execution of a stream's sync."""

    @property
    def stream(self) -> str: ...
    @property
    def started_at(self) -> float: ...
    @property
    def ended_at(self) -> float: ...
    @property
    def status(self) -> str: ...
    @property
    def new(self) -> int: ...
    @property
    def updated(self) -> int: ...
    @property
    def same(self) -> int: ...
    @property
    def deleted(self) -> int: ...
    @property
    def quarantined(self) -> int: ...
    @property
    def problem(self) -> Mapping[str, Any] | None: ...


class Quarantined(Protocol):
    """A record that could not be stored, with the reason."""

    @property
    def type(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def last_seen(self) -> float: ...
    @property
    def times(self) -> int: ...


class RecordPage(Protocol):
    """Some records, and what to ask with for those after them."""

    @property
    def records(self) -> Sequence[Record]: ...
    @property
    def next(self) -> str | None: ...


class FactPage(Protocol):
    """Some versions of a record, newest first, and what to ask with for older ones."""

    @property
    def facts(self) -> Sequence[Fact]: ...
    @property
    def next(self) -> Any: ...


class Reader(Protocol):
    """A service's store, read-only; a store that is not there yet gives empty answers."""

    def counts(self) -> Mapping[str, int]: ...
    def record(self, type_name: str, key: str, /) -> Record | None: ...
    def records(self, type_name: str, /, *, limit: int, after: str | None, order: Order) -> RecordPage: ...
    def history(self, type_name: str, key: str, /, *, limit: int, after: Any) -> FactPage: ...
    def runs(self, stream: str | None = None, /, *, limit: int) -> Sequence[Run]: ...
    def quarantined(self, limit: int, /) -> Sequence[Quarantined]: ...


class CoreDb(Protocol):
    """The core's own database; the statements belong to the rooms that own the rows."""

    def read(self, sql: str, params: tuple[Any, ...] = (), /) -> Sequence[tuple[Any, ...]]: ...

    def write(self, callback: Callable[[Any], T], /) -> T:
        """Run `callback` with the connection in one transaction."""


class Documents(Protocol):
    """The file of what a person changed; `lock` is held around each change of a table."""

    @property
    def lock(self) -> AbstractContextManager[Any]: ...

    def table(self, name: str, /) -> Any:
        """A TinyDB table."""


@dataclass(frozen=True)
class Notice:
    """Something the owner should know, as one sentence, with the address that mends it."""

    text: str
    href: str | None = None
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything the web room stands on.

    `door` serves `/Me/…`, `event_stream` serves `/events`. `service_of_token` and `is_open_door` are asked on the
    event loop for every request that needs them, so they answer from memory. `owner_token` is the one given in
    the environment at start; `host_names` are further names the owner gave the core.
    """

    port: int
    version: str
    device: str
    timezone: str
    clock: Clock
    catalog: Catalog
    services: Services
    children: Children
    schedule: Schedule
    events: Events
    reader: Callable[[str], AbstractContextManager[Reader]]
    coredb: CoreDb
    documents: Documents
    door: AsgiApp
    event_stream: AsgiApp
    service_of_token: Callable[[str], str | None]
    is_open_door: Callable[[str, str], bool]
    notices: Callable[[], Sequence[Notice]]
    owner_token: str | None = field(default=None, repr=False)
    host_names: tuple[str, ...] = ()
