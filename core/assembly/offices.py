"""Installing, changing and removing services, with everything that hangs on them in the other rooms."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from core.assembly.bridges import START_S_MAX, Loop
from core.assembly.keepers import Keepers
from core.assembly.stores import Stores
from core.backup import check_awake, forget_restore, still_there, waiting_in
from core.events import Bus, Deliveries
from core.model.errors import LockerError, NotFound
from core.process import ChildLogs, Supervisor
from core.registry import Catalog, Service, Services
from core.schedule import Scheduler

log = logging.getLogger(__name__)


class ServiceDesk:
    """The registry's services as the web room asks for them: from any thread, with all that a change entails."""

    def __init__(
        self,
        services: Services,
        *,
        supervisor: Supervisor,
        scheduler: Scheduler,
        deliveries: Deliveries,
        stores: Stores,
        catalog: Catalog,
        logs: ChildLogs,
        loop: Loop,
        is_outdated: Callable[[str], bool],
        me: Path,
        bus: Bus,
        erase_words: Callable[[str], None],
        keepers: Keepers,
        go_on: Callable[[str], Awaitable[None]],
        keep_back: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._services = services
        self._supervisor = supervisor
        self._scheduler = scheduler
        self._deliveries = deliveries
        self._stores = stores
        self._catalog = catalog
        self._logs = logs
        self._loop = loop
        self._is_outdated = is_outdated
        self._me = me
        self._bus = bus
        self._erase_words = erase_words
        self._keepers = keepers
        self._go_on = go_on
        self._keep_back = keep_back

    def list(self) -> Sequence[Service]:
        return self._services.list()

    def get(self, service_id: str, /) -> Service:
        return self._services.get(service_id)

    def providers(self, types: Sequence[str], /) -> Sequence[Service]:
        return self._services.providers(types)

    def settings_of(self, service_id: str, /) -> Mapping[str, Any]:
        return self._services.settings_of(service_id)

    def faults_in(self, connector: str, settings: Mapping[str, Any], /) -> Sequence[tuple[str, str]]:
        return self._services.faults_in(connector, settings)

    def install(
        self, connector: str, *, settings: Mapping[str, Any], title: str | None, service_id: str | None
    ) -> Service:
        service = self._services.install(connector, settings=settings, title=title, service_id=service_id)
        self._loop.run(self.take_up(service.id), timeout_s=START_S_MAX)
        return service

    def uninstall(self, service_id: str, *, erase: bool) -> None:
        service = self._services.get(service_id)
        with self._keep_back(service_id):
            # Nothing may start it, and it may ask for nothing, while its rooms are cleared.
            self._services.disable(service_id)
            self._keepers.settle()
            self._loop.run(self._let_go(service, erase=erase), timeout_s=START_S_MAX)
            if erase:
                self._logs.erase(service_id)
            with self._stores.closed(service_id):
                self._services.uninstall(service_id, erase=erase)

    def enable(self, service_id: str, /) -> Service:
        service = self._services.enable(service_id)
        self._loop.run(self.take_up(service_id), timeout_s=START_S_MAX)
        return service

    def obstacle(self, service_id: str, /) -> LockerError | None:
        return self._services.obstacle(service_id)

    def disable(self, service_id: str, /) -> Service:
        service = self._services.disable(service_id)
        stopping = self._supervisor.stop(service_id, reason="switched off by the owner")
        self._loop.run(stopping, timeout_s=START_S_MAX)
        self._keepers.settle()
        return service

    def kept(self) -> Sequence[Service]:
        return self._services.kept()

    def erase_kept(self, service_id: str, /) -> None:
        uids = {service.id: service.uid for service in self._services.kept()}
        if service_id not in uids:
            raise NotFound(f"no data is kept of {service_id[:80]!r}", remedy="GET /kept lists what is.")
        # The record last: as long as it stands, an erasing that was cut short can be asked for again.
        self._loop.run(self._bus.erase(service_id))
        self._loop.run(self._deliveries.purge(service_id, log=uids[service_id]))
        self._erase_words(service_id)
        self._logs.erase(service_id)
        self._services.uninstall(service_id, erase=True)

    def rename(self, service_id: str, title: str, /) -> Service:
        return self._services.rename(service_id, title)

    def sign_in(self, service_id: str, account: str, /) -> Service:
        return self._services.sign_in(service_id, account)

    def pause(self, service_id: str, /) -> Service:
        return self._services.pause(service_id)

    def resume(self, service_id: str, /) -> Service:
        check_awake(self._me, self._services.get(service_id))
        service = self._services.resume(service_id)
        self._loop.run(self.take_up(service_id), timeout_s=START_S_MAX)
        return service

    def take_over(self) -> Sequence[str]:
        resting = still_there(waiting_in(self._me), [service.id for service in self._services.list()])
        for service_id in resting:
            self._services.resume(service_id)
        # Behind the last of them: a take-over that is cut off can be asked for again.
        forget_restore(self._me)
        for service_id in resting:
            self._loop.run(self.take_up(service_id), timeout_s=START_S_MAX)
        return resting

    def open_doors(self, service_id: str, paths: Sequence[str], /) -> Service:
        return self._services.open_doors(service_id, paths)

    def open_store(self, service_id: str, *, is_open: bool) -> Service:
        was_open = self._services.get(service_id).store_open
        service = self._services.open_store(service_id, is_open=is_open)
        self._keepers.settle()
        if is_open and not was_open:
            # Only a child that was greeted with it serves its store to others.
            self._loop.run(self._restart_running(service_id), timeout_s=START_S_MAX)
        return service

    def update_settings(self, service_id: str, settings: Mapping[str, Any], /) -> Service:
        service = self._services.update_settings(service_id, settings)
        self._loop.run(self._renew(service_id), timeout_s=START_S_MAX)
        return service

    async def wake_residents(self) -> None:
        """Start the services that are started with the core and never stopped for idleness."""
        residents = [s.id for s in self._services.list() if s.enabled and self._is_resident(s.id)]
        await asyncio.gather(*map(self._wake, residents))

    async def declare_all(self) -> None:
        """Make what every manifest listens to so, as it stands now, and what nobody is left for be gone."""
        services = self._services.list()
        await self._deliveries.keep_only([service.id for service in services])
        for service in services:
            await self._declare(service.id)

    async def follow(self, connectors: Collection[str]) -> None:
        """Make what the changed manifests of these connectors say so: what is heard, which streams run, by which child.

        A child that was started by the old one knows nothing of a new stream, so it is stopped; it is started again
        when it is needed, at once where it is resident.
        """
        for service in self._services.list():
            if service.connector in connectors:
                with contextlib.suppress(NotFound):  # Uninstalled meanwhile.
                    await self._renew_connector(service)
        await self._scheduler.ensure_streams()

    async def _renew_connector(self, service: Service) -> None:
        if self._is_outdated(service.id):
            await self._supervisor.stop(service.id, reason="its connector changed")
        await asyncio.to_thread(self._keepers.settle)
        await self._scheduler.keep_streams(service.id, self._catalog.get(service.connector).streams)
        await self._declare(service.id)
        if service.enabled and self._is_resident(service.id):
            await self._wake(service.id)

    async def _declare(self, service_id: str) -> None:
        try:
            manifest = self._catalog.get(self._services.get(service_id).connector)
            await self._deliveries.declare(service_id, manifest.events)
        except NotFound as error:
            log.warning("what a service listens to is not known id=%s: %s", service_id, error)

    async def take_up(self, service_id: str) -> None:
        """A service is there, or again: what it listens to, its streams, and its process if it is resident."""
        await asyncio.to_thread(self._keepers.settle)
        await self._declare(service_id)
        await self._scheduler.resume(service_id)
        await self._scheduler.ensure_streams()
        await self._go_on(service_id)
        self._deliveries.resume(service_id)
        if self._is_resident(service_id):
            await self._start(service_id)

    async def _renew(self, service_id: str) -> None:
        """Settings changed: a running child is restarted with them, and what met a problem is tried again."""
        was_running = self._is_running(service_id)
        await self._supervisor.stop(service_id, reason="its settings changed")
        await self._scheduler.resume(service_id)
        if was_running and self._services.get(service_id).enabled:
            await self._start(service_id)

    async def _restart_running(self, service_id: str) -> None:
        if self._is_running(service_id):
            await self._supervisor.stop(service_id, reason="its store was opened")
            await self._start(service_id)

    def _is_running(self, service_id: str) -> bool:
        return self._supervisor.state(service_id).name in ("starting", "running")

    async def _wake(self, service_id: str) -> None:
        try:
            await self._supervisor.ensure_running(service_id)
        except LockerError as error:
            log.warning("resident service did not start id=%s: %s", service_id, error)

    async def _start(self, service_id: str) -> None:
        try:
            await self._supervisor.restart(service_id)
        except LockerError as error:
            log.warning("service did not start id=%s: %s", service_id, error)

    async def _let_go(self, service: Service, *, erase: bool) -> None:
        # First, since a child may still ask for something while it ends.
        await self._supervisor.stop(service.id, reason="uninstalled")
        await self._scheduler.purge(service.id)
        # Kept data may come back with its uid: listeners then go on where they were.
        await self._deliveries.purge(service.id, log=service.uid if erase else None)
        if erase:
            await self._bus.erase(service.id)
            await asyncio.to_thread(self._erase_words, service.id)

    def _is_resident(self, service_id: str) -> bool:
        try:
            return self._catalog.get(self._services.get(service_id).connector).limits.resident
        except NotFound:
            return False
