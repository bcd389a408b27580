"""What a service is doing: its streams, their last runs and next times; as a document, and as it happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from connectors.sdk.auth import Auth
from connectors.sdk.context import Service
from connectors.sdk.sync import Handle, Sync
from core.model.errors import TooBusy

COMMENT_EVERY_S = 15.0
WATCHERS_MAX = 32
WAITING_EVENTS_MAX = 256


class Status:
    """The document that `GET /status` answers."""

    def __init__(self, service: Service, *, auth: Auth, sync: Sync) -> None:
        self._service = service
        self._auth = auth
        self._sync = sync

    def document(self) -> dict[str, Any]:
        """Streams, sign-in, counts, and how far the store reaches."""
        store, types = self._service.reads, self._service.manifest.types
        counts = store.counts()
        active = self._sync.active()
        due = self._sync.next_times()
        streams = {name: self._stream(name, active, due[name]) for name in self._sync.names}
        return {
            "id": self._service.id,
            "auth": "authorised" if self._auth.is_authorised() else "required",
            "status": self._word(streams),
            "streams": streams,
            "counts": {name: counts.get(name, 0) for name in types},
            "head": store.head(),
        }

    def _stream(self, name: str, active: Mapping[str, Handle], next_at: float | None) -> dict[str, Any]:
        spec = self._service.manifest.streams[name]
        runs = self._service.reads.runs(name, limit=1)
        handle = active.get(name)
        return {
            "title": spec.title,
            "types": spec.types,
            "frequency_s": spec.frequency_s,
            "state": "idle" if handle is None else handle.state,
            "progress": None if handle is None else handle.progress,
            "next_at": next_at,
            "run": msgspec.to_builtins(runs[0]) if runs else None,
        }

    def _word(self, streams: dict[str, Any]) -> str:
        if not self._auth.is_authorised():
            return "auth_required"
        if any(stream["state"] != "idle" for stream in streams.values()):
            return "syncing"
        ended = {stream["run"]["status"] for stream in streams.values() if stream["run"] is not None}
        for word in ("held", "failed", "partial"):
            if word in ended:
                return word
        return "ok" if ended else "new"


class Broadcast:
    """Passes events from any thread to the watchers on the loop; a slow watcher loses progress, never an end."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: set[asyncio.Queue[bytes | None]] = set()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop on which the watchers live."""
        self._loop = loop

    def publish(self, kind: str, document: dict[str, Any]) -> None:
        """Tell every watcher; callable from any thread, never waits."""
        if self._loop is None or not self._watchers:
            return
        data = b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(document) + b"\n\n"
        with contextlib.suppress(RuntimeError):  # The loop is closed: nobody watches any more.
            self._loop.call_soon_threadsafe(self._spread, kind, data)

    def close(self) -> None:
        """End every watcher's stream; on the loop."""
        for queue in self._watchers:
            queue.put_nowait(None)

    async def watch(self, first: Callable[[], dict[str, Any]]) -> AsyncIterator[bytes]:
        """The stream of events for one watcher, beginning with the present status."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise TooBusy(f"{WATCHERS_MAX} watchers are here already")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            document = await asyncio.to_thread(first)
            yield b"event: status\ndata: " + msgspec.json.encode(document) + b"\n\n"
            while True:
                try:
                    data = await asyncio.wait_for(queue.get(), COMMENT_EVERY_S)
                except TimeoutError:
                    data = b": here\n\n"
                if data is None:
                    return
                yield data
        finally:
            self._watchers.discard(queue)

    def _spread(self, kind: str, data: bytes) -> None:
        for queue in self._watchers:
            if queue.qsize() < WAITING_EVENTS_MAX or kind != "progress":
                queue.put_nowait(data)
            if queue.qsize() > 2 * WAITING_EVENTS_MAX:
                # Nobody reads there: the stream is ended and can be opened again.
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
