"""The one who takes the single writes of many callers of one store, and has all that came meanwhile committed together.

Where each caller's thread waits for its own commit, every step of it hands the interpreter's lock around. So a caller
who does nothing but write facts one at a time is left to the clerk, and its thread rests until something else comes.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from core.netstore.server.door import ServedStore
from core.netstore.server.writes import Singles, Told, told_each

log = logging.getLogger(__name__)

END_S_MAX = 5.0
_RECEIVE_BYTES = 4096


class Visitor(Protocol):
    """A connection whose caller writes single facts; the clerk's alone, from `attend` to `go_on`."""

    @property
    def socket(self) -> socket.socket:
        """Where it is heard."""

    def hear(self, store: ServedStore) -> Singles | None:
        """What is there to be read, where it is single writes to `store` and nothing else; None: it is to go on."""

    def tell(self, singles: Singles, told: Told, took_s: float) -> bool:
        """Send the replies; whether it stays."""

    def cut(self) -> None:
        """End it."""

    def go_on(self) -> None:
        """Its own thread has it again."""


class Clerk:
    """Serves those whom `attend` was told of, in a thread of its own from the first of them to `end`."""

    def __init__(self, store: ServedStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._newcomers: list[Visitor] = []
        self._is_over = False
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        self._thread: threading.Thread | None = None

    def attend(self, visitor: Visitor) -> bool:
        """Serve this one until it is told to go on; False where it is to go on at once. From any thread."""
        with self._lock:
            if self._is_over or not self._is_there():
                return False
            self._newcomers.append(visitor)
        self._wake()
        return True

    def end(self) -> None:
        """Let all of them go on, and take nobody in any more."""
        with self._lock:
            self._is_over = True
            thread = self._thread
        self._wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(END_S_MAX)
        if thread is None or not thread.is_alive():
            self._ear.close()
            self._mouth.close()

    def _is_there(self) -> bool:
        """Have the thread run; False where the system has none for it."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="netstore clerk", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def _wake(self) -> None:
        # A full pipe has woken the thread already; a closed one has nobody to wake.
        with contextlib.suppress(OSError):
            self._mouth.send(b"\0")

    def _run(self) -> None:
        with selectors.DefaultSelector() as ears:
            ears.register(self._ear, selectors.EVENT_READ)
            try:
                while not self._is_over:
                    ready = [key.data for key, _ in ears.select()]
                    if None in ready:
                        self._let_in(ears)
                    self._serve([visitor for visitor in ready if visitor is not None], ears)
            except Exception:  # The thread's edge: those it served have threads of their own.
                log.exception("store clerk failed")
            finally:
                with self._lock:
                    self._is_over = True
                for visitor in [*self._newcomers, *(key.data for key in ears.get_map().values() if key.data)]:
                    visitor.go_on()

    def _let_in(self, ears: selectors.BaseSelector) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ear.recv(_RECEIVE_BYTES)
        with self._lock:
            newcomers, self._newcomers = self._newcomers, []
        for visitor in newcomers:
            try:
                ears.register(visitor.socket, selectors.EVENT_READ, visitor)
            except (OSError, ValueError, KeyError):  # It was cut meanwhile, as its thread sees.
                visitor.go_on()

    def _serve(self, visitors: Sequence[Visitor], ears: selectors.BaseSelector) -> None:
        """Take what each of them wrote, have it committed together, and answer each."""
        heard = [(visitor, singles) for visitor in visitors if (singles := self._heard(visitor, ears)) is not None]
        if not heard:
            return
        begun = time.monotonic()
        told = told_each([singles for _, singles in heard])
        took_s = time.monotonic() - begun
        for (visitor, singles), one in zip(heard, told, strict=True):
            try:
                stays = visitor.tell(singles, one, took_s)
            except Exception:  # What nobody foresaw ends this one alone.
                stays = _failed(visitor)
            if not stays:
                _let_go(visitor, ears)

    def _heard(self, visitor: Visitor, ears: selectors.BaseSelector) -> Singles | None:
        """What one wrote; one who is not to stay is let go."""
        try:
            singles = visitor.hear(self._store)
        except Exception:  # As above.
            _failed(visitor)
            singles = None
        if singles is None:
            _let_go(visitor, ears)
        return singles


class Clerks:
    """One clerk for each store that single writes are added to together, from the first need of one to `stop`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By the store's id(), which no other store gets while its clerk holds it.
        self._clerks: dict[int, Clerk] = {}
        self._is_over = False

    def of(self, store: ServedStore) -> Clerk | None:
        """The store's clerk; None where the store adds nothing together, and once all is over."""
        if not callable(getattr(store, "append_together", None)):
            return None
        with self._lock:
            if self._is_over:
                return None
            if id(store) not in self._clerks:
                self._clerks[id(store)] = Clerk(store)
            return self._clerks[id(store)]

    def release(self, store: ServedStore) -> None:
        """The store is served no more."""
        with self._lock:
            clerk = self._clerks.pop(id(store), None)
        if clerk is not None:
            clerk.end()

    def stop(self) -> None:
        """No store is."""
        with self._lock:
            self._is_over = True
            clerks, self._clerks = list(self._clerks.values()), {}
        for clerk in clerks:
            clerk.end()


def _failed(visitor: Visitor) -> bool:
    log.exception("store clerk failed to serve one")
    visitor.cut()
    return False


def _let_go(visitor: Visitor, ears: selectors.BaseSelector) -> None:
    ears.unregister(visitor.socket)
    visitor.go_on()
