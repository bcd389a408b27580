"""The owner's ways in: one-time addresses, the session they give, and short tokens for the terminal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from core.model.clock import Clock
from core.model.errors import Forbidden
from core.process import Holder
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
HolderAsked = Callable[[], Awaitable[Holder]]
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

    async def session_of(self, request: Request, holder: HolderAsked) -> str:
        """The name of the session that the request carries, else empty; its time starts anew.

        `holder` says who sent it; it is asked only where the session is valid. For a connector the answer is as if it
        were not valid: it neither keeps a session alive nor learns whether there is one. The same where the sender is
        not seen, unless the browser that began the session was not seen either. Raises Forbidden for another user.
        """
        cookie = self._cookie(request)
        if not cookie or not self._sessions.is_valid(cookie):
            return ""
        found = await holder()
        if found is Holder.STRANGER:
            raise _of_a_stranger()
        is_owners = found is Holder.OUTSIDE or (found is Holder.UNSEEN and not self._sessions.is_marked(cookie))
        return digest(cookie).hex() if is_owners and self._sessions.renew(cookie) else ""

    async def login(self, request: Request, send: Send, *, holder: HolderAsked) -> None:
        """Answer `GET /login`: with a good ticket a session, else how to come by one.

        `holder` says who sent the request. A ticket counts for a program that could use the session, and for no other.
        """
        if not self._hosts.is_dashboard(request.header("host")):
            await _page(send, 403, "login_elsewhere.html", origin=self._hosts.origin)
            return
        ticket = request.query.get("ticket", "")
        if request.method != "GET" or request.is_prefetch:
            # A ticket is spent by a person's look only, not by a program that previews links.
            await answer(send, 405 if request.method != "HEAD" else 204, [("allow", "GET, HEAD")])
        elif ticket and self._tickets.is_valid(ticket):
            await self._spend(ticket, send, holder)
        elif await self._has_session(request, holder):
            await answer(send, 303, [("location", "/"), ("cache-control", "no-store")])
        else:
            if ticket:
                await self._throttle.delay()
            await _page(send, 403 if ticket else 200, "login.html", was_refused=bool(ticket), command=self._command)

    def _cookie(self, request: Request) -> str:
        return request.cookie(COOKIE) if self._hosts.is_dashboard(request.header("host")) else ""

    async def _spend(self, ticket: str, send: Send, holder: HolderAsked) -> None:
        found = await holder()
        if found is Holder.STRANGER:
            raise _of_a_stranger()
        if found is Holder.BELOW:
            raise Forbidden(
                "Locker does not see which program of yours asks, and so cannot tell it from a connector.",
                remedy="Open the address in a browser on this machine, or use a token at http://127.0.0.1.",
            )
        if not self._tickets.spend(ticket):  # Somebody was faster while the system was asked.
            await _page(send, 403, "login.html", was_refused=True, command=self._command)
            return
        await self._welcome(send, is_seen=found is Holder.OUTSIDE)

    async def _has_session(self, request: Request, holder: HolderAsked) -> bool:
        """Whether the browser is logged in already; whom a session does not help is shown the way in."""
        try:
            return bool(await self.session_of(request, holder))
        except Forbidden:
            return False

    async def _welcome(self, send: Send, *, is_seen: bool) -> None:
        # A page that goes on, rather than a redirect: after a link clicked in another site's page, the target of a
        # redirect would be asked for without the Strict cookie.
        cookie = f"{COOKIE}={self._sessions.issue(is_marked=is_seen)}; HttpOnly; SameSite=Strict; Path=/"
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


def _of_a_stranger() -> Forbidden:
    return Forbidden(
        "This connection is another user's, so the session does not count on it.",
        remedy="Use a browser of the user who runs Locker, or a token: Authorization: Bearer <token> at 127.0.0.1.",
    )


async def _page(
    send: Send, status: int, template: str, *, headers: list[tuple[str, str]] | None = None, **values: object
) -> None:
    body = page(template, **values).encode("utf-8")
    await answer(send, status, [_HTML, ("cache-control", "no-store"), *(headers or [])], body)
