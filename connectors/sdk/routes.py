"""A connector's own routes: functions of its webservice.py or api.py, served by Flask beside the SDK's.

@route("/opml", methods=["GET"])
def opml(context):
    return Response(…)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import HTTPException

from connectors.sdk.context import Context, Service
from connectors.sdk.source import Source
from core.model.errors import BadRequest, BodyTooLarge, Broken, LockerError, MethodNotAllowed, NotFound, Reject
from core.model.problem import as_locker_error, problem_response

ROLES = ("api", "webservice")
BODY_BYTES_MAX = 64 * 1024 * 1024
OWN_SEGMENTS = frozenset(
    {"auth", "sync", "status", "types", "records", "changes", "facts", "files", "series", "quarantine", "retention"}
)

View = Callable[..., Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OwnRoute:
    """A view of the connector's: called with a Context, then with what the rule names."""

    rule: str
    methods: tuple[str, ...]
    view: View

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the view answers, as tests call it."""
        return self.view(*args, **named)


def route(rule: str, *, methods: list[str] | tuple[str, ...] = ("GET",)) -> Callable[[View], OwnRoute]:
    """Make a function answer `rule` (Flask's grammar) under this service; its first argument is a Context.

    It answers what a Flask view may answer, and may raise any error of `core.model.errors`.
    """
    first = rule.lstrip("/").split("/")[0]
    if not rule.startswith("/") or not first or first in OWN_SEGMENTS:
        raise Broken(f"{rule!r} cannot be a route of a connector: / and /{', /'.join(sorted(OWN_SEGMENTS))} are taken")
    return lambda view: OwnRoute(rule=rule, methods=tuple(methods), view=view)


def events_in(body: bytes) -> list[dict[str, Any]]:
    """The events that the core posted to a callback: one JSON object a line. Raises BadRequest for anything else.

    Answer 200 only when they are applied: the core then moves on. An event may come again, with the same `id`.

    >>> events_in(b'{"id": "1", "action": "new"}\\n')
    [{'id': '1', 'action': 'new'}]
    """
    try:
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in body.splitlines() if line.strip()]
    except (msgspec.MsgspecError, RecursionError) as err:
        raise BadRequest("the body must be events, one JSON object a line") from err


def application(service: Service, source: Source) -> flask.Flask:
    """A Flask application of the connector's own routes; imports its webservice.py and api.py."""
    app = flask.Flask(f"connector.{service.manifest.name}", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    for role in ROLES:
        if source.has(role):
            for own in _routes_of(source.module(role)):
                app.add_url_rule(
                    own.rule, endpoint=f"{role}:{own.rule}:{','.join(own.methods)}", methods=list(own.methods),
                    view_func=_view(own, service),
                )  # fmt: skip
    app.register_error_handler(Exception, _problem)
    return app


def _routes_of(module: ModuleType) -> list[OwnRoute]:
    found: list[OwnRoute] = []
    for item in vars(module).values():
        if isinstance(item, OwnRoute) and item not in found:
            found.append(item)
    return found


def _view(own: OwnRoute, service: Service) -> View:
    def view(**named: Any) -> Any:
        return own.view(Context(service), **named)

    return view


def _problem(error: Exception) -> flask.Response:
    if not isinstance(error, (HTTPException, LockerError)):
        log.exception("a route of the connector broke path=%s", flask.request.path)
    status, headers, body = problem_response(_understood(error))
    return flask.Response(body, status=status, headers=headers)


def _understood(error: Exception) -> LockerError:
    if not isinstance(error, HTTPException):
        return as_locker_error(error)
    kinds: dict[int, type[LockerError]] = {400: BadRequest, 404: NotFound, 413: BodyTooLarge}
    where = f"{flask.request.method} {flask.request.path[:200]}"
    if error.code == 405:
        allow = tuple(sorted(getattr(error, "valid_methods", None) or ()))
        return MethodNotAllowed(f"{where} is not answered", allow=allow)
    return kinds.get(error.code or 400, Reject)(f"{where}: {error.name}")
