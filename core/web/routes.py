"""One row per path of the core's API: the table from which Flask's routes and the OpenAPI document are both made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from flask import Flask, Response, request

from core.model.errors import BadRequest, Forbidden
from core.web.accesses import Accesses
from core.web.caller import NOBODY, Caller
from core.web.diary import Diary
from core.web.metrics import Metrics
from core.web.notices import Notices
from core.web.once import Once
from core.web.parts import EndStreams, Parts
from core.web.tokens import AppTokens, actor_of

JSON_FIELDS = frozenset({"obj", "data", "settings"})
CHILD = frozenset({"child"})
READ = frozenset({"read"})
READ_AND_CHILD = READ | CHILD
EVERYBODY = frozenset({"nobody", "read", "child"})


@dataclass(frozen=True)
class Desk:
    """What a view works with: the other rooms' parts, and this room's own tokens, diary and so on."""

    parts: Parts
    tokens: AppTokens
    diary: Diary
    metrics: Metrics
    notices: Notices
    accesses: Accesses
    once: Once
    end_streams: EndStreams

    def revoke(self, token_id: str) -> None:
        """Make a token worthless from now on, and end the streams that it opened."""
        self.tokens.delete(token_id)
        self.end_streams(lambda caller: caller.actor == actor_of(token_id))


@dataclass(frozen=True)
class Ask:
    """A request to the API, parsed: who asks, the names in the path, the query, and the body as its row says."""

    desk: Desk
    caller: Caller
    names: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None

    @property
    def parts(self) -> Parts:
        """The other rooms."""
        return self.desk.parts

    @property
    def service_id(self) -> str:
        """The service that the path names."""
        return self.names["id"]


@dataclass(frozen=True)
class Reply:
    """An answer that is not plain JSON with the row's status."""

    content: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a query: its name, what it means, and whether it must be there."""

    name: str
    about: str
    is_required: bool = False
    kind: str = "string"


@dataclass(frozen=True)
class Route:
    """One method of one path. The owner may always ask; `callers` names who else.

    `body` is the struct that the body is read into, `answer` the type that is sent back as JSON; the first line
    of the handler's docstring is the summary. `has_stream` says that an application beside Flask answers those who
    accept server-sent events.
    """

    method: str
    path: str
    handler: Callable[[Ask], Any]
    group: str
    callers: frozenset[str] = frozenset()
    body: type[msgspec.Struct] | None = None
    query: tuple[Field, ...] = ()
    answer: Any = None
    status: int = 200
    content_type: str = "application/json"
    is_of_service: bool = True
    has_stream: bool = False

    @property
    def summary(self) -> str:
        """What the path does, in one sentence."""
        return (inspect.getdoc(self.handler) or "").split("\n")[0]

    @property
    def name(self) -> str:
        """The row's own name, unique in the table."""
        return self.handler.__name__


def serve(flask: Flask, routes: Iterable[Route], desk: Desk) -> None:
    """Give the Flask application a view for every row."""
    for route in routes:
        flask.add_url_rule(
            route.path, endpoint=f"api.{route.name}", view_func=_view(route, desk), methods=[route.method]
        )


def caller_of_request() -> Caller:
    """Who asks, as the outermost layer found; nobody, should it ever be missing."""
    caller = request.environ.get("asgi.scope", {}).get("locker.caller", NOBODY)
    return caller if isinstance(caller, Caller) else NOBODY


def _view(route: Route, desk: Desk) -> Callable[..., Response]:
    def view(**names: str) -> Response:
        caller = caller_of_request()
        _check_caller(route, caller, names.get("id"))
        if "id" in names and route.is_of_service:
            desk.parts.services.get(names["id"])
        body = _body(route.body) if route.body is not None else None
        return _response(route, route.handler(Ask(desk, caller, names, request.args.to_dict(), body)))

    return view


def _check_caller(route: Route, caller: Caller, service_id: str | None) -> None:
    if caller.is_owner or (caller.is_nobody and "nobody" in route.callers):
        return
    if caller.service_id is not None:
        if "child" in route.callers and service_id in (None, caller.service_id):
            return
    elif route.callers & set(caller.scopes):
        return
    raise Forbidden(f"{caller.actor} may not {route.method} {request.path[:200]}.")


def _body(kind: type[msgspec.Struct]) -> Any:
    """The body as `kind`, from JSON or from form fields, which are all text and so are read more kindly."""
    is_form = request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data")
    try:
        if is_form:
            return msgspec.convert(_form_fields(), kind, strict=False)
        data = request.get_data(cache=False)
        return msgspec.json.decode(data or b"{}", type=kind)
    except (msgspec.MsgspecError, RecursionError) as err:
        raise BadRequest(f"The body does not fit: {err}.", remedy="See /openapi.json for the fields.") from err


def _form_fields() -> dict[str, Any]:
    fields: dict[str, Any] = request.form.to_dict()
    for name in JSON_FIELDS & set(fields):
        if fields[name].lstrip().startswith("{"):
            fields[name] = msgspec.json.decode(fields[name])
    return fields


def _response(route: Route, result: Any) -> Response:
    if isinstance(result, Reply):
        return Response(result.content, route.status, dict(result.headers), content_type=result.content_type)
    return Response(msgspec.json.encode(result), route.status, content_type=route.content_type)
