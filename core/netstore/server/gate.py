"""A store's socket that stays where it is while those who serve the store change."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from core.model.errors import LockerError
from core.model.frames import encode_frame
from core.netstore import protocol
from core.netstore.limits import ServerLimits
from core.netstore.listening import listen_unix
from core.netstore.protocol import Refusal
from core.netstore.server.door import Door
from core.netstore.server.listener import Listener, TurnedAway, check_peer
from core.netstore.server.relay import Relay
from core.netstore.sockets import close_orderly

log = logging.getLogger(__name__)

_INTERNAL = Refusal("internal_error", "Something went wrong in the server; its log tells more.")

Lead = Callable[[socket.socket], socket.socket | None]


class Gate:
    """Listens at a path, lets in whom the door allows, and hands each on; from its making to `stop`.

    `lead` takes a connection in itself and gives None, or gives a connection to the server that is to have it; what it
    raises the client is refused with. It may wait, each time in a thread of its own. `on_look` is called about once a
    second while nobody comes.
    """

    def __init__(
        self,
        path: Path,
        door: Door,
        lead: Lead,
        *,
        on_look: Callable[[], None],
        limits: ServerLimits | None = None,
    ) -> None:
        self._lead = lead
        self._limits = limits or ServerLimits()
        self._lock = threading.Lock()
        self._guests: set[_Guest] = set()
        self._turned_away = TurnedAway()
        self._is_stopped = False
        listener, self.place = listen_unix(path)
        self._listener = Listener(
            listener, door, address=str(self.place), place=self.place, on_connection=self._accepted, on_look=on_look
        )
        self._listener.start()

    def stop(self) -> None:
        """Take nobody in any more, let what was begun end, and end what does not within a bounded while."""
        self._listener.close()
        with self._lock:
            self._is_stopped = True
            guests = list(self._guests)
        for guest in guests:
            guest.stop()
        end = time.monotonic() + self._limits.drain_s
        late = [guest for guest in guests if not guest.join(max(0.0, end - time.monotonic()))]
        for guest in late:
            guest.cut()
        end = time.monotonic() + self._limits.linger_s
        for guest in late:
            guest.join(max(0.0, end - time.monotonic()))
        self._turned_away.close()

    def _accepted(self, connection: socket.socket, listener: Listener) -> None:
        guest = _Guest(
            connection,
            admit=lambda: check_peer(connection, listener),
            lead=self._lead,
            limits=self._limits,
            on_end=self._ended,
        )
        with self._lock:
            is_let_in = not self._is_stopped and len(self._guests) < self._limits.connections_max
            if is_let_in:
                self._guests.add(guest)
        try:
            if is_let_in:
                guest.start()
                return
        except RuntimeError:
            # The system has no thread for it: that is one too many, too.
            self._ended(guest)
        self._turned_away.add(connection)

    def _ended(self, guest: _Guest) -> None:
        with self._lock:
            self._guests.discard(guest)


class _Guest:
    """One connection until it is handed on, or to its end where it is relayed."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        admit: Callable[[], None],
        lead: Lead,
        limits: ServerLimits,
        on_end: Callable[[_Guest], None],
    ) -> None:
        self._connection = connection
        self._admit = admit
        self._lead = lead
        self._limits = limits
        self._on_end = on_end
        self._lock = threading.Lock()
        self._relay: Relay | None = None
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="netstore gate", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let it end by itself."""
        with self._lock:
            self._is_stopping = True
            if self._relay is not None:
                self._relay.stop()

    def cut(self) -> None:
        """End it now."""
        with self._lock:
            if self._relay is not None:
                self._relay.cut()

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._admit()
            there = self._lead(self._connection)
            if there is not None:
                self._pass_on(there)
        except LockerError as error:
            refusal = protocol.refusal_of(error)
            if refusal is None:
                log.error("store connection not handed on: %s: %s", type(error).__name__, error)
            self._refuse(refusal or _INTERNAL)
        except Exception:  # The thread's edge: one connection ends, the gate does not.
            log.exception("store connection not handed on")
            self._refuse(_INTERNAL)
        finally:
            self._on_end(self)

    def _pass_on(self, there: socket.socket) -> None:
        limits = self._limits
        relay = Relay(self._connection, there, send_timeout_s=limits.reply_timeout_s, linger_s=limits.linger_s)
        with self._lock:
            self._relay = relay
            if self._is_stopping:
                relay.stop()
        relay.run()

    def _refuse(self, refusal: Refusal) -> None:
        with contextlib.suppress(OSError):
            self._connection.settimeout(self._limits.linger_s)
            self._connection.send(encode_frame(protocol.refused(refusal)))
        close_orderly(self._connection, linger_s=self._limits.linger_s)
