"""Syncs that were broken off go on soon: after a start of the core, and after a child ended in the middle of one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from core.assembly.stores import Stores
from core.model.errors import LockerError
from core.schedule import Scheduler
from core.store import cut_run

Frequencies = Callable[[], Iterable[tuple[str, str, float]]]

log = logging.getLogger(__name__)


class GoingOn:
    """Brings the next turns of such streams near, once for each run that was broken off. Lives on the loop.

    `is_asleep` tells whether a service has no child.
    """

    def __init__(
        self, stores: Stores, scheduler: Scheduler, frequencies: Frequencies, *, is_asleep: Callable[[str], bool]
    ) -> None:
        self._stores = stores
        self._scheduler = scheduler
        self._frequencies = frequencies
        self._is_asleep = is_asleep
        self._seen: dict[tuple[str, str], str] = {}

    async def look(self, service_id: str | None = None) -> None:
        """Look at one service, or at all that sync by themselves."""
        # Noted before the stores are read: a turn that comes meanwhile is the going on itself.
        turns = await self._scheduler.pending(service_id)
        cut = await asyncio.to_thread(self._cut_runs, service_id)
        fresh: dict[str, list[str]] = {}
        for (service, stream), run in cut.items():
            if not self._is_asleep(service):
                continue  # The run may be one that it does just now; when it ends, somebody looks again.
            # A child that ends before it notes anything leaves the same run behind.
            if self._seen.get((service, stream)) != run:
                self._seen[service, stream] = run
                fresh.setdefault(service, []).append(stream)
        for service, streams in fresh.items():
            log.info("syncs that were broken off go on soon service=%s streams=%s", service, ",".join(streams))
            await self._scheduler.go_on(service, streams, seen=turns)

    def _cut_runs(self, only: str | None) -> dict[tuple[str, str], str]:
        found: dict[tuple[str, str], str] = {}
        for service, stream, _ in self._frequencies():
            if only in (None, service) and (run := self._cut_run(service, stream)) is not None:
                found[service, stream] = run
        return found

    def _cut_run(self, service: str, stream: str) -> str | None:
        try:
            with self._stores.reader(service) as reader:
                return cut_run(reader, stream)
        except LockerError:
            return None  # Whoever uses the store tells what is wrong with it.
