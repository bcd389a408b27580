"""What is installed and what could be: `/map`, `/providers`, `/available`."""

from __future__ import annotations

import msgspec

from core.model.errors import BadRequest
from core.web.records import (
    ConnectorRecord,
    FolderProblem,
    ServiceRecord,
    connector_record,
    folder_problems,
    service_record,
)
from core.web.routes import READ, READ_AND_CHILD, Ask, Field, Route


class Map(msgspec.Struct, frozen=True, kw_only=True):
    """Everything there is: what could be installed, and what is, by its id."""

    available: list[ConnectorRecord]
    installed: dict[str, ServiceRecord]


class Available(msgspec.Struct, frozen=True, kw_only=True):
    """The connectors that could be installed, and the folders that cannot be used."""

    connectors: list[ConnectorRecord]
    faults: list[FolderProblem]


def read_map(ask: Ask) -> Map | ServiceRecord:
    """Tell which connectors are available and which services are installed; with `id`, that service alone."""
    for_owner = ask.caller.is_owner
    if "id" in ask.query:
        return service_record(ask.parts, ask.parts.services.get(ask.query["id"]), for_owner=for_owner)
    ask.parts.catalog.refresh()
    return Map(
        available=[connector_record(manifest) for manifest in ask.parts.catalog.entries().values()],
        installed={s.id: service_record(ask.parts, s, for_owner=for_owner) for s in ask.parts.services.list()},
    )


def read_providers(ask: Ask) -> list[ServiceRecord]:
    """List the enabled services that provide one of the types, each once."""
    if "types" not in ask.query:
        raise BadRequest("The query lacks types.", remedy="Write /providers?types=contact,photo/flickr.")
    found = ask.parts.services.providers(ask.query["types"].split(","))
    return [service_record(ask.parts, service, for_owner=ask.caller.is_owner) for service in found]


def read_available(ask: Ask) -> Available:
    """List the connectors that could be installed, with their settings' schema, and the folders that have faults."""
    ask.parts.catalog.refresh()
    return Available(
        connectors=[connector_record(manifest) for manifest in ask.parts.catalog.entries().values()],
        faults=folder_problems(ask.parts) if ask.caller.is_owner else [],
    )


ROUTES = (
    Route(
        "GET",
        "/map",
        read_map,
        "map",
        READ_AND_CHILD,
        query=(Field(name="id", about="Only this service; the answer is its record."),),
        answer=Map,
    ),
    Route(
        "GET",
        "/providers",
        read_providers,
        "map",
        READ_AND_CHILD,
        query=(Field(name="types", about="Types, by commas: contact, or contact/github.", is_required=True),),
        answer=list[ServiceRecord],
    ),
    Route("GET", "/available", read_available, "map", READ, answer=Available),
)
