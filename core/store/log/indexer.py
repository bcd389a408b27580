"""Putting the words of single writes into the text index a little later, so that no write waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from core.model.errors import LockerError

log = logging.getLogger(__name__)

# Long enough that many writes share one step, short enough that a person finds at once what was just written.
PAUSE_S = 0.2
CLOSE_S = 5.0


class Indexer:
    """Calls `index` in a thread of its own until it says that nothing lags behind; the thread begins when stirred."""

    def __init__(self, index: Callable[[], bool], *, name: str) -> None:
        self._index = index
        self._name = name
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        #: Whether it stopped with something lagging behind, until it is stirred.
        self.is_stuck = False

    def stir(self) -> None:
        """Something lags behind. Returns at once."""
        self._work.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closing.is_set():
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()

    def close(self) -> None:
        """End after the step under way."""
        with self._lock:
            self._closing.set()
            thread = self._thread
        self._work.set()
        if thread is not None:
            thread.join(CLOSE_S)

    def _run(self) -> None:
        while True:
            self._work.wait()
            if self._closing.wait(PAUSE_S):
                return
            self._work.clear()
            self.is_stuck = False
            try:
                while not self._closing.is_set() and not self._index():
                    pass
            except LockerError as error:
                # A full disk, or a store about to close: the next write stirs again, and so does the next open.
                self.is_stuck = True
                log.warning("text not indexed store=%s: %s", self._name, error)
