"""Stores of an earlier version at the start: brought up to this one where they can be, told of where not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from core.assembly.care import StoreCare
from core.model.errors import LockerError
from core.registry import Service, Services
from core.store import Reader, Store

log = logging.getLogger(__name__)

BRING_UP = "bring_up"
# Within it a store of some gigabytes is brought up; nothing waits longer for a larger one, or for one that never is.
WAIT_S = 30.0


class BringingUp:
    """What `open_store` does to an old store, done once for each at the start; `care` keeps what the owner is told."""

    def __init__(
        self,
        me: Path,
        services: Services,
        *,
        care: StoreCare,
        open_store: Callable[[Service], Store],
        wait_s: float = WAIT_S,
    ) -> None:
        self._me = me
        self._services = services
        self._care = care
        self._open_store = open_store
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._done: set[str] = set()

    def bring_up(self) -> None:
        """Bring the stores up, after a backup, so that they can be read. Blocks, for `wait_s` at most.

        What takes longer goes on by itself, and the owner is told, as of any that cannot be. Only while no child runs:
        each would do so itself, at its start.
        """
        under_way: dict[threading.Thread, Service] = {}
        for service in self._services.list():
            if self._is_old(service):
                name = f"bring-up {service.id}"
                # A daemon: one that never ends must not keep the core from ending.
                thread = threading.Thread(target=self._bring_up, args=(service,), name=name, daemon=True)
                under_way[thread] = service
                thread.start()
        end = time.monotonic() + self._wait_s
        for thread, service in under_way.items():
            thread.join(max(0.0, end - time.monotonic()))
            with self._lock:
                if thread.is_alive() and service.id not in self._done:
                    self._care.note(service, BRING_UP, trouble=_slow(service.id))

    def _is_old(self, service: Service) -> bool:
        """Whether the store waits to be brought up; what was told of one that does no more is forgotten."""
        with suppress(LockerError), Reader.open(self._me / service.id, types={}) as reader:
            if reader.is_of_earlier_version:
                return True
            if self._care.done(service).get(BRING_UP, (0.0, ""))[1]:
                self._care.note(service, BRING_UP)
        return False

    def _bring_up(self, service: Service) -> None:
        log.info("store of an earlier version brought up id=%s", service.id)
        trouble = ""
        try:
            with self._open_store(service) as store:
                store.index_all()
        except LockerError as error:
            log.warning("store not brought up id=%s: %s", service.id, error)
            trouble = f"The store of {service.id} could not be brought up: {error.detail} {error.remedy}"
        with self._lock:
            self._done.add(service.id)
            self._care.note(service, BRING_UP, trouble=trouble)


def _slow(service_id: str) -> str:
    return (
        f"The store of {service_id} is being brought up to this version, which takes long; until then it cannot be "
        "read, or not all of its words be found. If it never ends, restore a backup of it."
    )
