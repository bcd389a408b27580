"""The owner's ways in: one-time addresses, the session they give, and short tokens for the terminal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from core.model.clock import Clock
from core.web.asgi import Request, answer
from core.web.caller import Caller
from core.web.hosts import Hosts
from core.web.parts import EndStreams, Send
from core.web.passes import Passes, digest
from core.web.rendering import page
from core.web.throttle import Throttle

COOKIE = "locker_session"
TICKET_LIFETIME_S = 3600.0
TICKETS_MAX = 16
SESSION_IDLE_S = 14 * 86400.0
SESSIONS_MAX = 32
SHORT_TOKEN_LIFETIME_S = 600.0
SHORT_TOKENS_MAX = 64
SHORT_TOKEN_PREFIX = "lkc_"  # noqa: S105 -- the visible beginning of a token, not one
_HTML = ("content-type", "text/html; charset=utf-8")


class Login:
    """Tickets, sessions and short tokens, and the three paths that use them. Owned by the event loop."""

    def __init__(
        self, hosts: Hosts, clock: Clock, throttle: Throttle, *, end_streams: EndStreams, command: str
    ) -> None:
        self._hosts = hosts
        self._throttle = throttle
        self._command = command
        self._end_streams = end_streams
        self._tickets = Passes(clock, lifetime_s=TICKET_LIFETIME_S, count_max=TICKETS_MAX)
        self._sessions = Passes(clock, lifetime_s=SESSION_IDLE_S, count_max=SESSIONS_MAX)
        self._short_tokens = Passes(
            clock, lifetime_s=SHORT_TOKEN_LIFETIME_S, count_max=SHORT_TOKENS_MAX, prefix=SHORT_TOKEN_PREFIX
        )

    def url(self) -> str:
        """A new address that logs one browser in, once, within the hour."""
        return f"{self._hosts.origin}/login?ticket={self._tickets.issue()}"

    def short_token(self) -> str:
        """A new token of the owner's for ten minutes, for a command in a terminal."""
        return self._short_tokens.issue()

    def is_short_token(self, token: str) -> bool:
        """Whether this is such a token and still valid."""
        return self._short_tokens.is_valid(token)

    def has_cookie(self, request: Request) -> bool:
        """Whether the request carries a session's cookie, good or not, on the one host where a session counts."""
        return bool(self._cookie(request))

    def session_of(self, request: Request) -> str:
        """The name of the session that the request carries, else empty; its time starts anew.

        Ask only once it is known that no connector sent the request: it must neither keep a session alive nor learn
        whether there is one.
        """
        cookie = self._cookie(request)
        return digest(cookie).hex() if cookie and self._sessions.renew(cookie) else ""

    async def login(self, request: Request, send: Send, *, is_childs: Callable[[], Awaitable[bool]]) -> None:
        """Answer `GET /login`: with a good ticket a session, else how to come by one.

        `is_childs` says whether a connector sent the request.
        """
        if not self._hosts.is_dashboard(request.header("host")):
            await _page(send, 403, "login_elsewhere.html", origin=self._hosts.origin)
            return
        ticket = request.query.get("ticket", "")
        if request.method != "GET" or request.is_prefetch:
            # A ticket is spent by a person's look only, not by a program that previews links.
            await answer(send, 405 if request.method != "HEAD" else 204, [("allow", "GET, HEAD")])
        elif ticket and self._tickets.spend(ticket):
            await self._welcome(send)
        elif self.has_cookie(request) and not await is_childs() and self.session_of(request):
            await answer(send, 303, [("location", "/"), ("cache-control", "no-store")])
        else:
            if ticket:
                await self._throttle.delay()
            await _page(send, 403 if ticket else 200, "login.html", was_refused=bool(ticket), command=self._command)

    def _cookie(self, request: Request) -> str:
        return request.cookie(COOKIE) if self._hosts.is_dashboard(request.header("host")) else ""

    async def _welcome(self, send: Send) -> None:
        # A page that goes on, rather than a redirect: after a link clicked in another site's page, the target of a
        # redirect would be asked for without the Strict cookie.
        cookie = f"{COOKIE}={self._sessions.issue()}; HttpOnly; SameSite=Strict; Path=/"
        await _page(send, 200, "welcome.html", headers=[("set-cookie", cookie)])

    async def logout(self, request: Request, caller: Caller, send: Send) -> None:
        """Answer `POST /logout`: the session ends here and in the browser, and so do the streams it opened."""
        if request.method != "POST":
            await answer(send, 405, [("allow", "POST")])
            return
        if caller.session:
            self._sessions.spend(request.cookie(COOKIE))
            self._end_streams(lambda one: one.session == caller.session)
        gone = f"{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"
        await answer(send, 303, [("location", "/login"), ("set-cookie", gone), ("cache-control", "no-store")])


async def _page(
    send: Send, status: int, template: str, *, headers: list[tuple[str, str]] | None = None, **values: object
) -> None:
    body = page(template, **values).encode("utf-8")
    await answer(send, status, [_HTML, ("cache-control", "no-store"), *(headers or [])], body)
