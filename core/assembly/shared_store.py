"""One service's store that its child writes, and other programs of the owner too: who serves it to them, and when.

While the child sleeps the core writes, from the first connection on until nobody comes for a while or the child is to
start. While the child lives each connection is relayed to it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.model.clock import Clock
from core.model.errors import LockerError, Retry, WriterBusy
from core.netstore import (
    Door,
    Gate,
    Grant,
    ServerLimits,
    StoreServer,
    connect_unix,
    one_store,
    peer_of,
    private_path,
)
from core.store import Store

log = logging.getLogger(__name__)

WRITER_NAME = "writer.sock"
# As long as a child may take to start, where its manifest says nothing, and some more.
LEAD_S = 20.0
LOOK_S = 0.05
REACH_S = 2.0
IDLE_S = 30.0
# The child's start waits for as long: the core's writer answers what it has and lets go.
LIMITS = ServerLimits(drain_s=2.0, linger_s=0.5)


def writer_path(folder: Path) -> Path:
    """Where a child serves its store to the core."""
    return private_path(folder / WRITER_NAME)


@dataclass(frozen=True)
class Child:
    """What is known of the service's child: whether it sleeps, and whether a process is of its own."""

    is_asleep: Callable[[], bool]
    is_own: Callable[[int], bool]


@dataclass(frozen=True)
class _Writer:
    """The core's own writer while it has one."""

    store: Store
    server: StoreServer
    door: Door


class SharedStore:
    """Served at `socket` from its making to `close`; any thread may ask."""

    def __init__(
        self,
        folder: Path,
        *,
        service_id: str,
        open_store: Callable[[], Store],
        child: Child,
        is_allowed: Callable[[int], bool],
        committed: Callable[[int], None],
        clock: Clock,
        idle_s: float = IDLE_S,
    ) -> None:
        """Raises AlreadyRunning, FolderUnusable."""
        self._service_id = service_id
        self._writer_path = writer_path(folder)
        self._open_store = open_store
        self._child = child
        self._committed = committed
        self._clock = clock
        self._idle_s = idle_s
        self._grant = Grant(f"service:{service_id}")
        self._lock = threading.Lock()
        self._writer: _Writer | None = None
        self._used_at = time.monotonic()
        self._closing = threading.Event()
        # The gate looks at processes only; what its store is depends on who serves it.
        door = Door(store_of=self._no_store, open_to=self._grant, is_allowed=is_allowed)
        self._gate = Gate(folder / "store.sock", door, self._lead, on_look=self._close_if_idle, limits=LIMITS)
        self.socket = self._gate.place

    @property
    def is_written_here(self) -> bool:
        """Whether the core holds the writer's lock."""
        return self._writer is not None

    def give_way(self) -> None:
        """Let the child have the store: what was begun is answered, all else is told to come again. Takes seconds."""
        with self._lock:
            self._let_go()

    def close(self) -> None:
        """Serve nobody any more: who is connected is answered what was begun, then left."""
        self._closing.set()
        self._gate.stop()
        self.give_way()

    def _lead(self, connection: socket.socket) -> socket.socket | None:
        """Serve a connection here, or give one to the child for it; waits while the store changes hands."""
        end = time.monotonic() + LEAD_S
        while not self._closing.is_set() and time.monotonic() < end:
            if self._child.is_asleep():
                if self._serve(connection):
                    return None
            elif (there := self._reach()) is not None:
                return there
            self._closing.wait(LOOK_S)
        raise Retry("The store is not served at the moment.", remedy="Try again later.", retry_after_s=1.0)

    def _serve(self, connection: socket.socket) -> bool:
        """Have the core's own writer serve it; False where the child is about to start, or somebody else writes."""
        with self._lock:
            # Asked again under the lock: whoever starts the child takes it after the child counts as awake.
            if self._closing.is_set() or not self._child.is_asleep():
                return False
            self._used_at = time.monotonic()
            try:
                writer = self._writer or self._begin()
            except WriterBusy as busy:
                log.info("store not opened yet id=%s: %s", self._service_id, busy)
                return False
            return writer.server.take(connection, writer.door, address=str(self.socket))

    def _begin(self) -> _Writer:
        store = self._open_store()
        server = StoreServer(clock=self._clock, limits=LIMITS)
        door = Door(store_of=one_store(store, service=self._service_id), open_to=self._grant)
        writer = self._writer = _Writer(store, server, door)
        store.on_commit = lambda head: self._told(writer, head)
        store.on_removed = lambda: server.forget(store)
        log.info("store written by the core id=%s", self._service_id)
        return writer

    def _told(self, writer: _Writer, head: int) -> None:
        writer.server.committed(writer.store)
        self._committed(head)

    def _reach(self) -> socket.socket | None:
        """A connection to the child's own server, once it is there and nobody else pretends to be it."""
        try:
            there = connect_unix(self._writer_path, timeout_s=REACH_S)
        except OSError:
            return None
        uid, pid = peer_of(there)
        if uid == os.getuid() and self._child.is_own(pid):
            return there
        log.warning("store not relayed id=%s: process %d serves it, not the service's", self._service_id, pid)
        there.close()
        return None

    def _close_if_idle(self) -> None:
        with self._lock:
            if self._writer is None:
                return
            if self._writer.server.connections:
                self._used_at = time.monotonic()
            elif time.monotonic() - self._used_at >= self._idle_s:
                self._let_go()

    def _let_go(self) -> None:
        writer = self._writer
        if writer is None:
            return
        writer.server.stop()
        try:
            writer.store.close()
        except LockerError as error:
            log.warning("store not closed in order id=%s: %s", self._service_id, error)
        finally:
            self._writer = None
        log.info("store let go by the core id=%s", self._service_id)

    @staticmethod
    def _no_store(_wanted: str | None) -> Store:
        raise Retry("The store is not served at the moment.", remedy="Try again later.")
