"""The child's web server application: the door check, the SDK's routes, and the connector's own behind them.

It begins with `/` alone; routes are added as the start goes on, also while it already listens.
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from a2wsgi import WSGIMiddleware

from core.model.errors import AuthRequired, Forbidden, LockerError, NotFound
from core.model.problem import as_locker_error
from core.records import Answer, Request, Route, parse_query, problem_answer, read_body, send_answer

THREADS_MAX = 8

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
OwnApplication = Callable[[], Any]

log = logging.getLogger(__name__)


class Webservice:
    """An ASGI application. `admit` names the token that every request must carry; before that none gets in.

    `own` makes the WSGI application of the connector's own routes when the first of them is asked for.
    """

    def __init__(self, *, own: OwnApplication | None) -> None:
        self._routes: dict[str, Route] = {}
        self._own = own
        self._own_door: Any = None
        self._own_lock = asyncio.Lock()
        self._threads = ThreadPoolExecutor(max_workers=THREADS_MAX, thread_name_prefix="request")
        self._token: bytes | None = None
        self._auth_address = "auth"

    def admit(self, token: str, *, auth_address: str) -> None:
        """Answer requests that carry `token`; `auth_address` is where the owner signs in."""
        self._token = token.encode()
        self._auth_address = auth_address

    def add(self, *routes: Route) -> None:
        """Answer these, from the next request on."""
        self._routes = {**self._routes, **{route.name: route for route in routes}}

    def remove(self, name: str) -> None:
        """Answer this route no more."""
        self._routes = {other: route for other, route in self._routes.items() if other != name}

    def close(self) -> None:
        """Let go of the threads; what they still do ends with the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        segments = tuple(part for part in scope["path"].split("/") if part)
        try:
            self._check(headers)
            route = self._routes.get(segments[0] if segments else "")
            if route is None:
                door = await self._elsewhere(segments)
                await door(scope, receive, send)
                return
            answer = await self._answer(route, segments, headers, scope, receive)
        except LockerError as err:
            answer = problem_answer(err)
        except Exception as err:
            # The edge of a request: whoever asked gets an answer, the log gets the reason.
            log.exception("a request broke path=/%s", "/".join(segments)[:200])
            answer = problem_answer(as_locker_error(err))
        is_head = scope["method"] == "HEAD"
        await send_answer(answer, is_head=is_head, receive=receive, send=send, threads=self._threads)

    def _check(self, headers: dict[str, str]) -> None:
        given = headers.get("x-locker-token", "").encode("latin-1")
        if self._token is None or not hmac.compare_digest(given, self._token):
            raise Forbidden("only the core may ask this port", remedy="Ask under /Me/ of the core.")

    async def _answer(
        self, route: Route, segments: tuple[str, ...], headers: dict[str, str], scope: Scope, receive: Receive
    ) -> Answer:
        query = parse_query(scope["query_string"])
        body = await read_body(receive)
        request = Request(method=scope["method"], path=segments, query=query, headers=headers, body=body)
        route.check(request)
        if inspect.iscoroutinefunction(route.handler):
            answer: Answer = await route.handler(request)
        else:
            answer = await self._in_thread(route.handler, request)
        return answer

    async def _elsewhere(self, segments: tuple[str, ...]) -> Any:
        if segments[:1] == ("sync",):
            raise AuthRequired(
                "this service is not signed in, so it cannot sync", remedy=f"Sign in at {self._auth_address}."
            )
        if self._own is None:
            raise NotFound(f"nothing stands at /{'/'.join(segments)[:200]}")
        async with self._own_lock:
            if self._own_door is None:
                self._own_door = WSGIMiddleware(await self._in_thread(self._own), workers=THREADS_MAX)
        return self._own_door

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
