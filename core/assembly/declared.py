"""What the manifests of the installed services declare, as the rooms ask for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress

from core.model.errors import NotFound
from core.registry import Catalog, Services
from core.web import Caller, hears


class Declared:
    """Asks the registry anew each time; a connector that is gone or faulty declares nothing."""

    def __init__(self, services: Services, catalog: Catalog) -> None:
        self._services = services
        self._catalog = catalog

    def service_ids(self) -> Collection[str]:
        """Every installed service."""
        return {service.id for service in self._services.list()}

    def frequencies(self) -> Iterator[tuple[str, str, float]]:
        """Service, stream and seconds from run to run, for each stream that is to run by itself."""
        for service in self._services.list():
            with suppress(NotFound):
                if service.enabled and not service.paused:
                    for stream in self._catalog.get(service.connector).streams.values():
                        yield service.id, stream.name, float(stream.frequency_s)

    def may_listen(self, service_id: str, wanted: str) -> bool:
        """Whether events of the type `wanted` (`contact`, `contact/github`) may be delivered to the service."""
        return hears(self._uses(service_id), wanted)

    def may_hear(self, caller: Caller | None, wanted: str) -> bool:
        """Whether who opened an event stream may have events of the type `wanted` in it."""
        if caller is None:
            return False
        if caller.is_owner or "read" in caller.scopes:
            return True
        return caller.service_id is not None and self.may_listen(caller.service_id, wanted)

    def _uses(self, service_id: str) -> tuple[str, ...]:
        try:
            manifest = self._catalog.get(self._services.get(service_id).connector)
        except NotFound:
            return ()
        return (*manifest.uses, *manifest.events)
