"""The core's whole face as one ASGI application: access first, then the door, the event stream or Flask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from flask import Flask

from core.model.errors import NotFound
from core.web import openapi
from core.web.access import Access
from core.web.accesses import Accesses
from core.web.api.system import Health
from core.web.asgi import Request, answer
from core.web.caller import Caller
from core.web.dashboard import serve_dashboard
from core.web.diary import Diary
from core.web.hosts import Hosts
from core.web.kept_data import KeptData
from core.web.log_stream import LogStreams
from core.web.login import Login
from core.web.metrics import Metrics
from core.web.mount import Mount
from core.web.notices import Notices
from core.web.once import Once
from core.web.parts import Message, Parts, Receive, Scope, Send
from core.web.problems import handle_errors, no_service
from core.web.rendering import STATIC_FOLDER
from core.web.routes import Desk, serve
from core.web.throttle import Throttle
from core.web.tokens import AppTokens


class Web:
    """The ASGI application, and the owner's ways into it. Owned by the event loop."""

    def __init__(self, parts: Parts) -> None:
        throttle = Throttle()
        self._parts = parts
        hosts = Hosts(parts.port, parts.host_names)
        self._logs = LogStreams(parts)
        self._kept = KeptData(
            lambda one: parts.kept_store(one) or parts.stranded(one),
            service_of=parts.services.get,
            catalog=parts.catalog,
        )
        self._login = Login(hosts, parts.clock, throttle, end_streams=self._end_streams, command=parts.status_command)
        tokens = AppTokens(parts.documents, parts.coredb, parts.clock)
        self._metrics = Metrics(parts)
        self._diary = Diary(parts.coredb, parts.clock, parts.timezone)
        self._accesses = Accesses(parts.coredb, parts.clock)
        desk = Desk(
            parts=parts,
            tokens=tokens,
            diary=self._diary,
            metrics=self._metrics,
            notices=Notices(parts.notices, parts.documents, parts.clock),
            accesses=self._accesses,
            once=Once(parts.clock),
            end_streams=self._end_streams,
        )
        self._flask = Mount(flask_of(desk))
        self._access = Access(
            parts, self._inner, login=self._login, tokens=tokens, throttle=throttle, accesses=self._accesses
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await self._access(scope, receive, self._counted(send))

    def login_url(self) -> str:
        """A new one-time address that logs the owner's browser in; call it on the event loop."""
        return self._login.url()

    def short_token(self) -> str:
        """A new owner's token for ten minutes; call it on the event loop."""
        return self._login.short_token()

    def caller_of(self, token: str) -> Caller | None:
        """Who holds a token, or None when it is none of ours; call it on the event loop."""
        return self._access.known(token)

    def erase_words(self, service_id: str) -> None:
        """Take what a service wrote out of the diary: it is uninstalled with all it left. Blocks for a moment."""
        self._diary.erase(service_id)

    async def close(self) -> None:
        """End the streams of logs, let Flask's threads go, and write what waits to be written."""
        self._logs.close()
        self._kept.close()
        await self._flask.close()
        await self._access.close()
        await self._accesses.close()

    async def _inner(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["path"].startswith("/Me/"):
            await self._check_visit(scope)
            inside = self._kept if self._kept.is_asked(scope) else self._parts.door
            await inside(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == "/events":
            await self._parts.event_stream(scope, receive, send)
        elif scope["path"] == "/health" and scope["method"] in ("GET", "HEAD"):
            await _tell_health(send)
        elif self._logs.is_asked(scope):
            await self._logs(scope, receive, send)
        else:
            await self._flask(scope, receive, send)

    async def _check_visit(self, scope: Scope) -> None:
        """Raise NotFound for a person's visit to a service that is none: the door would answer as to a program."""
        if scope["type"] != "http" or not Request(scope).is_navigation:
            return
        service_id = scope["path"].split("/")[2]
        try:
            await asyncio.to_thread(self._parts.services.get, service_id)
        except NotFound as error:
            raise no_service() from error

    def _end_streams(self, of: Callable[[Caller], bool]) -> None:
        self._parts.end_streams(of)
        self._logs.end(of)

    def _counted(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_request(message["status"])
            await send(message)

        return counted


def build(parts: Parts) -> Web:
    """The core's ASGI application on these parts; it owns nothing of them and starts nothing but its threads."""
    return Web(parts)


def flask_of(desk: Desk) -> Flask:
    """The Flask application with every row of the API's table and every page of the dashboard."""
    flask = Flask("core.web", static_folder=str(STATIC_FOLDER), static_url_path="/static", template_folder=None)
    flask.url_map.merge_slashes = False
    flask.config["MAX_FORM_PARTS"] = 1000
    flask.config["SEND_FILE_MAX_AGE_DEFAULT"] = 365 * 86400
    handle_errors(flask)
    serve(flask, openapi.TABLE, desk)
    serve_dashboard(flask, desk)
    return flask


async def _tell_health(send: Send) -> None:
    """Answer on the loop: who watches the core must not wait for a thread that something else holds."""
    await answer(send, 200, [("content-type", "application/json")], msgspec.json.encode(Health()))


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
