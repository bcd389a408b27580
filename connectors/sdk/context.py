"""What a connector's function is given: settings, sign-in, a session to the outside, the stored records, files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from connectors.sdk.addresses import typed_origins
from connectors.sdk.core_client import Core
from connectors.sdk.messages import Delete, Put
from connectors.sdk.opening import Stores
from connectors.sdk.rows import Rows
from connectors.sdk.session import BODY_BYTES_MAX, DEADLINE_S, Session
from core.model.clock import Clock
from core.model.fact import Fact, Record
from core.model.manifest import Manifest
from core.store import Commit, Files, Reader, Recorder, Store

# What syncing leaves to the owner where the core says nothing else.
DISK_FREE_BYTES_MIN = 1024 * 1024 * 1024


class Service:
    """One running service: what all its streams and routes share."""

    def __init__(
        self,
        *,
        manifest: Manifest,
        service_id: str,
        base: str,
        settings: Mapping[str, Any],
        folder: Path,
        stores: Stores,
        core: Core,
        clock: Clock,
        disk_free_bytes_min: int = DISK_FREE_BYTES_MIN,
        due: Mapping[str, float] | None = None,
    ) -> None:
        self.due = due
        self.disk_free_bytes_min = disk_free_bytes_min
        self.manifest = manifest
        self.id = service_id
        self.base = base
        self.settings = settings
        self.folder = folder
        self._stores = stores
        self.core = core
        self.clock = clock
        self.me: Mapping[str, Any] = {}
        self.credentials: Callable[[], Mapping[str, Any]] = dict
        self.sign_ins: Callable[[], int] = int
        self.sign: Callable[[Session], None] = lambda _: None
        self.account: str | None = None
        self.stopping = threading.Event()
        self.rows = Rows(manifest.types)
        self._typed = typed_origins(settings)

    @property
    def store(self) -> Store:
        """The store, to be written; waits for it while the child starts."""
        return self._stores.store

    @property
    def reads(self) -> Store | Reader:
        """The store, to be read at once."""
        return self._stores.reads

    def new_session(self, *, body_bytes_max: int = BODY_BYTES_MAX, deadline_s: float = DEADLINE_S) -> Session:
        """A session that may call public hosts, those the owner typed, and none but those the manifest names."""
        return Session(
            typed=self._typed,
            hosts=self.manifest.limits.hosts,
            body_bytes_max=body_bytes_max,
            deadline_s=deadline_s,
        )


class Context:
    """What one run of a stream, or one request to a route, works with."""

    def __init__(self, service: Service, *, stream: str = "", is_for_owner: bool = False) -> None:
        self._service = service
        self.stream = stream
        self._is_for_owner = is_for_owner
        self.log = logging.getLogger(f"connector.{service.manifest.name}{'.' if stream else ''}{stream}")

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the owner filled in, secrets included; a settings change restarts the process."""
        return self._service.settings

    @property
    def account(self) -> str | None:
        """The provider's own id of the account that is signed in."""
        return self._service.account

    @property
    def credentials(self) -> Mapping[str, Any]:
        """What the sign-in left: a token, a name and password."""
        return self._service.credentials()

    @cached_property
    def session(self) -> Session:
        """A `requests.Session` with limits, signed in where auth.py says how."""
        return self.new_session()

    def new_session(self, *, body_bytes_max: int = BODY_BYTES_MAX, deadline_s: float = DEADLINE_S) -> Session:
        """A further session, for a thread of its own or with limits of its own; signed in as `session` is."""
        session = self._service.new_session(body_bytes_max=body_bytes_max, deadline_s=deadline_s)
        self._service.sign(session)
        return session

    @property
    def core(self) -> Core:
        """The core: `event`, `listen`, `diary`, …"""
        return self._service.core

    @property
    def files(self) -> Files:
        """Where binaries are kept, by the SHA-256 of their content."""
        return self._service.store.files

    @property
    def series(self) -> Recorder:
        """Numbers of points over time: `append`, `samples`, `rollups`, `last`."""
        return self._service.store.series

    @property
    def base(self) -> str:
        """The path under which this service is seen from outside, with a slash at its end."""
        return self._service.base

    @property
    def is_for_owner(self) -> bool:
        """Whether the owner asked for this run just now: what waits only by the connector's own caution is tried."""
        return self._is_for_owner

    @property
    def is_stopping(self) -> bool:
        """Whether the process was told to stop: a long wait should end."""
        return self._service.stopping.is_set()

    def now(self) -> float:
        """The time, in epoch seconds."""
        return self._service.clock.now()

    def pause(self, seconds: float) -> bool:
        """Wait, unless the process is told to stop meanwhile; True when it was."""
        return self._service.stopping.wait(seconds)

    def cursor(self, part: str = "") -> Any:
        """Where this stream, or the named part of it, left off; None at first."""
        return self._service.store.cursor(cursor_name(self.stream, part))

    def keep(self, part: str, value: Any) -> None:
        """Set a part of this stream's cursor at once, on disk when it returns, apart from any rows."""
        self._service.store.set_cursor(cursor_name(self.stream, part), value)

    def record(self, type_name: str, key: str) -> Record | None:
        """The current state of a record of this service."""
        return self._service.reads.record(type_name, key)

    def records(self, type_name: str, *, limit: int = 100, after: str | None = None) -> tuple[list[Record], str | None]:
        """A page of records in the order of their keys, and where the next one begins."""
        page = self._service.reads.records(type_name, limit=limit, after=after, order="key")
        return list(page.records), page.next

    def history(self, type_name: str, key: str, *, limit: int = 100) -> list[Fact]:
        """The versions of a record, newest first."""
        return list(self._service.reads.history(type_name, key, limit=limit, after=None).facts)

    def head(self) -> int:
        """The position of the newest fact of this service."""
        return self._service.reads.head()

    def facts(self, since: int, *, limit: int = 500) -> list[Fact]:
        """The facts after a position, in order; none when there are no more."""
        return self._service.reads.facts(since, limit=limit)

    def save(self, changes: Iterable[Put | Delete]) -> Commit:
        """Commit records outside a run, all in one transaction: what the owner sent to a route, an event's effect."""
        rows = self._service.rows
        return self._service.store.commit([rows.change(item) for item in changes], bulk=False)


def cursor_name(stream: str, part: str) -> str:
    """The name under which the store keeps a stream's cursor, or one part of it."""
    return f"{stream}/{part}" if part else stream
