"""The one server of stores over a wire: run by whoever holds the writer's lock, or by whoever leads there."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from core.model.clock import Clock
from core.model.errors import Broken
from core.netstore.limits import THREAD_TURN_S, ServerLimits
from core.netstore.listening import listen_tcp, listen_unix, parse_address
from core.netstore.server.call import Caller
from core.netstore.server.clerk import Clerks
from core.netstore.server.connection import Connection
from core.netstore.server.counts import Counts
from core.netstore.server.desk import Desk
from core.netstore.server.door import Door, Grant, ServedStore
from core.netstore.server.listener import Listener, TurnedAway, check_peer

log = logging.getLogger(__name__)


class StoreServer:
    """Serves stores at any number of listeners, from the first `serve_…` to `stop`; thread-safe.

    Whoever commits to a served store tells `committed`, best as the store's `on_commit`; a commit that nobody told of
    reaches subscribers within seconds. Whoever removes facts tells `forget`, best as its `on_removed`: what is kept in
    memory would be pushed still. A process that makes one has its threads take turns of THREAD_TURN_S.
    """

    def __init__(self, *, clock: Clock, limits: ServerLimits | None = None) -> None:
        sys.setswitchinterval(min(sys.getswitchinterval(), THREAD_TURN_S))
        self._desk = Desk(limits=limits or ServerLimits(), clock=clock)
        self._clerks = Clerks()
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._connections: set[Connection] = set()
        self._turned_away = TurnedAway()

    def __enter__(self) -> StoreServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve_unix(self, path: Path, door: Door, *, in_place: bool = False) -> Path:
        """Listen at `path`, for processes of this user that the door allows; where the socket stands.

        `in_place` puts it at that very path, for peers that come by `connect_unix`. Raises AlreadyRunning where a
        server answers there, FolderUnusable where others could come in.
        """
        listener, place = listen_unix(path, in_place=in_place)
        self._listen(Listener(listener, door, address=str(place), place=place, on_connection=self._accepted))
        return place

    def serve_tcp(self, address: str, door: Door) -> tuple[str, int]:
        """Listen at a loopback address, for callers whose token the door knows; host and port.

        A door without `grant_of` lets in every program of this machine: that is told in the log.
        """
        listener = listen_tcp(*parse_address(address))
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if door.grant_of is None:
            log.warning("store served without a token address=%s: every program here may read and write it", shown)
        self._listen(Listener(listener, door, address=shown, on_connection=self._accepted))
        return host, port

    def take(self, connection: socket.socket, door: Door, *, address: str) -> bool:
        """Serve one whose process was looked at elsewhere; False, and it is left alone, once the server stops."""
        caller = Caller(door, transport="unix", address=address)
        if not self._begin(connection, caller, admit=lambda: None):
            if self._desk.is_draining:
                return False
            self._turned_away.add(connection)
        return True

    def committed(self, store: ServedStore) -> None:
        """Facts were committed to `store`: its subscribers are woken. Returns at once."""
        self._desk.committed(store)

    def forget(self, store: ServedStore) -> None:
        """Facts of `store` were removed, or what they said: nothing of them is kept in memory. Returns at once."""
        self._desk.forget(store)

    def release(self, store: ServedStore) -> None:
        """The store is about to be closed: those who follow it are told, and its door leads there no more."""
        self._desk.release(store)
        self._clerks.release(store)

    def end(self, is_gone: Callable[[Grant], bool]) -> None:
        """Do nothing any more for callers whose grants are gone, and end their connections. Returns at once."""
        self._desk.revocations += 1
        with self._lock:
            connections = list(self._connections)
        gone = [one for one in connections if one.revoke(is_gone)]
        if gone:
            log.info("store connections ended with their token count=%d", len(gone))
            later = threading.Timer(self._desk.limits.revoked_s, _cut, (gone,))
            later.daemon = True
            later.start()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._desk.total()[1]

    def stop(self) -> None:
        """Take nobody in any more, let what was begun end, and end what does not within the limits' time."""
        with self._lock:
            if self._desk.phase == "stopped":
                return
            self._desk.phase = "draining"
            listeners, self._listeners = self._listeners, []
            connections = list(self._connections)
        for listener in listeners:
            listener.close()
        for connection in connections:
            connection.stop()
        end = time.monotonic() + self._desk.limits.drain_s
        late = [one for one in connections if not one.join(max(0.0, end - time.monotonic()))]
        for connection in late:
            connection.cut()
        end = time.monotonic() + self._desk.limits.linger_s
        for connection in late:
            connection.join(max(0.0, end - time.monotonic()))
        if late:
            log.warning("store connections cut count=%d", len(late))
        self._turned_away.close()
        self._clerks.stop()
        self._desk.phase = "stopped"

    def _listen(self, listener: Listener) -> None:
        with self._lock:
            if self._desk.is_draining:
                listener.close()
                raise Broken("the store's server has stopped")
            self._listeners.append(listener)
        listener.start()
        log.info("store served transport=%s address=%s", listener.transport, listener.address)

    def _accepted(self, connection: socket.socket, listener: Listener) -> None:
        """Serve one who came, or say that there are too many."""
        caller = Caller(listener.door, transport=listener.transport, address=listener.address)
        if not self._begin(connection, caller, admit=lambda: check_peer(connection, listener)):
            self._turned_away.add(connection)

    def _begin(self, connection: socket.socket, caller: Caller, *, admit: Callable[[], None]) -> bool:
        """Serve one, unless the server stops or has as many as it, or the system, can serve."""
        counts = Counts()
        served = Connection(
            connection,
            caller,
            desk=self._desk,
            clerks=self._clerks,
            counts=counts,
            admit=admit,
            on_end=self._ended,
        )
        with self._lock:
            self._make_room(caller.door)
            is_taken = not self._desk.is_draining and self._desk.opened(counts, caller.door)
            if is_taken:
                self._connections.add(served)
        if is_taken:
            try:
                served.start()
            except RuntimeError:
                # The system has no thread for it: that is one too many, too.
                self._desk.left(counts)
                self._ended(served)
                return False
        return is_taken

    def _make_room(self, door: Door) -> None:
        """Where all of a door's places are taken, end who rests the longest, one who is not known before all others."""
        if self._desk.has_room(door):
            return
        limits, now = self._desk.limits, time.monotonic()
        resting = [
            (one.caller.is_known, since, one)
            for one in self._connections
            if one.caller.door is door and (since := one.rests_since) is not None
            and now - since >= (limits.rest_s if one.caller.is_known else limits.stranger_rest_s)
        ]  # fmt: skip
        if resting:
            longest = min(resting, key=lambda found: found[:2])[2]
            longest.stop()
            self._desk.left(longest.counts)

    def _ended(self, connection: Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


def _cut(connections: Iterable[Connection]) -> None:
    for connection in connections:
        connection.cut()
