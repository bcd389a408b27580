"""The stores of all services as the core reads them, whether their children run or not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from core.events import LogSource
from core.model.errors import NotFound
from core.model.fact import Fact
from core.model.manifest import TypeSpec
from core.registry import Catalog, Service, Services
from core.store import Reader


class StoreLog:
    """One service's store as the log that events are read from."""

    def __init__(self, reader: Reader, service: Service, networks: Mapping[str, str], otherwise: str) -> None:
        self.uid = service.uid
        self.account = service.account
        self._reader = reader
        self._networks = networks
        self._otherwise = otherwise

    def network_of(self, type_name: str, /) -> str:
        return self._networks.get(type_name, self._otherwise)

    def epoch(self) -> str:
        return self._reader.epoch()

    def head(self) -> int:
        return self._reader.head()

    def facts(self, since: int, /, *, limit: int) -> Sequence[Fact]:
        facts = self._reader.facts(since, limit=limit)
        return [msgspec.structs.replace(fact, common=self._reader.shared(fact)) for fact in facts]

    def previous(self, fact: Fact, /) -> Fact | None:
        return self._reader.previous(fact)


class Stores:
    """One reader a service, opened at the first question. Any thread may ask."""

    def __init__(self, me: Path, services: Services, catalog: Catalog) -> None:
        self._me = me
        self._services = services
        self._catalog = catalog
        self._lock = threading.Lock()
        self._readers: dict[str, tuple[Mapping[str, TypeSpec], Reader]] = {}

    @contextlib.contextmanager
    def reader(self, service_id: str) -> Iterator[Reader]:
        """The reader of one service; raises NotFound."""
        yield self._reader(self._services.get(service_id))

    def logs(self) -> Mapping[str, LogSource]:
        """The log of every installed service, by its id."""
        logs: dict[str, LogSource] = {}
        for service in self._services.list():
            networks, otherwise = self._networks(service)
            logs[service.id] = StoreLog(self._reader(service), service, networks, otherwise)
        return logs

    def forget(self, service_id: str) -> None:
        """Let go of a service's file: its folder is about to go, or to change."""
        with self._lock:
            _, reader = self._readers.pop(service_id, (None, None))
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Let go of every file."""
        for service_id in list(self._readers):
            self.forget(service_id)

    def _reader(self, service: Service) -> Reader:
        types: Mapping[str, TypeSpec] = {}
        with contextlib.suppress(NotFound):
            types = self._catalog.get(service.connector).types
        with self._lock:
            known = self._readers.get(service.id)
            if known is None or known[0] != types:
                reader = Reader.open(self._me / service.id, types=types)
                self._readers[service.id] = (types, reader)
                if known is not None:
                    known[1].close()
                return reader
            return known[1]

    def _networks(self, service: Service) -> tuple[Mapping[str, str], str]:
        try:
            manifest = self._catalog.get(service.connector)
        except NotFound:
            return {}, service.connector
        return {name: manifest.network_of(name) for name in manifest.types}, manifest.name
