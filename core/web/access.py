"""The outermost layer: under which name the core is asked, who asks, and whether they may.

It stands before the door to the services, the event stream and Flask, so nothing behind it can be reached by
another website, a rebinding DNS name, another local program without a token, or a child that asks for another's
data. What passes carries `scope["locker.caller"]` and none of the headers by which a caller could pose as the core.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from functools import partial

from core.model.errors import BadRequest, Forbidden, LockerError, NotFound, TokenRequired
from core.model.manifest import Manifest
from core.web.accesses import Accesses
from core.web.asgi import Request, answer, refuse_websocket
from core.web.caller import NOBODY, OWNER, READING, Caller, app_may, child_may
from core.web.hosts import Hosts
from core.web.kin import Kin
from core.web.login import Login
from core.web.parts import AsgiApp, Message, Parts, Receive, Scope, Send
from core.web.problems import incident, render
from core.web.rendering import page, page_headers
from core.web.throttle import Throttle
from core.web.tokens import AppTokens

log = logging.getLogger(__name__)

TOKEN_LENGTH_MAX = 512
FORGEABLE = frozenset({b"x-locker-actor", b"x-locker-scopes", b"x-locker-token"})
_OPEN_PATHS = frozenset({"/health", "/login"})


class Access:
    """Judges every request, and hands on what may pass."""

    def __init__(
        self,
        parts: Parts,
        inner: AsgiApp,
        *,
        login: Login,
        tokens: AppTokens,
        throttle: Throttle,
        accesses: Accesses,
    ) -> None:
        self._parts = parts
        self._inner = inner
        self._hosts = Hosts(parts.port, parts.host_names)
        self._login = login
        self._tokens = tokens
        self._throttle = throttle
        self._accesses = accesses
        self._kin = Kin(parts.holder_of)
        self._headers = [(n.encode("ascii"), v.encode("ascii")) for n, v in page_headers(*self._hosts.origins)]
        self._notes: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Let the threads go that look at connections."""
        await self._kin.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or let it through as the caller it comes from."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        request = Request(scope)
        reply = _Reply(send, self._headers, is_of_core=not request.path.startswith("/Me/"))
        try:
            await self._judge(request, receive, reply)
        except LockerError as error:
            await self._refuse(request, error, reply)
        except Exception as error:
            if reply.has_begun:
                raise
            await self._refuse(request, incident(error, where=f"{request.method} {request.path[:200]!r}"), reply)
        finally:
            self._accesses.note(reply.caller, request, reply.status)

    async def _judge(self, request: Request, receive: Receive, send: _Reply) -> None:
        self._check_address(request)
        if self._hosts.is_moved(request.header("host")) and not request.is_websocket:
            await answer(send, 308, [("location", self._hosts.origin + _target(request))])
            return
        if request.path == "/login" and not request.is_websocket:
            await self._login.login(request, send, holder=partial(self._kin.holder, request.scope))
            return
        caller = send.caller = await self._caller(request)
        if caller.is_nobody and not self._is_open(request):
            await self._ask_to_log_in(request, send)
            return
        if not caller.is_nobody:
            await self._check_permission(request, caller)
        if request.path == "/logout":
            await self._login.logout(request, caller, send)
            return
        await self._inner(_passed_on(request.scope, caller), receive, send)

    def _check_address(self, request: Request) -> None:
        hosts = request.headers("host")
        if len(hosts) != 1 or not self._hosts.is_allowed(hosts[0]):
            raise Forbidden(
                "The request names a host that is not the core's.", remedy=f"Use {self._hosts.origin} instead."
            )
        segments = request.path.split("/")
        if segments[0] or "." in segments or ".." in segments or "\\" in request.path or "\0" in request.path:
            raise BadRequest("The path is not a plain absolute path.")
        if not request.scope.get("query_string", b"").isascii():
            raise BadRequest("The query is not percent-encoded.")

    async def _caller(self, request: Request) -> Caller:
        """Who asks. A wrong token is refused, but where an open door may take it for its own."""
        token = _bearer(request)
        is_door = self._is_open_door(request)
        if request.header("authorization"):
            known = self.known(token) if token else None
            if known is not None:
                return known
            if is_door:
                return NOBODY
            await self._throttle.delay()
            raise TokenRequired("The token is not valid.")
        if self._is_open(request) and not is_door:
            return NOBODY
        try:
            return await self._in_session(request)
        except Forbidden:
            if is_door:
                return NOBODY
            raise

    async def _in_session(self, request: Request) -> Caller:
        session = await self._login.session_of(request, partial(self._kin.holder, request.scope))
        if not session:
            return NOBODY
        if not _is_from_dashboard(request, self._hosts.origin):
            raise Forbidden(
                "The request was started by another site, so the session does not count.",
                remedy="Use the dashboard itself, or a token.",
            )
        return Caller(OWNER.actor, OWNER.scopes, session)

    def known(self, token: str) -> Caller | None:
        """Who holds a token, or None when it is none of ours; asked on the event loop."""
        if len(token) > TOKEN_LENGTH_MAX:
            return None
        service_id = self._parts.service_of_token(token)
        if service_id is not None:
            return Caller(f"service:{service_id}")
        if self._login.is_short_token(token):
            return OWNER
        app = self._tokens.caller_of(token)
        if app is not None:
            self._note_use(app)
            return app
        # Only this one may have been chosen by a person, so only this one can be guessed.
        owner_token = self._parts.owner_token
        if owner_token and not self._throttle.is_full and _equal(token, owner_token):
            return OWNER
        return None

    def _is_open(self, request: Request) -> bool:
        if request.is_websocket:
            return self._is_open_door(request)
        if request.path in _OPEN_PATHS or request.path.startswith("/static/"):
            return request.method in READING
        return self._is_open_door(request)

    def _is_open_door(self, request: Request) -> bool:
        return request.path.startswith("/Me/") and self._parts.is_open_door(_raw_path(request))

    async def _check_permission(self, request: Request, caller: Caller) -> None:
        if caller.is_owner:
            return
        method = "POST" if request.is_websocket else request.method
        if caller.service_id is not None:
            allowed = await asyncio.to_thread(self._child_may, caller.service_id, method, request)
            remedy = "A child may call its own paths, and read the types that its manifest uses."
        else:
            # The core's own paths each say what they ask for; these two have no table of their own.
            is_outside = request.path == "/events" or request.path.startswith("/Me/")
            allowed = not is_outside or app_may(caller.scopes, method=method, path=request.path)
            remedy = "Use a token with a wider scope."
        if not allowed:
            raise Forbidden(f"{caller.actor} may not {method} {request.path[:200]}.", remedy=remedy)

    def _child_may(self, own_id: str, method: str, request: Request) -> bool:
        manifest = self._manifest_of(own_id)
        uses = manifest.uses if manifest else ()
        return child_may(
            own_id, method=method, path=request.path, query=request.query, uses=uses, network_of=self._network_of
        )

    def _network_of(self, service_id: str, type_name: str) -> str | None:
        manifest = self._manifest_of(service_id)
        return manifest.network_of(type_name) if manifest else None

    def _manifest_of(self, service_id: str) -> Manifest | None:
        try:
            return self._parts.catalog.get(self._parts.services.get(service_id).connector)
        except NotFound:
            return None

    def _note_use(self, app: Caller) -> None:
        if self._tokens.should_note_use(app):
            task = asyncio.create_task(asyncio.to_thread(self._tokens.note_use, app))
            self._notes.add(task)
            task.add_done_callback(self._note_written)

    def _note_written(self, task: asyncio.Task[None]) -> None:
        self._notes.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("token use not written problem=%s", type(task.exception()).__name__)

    async def _ask_to_log_in(self, request: Request, send: Send) -> None:
        if not request.is_navigation or request.is_websocket:
            raise TokenRequired("This needs a session or a token.")
        headers = [("content-type", "text/html; charset=utf-8"), ("cache-control", "no-store")]
        if not self._hosts.is_dashboard(request.header("host")):
            body = page("login_elsewhere.html", origin=self._hosts.origin)
        elif request.method == "GET" and request.header("sec-fetch-site") in ("cross-site", "same-site"):
            # A Strict cookie does not come along when another site's link leads here; asking again does bring it.
            body = page("continue.html", target=_target(request))
        else:
            body = page("login.html", was_refused=False, command=self._parts.status_command)
        await answer(send, 401, [*headers, ("www-authenticate", "Bearer")], body.encode("utf-8"))

    async def _refuse(self, request: Request, error: LockerError, send: _Reply) -> None:
        send.is_of_core = True
        status, headers, body = render(error, for_person=request.is_navigation and not request.is_websocket)
        log.info("refused status=%d code=%s method=%s path=%r", status, error.code, request.method, request.path[:200])
        if request.is_websocket:
            await refuse_websocket(request.scope, send, status, headers, body)
        else:
            await answer(send, status, headers, b"" if request.method == "HEAD" else body)


def _bearer(request: Request) -> str:
    kind, _, token = request.header("authorization").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape"))


def _is_from_dashboard(request: Request, origin: str) -> bool:
    """Whether a request with a session was begun by the dashboard's own pages, or by the person."""
    site = request.header("sec-fetch-site")
    if request.is_websocket:
        return request.header("origin") == origin
    if request.method in READING:
        return site in ("", "none", "same-origin") or request.header("sec-fetch-mode") == "navigate"
    return site == "same-origin" and request.header("origin") == origin


def _target(request: Request) -> str:
    """The path and query as they came. A second slash at the start would name another host."""
    query = request.scope.get("query_string", b"")
    path = "/" + _raw_path(request).decode("latin-1").lstrip("/")
    return path + ("?" + query.decode("latin-1") if query else "")


def _raw_path(request: Request) -> bytes:
    raw: bytes = request.scope.get("raw_path") or request.path.encode("utf-8")
    return raw


def _passed_on(scope: Scope, caller: Caller) -> Scope:
    # A WSGI child reads `X_Locker_Actor` as it reads `X-Locker-Actor`.
    headers = [(n, v) for n, v in scope["headers"] if n.lower().replace(b"_", b"-") not in FORGEABLE]
    return {**scope, "headers": headers, "locker.caller": caller}


class _Reply:
    """Passes messages on; answers of the core itself get the headers that keep them from other sites and caches."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]], *, is_of_core: bool) -> None:
        self._send = send
        self._headers = headers
        self.is_of_core = is_of_core
        self.has_begun = False
        self.status = 0
        self.caller: Caller | None = None

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        self.status = message.get("status", self.status)
        if self.is_of_core and message["type"] in ("http.response.start", "websocket.http.response.start"):
            present = {name.lower() for name, _ in message["headers"]}
            extra = [(name, value) for name, value in self._headers if name not in present]
            message = {**message, "headers": [*message["headers"], *extra]}
        await self._send(message)
