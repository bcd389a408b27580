"""The stores that the core leaves to other processes: lent to a command of the owner's, or found in use."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from core.model.errors import LockerError, NotFound, Retry
from core.process import Supervisor
from core.registry import Services
from core.store import is_held

RETRY_S = 5.0
LOOK_S = 2.0

log = logging.getLogger(__name__)


class Lending:
    """Which stores are left to others, and for how long: what is lent, until the borrower or the core ends.

    Nothing of it is kept. A borrower that outlives the core goes on by the writer's lock alone: the next core meets
    that lock, and leaves the store to whoever has it until `watch` finds it free.

    Lives on the loop; `is_lent`, `check`, `leave` and `kept_back` may be asked from any thread. `settle` has the core's
    writers, which ask `is_lent`, let go of what is lent and take what is not; `take_up` has a service go on where it
    was left.
    """

    def __init__(
        self,
        me: Path,
        services: Services,
        supervisor: Supervisor,
        *,
        settle: Callable[[], None],
        take_up: Callable[[str], Awaitable[None]],
    ) -> None:
        self._me = me
        self._services = services
        self._supervisor = supervisor
        self._settle = settle
        self._take_up = take_up
        self._lock = threading.Lock()
        self._lent: frozenset[str] = frozenset()
        self._left: frozenset[str] = frozenset()
        self._kept_back: Counter[str] = Counter()

    def is_lent(self, service_id: str) -> bool:
        """Whether nobody of the core may write the service's store just now."""
        return service_id in self._lent or service_id in self._left

    def check(self, service_id: str) -> None:
        """Raise Retry where the service's store is left to another process."""
        if service_id in self._lent:
            raise Retry(
                f"a command of yours works on the store of {service_id}",
                remedy="It goes on by itself as soon as the command is done.",
                retry_after_s=RETRY_S,
            )
        if service_id in self._left:
            raise Retry(
                f"another process writes the store of {service_id}",
                remedy="It goes on by itself as soon as that is done.",
                retry_after_s=RETRY_S,
            )

    def leave(self, service_id: str) -> None:
        """Leave the store to the process that was found to write it, until `watch` finds that none does."""
        with self._lock:
            if not self.is_lent(service_id):
                log.info("store left to another process id=%s", service_id)
                self._left |= {service_id}

    async def watch(self) -> None:
        """Have each service go on whose store was left, soon after nobody else writes it. Goes on until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.gather(*map(self._look, self._left))

    @contextlib.contextmanager
    def kept_back(self, service_id: str) -> Iterator[None]:
        """Nobody borrows the store before the end of the block; raises Retry where somebody has it."""
        with self._lock:
            self.check(service_id)
            self._kept_back[service_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._kept_back[service_id] -= 1
                self._kept_back = +self._kept_back

    @contextlib.asynccontextmanager
    async def lend(self, service_id: str) -> AsyncIterator[None]:
        """Stop the service's child, let go of its store, and start neither again before the end.

        Raises NotFound, and Retry where somebody has it already, or it is being removed.
        """
        self._begin(service_id)
        is_ending = False
        log.info("store lent id=%s", service_id)
        try:
            await self._supervisor.stop(service_id, reason="its store is worked on by a command")
            await asyncio.to_thread(self._settle)
            await asyncio.to_thread(self._services.working_directory, service_id)
            await self._refuse_held(service_id)
            yield
        except asyncio.CancelledError:
            is_ending = True  # The core ends; nothing is started any more.
            raise
        finally:
            with self._lock:
                self._lent -= {service_id}
            log.info("store given back id=%s", service_id)
            if not is_ending:
                await self._go_on(service_id)

    def _begin(self, service_id: str) -> None:
        with self._lock:
            self._services.get(service_id)
            if self._kept_back[service_id]:
                raise Retry(f"{service_id} is being removed.")
            if self.is_lent(service_id):
                raise _taken(service_id)
            self._lent |= {service_id}

    async def _refuse_held(self, service_id: str) -> None:
        """Raise Retry where somebody writes the store whom the core has not met yet."""
        if await asyncio.to_thread(is_held, self._me / service_id):
            with self._lock:
                self._left |= {service_id}
            raise _taken(service_id)

    async def _look(self, service_id: str) -> None:
        if await asyncio.to_thread(is_held, self._me / service_id):
            return
        with self._lock:
            self._left -= {service_id}
        log.info("store found free id=%s", service_id)
        try:
            await self._go_on(service_id)
        except LockerError as error:
            log.warning("service did not go on id=%s: %s", service_id, error)

    async def _go_on(self, service_id: str) -> None:
        with contextlib.suppress(NotFound):  # Uninstalled meanwhile.
            if self._services.get(service_id).enabled:
                await self._take_up(service_id)


def _taken(service_id: str) -> Retry:
    return Retry(
        f"Another command works on the store of {service_id}.",
        remedy="Try again when it is done.",
        retry_after_s=RETRY_S,
    )
