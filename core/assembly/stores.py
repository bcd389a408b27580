"""The stores of all services as the core reads them, whether their children run or not."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from core.events import LogSource
from core.library import Shelf
from core.model.errors import NotFound, Retry
from core.model.fact import Fact
from core.model.manifest import TypeSpec
from core.registry import Catalog, Service, Services
from core.store import Reader


class StoreLog:
    """One service's store as the log that events are read from; a store that was let go of is as if it were away.

    It keeps no reader of its own: whoever holds a log for long must not hold a file that is to go.
    """

    def __init__(
        self, service: Service, reader: Callable[[Service], Reader | None], networks: Mapping[str, str], otherwise: str
    ) -> None:
        self.uid = service.uid
        self.account = service.account
        self._reader = functools.partial(reader, service)
        self._networks = networks
        self._otherwise = otherwise

    def network_of(self, type_name: str, /) -> str:
        return self._networks.get(type_name, self._otherwise)

    def epoch(self) -> str:
        reader = self._reader()
        return "" if reader is None else reader.epoch()

    def head(self) -> int:
        reader = self._reader()
        return 0 if reader is None else reader.head()

    def floor(self) -> int:
        reader = self._reader()
        return 0 if reader is None else reader.floor()

    def facts(self, since: int, /, *, limit: int) -> Sequence[Fact]:
        reader = self._reader()
        if reader is None:
            return []
        facts = reader.facts(since, limit=limit)
        return [msgspec.structs.replace(fact, common=reader.shared(fact)) for fact in facts]

    def previous(self, fact: Fact, /) -> Fact | None:
        reader = self._reader()
        return None if reader is None else reader.previous(fact)


@dataclass(frozen=True)
class _Opened:
    """A reader, and of whose store with which types it is."""

    uid: str
    types: Mapping[str, TypeSpec]
    reader: Reader


class Stores:
    """One reader a service, opened at the first question. Any thread may ask."""

    def __init__(self, me: Path, services: Services, catalog: Catalog) -> None:
        self._me = me
        self._services = services
        self._catalog = catalog
        self._lock = threading.Lock()
        self._opened: dict[str, _Opened] = {}
        self._closed: set[str] = set()
        self._resting: dict[str, int] = {}

    @contextlib.contextmanager
    def reader(self, service_id: str) -> Iterator[Reader]:
        """The reader of one service; raises NotFound."""
        yield self._reader(self._services.get(service_id))

    def reading(self, service_id: str) -> Reader:
        """The same for who asks it question by question; raises NotFound, and Retry while nobody may have it."""
        return self._reader(self._services.get(service_id))

    def logs(self) -> Mapping[str, LogSource]:
        """The log of every installed service, by its id; none of one that is being uninstalled."""
        logs: dict[str, LogSource] = {}
        for service in self._services.list():
            with contextlib.suppress(NotFound):
                with contextlib.suppress(Retry):  # It rests: it is as if it were away, and comes back.
                    self._reader(service)
                networks, otherwise = self._networks(service)
                logs[service.id] = StoreLog(service, self._known, networks, otherwise)
        return logs

    def shelves(self) -> Sequence[Shelf]:
        """The store of every installed service; none of one that is being uninstalled or rests."""
        shelves: list[Shelf] = []
        for service in self._services.list():
            with contextlib.suppress(NotFound, Retry):
                reader = self._reader(service)
                shelves.append(Shelf(service.id, service.title, reader, self._types(service)))
        return shelves

    @contextlib.contextmanager
    def closed(self, service_id: str) -> Iterator[None]:
        """Let go of a service's file, and open it for nobody while its folder goes or changes."""
        with self._lock:
            self._closed.add(service_id)
        try:
            self._forget(service_id)
            yield
        finally:
            with self._lock:
                self._closed.discard(service_id)

    @contextlib.contextmanager
    def resting(self, service_id: str) -> Iterator[None]:
        """Let go of a service's file while it is looked at after a crash; who asks meanwhile is told to come again."""
        with self._lock:
            self._resting[service_id] = self._resting.get(service_id, 0) + 1
        try:
            self._forget(service_id)
            yield
        finally:
            with self._lock:
                self._resting[service_id] -= 1
                if not self._resting[service_id]:
                    del self._resting[service_id]

    def rests(self, service_id: str) -> bool:
        """Whether nobody may have the service's file open just now."""
        return service_id in self._resting or service_id in self._closed

    def close(self) -> None:
        """Let go of every file."""
        for service_id in list(self._opened):
            self._forget(service_id)

    def _forget(self, service_id: str) -> None:
        with self._lock:
            opened = self._opened.pop(service_id, None)
        if opened is not None:
            opened.reader.close()

    def _reader(self, service: Service) -> Reader:
        types = self._types(service)
        with self._lock:
            if service.id in self._closed:
                raise NotFound(f"{service.id} is being uninstalled")
            if service.id in self._resting:
                raise Retry(f"the store of {service.id} is looked at after a crash")
            known = self._opened.get(service.id)
            if known is not None and (known.uid, known.types) == (service.uid, types):
                return known.reader
            reader = Reader.open(self._me / service.id, types=types)
            self._opened[service.id] = _Opened(service.uid, types, reader)
        if known is not None:
            known.reader.close()
        return reader

    def _types(self, service: Service) -> Mapping[str, TypeSpec]:
        try:
            return self._catalog.get(service.connector).types
        except NotFound:
            return {}

    def _known(self, service: Service) -> Reader | None:
        """The reader that is open for this very service, not for another one of its id."""
        opened = self._opened.get(service.id)
        return opened.reader if opened is not None and opened.uid == service.uid else None

    def _networks(self, service: Service) -> tuple[Mapping[str, str], str]:
        try:
            manifest = self._catalog.get(service.connector)
        except NotFound:
            return {}, service.connector
        return {name: manifest.network_of(name) for name in manifest.types}, manifest.name
