"""The store that this process writes, served to the core alone, which passes on to it what the owner's programs write.

The core says where; it has looked at who they are.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from core.model.clock import Clock
from core.model.errors import LockerError
from core.model.handshake import Greeting
from core.netstore import Door, Grant, ServerLimits, StoreServer, one_store
from core.store import Store

# A child has a few seconds to end: what was begun is answered within one.
LIMITS = ServerLimits(drain_s=1.0, linger_s=0.3)

log = logging.getLogger(__name__)


class Wire:
    """Serves a store from `serve` to `close`, where the greeting asks for it; any thread may call."""

    def __init__(self, greeting: Greeting, *, clock: Clock) -> None:
        self._greeting = greeting
        self._clock = clock
        self._lock = threading.Lock()
        self._served: tuple[StoreServer, Store] | None = None
        self._is_closed = False

    def serve(self, store: Store) -> None:
        """Serve the store; without it the service does its own work all the same."""
        greeting = self._greeting
        if greeting.writer_socket is None:
            return
        door = Door(
            store_of=one_store(store, service=greeting.id),
            open_to=Grant(f"service:{greeting.id}"),
            is_allowed=lambda pid: pid == greeting.core_pid,
        )
        with self._lock:
            if self._is_closed:
                return
            server = StoreServer(clock=self._clock, limits=LIMITS)
            try:
                server.serve_unix(Path(greeting.writer_socket), door, in_place=True)
            except (LockerError, OSError) as err:
                log.warning("the store is not served to other programs: %s", err)
                return
            self._served = server, store

    def committed(self) -> None:
        """Facts were committed, by whomever: who follows the store is woken."""
        if (served := self._served) is not None:
            server, store = served
            server.committed(store)

    def removed(self) -> None:
        """Facts were removed, or what they said: nothing of them is kept for who follows the store."""
        if (served := self._served) is not None:
            server, store = served
            server.forget(store)

    def close(self) -> None:
        """Answer what was begun, and serve no more; must come before the store's own end."""
        with self._lock:
            self._is_closed = True
            served = self._served
        if served is not None:
            served[0].stop()
