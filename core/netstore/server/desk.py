"""What all conversations of one server share: its limits, the ends of the logs it serves, its counts."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from core.model.clock import Clock
from core.netstore.limits import ServerLimits
from core.netstore.server.allowance import Allowance
from core.netstore.server.counts import Counts
from core.netstore.server.door import Door, ServedStore
from core.netstore.server.tail import Tail

STATUS_VERSION = 1

Phase = Literal["ready", "draining", "stopped"]


class Desk:
    """Owned by its server; thread-safe."""

    def __init__(self, *, limits: ServerLimits, clock: Clock) -> None:
        self.limits = limits
        self.clock = clock
        self.allowance = Allowance(limits.heavy_bytes_max)
        self.phase: Phase = "ready"
        self.last_error: str | None = None
        self.accepted = self.rejected = self.closed = 0
        #: Grows before those are sought whose grants are gone.
        self.revocations = 0
        self._started = clock.monotonic()
        self._lock = threading.Lock()
        # By the store's id(), which no other store gets while its tail holds it.
        self._tails: dict[int, Tail] = {}
        self._open: dict[Counts, Door] = {}
        self._past = Counts()

    @property
    def is_draining(self) -> bool:
        """Whether the server is about to stop: new writes are refused then."""
        return self.phase != "ready"

    @property
    def is_shared(self) -> bool:
        """Whether more than one connection is open."""
        return len(self._open) > 1

    def tail_of(self, store: ServedStore) -> Tail:
        """The end of this store's log, kept while the server runs."""
        with self._lock:
            tail = self._tails.get(id(store))
            if tail is None:
                limits = self.limits
                tail = Tail(store, events_max=limits.live_events_max, bytes_max=limits.live_bytes_max)
                self._tails[id(store)] = tail
            return tail

    def committed(self, store: ServedStore) -> None:
        """Wake those who follow this store."""
        tail = self._tails.get(id(store))
        if tail is not None:
            tail.told()

    def forget(self, store: ServedStore) -> None:
        """Drop what is held in memory of a store whose facts were removed."""
        with self._lock:
            tail = self._tails.get(id(store))
        if tail is not None:
            tail.forget()

    def release(self, store: ServedStore) -> None:
        """Let go of a store that is served no more."""
        with self._lock:
            tail = self._tails.pop(id(store), None)
        if tail is not None:
            tail.end()

    def has_room(self, door: Door) -> bool:
        """Whether one more may come in by this door."""
        with self._lock:
            return sum(one is door for one in self._open.values()) < self.limits.connections_max

    def opened(self, counts: Counts, door: Door) -> bool:
        """Count one more connection in; False where there are as many as there may be at this door."""
        is_let_in = self.has_room(door)
        with self._lock:
            if is_let_in:
                self.accepted += 1
                self._open[counts] = door
            else:
                self.rejected += 1
        return is_let_in

    def left(self, counts: Counts) -> None:
        """A connection ended."""
        with self._lock:
            if counts in self._open:
                del self._open[counts]
                self.closed += 1
                counts.subscriptions = 0
                self._past.add(counts)

    def total(self) -> tuple[Counts, int]:
        """The counts of all connections so far, and how many are open."""
        total = Counts()
        with self._lock:
            total.add(self._past)
            for counts in self._open:
                total.add(counts)
            return total, len(self._open)

    def uptime_ms(self) -> int:
        """How long the server runs."""
        return round((self.clock.monotonic() - self._started) * 1000)

    def metrics(self) -> dict[str, Any]:
        """The counts under the names that a status gives them."""
        total, active = self.total()
        return {
            "requests_total": dict(sorted(total.requests.items())),
            "errors_total": total.errors,
            "slow_ops_total": total.slow_ops,
            "facts_written": total.facts_written,
            "facts_replayed": total.facts_replayed,
            "bytes_in": total.bytes_in,
            "bytes_out": total.bytes_out,
            "active_connections": active,
            "accepted_connections_total": self.accepted,
            "closed_connections_total": self.closed,
            "rejected_connections_total": self.rejected,
            "subscription_count": total.subscriptions,
        }

    def snapshot(self, store: ServedStore, *, transport: str, address: str) -> Mapping[str, Any]:
        """The server's state, and what `store` says of itself."""
        condition = store.storage_status()
        committing = getattr(store, "committing", None)
        storage = {"head_seq": store.head(), "store_epoch": store.epoch(), **msgspec.to_builtins(condition)}
        return {
            "schema_version": STATUS_VERSION,
            "generated_at": self.clock.now(),
            "status": self.phase,
            "uptime_ms": self.uptime_ms(),
            "metrics": self.metrics(),
            "alerts": ["damaged"] if condition.damaged else [],
            "storage": storage,
            "commit": {} if committing is None else msgspec.to_builtins(committing()),
            "server": {
                "backend": "sqlite",
                "transport": transport,
                "bind_address": address,
                "last_error": self.last_error,
            },
            "changefeed": {"head": storage["head_seq"], "store_epoch": storage["store_epoch"]},
        }
