"""Opening stores from the command line, as their one writer: what else would write them is off meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from core.backup import Remembered
from core.cli.running_core import SEE_LIST, RunningCore
from core.config import Config
from core.model.clock import SystemClock
from core.model.errors import Conflict, NotFound
from core.model.manifest import Manifest, TypeSpec
from core.registry import Catalog, owner_epoch
from core.store import Documents, Origin, Store
from core.vault import open_device, open_master_key

OWNER = "owner"
STOP_S_MAX = 60.0


class Opener:
    """Opens the stores that take facts, each as its one writer: what else would write it is off meanwhile."""

    def __init__(self, config: Config, known: Mapping[str, Remembered], core: RunningCore | None) -> None:
        self._config = config
        self._known = known
        self._core = core
        self._catalog = Catalog(config.connector_paths)
        self._device = open_device(config.me, open_master_key(config.me)).id

    def open(self, service_id: str) -> AbstractContextManager[Store]:
        """The store of a service, or the owner's own; raises NotFound or Conflict."""
        if service_id == OWNER:
            return self._owners()
        known = self._known.get(service_id)
        if known is None or not known.is_installed:
            raise NotFound(
                f"There is no service {service_id}.",
                remedy=f"Install one of that id first, or add --into ID. {SEE_LIST}",
            )
        return self._service(known)

    @contextlib.contextmanager
    def _service(self, known: Remembered) -> Iterator[Store]:
        service = known.service
        manifest: Manifest | None = self._catalog.entries().get(service.connector)
        types: Mapping[str, TypeSpec] = manifest.types if manifest is not None else {}
        origin = Origin(f"{self._device}/{service.uid}", service.origin_epoch)
        with (
            self.switched_off(service.id),
            Store.open(self._config.me / service.id, types=types, origin=origin, clock=SystemClock()) as store,
        ):
            yield store

    @contextlib.contextmanager
    def _owners(self) -> Iterator[Store]:
        if self._core is not None:
            raise Conflict("Your own notes are open in the Locker that runs.", remedy="Stop it, then import again.")
        with contextlib.closing(Documents(self._config.me / "locker.json", SystemClock())) as documents:
            origin = Origin(self._device, owner_epoch(documents))
        with Store.open(self._config.me / OWNER, types={}, origin=origin, clock=SystemClock()) as store:
            yield store

    @contextlib.contextmanager
    def switched_off(self, service_id: str) -> Iterator[None]:
        """Nothing starts the service meanwhile, and its writer, child or core, has let go of the store."""
        core = self._core
        if core is None or not core.get("/map")["installed"][service_id]["enabled"]:
            yield
            return
        core.ask("POST", f"/core/{service_id}/disable", wait_s=STOP_S_MAX)
        try:
            yield
        finally:
            core.ask("POST", f"/core/{service_id}/enable", wait_s=STOP_S_MAX)
