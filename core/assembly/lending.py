"""A service's store, lent to a command of the owner's: its one writer for as long as the command is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from core.model.errors import Conflict, NotFound, Retry
from core.process import Supervisor
from core.registry import Services

RETRY_S = 5.0

log = logging.getLogger(__name__)


class Lending:
    """Which stores are lent. Nothing of it is kept: when the borrower or the core ends, the lending ends.

    Lives on the loop; `check` may be asked from any thread. `settle` has the core's writers, which ask `is_lent`, let
    go of what is lent and take what is not; `take_up` has a service go on where it was left.
    """

    def __init__(
        self,
        services: Services,
        supervisor: Supervisor,
        *,
        settle: Callable[[], None],
        take_up: Callable[[str], Awaitable[None]],
    ) -> None:
        self._services = services
        self._supervisor = supervisor
        self._settle = settle
        self._take_up = take_up
        self._lent: frozenset[str] = frozenset()

    def is_lent(self, service_id: str) -> bool:
        """Whether nobody of the core may write the service's store just now."""
        return service_id in self._lent

    def check(self, service_id: str) -> None:
        """Raise Retry where the service's store is lent."""
        if service_id in self._lent:
            raise Retry(
                f"a command of yours works on the store of {service_id}",
                remedy="It goes on by itself as soon as the command is done.",
                retry_after_s=RETRY_S,
            )

    @contextlib.asynccontextmanager
    async def lend(self, service_id: str) -> AsyncIterator[None]:
        """Stop the service's child, let go of its store, and start neither again before the end.

        Raises NotFound, and Conflict where it is lent already.
        """
        self._services.get(service_id)
        if service_id in self._lent:
            raise Conflict(f"Another command works on the store of {service_id}.", remedy="Try again when it is done.")
        self._lent |= {service_id}
        is_ending = False
        log.info("store lent id=%s", service_id)
        try:
            await self._supervisor.stop(service_id, reason="its store is worked on by a command")
            await asyncio.to_thread(self._settle)
            await asyncio.to_thread(self._services.working_directory, service_id)
            yield
        except asyncio.CancelledError:
            is_ending = True  # The core ends; nothing is started any more.
            raise
        finally:
            self._lent -= {service_id}
            log.info("store given back id=%s", service_id)
            if not is_ending:
                with contextlib.suppress(NotFound):  # Uninstalled meanwhile.
                    await self._go_on(service_id)

    async def _go_on(self, service_id: str) -> None:
        if self._services.get(service_id).enabled:
            await self._take_up(service_id)
