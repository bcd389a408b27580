"""The ASGI application behind `/Me/<id>/…`: finds the service, starts it, and hands the exchange on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from core.gateway.address import PREFIX, Target, starts_sync, target_of
from core.gateway.buffer import Given, Intake, Receive
from core.gateway.call import Collector, Response
from core.gateway.connection import Endpoint, Pool
from core.gateway.forward import Exchange, Send
from core.gateway.limits import GatewayLimits
from core.gateway.line import Lines, Place
from core.gateway.reply import Reply
from core.gateway.request import CORE, Caller, Request, from_core, from_outside
from core.gateway.spool import Spool
from core.gateway.upgrade import Upgrade
from core.gateway.watch import Watch
from core.model.errors import ChildMute, ChildSilent, Forbidden, LockerError, Reject, TokenRequired, TooBusy
from core.model.problem import as_locker_error

log = logging.getLogger(__name__)

Scope = dict[str, Any]

# Longer than any start_timeout_s a manifest may ask for: the supervisor decides, this only bounds it.
START_S_MAX = 660.0
# How long an answer may be under way before somebody looks whether the client still waits.
LOOK_FOR_CLIENT_S = 0.05
# A service's bytes never become code of Locker's own pages.
_CODE_DESTINATIONS = frozenset({b"script", b"worker", b"sharedworker", b"serviceworker", b"style", b"xslt"})


class Backends(Protocol):
    """What the gateway asks of whoever knows the services and their processes."""

    def check(self, service_id: str, *, starts_sync: bool) -> None:
        """Raise NotFound, ServiceDisabled or UserActionNeeded unless such a request may go to this service."""

    async def ensure_running(self, service_id: str) -> Endpoint:
        """The running child, started if asleep; cancelling one caller leaves the start to the others."""

    def lease(self, service_id: str) -> AbstractContextManager[None]:
        """Keep the child from being stopped as idle."""

    def report_dead(self, endpoint: Endpoint) -> None:
        """A connection was refused: the child is not there."""

    def open_doors(self, service_id: str) -> tuple[str, ...]:
        """The paths where the connector checks callers itself, switched on by the owner."""


class Door:
    """Answers every request for `/Me/<id>/…`; runs on the event loop's thread."""

    def __init__(self, *, backends: Backends, limits: GatewayLimits, spool_folder: Path) -> None:
        self._backends = backends
        self._limits = limits
        self._spool = Spool(spool_folder, bytes_total_max=limits.spool_bytes_total_max)
        self._pool = Pool(report_dead=backends.report_dead)
        self._lines = Lines(limits.waiting_requests_max)
        self._open: set[Watch] = set()
        self._is_closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry, for http and websocket scopes."""
        reply = Reply(scope, send)
        try:
            with self._watch(scope.get("locker.caller")) as watch:
                await self._answer(scope, receive, reply.send, watch)
        except LockerError as error:
            if not isinstance(error, Reject):
                log.warning("exchange failed code=%s detail=%s", error.code, error.detail)
            await reply.refuse(error)
        except Exception as error:
            log.exception("exchange failed code=broken")
            await reply.refuse(as_locker_error(error))

    async def call(
        self, service_id: str, method: str, path: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float,
        caller: Caller = CORE,
    ) -> Response:  # fmt: skip
        """What the child answers to a request of the core's own; it is started if asleep, outside `timeout_s`.

        `path` is the child's own (`/sync/entry`); `caller` is for whom the core asks, if not for itself. Any status is
        an answer; what stopped it is raised.
        """
        if self._is_closed:
            raise _stopping()
        raw_path, _, query = path.encode("ascii").partition(b"?")
        target = target_of(PREFIX + service_id.encode("ascii") + raw_path, query)
        self._backends.check(service_id, starts_sync=starts_sync(method, target.path))
        request = from_core(target, method, headers, body, caller=caller)
        collector = Collector(service_id)
        with self._backends.lease(service_id), self._watch() as watch:
            endpoint = await self._backends.ensure_running(service_id)
            limits = replace(self._limits, first_byte_s=timeout_s)
            exchange = Exchange(request, Given(body), watch=watch, pool=self._pool, limits=limits)
            try:
                async with asyncio.timeout(timeout_s):
                    await exchange.run(endpoint, collector.send, on_sent=_nothing)
            except TimeoutError as err:
                raise ChildMute(f"{service_id} did not answer the core within {timeout_s:g} s") from err
        return collector.response()

    def waiting(self, service_id: str) -> int:
        """How many requests wait for a service to start."""
        return self._lines.waiting(service_id)

    async def close(self) -> None:
        """Refuse what comes, end what is open, let go of every connection."""
        self._is_closed = True
        for watch in list(self._open):
            watch.end(_stopping())
        self._pool.close()

    def end(self, of: Callable[[Any], bool]) -> None:
        """End what those callers have open for whom `of` is true: their token or session is gone."""
        for watch in list(self._open):
            if watch.caller is not None and of(watch.caller):
                watch.end(TokenRequired("the token or session of this request has ended"))

    def _watch(self, caller: object = None) -> Watch:
        return Watch(asyncio.get_running_loop(), among=self._open, caller=caller)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, watch: Watch) -> None:
        if self._is_closed:
            raise _stopping()
        target = target_of(scope["raw_path"], scope["query_string"])
        self._backends.check(target.service_id, starts_sync=starts_sync(scope.get("method", ""), target.path))
        fields: Mapping[bytes, bytes] = dict(scope["headers"])
        is_http = scope["type"] == "http"
        moved = _moved(scope["method"], target, fields) if is_http else None
        if moved is not None:
            await _redirect(send, *moved)
            return
        doors = self._backends.open_doors(target.service_id)
        request = from_outside(scope, target, fields, doors=doors, bytes_max=self._limits.body_bytes_max)
        carry = self._exchange if is_http else self._upgrade
        with self._backends.lease(target.service_id), self._lines.enter(target.service_id) as place:
            await carry(request, receive, send, watch, place)

    async def _exchange(self, request: Request, receive: Receive, send: Send, watch: Watch, place: Place) -> None:
        loop = asyncio.get_running_loop()
        intake = Intake(receive, watch=watch, limits=self._limits, spool=self._spool, has_body=request.has_body)
        # The first runs only if the next step waits, the second only if all of it takes a moment: an answer that
        # is there at once costs no task to look for the client.
        waiting = loop.call_soon(intake.begin)
        looking = loop.call_later(LOOK_FOR_CLIENT_S, intake.begin)
        try:
            endpoint = await self._running(request.target.service_id, watch, place)
            waiting.cancel()
            exchange = Exchange(request, intake, watch=watch, pool=self._pool, limits=self._limits)
            await exchange.run(endpoint, send, on_sent=place.leave)
        finally:
            waiting.cancel()
            looking.cancel()
            intake.close()

    async def _upgrade(self, request: Request, receive: Receive, send: Send, watch: Watch, place: Place) -> None:
        upgrade = Upgrade(request, receive, watch=watch, pool=self._pool, limits=self._limits)
        upgrade.begin()
        try:
            endpoint = await self._running(request.target.service_id, watch, place)
            place.leave()
            await upgrade.run(endpoint, send)
        finally:
            upgrade.close()

    async def _running(self, service_id: str, watch: Watch, place: Place) -> Endpoint:
        watch.expect(START_S_MAX, lambda: ChildSilent(f"{service_id} did not start within {START_S_MAX:g} s"))
        endpoint = await self._backends.ensure_running(service_id)
        await place.turn()
        return endpoint


def _moved(method: str, target: Target, fields: Mapping[bytes, bytes]) -> tuple[int, bytes] | None:
    """Where a request is sent instead of to the child, if anywhere."""
    if fields.get(b"sec-fetch-dest") in _CODE_DESTINATIONS:
        raise Forbidden("what a service serves is not run as code of a page")
    if not target.path:
        query = b"?" + target.query if target.query else b""
        return (302 if method in ("GET", "HEAD") else 308), target.prefix + b"/" + query
    is_navigation = fields.get(b"sec-fetch-mode") == b"navigate" and b"text/html" in fields.get(b"accept", b"")
    if method == "GET" and target.path == b"/" and is_navigation:
        return 303, b"/services/" + target.service_id.encode("ascii")
    return None


async def _redirect(send: Send, status: int, location: bytes) -> None:
    headers = [(b"location", location), (b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _nothing() -> None:
    """Nobody stands behind a request of the core's own."""


def _stopping() -> TooBusy:
    return TooBusy("Locker is stopping", remedy="Start Locker again.")
