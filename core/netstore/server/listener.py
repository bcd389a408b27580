"""One listening socket and its thread: whoever comes is handed on, once it is known who that is."""

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

from core.model.errors import Forbidden
from core.model.frames import encode_frame
from core.netstore import protocol
from core.netstore.protocol import Refusal
from core.netstore.server.door import Door
from core.netstore.sockets import peer_of

log = logging.getLogger(__name__)

_ACCEPT_AGAIN_S = 0.1
_LOOK_S = 1.0
_TURNED_AWAY_MAX = 16
_TOO_MANY = Refusal("too_many_connections", "The server has as many connections as it serves.")


class Listener:
    """Takes in whoever comes, from `start` to `close`; `on_look` is called about once a second meanwhile.

    `place` is where a Unix socket stands; one without is of TCP.
    """

    def __init__(
        self,
        listener: socket.socket,
        door: Door,
        *,
        address: str,
        on_connection: Callable[[socket.socket, Listener], None],
        place: Path | None = None,
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        self.door = door
        self.transport = "tcp" if place is None else "unix"
        self.address = address
        # Where closing does not wake who accepts, it looks around now and then.
        listener.settimeout(_LOOK_S)
        self._listener = listener
        self._place = place
        self._inode = None if place is None else place.lstat().st_ino
        self._on_connection = on_connection
        self._on_look = on_look
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
                self._take_one()
            except OSError as err:
                if not self._is_closed:
                    log.warning("store connection not taken address=%s error=%s", self.address, err.strerror)
                    time.sleep(_ACCEPT_AGAIN_S)
            except Exception:  # The thread's edge: whoever comes next is taken in all the same.
                log.exception("store listener failed once address=%s", self.address)
                time.sleep(_ACCEPT_AGAIN_S)

    def _take_one(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except TimeoutError:
            self._on_look()
            return
        connection.setblocking(True)
        self._on_connection(connection, self)


class TurnedAway:
    """Those who found no room: told so without a wait, and closed a little later.

    A reset at once would take the answer from who is about to read it.
    """

    def __init__(self) -> None:
        self._last: deque[socket.socket] = deque()

    def add(self, connection: socket.socket) -> None:
        """Say that there are too many."""
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(encode_frame(protocol.refused(_TOO_MANY)))
            connection.shutdown(socket.SHUT_WR)
        if len(self._last) == _TURNED_AWAY_MAX:
            self._last.popleft().close()
        self._last.append(connection)

    def close(self) -> None:
        """Let go of the last of them."""
        while self._last:
            self._last.popleft().close()


def check_peer(connection: socket.socket, listener: Listener) -> None:
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
