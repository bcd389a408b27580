"""Whether the owner's other programs may write a service's store, and where they reach it."""

from __future__ import annotations

import msgspec

from core.registry import Service
from core.web.records import manifest_of
from core.web.routes import Ask, Route


class StoreOpening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the store is to be open."""

    open: bool


class OpenStore(msgspec.Struct, frozen=True, kw_only=True):
    """`socket` is where the wire is spoken, and null where the store is not served at the moment.

    A store whose `writer` is the core is open for as long as its service is on.
    """

    open: bool
    writer: str
    socket: str | None


def read_store(ask: Ask) -> OpenStore:
    """Tell whether the owner's other programs may write the service's store over the wire, and where."""
    return _store(ask, ask.parts.services.get(ask.service_id))


def write_store(ask: Ask) -> OpenStore:
    """Open the service's store to the owner's other programs, or shut it; opening restarts a running child."""
    return _store(ask, ask.parts.services.open_store(ask.service_id, is_open=ask.body.open))


def _store(ask: Ask, service: Service) -> OpenStore:
    manifest = manifest_of(ask.parts, service)
    is_the_cores = manifest is not None and manifest.writer == "core"
    socket = ask.parts.store_socket(service.id)
    return OpenStore(
        open=is_the_cores or service.store_open,
        writer="core" if is_the_cores else "child",
        socket=None if socket is None else str(socket),
    )


ROUTES = (
    Route("GET", "/core/<id>/store", read_store, "services", answer=OpenStore),
    Route("PUT", "/core/<id>/store", write_store, "services", body=StoreOpening, answer=OpenStore),
)
