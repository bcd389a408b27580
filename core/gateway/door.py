"""The ASGI application behind `/Me/<id>/…`: finds the service, starts it, and hands the exchange on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from core.gateway.address import PREFIX, Target, is_below, target_of
from core.gateway.buffer import Given, Intake, Receive, Spool, body_too_large
from core.gateway.call import Collector, Response
from core.gateway.connection import Endpoint, Pool
from core.gateway.forward import LOOK_FOR_CLIENT_S, REPEATABLE, Caller, Exchange, Request, Send
from core.gateway.headers import request_headers
from core.gateway.limits import GatewayLimits
from core.gateway.line import Lines, Place
from core.gateway.watch import Watch
from core.model.errors import ChildMute, ChildSilent, Forbidden, LockerError
from core.model.problem import problem_response

log = logging.getLogger(__name__)

Scope = dict[str, Any]

# Longer than any start_timeout_s a manifest may ask for: the supervisor decides, this only bounds it.
START_S_MAX = 660.0
NOBODY = Caller("nobody")
CORE = Caller("core", ("all",))
# A service's bytes never become code of Locker's own pages.
_CODE_DESTINATIONS = frozenset({b"script", b"worker", b"sharedworker", b"serviceworker", b"style", b"xslt"})


class Backends(Protocol):
    """What the gateway asks of whoever knows the services and their processes."""

    def check(self, service_id: str) -> None:
        """Raise NotFound or ServiceDisabled unless requests may go to this service."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry, for http scopes."""
        reply = _Reply(send)
        try:
            with Watch(asyncio.get_running_loop()) as watch:
                await self._answer(scope, receive, reply.send, watch)
        except LockerError as error:
            log.info("exchange refused code=%s detail=%s", error.code, error.detail)
            await reply.refuse(error)

    async def call(
        self, service_id: str, method: str, path: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Response:
        """What the child answers to a request of the core's own; started if asleep, its start not counted in the time.

        `path` is the child's own (`/sync/entry`). Raises what stopped it; any status is an answer.
        """
        raw_path, _, query = path.encode("ascii").partition(b"?")
        target = target_of(PREFIX + service_id.encode("ascii") + raw_path, query)
        self._backends.check(service_id)
        fields = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        request = Request(
            target=target,
            method=method,
            headers=request_headers(fields, with_authorization=False),
            caller=CORE,
            content_length=len(body) if body or method not in REPEATABLE else None,
            is_chunked=False,
            is_door=False,
            core_port=0,
        )
        collector = Collector(service_id)
        with self._backends.lease(service_id):
            endpoint = await self._backends.ensure_running(service_id)
            try:
                async with asyncio.timeout(timeout_s):
                    await self._exchange(request, Given(body), endpoint, collector.send, first_byte_s=timeout_s)
            except TimeoutError as err:
                raise ChildMute(f"{service_id} did not answer the core within {timeout_s:g} s") from err
        return collector.response()

    async def _exchange(
        self, request: Request, body: Given, endpoint: Endpoint, send: Send, *, first_byte_s: float
    ) -> None:
        limits = replace(self._limits, first_byte_s=first_byte_s)
        with Watch(asyncio.get_running_loop()) as watch:
            exchange = Exchange(request, body, watch=watch, pool=self._pool, limits=limits)
            await exchange.run(endpoint, send, on_sent=_nothing)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, watch: Watch) -> None:
        target = target_of(scope["raw_path"], scope["query_string"])
        self._backends.check(target.service_id)
        fields: Mapping[bytes, bytes] = dict(scope["headers"])
        moved = _moved(scope["method"], target, fields)
        if moved is not None:
            await _redirect(send, *moved)
            return
        request = self._request(scope, target, fields)
        with self._backends.lease(target.service_id), self._lines.enter(target.service_id) as place:
            await self._through(request, receive, send, watch, place)

    async def _through(self, request: Request, receive: Receive, send: Send, watch: Watch, place: Place) -> None:
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

    async def _running(self, service_id: str, watch: Watch, place: Place) -> Endpoint:
        watch.expect(START_S_MAX, lambda: ChildSilent(f"{service_id} did not start within {START_S_MAX:g} s"))
        endpoint = await self._backends.ensure_running(service_id)
        await place.turn()
        return endpoint

    def _request(self, scope: Scope, target: Target, fields: Mapping[bytes, bytes]) -> Request:
        is_door = is_below(target.path, self._backends.open_doors(target.service_id))
        length = fields.get(b"content-length")
        content_length = int(length) if length is not None else None
        if content_length is not None and content_length > self._limits.body_bytes_max:
            raise body_too_large(self._limits.body_bytes_max)
        caller = scope.get("locker.caller")
        return Request(
            target=target,
            method=scope["method"],
            headers=request_headers(scope["headers"], with_authorization=is_door),
            caller=NOBODY if caller is None else Caller(caller.actor, tuple(caller.scopes)),
            content_length=content_length,
            is_chunked=content_length is None and b"transfer-encoding" in fields,
            is_door=is_door,
            core_port=(scope.get("server") or ("", 0))[1] or 0,
        )


class _Reply:
    """Knows whether an answer has begun, so that an error becomes a problem document or a broken-off answer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._has_begun = False

    async def send(self, message: dict[str, Any]) -> None:
        self._has_begun = True
        await self._send(message)

    async def refuse(self, error: LockerError) -> None:
        if self._has_begun:
            # Ending the application without the last piece makes the server close the connection early.
            raise error
        status, headers, body = problem_response(error)
        fields = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
        fields.append((b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.start", "status": status, "headers": fields})
        await self._send({"type": "http.response.body", "body": body})


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


def _nothing() -> None:
    """Nobody stands behind a request of the core's own."""


async def _redirect(send: Send, status: int, location: bytes) -> None:
    headers = [(b"location", location), (b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
