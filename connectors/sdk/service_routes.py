"""The routes of a service beside its data: `/`, `/status`, `/auth` and `/sync`."""

from __future__ import annotations

import asyncio
from typing import Any

from connectors.sdk.auth import Auth
from connectors.sdk.context import Service
from connectors.sdk.status import Broadcast, Status
from connectors.sdk.sync import Handle, Sync
from core.model.errors import BadRequest, MethodNotAllowed, NotFound
from core.records import Answer, Request, Route, json_answer

WAIT_S_MAX = 600
OWNER = "owner"
EVENT_STREAM = "text/event-stream"


class ServiceRoutes:
    """Handlers that parse, ask one of the parts, and render."""

    def __init__(self, service: Service, *, auth: Auth, sync: Sync, broadcast: Broadcast) -> None:
        self._service = service
        self._auth = auth
        self._sync = sync
        self._broadcast = broadcast
        self._status = Status(service, auth=auth, sync=sync)

    @property
    def root_route(self) -> Route:
        """`/`: what I am."""
        return Route(name="", handler=self.root)

    @property
    def status_route(self) -> Route:
        """`/status`."""
        return Route(name="status", handler=self.status)

    @property
    def auth_route(self) -> Route:
        """`/auth` and its steps."""
        return Route(name="auth", handler=self.auth, methods=("GET", "HEAD", "POST"))

    @property
    def sync_route(self) -> Route:
        """`/sync` and `/sync/<stream>`: there once signed in."""
        return Route(name="sync", handler=self.sync, methods=("POST",))

    def root(self, request: Request) -> Answer:
        """`GET /`: what this service is, what it holds, how it is."""
        request.only()
        manifest, base = self._service.manifest, self._service.base
        document = {
            "connector": manifest.name,
            "title": manifest.title,
            "description": manifest.description,
            "version": manifest.version,
            "is": manifest.kind,
            "account": self._service.account,
            **self._status.document(),
            "links": {name: f"{base}{name}" for name in ("types", "facts", "status", "auth", "sync")},
        }
        return json_answer(document)

    async def status(self, request: Request) -> Answer:
        """`GET /status`: once, or as it changes for who accepts an event stream."""
        request.only()
        if len(request.path) > 1:
            raise NotFound("nothing stands below /status")
        if EVENT_STREAM in request.headers.get("accept", ""):
            headers = (("content-type", EVENT_STREAM), ("cache-control", "no-store"))
            return Answer(headers=headers, body=self._broadcast.watch(self._status.document))
        return json_answer(await asyncio.to_thread(self._status.document))

    def auth(self, request: Request) -> Answer:
        """`GET /auth`: the next step; `POST /auth/<step>`: take it."""
        request.only()
        if request.method != "POST":
            if len(request.path) > 1:
                raise MethodNotAllowed("a step of signing in is taken by POST", allow=("POST",))
            return json_answer(self._auth.describe())
        if len(request.path) != 2:
            raise NotFound("POST goes to /auth/<step>; GET /auth names the step")
        return json_answer(self._auth.submit(request.path[1], request.document()))

    async def sync(self, request: Request) -> Answer:
        """`POST /sync[/<stream>]`: start runs; with `wait_s` answer when they end."""
        request.only("wait_s")
        if len(request.path) > 2:
            raise NotFound("POST goes to /sync or /sync/<stream>")
        wait_s = _seconds(request)
        names = request.path[1:] or None
        handles = await asyncio.to_thread(self._sync.start, names, is_for_owner=request.actor == OWNER)
        if wait_s:
            futures = [asyncio.wrap_future(handle.ended) for handle in handles]
            await asyncio.wait(futures, timeout=wait_s) if futures else None
        done = all(handle.ended.done() for handle in handles)
        return json_answer({"runs": [_run(handle) for handle in handles]}, status=200 if wait_s and done else 202)


def _run(handle: Handle) -> dict[str, Any]:
    if handle.ended.done():
        return handle.ended.result()
    return {"stream": handle.stream, "status": handle.state}


def _seconds(request: Request) -> float:
    text = request.query.get("wait_s", "0")
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = -1.0
    if not 0 <= wait_s <= WAIT_S_MAX:
        raise BadRequest(f"wait_s must be a number of seconds from 0 to {WAIT_S_MAX}")
    return wait_s
