"""Telling the core that the store has grown: the latest position only, and never in the way of a commit."""

from __future__ import annotations

import logging
import threading

from connectors.sdk.core_client import Core
from core.model.errors import LockerError

PAUSE_S = 0.1

log = logging.getLogger(__name__)


class Tell:
    """A thread of its own that sends the newest `seq`; it starts with the first commit and ends with `close`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._changed = threading.Condition()
        self._seq = 0
        self._told = 0
        self._closed = False
        self._is_mute = False
        self._thread: threading.Thread | None = None

    def committed(self, seq: int) -> None:
        """Note that the store reaches to `seq`; the core hears of it within a tenth of a second."""
        with self._changed:
            self._seq = max(self._seq, seq)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="tell", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, *, deadline_s: float) -> None:
        """Send what is untold and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(deadline_s)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._seq > self._told)
                seq = self._seq
                if seq <= self._told:
                    return
            self._send(seq)
            with self._changed:
                # Coalesces a burst of commits into one call; a stop does not wait for it.
                self._changed.wait_for(lambda: self._closed, timeout=PAUSE_S)

    def _send(self, seq: int) -> None:
        self._told = seq
        try:
            self._core.committed(seq)
        except LockerError as err:
            if not self._is_mute:
                log.warning("the core did not take the tell seq=%d problem=%s", seq, err.code)
            self._is_mute = True
        else:
            if self._is_mute:
                log.info("the core takes tells again seq=%d", seq)
            self._is_mute = False
