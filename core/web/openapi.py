"""The whole table of the core's paths, and the OpenAPI 3.1 document that is made from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from core.model.problem import CONTENT_TYPE as PROBLEM
from core.web.api import ROUTES
from core.web.routes import READ, Ask, Field, Reply, Route

GROUPS = {
    "map": "What is installed and what could be.",
    "services": "A service's life, as its owner decides it.",
    "schedules": "When a service wants to be called back.",
    "events": "What a service tells and hears.",
    "library": "Everything that all services hold, looked through at once.",
    "diary": "What services write for their owner to read.",
    "tokens": "Tokens for scripts and apps.",
    "system": "The core itself.",
}
_NAME = re.compile(r"<(\w+)>")


def read_openapi(ask: Ask) -> Reply:  # noqa: ARG001 -- every view takes the request
    """Describe this API as an OpenAPI 3.1 document."""
    return Reply(document_text(), "application/json")


TABLE: tuple[Route, ...] = (*ROUTES, Route("GET", "/openapi.json", read_openapi, "system", READ, answer=dict[str, Any]))


@cache
def document_text() -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document(TABLE))


def document(table: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of a table of paths."""
    kinds = [kind for route in table for kind in (route.body, route.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    shapes = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(_NAME.sub(r"{\1}", route.path), {})[route.method.lower()] = _operation(route, shapes)
    paths["/events"] = {"get": _EVENTS}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Locker",
            "version": "1",
            "description": "The core's own paths. Errors are RFC 9457 problem documents with a remedy; "
            "each service's paths stand under /Me/{id}/.",
        },
        "tags": [{"name": name, "description": about} for name, about in GROUPS.items()],
        "security": [{"bearer": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "locker_session"},
            },
        },
    }


def _operation(route: Route, shapes: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _NAME.findall(route.path)
    ] + [_parameter(field) for field in route.query]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.group],
        "x-callers": ["owner", *sorted(route.callers)],
        "responses": {
            str(route.status): _answer(route, shapes),
            "default": {"description": "A problem.", "content": {PROBLEM: {"schema": _PROBLEM_REF}}},
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        schema = shapes[repr(route.body)]
        operation["requestBody"] = {
            "content": {
                "application/json": {"schema": schema},
                "application/x-www-form-urlencoded": {"schema": schema},
            }
        }
    if "nobody" in route.callers:
        operation["security"] = []
    return operation


def _answer(route: Route, shapes: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {} if route.answer is None else {"schema": shapes[repr(route.answer)]}
    stream: dict[str, Any] = {"text/event-stream": {}} if route.has_stream else {}
    return {"description": "As asked.", "content": {route.content_type: content, **stream}}


def _parameter(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "in": "query",
        "required": field.is_required,
        "description": field.about,
        "schema": {"type": field.kind},
    }


_PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "remedy"],
    "properties": {
        "type": {"type": "string", "description": "The error's stable name."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "remedy": {"type": "string", "description": "What to do next."},
        "retry_after_s": {"type": "number"},
        "faults": {"type": "array", "items": {"type": "string"}},
    },
}
# The event stream is an application of its own beside Flask, so it has no row in the table.
_EVENTS = {
    "operationId": "read_events",
    "summary": "Follow events as they are committed, as server-sent events.",
    "tags": ["events"],
    "x-callers": ["owner", "child", "read"],
    "parameters": [
        _parameter(Field(name="types", about="Only these types, by commas.")),
        _parameter(Field(name="services", about="Only these services, by commas.")),
        _parameter(Field(name="since", about="The id of the last event seen; Last-Event-ID says the same.")),
    ],
    "responses": {
        "200": {"description": "The stream.", "content": {"text/event-stream": {}}},
        "default": {"description": "A problem.", "content": {PROBLEM: {"schema": _PROBLEM_REF}}},
    },
}
