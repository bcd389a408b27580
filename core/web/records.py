"""What the outside may know of services and connectors: chosen field by field, so nothing leaks by being added."""

from __future__ import annotations

from typing import Any

import msgspec

from core.model.errors import LockerError, NotFound
from core.model.manifest import Manifest
from core.registry import Service, provided
from core.web.parts import ChildState, Parts


class ConnectorRecord(msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "is"}):
    """A connector that can be installed."""

    name: str
    title: str
    description: str
    kind: str
    version: str
    provides: tuple[str, ...]
    uses: tuple[str, ...]
    types: tuple[str, ...]
    streams: tuple[str, ...]
    settings: dict[str, Any]
    auth_kind: str


class ServiceTrouble(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a service from working: the code of the error, what is wrong, and what helps where that is known."""

    type: str
    detail: str
    remedy: str = ""


class ServiceRecord(msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "is"}):
    """An installed service: no settings, no secrets, no process id and no port."""

    id: str
    title: str
    connector: str
    kind: str
    provides: tuple[str, ...]
    uses: tuple[str, ...]
    types: tuple[str, ...]
    streams: tuple[str, ...]
    enabled: bool
    paused: bool
    state: str
    reason: str
    installed_at: float
    href: str
    account: str | None = None
    trouble: ServiceTrouble | None = None


class FolderProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A connector folder that cannot be used, and everything that is wrong with it."""

    name: str
    folder: str
    faults: tuple[str, ...]


def connector_record(manifest: Manifest) -> ConnectorRecord:
    """What may be known of a connector."""
    return ConnectorRecord(
        name=manifest.name,
        title=manifest.title,
        description=manifest.description,
        kind=manifest.kind,
        version=manifest.version,
        provides=provided(manifest),
        uses=manifest.uses,
        types=tuple(manifest.types),
        streams=tuple(manifest.streams),
        settings=dict(manifest.settings),
        auth_kind=manifest.auth_kind,
    )


def service_record(parts: Parts, service: Service, *, for_owner: bool) -> ServiceRecord:
    """What may be known of a service; whose account it holds, and what ails it, is for the owner only."""
    manifest = manifest_of(parts, service)
    state = parts.children.state(service.id)
    return ServiceRecord(
        id=service.id,
        title=service.title,
        connector=service.connector,
        kind=manifest.kind if manifest else "connector",
        provides=provided(manifest) if manifest else (),
        uses=manifest.uses if manifest else (),
        types=tuple(manifest.types) if manifest else (),
        streams=tuple(manifest.streams) if manifest else (),
        enabled=service.enabled,
        paused=service.paused,
        state=state.name,
        reason=state.reason if manifest else "connector_missing",
        installed_at=service.installed_at,
        href=f"/Me/{service.id}/",
        account=service.account if for_owner else None,
        trouble=_trouble(parts, service, state) if for_owner else None,
    )


def obstacle_of(parts: Parts, service: Service) -> LockerError | None:
    """What must be mended before the service can work; packages that one lacks come when it is switched on."""
    obstacle = parts.services.obstacle(service.id)
    return obstacle if service.enabled or isinstance(obstacle, NotFound) else None


def _trouble(parts: Parts, service: Service, state: ChildState) -> ServiceTrouble | None:
    obstacle = obstacle_of(parts, service)
    if obstacle is not None:
        return ServiceTrouble(type=obstacle.code, detail=obstacle.detail, remedy=obstacle.remedy)
    if state.name == "failed":
        return ServiceTrouble(type=state.reason, detail=state.detail)
    return None


def kept_service(parts: Parts, service_id: str) -> Service:
    """The uninstalled service of that id whose data was kept; NotFound for any other, installed ones too."""
    found = next((service for service in parts.services.kept() if service.id == service_id), None)
    if found is None:
        raise NotFound(f"nothing is kept of a service {service_id[:64]!r}", remedy="GET /kept lists what there is.")
    return found


def manifest_of(parts: Parts, service: Service) -> Manifest | None:
    """The service's connector, or None where its folder is gone or broken: the service itself stays known."""
    try:
        return parts.catalog.get(service.connector)
    except NotFound:
        return None


def folder_problems(parts: Parts) -> list[FolderProblem]:
    """The connector folders that cannot be used."""
    return [
        FolderProblem(name=fault.name, folder=str(fault.folder), faults=tuple(fault.faults))
        for fault in parts.catalog.faults()
    ]
