"""Opening stores from the command line, as their one writer: a core that runs keeps away meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from core.backup import Remembered, remembered
from core.cli.connectors import connectors_of
from core.cli.hints import see
from core.cli.running_core import RunningCore, borrowed
from core.config import Config
from core.model.clock import SystemClock
from core.model.errors import Conflict, NotFound
from core.model.manifest import Manifest, TypeSpec
from core.registry import begin_in_new_folder, begin_owner_log
from core.store import Documents, Origin, Store
from core.vault import open_device, open_master_key

OWNER = "owner"


class Opener:
    """Opens the stores that take facts, each as its one writer: a core that runs keeps away meanwhile."""

    def __init__(self, config: Config, known: Mapping[str, Remembered], core: RunningCore | None) -> None:
        self._config = config
        self._known = known
        self._core = core
        self._catalog = connectors_of(config)
        self._mine: set[str] = set()
        self._device = open_device(config.me, open_master_key(config.me)).id

    def open(self, service_id: str) -> AbstractContextManager[Store]:
        """The store of a service, or the owner's own; raises NotFound or Conflict."""
        if service_id == OWNER:
            return self._owners()
        known = self._known.get(service_id)
        if known is None or not known.is_installed:
            raise NotFound(
                f"There is no service {service_id}.",
                remedy=f"Install one of that id first, or add --into ID. {see('list')}",
            )
        return self._service(known)

    @contextlib.contextmanager
    def _service(self, known: Remembered) -> Iterator[Store]:
        service = known.service
        manifest: Manifest | None = self._catalog.entries().get(service.connector)
        types: Mapping[str, TypeSpec] = manifest.types if manifest is not None else {}
        with self.alone_with(service.id):
            origin = Origin(f"{self._device}/{service.uid}", self._epoch_of(service.id))
            with Store.open(self._config.me / service.id, types=types, origin=origin, clock=SystemClock()) as store:
                yield store

    def _epoch_of(self, service_id: str) -> int:
        """The epoch of the service's log by now: where its folder was gone, the core began another, or this does."""
        if self._core is None and not (self._config.me / service_id).exists():
            with contextlib.closing(Documents(self._config.me / "locker.json", SystemClock())) as documents:
                begin_in_new_folder(documents, service_id)
        return remembered(self._config.me)[service_id].service.origin_epoch

    @contextlib.contextmanager
    def _owners(self) -> Iterator[Store]:
        if self._core is not None:
            raise Conflict("Your own notes are open in the Locker that runs.", remedy="Stop it, then import again.")
        with contextlib.closing(Documents(self._config.me / "locker.json", SystemClock())) as documents:
            origin = Origin(self._device, begin_owner_log(documents, self._config.me / OWNER))
        with Store.open(self._config.me / OWNER, types={}, origin=origin, clock=SystemClock()) as store:
            yield store

    @contextlib.contextmanager
    def alone_with(self, service_id: str) -> Iterator[None]:
        """Nothing else writes the service's store or starts its child, for as long as this process lives at most.

        Raises Retry where another command has it.
        """
        if self._core is None or service_id in self._mine:
            yield
            return
        with borrowed(self._config.me, service_id):
            self._mine.add(service_id)
            try:
                yield
            finally:
                self._mine.discard(service_id)
