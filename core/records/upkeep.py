"""REST access to what a store has set aside and to the files that it keeps: seen, tried again, dropped, collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec

from core.model.errors import BadRequest, MethodNotAllowed, NotFound, TooBusy
from core.records.answers import Answer, Handler, Request, Route, json_answer
from core.records.asked import limit_of
from core.records.tags import UNCACHED, depth
from core.store import Reader, Store

READING = ("GET", "HEAD")
RETRY_MAX = 500
SEQ_MAX = 2**63 - 1

_COLLECT = ("collect",)


class _Again(msgspec.Struct, forbid_unknown_fields=True):
    types: list[str] | None = None
    limit: int = RETRY_MAX
    after: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)] = 0


class _FilesRoute(Route):
    """Files are read, and collected: by path, not by method alone."""

    def check(self, request: Request) -> None:
        """See Route."""
        if request.path[1:] != _COLLECT:
            super().check(request)
        elif request.method != "POST":
            raise MethodNotAllowed("/files/collect answers POST", allow=("POST",))


class Upkeep:
    """The routes over what `reads` gives; what changes anything is done by `writes`, the one who writes the store."""

    def __init__(self, reads: Callable[[], Store | Reader], writes: Callable[[], Store]) -> None:
        self._reads = reads
        self._writes = writes

    def routes(self, one_file: Callable[[Request], Answer]) -> tuple[Route, ...]:
        """`/quarantine` and `/files`; `one_file` answers for a file by its digest."""
        return (
            Route(name="quarantine", handler=self.quarantine, methods=(*READING, "POST", "DELETE")),
            _FilesRoute(name="files", handler=self._files(one_file)),
        )

    def quarantine(self, request: Request) -> Answer:
        """`GET /quarantine`, `POST /quarantine/retry`, `DELETE /quarantine/<position>`."""
        if request.method in READING:
            depth(request, 1)
            request.only("limit")
            kept = self._reads().quarantined(limit_of(request))
            return json_answer({"quarantine": [msgspec.to_builtins(one) for one in kept]}, headers=UNCACHED)
        depth(request, 2)
        request.only()
        return self._drop(request) if request.method == "DELETE" else self._retry(request)

    def collect(self, request: Request) -> Answer:
        """`POST /files/collect`: remove files that nothing names; the receipt says which."""
        request.only()
        gone = self._writes().collect_garbage(actor=actor_of(request))
        return json_answer(msgspec.to_builtins(gone))

    def totals(self, request: Request) -> Answer:
        """`GET /files`: how much is kept, and how much may be."""
        request.only()
        store = self._reads()
        held = store.files.totals() if isinstance(store, Store) else store.files.recount()
        return json_answer({**msgspec.to_builtins(held), "bytes_max": store.files.bytes_max}, headers=UNCACHED)

    def _files(self, one_file: Callable[[Request], Answer]) -> Handler:
        def files(request: Request) -> Answer:
            if request.path[1:] == _COLLECT:
                return self.collect(request)
            return self.totals(request) if len(request.path) == 1 else one_file(request)

        return files

    def _retry(self, request: Request) -> Answer:
        if request.path[1] != "retry":
            raise MethodNotAllowed("POST goes to /quarantine/retry", allow=("DELETE",))
        try:
            asked = msgspec.convert(request.document(), _Again)
        except msgspec.ValidationError as err:
            raise BadRequest(f"the body says what to try again by types, limit and after: {err}") from err
        done = self._writes().retry_quarantined(asked.types, limit=asked.limit, after=asked.after)
        return json_answer(msgspec.to_builtins(done))

    def _drop(self, request: Request) -> Answer:
        text = request.path[1]
        if not (text.isascii() and text.isdecimal() and len(text) < 19):
            raise NotFound(f"no record in quarantine has the position {text[:40]!r}")
        gone = self._writes().drop_quarantined(int(text), actor=actor_of(request))
        return json_answer(msgspec.to_builtins(gone))


def writer(store: Store | Reader) -> Store:
    """The store, if it is the writer's own; raises TooBusy while that is being opened."""
    if not isinstance(store, Store):
        raise TooBusy("the store is being opened", retry_after_s=1)
    return store


def actor_of(request: Request) -> str:
    """Who is named in a receipt."""
    return request.actor or "core"
