"""When the streams of a service are due next. The core keeps these times over all starts of a child: it is asked for
them when somebody wants to know, and no answer waits for it long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from connectors.sdk.core_client import Core
from core.model.clock import Clock
from core.model.errors import LockerError

KEEP_S = 5.0
WAIT_S = 0.05
_ALL = "/sync"

log = logging.getLogger(__name__)


class Due:
    """The next times by stream: as this process asked for them, or as the core last told them."""

    def __init__(self, core: Core, *, clock: Clock, told: Mapping[str, float] | None = None) -> None:
        self._core = core
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}
        # What the greeting told is as fresh as this process.
        self._told: dict[str, float] = dict(told or {})
        self._looked_at: float | None = None if told is None else clock.monotonic()
        self._lookup: threading.Event | None = None

    def ask(self, stream: str, when: float) -> None:
        """Have the core start the stream at `when`; raises what the core says against it."""
        with self._lock:
            self._asked[stream] = when
        self._core.at(f"{_ALL}/{stream}", when)

    def times(self, streams: tuple[str, ...]) -> Mapping[str, float | None]:
        """When each stream is due, None where nobody knows; at most seconds old, and without a wait worth the name."""
        lookup = self._look_up() if streams else None
        if lookup is not None:
            lookup.wait(WAIT_S)
        with self._lock:
            known = {**self._told, **self._asked}
        return {name: min(filter(None, (known.get(name), known.get(""))), default=None) for name in streams}

    def _look_up(self) -> threading.Event | None:
        """The lookup under way, begun where the last one is too old; None where it is not."""
        with self._lock:
            if self._lookup is None and not self._is_fresh():
                self._lookup = threading.Event()
                # A daemon: a core that does not answer must not keep the process from ending.
                threading.Thread(target=self._ask_core, args=(self._lookup,), name="due", daemon=True).start()
            return self._lookup

    def _is_fresh(self) -> bool:
        return self._looked_at is not None and self._clock.monotonic() - self._looked_at < KEEP_S

    def _ask_core(self, lookup: threading.Event) -> None:
        with self._lock:
            before = dict(self._asked)
        try:
            told: dict[str, float] | None = _by_stream(self._core.pending())
        except LockerError as err:
            log.debug("the core did not tell the next times problem=%s", err.code)
            told = None
        with self._lock:
            if told is not None:
                # The core is right, but for what was asked of it meanwhile.
                self._asked = {name: when for name, when in self._asked.items() if before.get(name) != when}
                self._told = told
            self._looked_at = self._clock.monotonic()
            self._lookup = None
        lookup.set()


def _by_stream(pending: Mapping[str, float]) -> dict[str, float]:
    """Times by stream, from times by path; the empty name stands for all streams."""
    found: dict[str, float] = {}
    for path, when in pending.items():
        route = path.partition("?")[0].rstrip("/")
        if route == _ALL or route.startswith(f"{_ALL}/"):
            name = route.removeprefix(_ALL).removeprefix("/")
            found[name] = min(when, found.get(name, when))
    return found
