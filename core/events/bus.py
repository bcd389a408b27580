"""The one place that hears that something happened, and wakes whoever reads the logs."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from core.events.cursor import Position
from core.events.logs import FactLog, Log, LogSource, heads_of
from core.events.published import PublishedLog
from core.model.clock import Clock
from core.model.errors import BadRequest
from core.model.event import Event, EventAction, Idr
from core.store import CoreDb

IDR_CHARS_MAX = 2048

_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")

Sources = Callable[[], Mapping[str, LogSource]]
Announced = Callable[[str, str, Mapping[str, Any]], None]

log = logging.getLogger(__name__)


class Bus:
    """Tells readers that logs have grown; the logs themselves are the queue. Lives on the loop.

    `sources` gives the log of every installed service, enabled or not, by service id.
    """

    def __init__(self, coredb: CoreDb, clock: Clock, sources: Sources) -> None:
        self._published = PublishedLog(coredb, clock)
        self._sources = sources
        self._tells = 0
        self._told: dict[str, int] = {}
        self._heads: dict[str, Position] = {}
        self._listed: dict[str, Log] = {}
        self._listed_at = -1
        self._grown = asyncio.Event()
        self._hearers: list[Announced] = []

    def logs(self) -> dict[str, Log]:
        """Every log by its uid, as of the last tell; that of the published events has none."""
        if self._listed_at != self._tells:
            self._listed_at = self._tells
            self._listed = {self._published.uid: self._published}
            for service, source in sorted(self._sources().items()):
                self._listed[source.uid] = FactLog(service, source)
        return dict(self._listed)

    def committed(self, service: str, seq: int) -> None:
        """Take a child's tell that its log reaches `seq`; cheap, and harmless if it is wrong."""
        log.debug("committed service=%s seq=%d", service, seq)
        self._tell(service)

    async def check(self, service: str | None = None) -> None:
        """Compare logs with what is known of them, as a lost tell would leave them: at start, when a child ends."""
        self._listed_at = -1
        logs = {uid: each for uid, each in self.logs().items() if service in (None, each.service)}
        for uid, head in (await asyncio.to_thread(heads_of, logs)).items():
            if head != self._heads.get(uid):
                self._heads[uid] = head
                self._tell(logs[uid].service)

    async def publish(self, service: str, *, idr: Idr, action: EventAction, value: Mapping[str, Any]) -> Event:
        """Keep and spread what a service says without a fact; the event as it is heard."""
        if len(str(idr)) > IDR_CHARS_MAX:
            raise BadRequest(f"the IDR has more than {IDR_CHARS_MAX} characters")
        if action not in ("new", "update", "delete"):
            raise BadRequest(f"{str(action)[:20]!r} is no action", remedy="Send new, update or delete.")
        event = await asyncio.to_thread(self._published.add, service, idr, action, value)
        self._tell(self._published.service)
        return event

    async def erase(self, service: str) -> None:
        """Forget everything a service published: it is uninstalled with all it left."""
        await asyncio.to_thread(self._published.erase, service)

    def announce(self, service: str, kind: str, payload: Mapping[str, Any]) -> None:
        """Show something of the moment to whoever looks on right now; kept nowhere."""
        if not _KIND.fullmatch(kind):
            raise BadRequest(f"{kind[:40]!r} is no kind of announcement")
        for hear in list(self._hearers):
            hear(service, kind, payload)

    def on_announce(self, hear: Announced) -> None:
        """Have announcements handed to `hear`, on the loop."""
        self._hearers.append(hear)

    @property
    def tells(self) -> int:
        """How often anything was told; what `grown` waits to see exceeded."""
        return self._tells

    def told(self, service: str) -> int:
        """The tell that last spoke of the service's log, 0 if none did."""
        return self._told.get(service, 0)

    async def grown(self, tells: int) -> None:
        """Return when more than `tells` have come."""
        while self._tells <= tells:
            await self._grown.wait()

    def _tell(self, service: str) -> None:
        self._tells += 1
        self._told[service] = self._tells
        # Wakes everyone who waits now; an event left set would let the next wait return for nothing.
        self._grown.set()
        self._grown.clear()
