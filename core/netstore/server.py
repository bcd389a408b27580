"""The one server of stores over a wire: run by whoever holds the writer's lock, or by whoever leads there."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from core.model.clock import Clock
from core.model.errors import Broken, Forbidden
from core.model.frames import encode_frame
from core.netstore import protocol
from core.netstore.call import Caller
from core.netstore.connection import Connection
from core.netstore.counts import Counts
from core.netstore.desk import Desk
from core.netstore.door import Door, ServedStore
from core.netstore.limits import ServerLimits
from core.netstore.listening import listen_tcp, listen_unix, parse_address, peer_of
from core.netstore.protocol import Refusal

log = logging.getLogger(__name__)

_ACCEPT_AGAIN_S = 0.1
_LOOK_S = 1.0
_REFUSED_MAX = 16
_TOO_MANY = Refusal("too_many_connections", "The server has as many connections as it serves.")


class StoreServer:
    """Serves stores at any number of listeners, from the first `serve_…` to `stop`; thread-safe.

    Whoever commits to a served store tells `committed`, best as the store's `on_commit`; a commit that nobody told of
    reaches subscribers within seconds.
    """

    def __init__(self, *, clock: Clock, limits: ServerLimits | None = None) -> None:
        self._desk = Desk(limits=limits or ServerLimits(), clock=clock)
        self._lock = threading.Lock()
        self._listeners: list[_Listener] = []
        self._connections: set[Connection] = set()
        self._refused: deque[socket.socket] = deque()

    def __enter__(self) -> StoreServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve_unix(self, path: Path, door: Door) -> Path:
        """Listen at `path`, for processes of this user that the door allows; where the socket stands.

        Raises AlreadyRunning where a server answers there, FolderUnusable where others could come in.
        """
        listener, place = listen_unix(path)
        self._listen(_Listener(listener, door, "unix", str(place), place, self._accepted))
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
        self._listen(_Listener(listener, door, "tcp", shown, None, self._accepted))
        return host, port

    def committed(self, store: ServedStore, head: int = 0) -> None:  # noqa: ARG002 -- what on_commit gives
        """Facts were committed to `store`: its subscribers are woken. Returns at once."""
        self._desk.committed(store)

    def forget(self, store: ServedStore) -> None:
        """Facts of `store` were removed: nothing of them is kept in memory."""
        self._desk.forget(store)

    def release(self, store: ServedStore) -> None:
        """The store is about to be closed: those who follow it are told, and its door leads there no more."""
        self._desk.release(store)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._desk.total()[1]

    def stop(self) -> None:
        """Take nobody in any more, let what was begun end, and end what does not within 5 seconds."""
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
        for connection in late:
            connection.join(self._desk.limits.linger_s)
        if late:
            log.warning("store connections cut count=%d", len(late))
        while self._refused:
            self._refused.popleft().close()
        self._desk.phase = "stopped"

    def _listen(self, listener: _Listener) -> None:
        with self._lock:
            if self._desk.is_draining:
                listener.close()
                raise Broken("the store's server has stopped")
            self._listeners.append(listener)
        listener.start()
        log.info("store served transport=%s address=%s", listener.transport, listener.address)

    def _accepted(self, connection: socket.socket, listener: _Listener) -> None:
        """Serve one who came, or say that there are too many."""
        counts = Counts()
        caller = Caller(listener.door, transport=listener.transport, address=listener.address)
        served = Connection(
            connection,
            caller,
            desk=self._desk,
            counts=counts,
            name=listener.address,
            admit=lambda: _check_peer(connection, listener),
            on_end=self._ended,
        )
        with self._lock:
            is_taken = not self._desk.is_draining and self._desk.opened(counts)
            if is_taken:
                self._connections.add(served)
        if is_taken:
            served.start()
            return
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(encode_frame(protocol.refused(_TOO_MANY)))
            connection.shutdown(socket.SHUT_WR)
        # Closed a little later: a reset now would take the answer from who is about to read it.
        if len(self._refused) == _REFUSED_MAX:
            self._refused.popleft().close()
        self._refused.append(connection)

    def _ended(self, connection: Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Listener:
    """One listening socket and its thread."""

    def __init__(
        self,
        listener: socket.socket,
        door: Door,
        transport: str,
        address: str,
        place: Path | None,
        on_connection: Callable[[socket.socket, _Listener], None],
    ) -> None:
        self.door = door
        self.transport = transport
        self.address = address
        # Where closing does not wake who accepts, it looks around now and then.
        listener.settimeout(_LOOK_S)
        self._listener = listener
        self._place = place
        self._inode = None if place is None else place.lstat().st_ino
        self._on_connection = on_connection
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"netstore {address}", daemon=True)

    def start(self) -> None:
        """Take in who comes."""
        self._thread.start()

    def close(self) -> None:
        """Take in nobody any more, and remove the socket, if it is ours still."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._thread.is_alive():
            self._thread.join()
        if self._place is not None:
            with contextlib.suppress(OSError):
                if self._place.lstat().st_ino == self._inode:
                    self._place.unlink()

    def _run(self) -> None:
        while not self._is_closed:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as err:
                if self._is_closed:
                    return
                log.warning("store connection not taken address=%s error=%s", self.address, err.strerror)
                time.sleep(_ACCEPT_AGAIN_S)
                continue
            connection.setblocking(True)
            self._on_connection(connection, self)


def _check_peer(connection: socket.socket, listener: _Listener) -> None:
    """Raise Forbidden unless the process at the other end of a Unix socket may come in."""
    if listener.transport != "unix":
        return
    uid, pid = peer_of(connection)
    if uid != os.getuid() or pid <= 0:
        raise Forbidden("Only the user that runs the server may come in here.")
    is_allowed = listener.door.is_allowed
    if is_allowed is not None and not is_allowed(pid):
        log.warning("store connection refused address=%s pid=%d", listener.address, pid)
        raise Forbidden("This process may not come in here.")
