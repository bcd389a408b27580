"""The doors that a connector declares, and which of them its owner opened."""

from __future__ import annotations

from typing import Annotated

import msgspec

from core.registry import Service
from core.web.records import manifest_of
from core.web.routes import Ask, Route

DOORS_MAX = 100
DOOR_LENGTH_MAX = 1000
DoorPath = Annotated[str, msgspec.Meta(min_length=1, max_length=DOOR_LENGTH_MAX)]


class Opening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The doors that are to be open; all others are shut."""

    open: Annotated[tuple[DoorPath, ...], msgspec.Meta(max_length=DOORS_MAX)]


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """The paths under the service's own address where it wants to check callers itself, and those that are open."""

    declared: tuple[str, ...]
    open: tuple[str, ...]


def read_doors(ask: Ask) -> Doors:
    """Tell which doors the service's connector declares, and which of them are open."""
    return _doors(ask, ask.parts.services.get(ask.service_id))


def write_doors(ask: Ask) -> Doors:
    """Open these of the declared doors and shut all others: behind an open one, no token of Locker's is needed."""
    return _doors(ask, ask.parts.services.open_doors(ask.service_id, ask.body.open))


def _doors(ask: Ask, service: Service) -> Doors:
    manifest = manifest_of(ask.parts, service)
    declared = manifest.doors if manifest else ()
    return Doors(declared=declared, open=tuple(path for path in service.doors_open if path in declared))


ROUTES = (
    Route("GET", "/core/<id>/doors", read_doors, "services", answer=Doors),
    Route("PUT", "/core/<id>/doors", write_doors, "services", body=Opening, answer=Doors),
)
