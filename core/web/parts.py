"""What the web room is given: every other room as the few calls it needs, handed over once at assembly.

All calls are synchronous and may be made from any thread; whoever assembles bridges them to the event loop.
Calls that meet a problem raise a class of core.model.errors. The fakes that ship beside these seams are in
tests/web/fakes.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from core.events import DeadLetter, Listener
from core.library import Counts, Day, Matches
from core.model.clock import Clock
from core.model.commands import typed
from core.model.errors import LockerError
from core.model.event import Event, EventAction, Idr
from core.model.fact import Record
from core.model.filter import Filter
from core.model.manifest import Manifest
from core.process import Holder
from core.registry import FolderFault, Service
from core.schedule import Pending
from core.store import (
    AsOf,
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
from core.store import Reader as StoreReader
from core.web.caller import Caller

# Where data lies unless the configuration says otherwise: beside the code.
DEFAULT_ME = Path(__file__).resolve().parents[2] / "Me"
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Rooms spell the mappings of ASGI differently, so an application is taken as it is.
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]
# Ends the open event streams of those callers for whom the judge says so; asked from any thread.
EndStreams = Callable[[Callable[[Caller], bool]], None]


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


class Services(Protocol):
    """The installed services and what a person set in them."""

    def list(self) -> Sequence[Service]:
        """All of them, in the order of their ids."""

    def get(self, service_id: str, /) -> Service:
        """One of them, or NotFound."""

    def providers(self, types: Sequence[str], /) -> Sequence[Service]:
        """The enabled ones that provide one of these types, each once."""

    def install(
        self, connector: str, *, settings: Mapping[str, Any], title: str | None, service_id: str | None
    ) -> Service:
        """A new service; without `service_id` the connector's name, or its first free numbered form."""

    def uninstall(self, service_id: str, *, erase: bool) -> None:
        """Forget the service; its folder goes only with `erase`."""

    def kept(self) -> Sequence[Service]:
        """The uninstalled ones whose data was kept."""

    def erase_kept(self, service_id: str, /) -> None:
        """Erase for good what was kept of an uninstalled one."""

    def enable(self, service_id: str, /) -> Service: ...

    def obstacle(self, service_id: str, /) -> LockerError | None:
        """What must be mended before its child can start: its connector is missing or faulty, or lacks packages."""

    def disable(self, service_id: str, /) -> Service: ...
    def pause(self, service_id: str, /) -> Service: ...
    def resume(self, service_id: str, /) -> Service:
        """Let it sync again; UserActionNeeded while it rests since a restore."""

    def take_over(self) -> Sequence[str]:
        """Let everything sync that rests since a restore; the ids. NotFound where nothing waits for that."""

    def rename(self, service_id: str, title: str, /) -> Service: ...

    def sign_in(self, service_id: str, account: str, /) -> Service:
        """Remember whose account it is; Conflict when it already holds another one's data."""

    def open_doors(self, service_id: str, paths: Sequence[str], /) -> Service:
        """Open these of its declared doors and shut all others; BadRequest for one that is not declared."""

    def open_store(self, service_id: str, *, is_open: bool) -> Service:
        """Let the owner's other programs write its store, or no more; BadRequest where its connector does so itself."""

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


class Schedule(Protocol):
    """What is called when."""

    def at(self, service_id: str, path: str, at: float, /) -> None:
        """Call the path under `/Me/<service>` at that time; one entry per service and path."""

    def cancel(self, service_id: str, path: str, /) -> bool:
        """Whether there was such an entry; it is gone."""

    def pending(self, service_id: str | None = None, /) -> Sequence[Pending]: ...


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

    def forget_erased(self, service_id: str, *, record: tuple[str, str] | None, ids: Sequence[str]) -> None:
        """Keep no dead letter that tells of an erased record (type, key), or of erased facts."""

    def retry(self, dead_id: int, /) -> None:
        """Deliver it again now, or NotFound."""

    def drop(self, dead_id: int, /) -> None:
        """Give it up for good, or NotFound."""


class Holdings(Protocol):
    """What a service holds, wherever it lies; where there is nothing yet, answers are empty."""

    def epoch(self) -> str:
        """The store's incarnation; empty where there is no store."""

    def counts(self) -> Mapping[str, int]: ...
    def record(self, type_name: str, key: str, /, *, as_of: AsOf | None = None) -> Record | None: ...

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
        """A page of records; BadRequest for an unknown order, CursorTooOld for what is not retained any more."""

    def count(self, type_name: str, /, *, where: Filter | None = None, as_of: AsOf | None = None) -> Count: ...
    def history(self, type_name: str, key: str, /, *, limit: int, after: str | None) -> FactPage: ...


class Reader(Holdings, Protocol):
    """A service's store, read-only: what it holds, and what became of it."""

    def changes(
        self,
        start: AsOf | None,
        end: AsOf | None,
        /,
        *,
        limit: int,
        after: str | None = None,
        type_name: str | None = None,
    ) -> ChangePage:
        """The records that are not the same at both moments."""

    def runs(self, stream: str | None = None, /, *, limit: int) -> Sequence[Run]: ...
    def quarantined(self, limit: int, /) -> Sequence[Quarantined]: ...
    def receipts(self, limit: int, /, *, before: int | None = None) -> Sequence[Receipt]: ...
    def policies(self) -> Mapping[str, Policy]: ...
    def expendable(self, type_name: str, policy: Policy, /, *, now: float) -> Count: ...


class Library(Protocol):
    """The stores of all services at once, read-only; no child is woken."""

    def search(
        self,
        text: str,
        /,
        *,
        services: Sequence[str],
        types: Sequence[str],
        as_of: float | None,
        limit: int,
        after: str | None,
    ) -> Matches:
        """The best matches; BadRequest for an `after` that no page gave."""

    def day(
        self, day: str | None, /, *, services: Sequence[str], types: Sequence[str], limit: int, after: str | None
    ) -> Day:
        """The records of a day such as 2026-11-20, or of today; BadRequest for what is no day."""

    def counts(self) -> Counts:
        """How many records there are of each type in each service."""

    def moment(self, text: str, /) -> float:
        """What a day (its last moment), a time or a number of seconds means; BadRequest for anything else."""


@dataclass(frozen=True)
class Notice:
    """Something the owner should know, as one sentence, with the address that mends it.

    Advice stands for as long as things are as they are; it is told on a page of its own, not at the front.
    """

    text: str
    href: str | None = None
    label: str | None = None
    is_advice: bool = False


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything the web room stands on.

    `door` serves `/Me/…`, `event_stream` serves `/events`, and `end_streams` ends those of a caller whose token or
    session is gone. `service_of_token` and `is_open_door`, of a path as it stands on the wire, are asked on the event
    loop for every request that needs them, so they answer from memory. `owner_token` is the one given in the
    environment at start; `host_names` are further names the owner gave the core.

    `log_file` names the file in `Me/logs` that holds a service's log, whether it is there yet or not.
    `kept_store` gives the store of a service where the core writes it, `stranded` a reader of one that is damaged and
    waits for its owner: no child is started over it. Both are asked on the event loop and answer from memory.
    `store_socket` says where the owner's programs reach a service's store over the wire, where they may.
    `cared_for` tells when the core last did what for a service's store (`verify`, `verify_files`, `compact`,
    `collect`), and what was wrong. `holder_of` says who holds the client's end of a connection (client's end, core's
    end); it may block.
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
    kept_store: Callable[[str], Store | None]
    stranded: Callable[[str], StoreReader | None]
    store_socket: Callable[[str], Path | None]
    cared_for: Callable[[str], Mapping[str, tuple[float, str]]]
    # What the owner types before a service that came back from a backup may sync; empty for every other.
    rest_of: Callable[[Service], str]
    library: Library
    coredb: CoreDb
    documents: Documents
    door: AsgiApp
    event_stream: AsgiApp
    end_streams: EndStreams
    service_of_token: Callable[[str], str | None]
    is_open_door: Callable[[bytes], bool]
    log_file: Callable[[str], Path]
    holder_of: Callable[[tuple[str, int], tuple[str, int]], Holder]
    notices: Callable[[], Sequence[Notice]]
    owner_token: str | None = field(default=None, repr=False)
    host_names: tuple[str, ...] = ()

    @property
    def status_command(self) -> str:
        """What prints a fresh login address when it is typed in the checkout."""
        me = self.log_file("core").parent.parent
        return typed("status", me=None if me == DEFAULT_ME else me)
