"""What a service needs to be started: its connector, its settings with their secrets, its key."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.backup import check_awake
from core.config import Config
from core.gateway import is_behind_door, target_of
from core.model.errors import BadRequest, NotFound, ServiceDisabled
from core.model.handshake import Greeting
from core.model.manifest import Limits, Manifest
from core.process import Endpoint, LaunchSpec, Supervisor
from core.registry import Catalog, Environments, Service, Services
from core.vault import Device, MasterKey, Redactor


class Launching:
    """Makes launch specs; asked by the supervisor at every start, so that a change counts from the next one."""

    def __init__(
        self,
        config: Config,
        *,
        catalog: Catalog,
        services: Services,
        environments: Environments,
        master: MasterKey,
        device: Device,
        redactor: Redactor,
        core_pid: int,
        port: int,
        due: Callable[[str], Mapping[str, float]],
        store_socket: Callable[[str], Path | None],
        writer_socket: Callable[[str], Path | None],
        check_store: Callable[[str], None],
        check_lent: Callable[[str], None],
    ) -> None:
        self._config = config
        self._catalog = catalog
        self._services = services
        self._environments = environments
        self._master = master
        self._device = device
        self._redactor = redactor
        self._core_pid = core_pid
        for keys in config.app_keys.values():
            for value in keys.values():
                redactor.add(value)
        self._port = port
        self._due = due
        self._store_socket = store_socket
        self._writer_socket = writer_socket
        self._check_store = check_store
        self._check_lent = check_lent
        self._launched: dict[str, Manifest] = {}

    def check(self, service_id: str, *, starts_sync: bool = False) -> Service:
        """The service, if requests may go to it; raises NotFound or ServiceDisabled, and Retry where its store is lent.

        Raises UserActionNeeded for one that starts a sync of what rests since a restore.
        """
        service = self._services.get(service_id)
        if not service.enabled:
            raise ServiceDisabled(f"{service_id} is switched off")
        self._check_lent(service_id)
        if starts_sync:
            check_awake(self._config.me, service)
        return service

    def spec_for(self, service_id: str) -> LaunchSpec:
        """Everything to start the service's child with.

        Raises NotFound, ServiceDisabled, SettingsInvalid, and FileDamaged where its store waits for the owner.
        """
        service = self.check(service_id)
        self._check_store(service_id)
        self._catalog.refresh()
        manifest = self._catalog.get(service.connector)
        settings = self._services.checked_settings(service_id)
        limits = self._limits(manifest)
        own_python = self._environments.python_for(manifest)
        own_packages = self._environments.folder_for(manifest)
        self._launched[service_id] = manifest
        secrets = self._services.secrets_of(service_id)
        for secret in secrets:
            self._redactor.add(secret)
        return LaunchSpec(
            service_id=service.id,
            uid=service.uid,
            title=service.title,
            argv=manifest.run,
            source_directory=Path(manifest.folder),
            working_directory=self._services.working_directory(service_id),
            python=str(own_python),
            forkable=manifest.is_python and str(own_python) == sys.executable and self._config.spawn == "auto",
            start_timeout_s=limits.start_timeout_s,
            idle_stop_s=limits.idle_stop_s,
            resident=limits.resident,
            memory_bytes=limits.memory_bytes,
            reads=(*self._services.folders_of(service_id), *([own_packages] if own_packages else [])),
            greeting=lambda port, token: self._greeting(service, manifest, settings, port=port, token=token),
            secrets=secrets,
        )

    def is_outdated(self, service_id: str) -> bool:
        """Whether the service's child was started by another manifest than its connector has now."""
        launched = self._launched.get(service_id)
        now = self._catalog.entries().get(self._services.get(service_id).connector)
        return launched is not None and now is not None and launched != now

    def open_doors(self, service_id: str) -> tuple[str, ...]:
        """The declared doors of a service that the owner opened."""
        service = self._services.get(service_id)
        return tuple(door for door in service.doors_open if door in self._catalog.get(service.connector).doors)

    def is_open_door(self, raw_path: bytes) -> bool:
        """Whether a path, as it stands on the wire, lies behind an open door: judged as the gateway will judge it."""
        try:
            target = target_of(raw_path, b"")
            return is_behind_door(target.path, self.open_doors(target.service_id))
        except (BadRequest, NotFound):
            return False

    def _limits(self, manifest: Manifest) -> Limits:
        """The manifest's limits; where it says nothing, the owner's."""
        limits, default, own = manifest.limits, Limits(), self._config.limits
        if limits.start_timeout_s == default.start_timeout_s:
            limits = msgspec.structs.replace(limits, start_timeout_s=own.start_deadline_s)
        if limits.idle_stop_s == default.idle_stop_s:
            limits = msgspec.structs.replace(limits, idle_stop_s=own.idle_stop_s)
        return limits

    def _greeting(
        self, service: Service, manifest: Manifest, settings: Mapping[str, Any], *, port: int, token: str
    ) -> Greeting:
        base = f"http://{self._config.host}:{self._port}"
        return Greeting(
            port=port,
            working_directory=str(self._config.me / service.id),
            locker_url=base,
            id=service.id,
            uid=service.uid,
            device=self._device.id,
            origin_epoch=service.origin_epoch,
            account=service.account,
            core_pid=self._core_pid,
            source_directory=manifest.folder,
            external_base=f"{base}/Me/{service.id}/",
            token=token,
            key=self._master.service_key_text(service.uid),
            settings=dict(settings),
            app=dict(self._config.app_keys.get(manifest.name, {})),
            due=dict(self._due(service.id)),
            limits={"disk_free_bytes_min": self._config.limits.disk_free_bytes_min},
            timezone=self._config.timezone,
            store_socket=_text(self._store_socket(service.id)),
            writer_socket=_text(self._writer_socket(service.id)),
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


class Backends:
    """What the door asks: services from the registry, processes from the supervisor."""

    def __init__(self, supervisor: Supervisor, launching: Launching) -> None:
        self._supervisor = supervisor
        self._launching = launching
        self.ensure_running = supervisor.ensure_running
        self.lease = supervisor.lease

    def check(self, service_id: str, *, starts_sync: bool) -> None:
        self._launching.check(service_id, starts_sync=starts_sync)

    def report_dead(self, endpoint: object) -> None:
        """The endpoints that the door knows are those the supervisor gave it."""
        if isinstance(endpoint, Endpoint):
            self._supervisor.report_dead(endpoint)

    def open_doors(self, service_id: str) -> tuple[str, ...]:
        return self._launching.open_doors(service_id)
