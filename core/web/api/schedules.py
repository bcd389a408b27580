"""When a service wants to be called back, and how long its child is to stay: `at` and `hold`."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from core.model.errors import BadRequest, MethodNotAllowed, NotFound
from core.process import ProcessLimits
from core.web.routes import CHILD, Ask, Field, Route

REASON_LENGTH_MAX = 200
HOLD_MAX_S = ProcessLimits.hold_s_max
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_LENGTH_MAX)]


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A path under the service's own address; `cb` is taken for `path`."""

    path: str | None = None
    cb: str | None = None

    @property
    def target(self) -> str:
        """The path, with its slash; whoever calls it says which paths may be called. BadRequest where there is none."""
        text = self.path or self.cb
        if not text:
            raise BadRequest("The path is missing.", remedy="Send one as the connector serves it, such as /sync/entry.")
        return text if text.startswith("/") else f"/{text}"


class At(Callback, frozen=True, kw_only=True):
    """When to call, in epoch seconds, and which path under the service's own address."""

    at: float


class PendingCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is due; `kind` is `fallback` where the manifest's frequency asked for it."""

    service: str
    path: str
    at: float
    kind: str = "asked"
    tries: int = 0
    last_problem: str | None = None


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """The call that is not made any more."""

    path: str


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Why the child must not be stopped for idleness, and until when in epoch seconds."""

    reason: Reason
    until: float


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The hold to end."""

    reason: Reason


def ask_at(ask: Ask) -> PendingCall:
    """Call the service back at a time, at once when it has passed: kept durably, one call for each path."""
    body: At = ask.body
    path = body.target
    ask.parts.schedule.at(ask.service_id, path, body.at)
    return PendingCall(service=ask.service_id, path=path, at=body.at)


def read_at(ask: Ask) -> list[PendingCall]:
    """List the service's pending calls."""
    if {"at", "cb", "path"} & set(ask.query):
        raise MethodNotAllowed("A call is asked for by POST.", allow=("DELETE", "POST"))
    return [
        PendingCall(
            service=entry.service,
            path=entry.path,
            at=entry.at,
            kind=entry.kind,
            tries=entry.tries,
            last_problem=entry.last_problem,
        )
        for entry in ask.parts.schedule.pending(ask.service_id)
    ]


def cancel_at(ask: Ask) -> Cancelled:
    """Cancel the service's pending call of a path, named in the body or in the query."""
    body: Callback = ask.body
    path = Callback(path=body.path or ask.query.get("path"), cb=body.cb or ask.query.get("cb")).target
    if not ask.parts.schedule.cancel(ask.service_id, path):
        raise NotFound(f"Nothing is pending for {path[:200]}.")
    return Cancelled(path=path)


def hold(ask: Ask) -> Hold:
    """Keep the service's child from being stopped for idleness, for a day at most; ask again to go on."""
    body: Hold = ask.body
    if not math.isfinite(body.until):
        raise BadRequest("until must be a number of seconds since 1970.")
    until = min(body.until, ask.parts.clock.now() + HOLD_MAX_S)
    ask.parts.children.hold(ask.service_id, reason=body.reason, until=until)
    return Hold(reason=body.reason, until=until)


def release(ask: Ask) -> Release:
    """End a hold."""
    ask.parts.children.release(ask.service_id, reason=ask.body.reason)
    return Release(reason=ask.body.reason)


_PATH = (
    Field(name="path", about="The path of the pending call, where the body does not say it."),
    Field(name="cb", about="Taken for path."),
)
ROUTES = (
    Route("POST", "/core/<id>/at", ask_at, "schedules", CHILD, body=At, answer=PendingCall),
    Route("GET", "/core/<id>/at", read_at, "schedules", CHILD, answer=list[PendingCall]),
    Route("DELETE", "/core/<id>/at", cancel_at, "schedules", CHILD, body=Callback, query=_PATH, answer=Cancelled),
    Route("POST", "/core/<id>/hold", hold, "schedules", CHILD, body=Hold, answer=Hold),
    Route("DELETE", "/core/<id>/hold", release, "schedules", CHILD, body=Release, answer=Release),
)
