"""Everyone who listens, and a courier for each path: at least once, in order, over the logs themselves."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from core.events.batch import Allowed
from core.events.bus import Bus
from core.events.courier import Call, Courier, Delivery, DeliveryLimits
from core.events.cursor import Position, decode_cursor
from core.events.letters import DeadLetter, LetterTable
from core.events.listeners import LISTENERS_PER_SERVICE_MAX, Listener, ListenerTable, Place, Source
from core.events.logs import heads_of
from core.events.match import covering, wanted_name
from core.events.patience import Verdict
from core.model.clock import Clock
from core.model.errors import BadRequest, Conflict, CursorUnknown, Forbidden, Retry
from core.store import CoreDb

LETTERS_SHOWN_MAX = 1000

_PATH = re.compile(r"/[A-Za-z0-9_./~-]{0,200}")

log = logging.getLogger(__name__)


class Deliveries:
    """The listeners of all services. Lives on the loop; `start` and `close` are its ends.

    `call` posts a body with its headers to a service's path, starting its child, and gives the HTTP status.
    `allowed` says whether a service's manifest lets it hear a type (`contact`, `contact/github`), by `uses` or
    `events`; it is asked from threads, for each event by the event's own type, whatever name it was wanted by.
    `check` raises what keeps a service from asking for anything now.
    """

    def __init__(
        self,
        bus: Bus,
        coredb: CoreDb,
        clock: Clock,
        call: Call,
        *,
        allowed: Allowed,
        check: Callable[[str], object],
        limits: DeliveryLimits | None = None,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self._bus = bus
        self._allowed = allowed
        self._check = check
        self._clock = clock
        self._table = ListenerTable(coredb)
        self._letters = LetterTable(coredb)
        self._with = Delivery(
            bus=bus,
            listeners=self._table,
            letters=self._letters,
            clock=clock,
            call=call,
            allowed=allowed,
            limits=limits or DeliveryLimits(),
            random_unit=random_unit,
        )
        self._couriers: dict[Place, Courier] = {}
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._changing = asyncio.Lock()
        self._is_open = False

    async def start(self) -> None:
        """Take up every listener where it was left."""
        self._is_open = True
        async with self._changing:
            await self._follow_table()

    async def close(self) -> None:
        """Deliver no more; a batch under way may come again after the next start."""
        self._is_open = False
        async with self._changing:
            for place in list(self._couriers):
                await self._end(place)

    async def listen(
        self,
        service: str,
        *,
        type: str,
        path: str,
        source: Source = "call",
        since: str | None = None,
    ) -> None:
        """Deliver events of that type to the path: from now on, or from the cursor `since` (`0`: the beginning).

        Raises BadRequest, Forbidden for a type that the manifest does not declare, CursorUnknown, TooBusy, and what
        `check` raises: NotFound, ServiceDisabled.
        """
        name = wanted_name(type)
        self._check_allowed(service, name)
        listener = Listener(service=service, type=name, path=callback_path(path), source=source)
        async with self._changing:
            heads = await asyncio.to_thread(heads_of, self._bus.logs())
            self._check(service)
            places = None if since is None else _resolved(decode_cursor(since), heads)
            if places is not None:
                await self._end(listener.place)
            await asyncio.to_thread(self._table.add, listener, heads=heads, since=places)
            await self._follow_table()

    async def declare(self, service: str, events: Mapping[str, str]) -> None:
        """Make the manifest's `events`, type to path, what the service listens to; for start, install and change.

        What cannot be understood, or is one too many, is left out with a warning: it keeps no other from starting.
        """
        wanted = {}
        for kind, path in events.items():
            try:
                wanted[wanted_name(kind)] = callback_path(path)
            except BadRequest as err:
                log.warning("a manifest's event is left out service=%s type=%s: %s", service, kind, err)
        if len(wanted) > LISTENERS_PER_SERVICE_MAX:
            log.warning("a manifest's events are cut off service=%s at=%d", service, LISTENERS_PER_SERVICE_MAX)
            wanted = dict(list(wanted.items())[:LISTENERS_PER_SERVICE_MAX])
        async with self._changing:
            heads = await asyncio.to_thread(heads_of, self._bus.logs())
            await asyncio.to_thread(self._table.declare, service, wanted, heads=heads)
            await self._follow_table()

    async def deafen(self, service: str, *, type: str, path: str) -> bool:
        """Whether it listened so; it does not any more. Raises Conflict for what its manifest declares."""
        name, callback = wanted_name(type), callback_path(path)
        async with self._changing:
            there = [each for each in await asyncio.to_thread(self._table.all) if each.service == service]
            found = next((each for each in there if (each.type, each.path) == (name, callback)), None)
            if found is None:
                return False
            if found.source == "manifest":
                raise Conflict(
                    f"{service} declares {name} in its manifest", remedy="Take it out of [events] in connector.toml."
                )
            await asyncio.to_thread(self._table.remove, found)
            await self._follow_table()
            return True

    async def purge(self, service: str, *, log: str | None = None) -> None:
        """Forget an uninstalled service as a listener, and with its uid as `log` as a source, its words included."""
        async with self._changing:
            for place in [place for place in self._couriers if place[0] == service]:
                await self._end(place)
            await asyncio.to_thread(self._table.purge, service, log)
            await asyncio.to_thread(self._letters.purge, service, with_words=log is not None)

    async def forget_erased(self, service: str, *, record: tuple[str, str] | None, ids: Sequence[str]) -> None:
        """Keep no dead letter that tells of an erased record (type, key), or of erased facts."""
        await asyncio.to_thread(self._letters.purge_erased, service, record=record, ids=ids)

    async def keep_only(self, services: Collection[str]) -> None:
        """Forget every listener but those of these services: for the start, after a crash in an uninstall."""
        async with self._changing:
            orphans = await asyncio.to_thread(self._table.purge_all_but, set(services))
            for orphan in orphans:
                await asyncio.to_thread(self._letters.purge, orphan)
            if orphans:
                log.info("listeners of missing services purged services=%s", ",".join(orphans))
            await self._follow_table()

    def resume(self, service: str) -> None:
        """Try the service's deliveries again now: it was enabled, signed in or mended."""
        for (owner, _), courier in self._couriers.items():
            if owner == service:
                courier.nudge()

    async def listeners(self) -> list[Listener]:
        """Everyone who listens, and how it stands with them."""
        heads = await asyncio.to_thread(heads_of, self._bus.logs())
        shown = []
        for each in await asyncio.to_thread(self._table.all):
            if courier := self._couriers.get(each.place):
                state: dict[str, Any] = {"tries": courier.tries, "problem": courier.problem}
                each = msgspec.structs.replace(each, **state, behind=courier.behind(heads))
            shown.append(each)
        return shown

    async def dead_letters(self, service: str | None = None) -> list[DeadLetter]:
        """The events that listeners could not take, at most 1,000, the oldest first."""
        return await asyncio.to_thread(self._letters.all, service, limit=LETTERS_SHOWN_MAX)

    async def retry(self, dead_id: int) -> None:
        """Deliver a dead letter now and forget it; raises NotFound, or Retry when it is not taken this time either."""
        letter = await asyncio.to_thread(self._letters.get, dead_id)
        courier = self._couriers.get(letter.place) or Courier(letter.place, frozenset(), self._with)
        answer = await courier.post(letter.lines())
        if answer.verdict is not Verdict.APPLIED:
            now = self._clock.now()
            await asyncio.to_thread(self._letters.tried, dead_id, problem=answer.problem, now=now)
            raise Retry(f"dead letter {dead_id} for {letter.service}{letter.path}: {answer.problem}")
        await asyncio.to_thread(self._letters.drop, dead_id)

    async def drop(self, dead_id: int) -> None:
        """Give a dead letter up for good; raises NotFound."""
        await asyncio.to_thread(self._letters.drop, dead_id)

    def _check_allowed(self, service: str, wanted: str) -> None:
        if not any(self._allowed(service, name) for name in covering(wanted)):
            raise Forbidden(
                f"{service} does not declare that it hears {wanted}", remedy="Name the type in uses of connector.toml."
            )

    async def _follow_table(self) -> None:
        """One courier for each path that has listeners, and none for others."""
        names: dict[Place, set[str]] = defaultdict(set)
        for each in await asyncio.to_thread(self._table.all):
            names[each.place].add(each.type)
        for place in [place for place in self._couriers if place not in names]:
            await self._end(place)
        if not self._is_open:
            return
        for place, wanted in names.items():
            if place in self._couriers:
                self._couriers[place].hear(frozenset(wanted))
            else:
                courier = self._couriers[place] = Courier(place, frozenset(wanted), self._with)
                self._tasks[place] = asyncio.create_task(courier.run(), name=f"deliver {place[0]}{place[1]}")

    async def _end(self, place: Place) -> None:
        self._couriers.pop(place, None)
        if task := self._tasks.pop(place, None):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def callback_path(text: str) -> str:
    """The path below the service that events are posted to, with its leading slash; raises BadRequest."""
    path = text if text.startswith("/") else f"/{text}"
    if not _PATH.fullmatch(path) or path.startswith("//") or ".." in path.split("/"):
        raise BadRequest(f"{text[:80]!r} is no callback path", remedy="Send a path as the connector serves it.")
    return path


def _resolved(cursor: Mapping[str, Position], heads: Mapping[str, Position]) -> dict[str, Position]:
    """The cursor's place in every log that there is; a log that it does not know began after it."""
    for uid, position in cursor.items():
        if uid in heads and (position.epoch != heads[uid].epoch or position.seq > heads[uid].seq):
            raise CursorUnknown("the cursor was given before a store was restored")
    return {uid: cursor.get(uid, Position(head.epoch, 0)) for uid, head in heads.items()}
