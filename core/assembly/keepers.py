"""The stores that the core writes or hands on, each served to the owner's programs by a socket in its folder."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.assembly.care import StoreCare
from core.assembly.shared_store import Child, SharedStore, writer_path
from core.model.clock import Clock
from core.model.errors import LockerError, NotFound, Retry, WriterBusy
from core.model.manifest import Limits, Manifest
from core.netstore import ADMIN, READ, WRITE, Door, Grant, ServerLimits, StoreServer, one_store
from core.process import is_below
from core.registry import Catalog, Service, Services
from core.store import Origin, Store

log = logging.getLogger(__name__)

SOCKET_NAME = "store.sock"
GIVE_WAY_S = 10.0
# Each mostly waits; one more thread begins only where all others do.
CLOSING_AT_ONCE = 64
# The core ends within five seconds, whoever is connected and does not read.
LIMITS = ServerLimits(drain_s=1.0, linger_s=0.3)


@dataclass(frozen=True)
class _Kept:
    """An open store, for whom and with which manifest it was opened, and by whom and where it is served."""

    store: Store
    service: Service
    manifest: Manifest
    server: StoreServer
    socket: Path


@dataclass(frozen=True)
class _Shared:
    """A store that its child and others write, for whom and with which manifest it is served."""

    store: SharedStore
    service: Service
    manifest: Manifest


class Keepers:
    """One writer for each service whose manifest says `writer = "core"`, from its enabling to its disabling.

    The store of another service is shared with its child, where the owner opened it to other programs. Any thread may
    ask. `pid_of` tells a service's running child, `is_asleep` whether it has none, `is_lent` whether others have its
    store; `leave` is told of one that another process turns out to have, `committed` of every commit.
    """

    def __init__(
        self,
        me: Path,
        services: Services,
        catalog: Catalog,
        *,
        device: str,
        clock: Clock,
        timezone: str,
        pid_of: Callable[[str], int | None],
        is_asleep: Callable[[str], bool],
        is_lent: Callable[[str], bool],
        leave: Callable[[str], None],
        committed: Callable[[str, int], None],
        care: StoreCare,
    ) -> None:
        self._me = me
        self._services = services
        self._catalog = catalog
        self._device = device
        self._clock = clock
        self._timezone = timezone
        self._pid_of = pid_of
        self._is_asleep = is_asleep
        self._is_lent = is_lent
        self._leave = leave
        self._committed = committed
        self._care = care
        self._tcp = StoreServer(clock=clock, limits=LIMITS)
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._shared: dict[str, _Shared] = {}
        self._changing: frozenset[str] = frozenset()

    def kept(self, service_id: str) -> Store | None:
        """The store of a service, where the core writes it."""
        kept = self._kept.get(service_id)
        return None if kept is None else kept.store

    def store(self, service_id: str | None) -> Store:
        """The store of a service that the core writes; raises NotFound, or Retry while it is opened anew."""
        store = self.kept(service_id or "")
        if store is None:
            if service_id in self._changing:
                raise Retry("The store is opened anew.", remedy="Try again in a moment.")
            if service_id is not None and self._is_lent(service_id):
                raise Retry("A command works on the store.", remedy="Try again when it is done.")
            raise NotFound(
                f"the core does not write the store of {(service_id or 'no service')[:80]!r}",
                remedy='Name a service whose connector says writer = "core".',
            )
        return store

    def socket_of(self, service_id: str) -> Path | None:
        """Where the store of a service is served; None where its child writes it."""
        kept = self._kept.get(service_id)
        return None if kept is None else kept.socket

    def writer_socket_of(self, service_id: str) -> Path | None:
        """Where the service's child is to serve the store that it writes; None where nobody else may write it."""
        return writer_path(self._me / service_id) if service_id in self._shared else None

    def open_socket_of(self, service_id: str) -> Path | None:
        """Where the owner's programs reach the store, whoever writes it; None where they may not."""
        shared = self._shared.get(service_id)
        return self.socket_of(service_id) if shared is None else shared.store.socket

    async def make_way(self, service_id: str) -> None:
        """Let go of a store that the service's child is about to write; raises Retry where that takes too long."""
        shared = self._shared.get(service_id)
        if shared is None:
            return
        try:
            async with asyncio.timeout(GIVE_WAY_S):
                await asyncio.to_thread(shared.store.give_way)
        except TimeoutError as err:
            raise Retry(f"the core did not let go of the store of {service_id} within {GIVE_WAY_S:g} s") from err

    def settle(self) -> None:
        """Open the stores that are to be kept by now, close those that are not. Blocks."""
        with self._lock:
            try:
                self._settle()
            finally:
                self._changing = frozenset()

    def serve_tcp(self, address: str, grant_of: Callable[[str], Grant | None] | None) -> None:
        """Serve all of them at a loopback address, to callers whose token `grant_of` knows; None asks for no token."""
        self._tcp.serve_tcp(address, Door(store_of=self.store, grant_of=grant_of))

    def end(self, is_gone: Callable[[Grant], bool]) -> None:
        """End what callers at the port have open whose grants are gone. Returns at once."""
        self._tcp.end(is_gone)

    def open_store(self, service: Service) -> Store:
        """The service's store, opened to be written, for the caller to close; raises what `Store.open` raises."""
        return self._store_of(service, self._manifest_of(service))

    def close(self) -> None:
        """Stop serving and close every store, all side by side. Blocks for at most some seconds."""
        with self._lock, ThreadPoolExecutor(CLOSING_AT_ONCE, thread_name_prefix="keepers") as pool:
            shared, self._shared = list(self._shared.values()), {}
            stops = [
                self._tcp.stop,
                *(one.store.close for one in shared),
                *(one.server.stop for one in self._kept.values()),
            ]
            _all(pool.submit(stop) for stop in stops)
            # Behind the port's last answer, which may be of any of them.
            _all(pool.submit(self._close, service_id) for service_id in list(self._kept))

    def _settle(self) -> None:
        wanted = {
            service.id: service
            for service in self._services.list()
            if service.enabled and not self._is_lent(service.id)
        }  # fmt: skip
        for service_id, kept in list(self._kept.items()):
            wish = self._wanted(wanted.get(service_id))
            if wish != (kept.service.uid, kept.manifest):
                self._changing |= {service_id} if wish is not None else set()
                self._close(service_id)
        for service_id, shared in list(self._shared.items()):
            if self._wanted_by_others(wanted.get(service_id)) != (shared.service.uid, shared.manifest):
                self._shared.pop(service_id).store.close()
        for service in wanted.values():
            if service.id not in self._kept and self._wanted(service) is not None:
                self._open(service)
            if service.id not in self._shared and self._wanted_by_others(service) is not None:
                self._share(service)

    def _wanted(self, service: Service | None) -> tuple[str, Manifest] | None:
        """By which uid and manifest the core keeps the service's store, if it does."""
        manifest = None if service is None else self._manifest_of(service)
        return None if service is None or manifest is None or manifest.writer != "core" else (service.uid, manifest)

    def _wanted_by_others(self, service: Service | None) -> tuple[str, Manifest] | None:
        """By which uid and manifest the service's child shares its store, if it does."""
        manifest = None if service is None or not service.store_open else self._manifest_of(service)
        return None if service is None or manifest is None or manifest.writer == "core" else (service.uid, manifest)

    def _open(self, service: Service) -> None:
        manifest = self._catalog.get(service.connector)
        folder = self._me / service.id
        try:
            store = self._store_of(service, manifest)
        except WriterBusy as busy:
            log.info("store not opened yet id=%s: %s", service.id, busy)
            self._leave(service.id)
            return
        except LockerError as error:
            log.warning("store not opened for writing id=%s: %s", service.id, error)
            return
        server = StoreServer(clock=self._clock, limits=LIMITS)
        door = Door(
            store_of=one_store(store, service=service.id),
            open_to=Grant(f"service:{service.id}"),
            is_allowed=lambda pid: self._is_allowed(service.id, pid),
        )
        try:
            socket = server.serve_unix(folder / SOCKET_NAME, door)
        except LockerError as error:
            log.warning("store not served id=%s: %s", service.id, error)
            store.close()
            return
        kept = self._kept[service.id] = _Kept(store, service, manifest, server, socket)
        store.on_commit = lambda head: self._told(kept, head)
        store.on_removed = lambda: self._removed(kept)

    def _share(self, service: Service) -> None:
        manifest = self._catalog.get(service.connector)
        try:
            store = SharedStore(
                self._me / service.id,
                service_id=service.id,
                open_store=lambda: self._store_of(service, manifest),
                child=Child(
                    is_asleep=lambda: self._is_asleep(service.id), is_own=lambda pid: self._is_own(service.id, pid)
                ),
                is_allowed=lambda pid: self._is_allowed(service.id, pid),
                committed=lambda head: self._committed(service.id, head),
                clock=self._clock,
            )
        except LockerError as error:
            log.warning("store not served id=%s: %s", service.id, error)
            return
        self._shared[service.id] = _Shared(store, service, manifest)

    def _store_of(self, service: Service, manifest: Manifest | None) -> Store:
        folder = self._services.working_directory(service.id)
        service = self._services.get(service.id)  # Where its folder was gone, its log has another epoch by now.
        with self._care.opening(service):
            store = Store.open(
                folder,
                types={} if manifest is None else manifest.types,
                origin=Origin(log=f"{self._device}/{service.uid}", epoch=service.origin_epoch),
                clock=self._clock,
                timezone=self._timezone,
                files_bytes_max=(manifest.limits if manifest is not None else Limits()).files_bytes,
            )
        self._care.found(service, store.found)
        return store

    def _manifest_of(self, service: Service) -> Manifest | None:
        try:
            return self._catalog.get(service.connector)
        except NotFound:
            return None

    def _close(self, service_id: str) -> None:
        kept = self._kept.pop(service_id)
        kept.server.stop()
        self._tcp.release(kept.store)
        kept.store.close()

    def _told(self, kept: _Kept, head: int) -> None:
        kept.server.committed(kept.store)
        self._tcp.committed(kept.store)
        self._committed(kept.service.id, head)

    def _removed(self, kept: _Kept) -> None:
        kept.server.forget(kept.store)
        self._tcp.forget(kept.store)

    def _is_allowed(self, service_id: str, pid: int) -> bool:
        """The service's own processes, and those outside the core's tree: no other service's."""
        return not is_below(pid) or self._is_own(service_id, pid)

    def _is_own(self, service_id: str, pid: int) -> bool:
        """Whether a process is the service's running child, or below it."""
        child = self._pid_of(service_id)
        return child is not None and (pid == child or child in _ancestors(pid))


def _all(endings: Iterable[Future[None]]) -> None:
    for ending in list(endings):
        ending.result()


def grant_to(actor: str, scopes: Collection[str], *, service: str | None) -> Grant:
    """What a caller of the core's API may do over the wire: all of it, reading alone, or its own service's store."""
    if service is not None:
        return Grant(actor, frozenset({READ, WRITE}), frozenset({service}))
    if "all" in scopes:
        return Grant(actor, frozenset({READ, WRITE, ADMIN}))
    return Grant(actor, frozenset({READ} if "read" in scopes else ()))


def _ancestors(pid: int) -> list[int]:
    try:
        return [parent.pid for parent in psutil.Process(pid).parents()]
    except psutil.Error:
        return []
