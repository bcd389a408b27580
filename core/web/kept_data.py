"""The data routes of services whose store the core writes, or that no child may have: the core answers itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from core.model.errors import LockerError, NotFound, TooBusy
from core.model.problem import as_locker_error
from core.records import Answer, DataApi, Request, Route, parse_query, problem_answer, read_body, send_answer
from core.registry import Service
from core.store import Reader, Store
from core.web.parts import Catalog, Receive, Scope, Send

log = logging.getLogger(__name__)

THREADS_MAX = 8
WAITING_MAX = 64
READING = ("GET", "HEAD")


class KeptData:
    """An ASGI application that takes what it can answer; of every other request it says that it is not its own.

    `store_of` gives the store that the core writes, or a reader of one that waits for its owner: that is read alone.
    """

    def __init__(
        self,
        store_of: Callable[[str], Store | Reader | None],
        *,
        service_of: Callable[[str], Service],
        catalog: Catalog,
    ) -> None:
        self._store_of = store_of
        self._service_of = service_of
        self._catalog = catalog
        self._threads = ThreadPoolExecutor(max_workers=THREADS_MAX, thread_name_prefix="kept")
        self._under_way = 0

    def is_asked(self, scope: Scope) -> bool:
        """Whether a request is for the data of a service whose store the core writes."""
        if scope["type"] != "http":
            return False
        _, _, service_id, *rest = scope["path"].split("/")
        store = self._store_of(service_id) if rest and rest[0] else None
        if isinstance(store, Reader) and scope["method"] not in READING:
            return False
        return store is not None and self._route(service_id, store, rest[0]) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that `is_asked` said yes to."""
        try:
            answer = await self._answer(scope, receive)
        except LockerError as error:
            answer = problem_answer(error)
        except Exception as error:
            log.exception("a request for kept data broke path=%s", scope["path"][:200])
            answer = problem_answer(as_locker_error(error))
        await send_answer(answer, is_head=scope["method"] == "HEAD", receive=receive, send=send, threads=self._threads)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if self._under_way >= WAITING_MAX:
            raise TooBusy(f"{WAITING_MAX} questions are being answered already", retry_after_s=1)
        _, _, service_id, *rest = scope["path"].split("/")
        store = self._store_of(service_id)
        route = None if store is None else self._route(service_id, store, rest[0])
        if route is None:
            raise NotFound(f"{service_id[:64]} was switched off just now")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if (caller := scope.get("locker.caller")) is not None:  # Any that came from outside was dropped at the door.
            headers["x-locker-actor"] = caller.actor
        request = Request(
            method=scope["method"],
            path=tuple(part for part in rest if part),
            query=parse_query(scope["query_string"]),
            headers=headers,
            body=await read_body(receive),
        )
        route.check(request)
        self._under_way += 1
        try:
            answer: Answer = await asyncio.get_running_loop().run_in_executor(
                self._threads, cast("Callable[[Request], Answer]", route.handler), request
            )
        finally:
            self._under_way -= 1
        return answer

    def _route(self, service_id: str, store: Store | Reader, name: str) -> Route | None:
        try:
            manifest = self._catalog.get(self._service_of(service_id).connector)
        except NotFound:
            return None
        api = DataApi(lambda: store, manifest=manifest, base=f"/Me/{service_id}/")
        return next((route for route in api.routes if route.name == name), None)
