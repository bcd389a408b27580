"""Calls services at the times they asked for, and starts the streams that nobody asked for."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterable

from core.model.clock import Clock
from core.model.errors import NotFound
from core.schedule import plan
from core.schedule.alarm import PULSE_S, Alarm
from core.schedule.plan import Answer, Pending, Verdict
from core.schedule.table import PendingTable
from core.store import CoreDb

CALL_S_MAX = 150.0
GO_ON_S = 5.0

Call = Callable[[str, str], Awaitable[int]]
Frequencies = Callable[[], Iterable[tuple[str, str, float]]]
Check = Callable[[str], object]

log = logging.getLogger(__name__)


class Scheduler:
    """The durable list of pending calls and the timer over it. Lives on the loop; `start` and `stop` are its ends.

    `call` posts to a service's path, starting its child, and gives the HTTP status. `frequencies` lists every
    stream of the installed services as (service, stream, seconds); `services` the ids of all installed services,
    enabled or not; `check` raises what keeps a service from asking for anything now.
    """

    def __init__(
        self,
        coredb: CoreDb,
        clock: Clock,
        call: Call,
        frequencies: Frequencies,
        *,
        services: Callable[[], Collection[str]],
        check: Check,
        random_unit: Callable[[], float] = random.random,
        pulse_s: float = PULSE_S,
        call_s_max: float = CALL_S_MAX,
    ) -> None:
        self._table = PendingTable(coredb)
        self._clock = clock
        self._call = call
        self._frequencies = frequencies
        self._services = services
        self._check = check
        self._random_unit = random_unit
        self._call_s_max = call_s_max
        self._alarm = Alarm(self.replan, pulse_s=pulse_s)
        self._look_again = asyncio.Event()
        # Whoever adds an entry checks and writes it under this lock: none can be written after a purge of its service.
        self._adding = asyncio.Lock()
        self._planner: asyncio.Task[None] | None = None
        self._calls: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._seen = (clock.now(), clock.monotonic())

    async def start(self) -> None:
        """Take up the list: entries of missing services go, broken-off calls are tried again, missed ones spread."""
        orphans = await asyncio.to_thread(self._table.purge_all_but, set(self._services()))
        if orphans:
            log.info("pending calls of missing services purged services=%s", ",".join(orphans))
        await self._take_up()
        await self.ensure_streams()
        self._seen = (self._clock.now(), self._clock.monotonic())
        await self._spread_missed()
        self._planner = asyncio.create_task(self._plan_forever(), name="schedule")
        self._alarm.start()

    async def stop(self) -> None:
        """Call nobody any more; a call under way is broken off and tried again at the next start."""
        await self._alarm.stop()
        tasks = [*self._calls.values(), *([self._planner] if self._planner else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def at(self, service: str, path: str, at: object) -> None:
        """Call `path` of the service at that time, once; replaces what was pending for the same path.

        A past time means at once. Raises BadRequest, TooBusy past 1,000 entries of one service, and what `check`
        raises: NotFound, ServiceDisabled.
        """
        moment = plan.parse_at(at, now=self._clock.now())
        entry = Pending(service=service, path=plan.parse_path(path), at=moment, kind="asked")
        async with self._adding:
            self._check(service)
            await asyncio.to_thread(self._table.ask, entry)
        self.replan()

    async def cancel(self, service: str, path: str) -> bool:
        """Whether something was pending for that path; it is gone."""
        return await asyncio.to_thread(self._table.cancel, service, path)

    async def pending(self, service: str | None = None) -> list[Pending]:
        """Every pending call, or those of one service, the earliest first."""
        return await asyncio.to_thread(self._table.all, service)

    def next_runs(self, service: str) -> dict[str, float]:
        """When each stream of the service runs next. Reads from the disk's cache, in a fraction of a millisecond."""
        return {entry.stream: entry.at for entry in self._table.all(service) if entry.stream}

    async def purge(self, service: str) -> None:
        """Forget everything of a service that is being uninstalled, and break off its calls.

        It stays forgotten when `check` and the frequencies know by now that it is to go.
        """
        for (owner, _), task in list(self._calls.items()):
            if owner == service:
                task.cancel()
        async with self._adding:
            await asyncio.to_thread(self._table.purge, service)

    async def keep_streams(self, service: str, streams: Collection[str]) -> None:
        """Forget the calls of every other stream of the service, whose manifest has changed, and break them off."""
        async with self._adding:
            dropped = [
                entry
                for entry in await asyncio.to_thread(self._table.all, service)
                if entry.stream is not None and entry.stream not in streams
            ]
            for entry in dropped:
                if task := self._calls.get(entry.place):
                    task.cancel()
                await asyncio.to_thread(self._table.cancel, *entry.place)
                log.info("call of a dropped stream purged service=%s path=%s", *entry.place)

    async def resume(self, service: str) -> None:
        """Call at once what met a problem: the owner has signed in, enabled the service or corrected its settings."""
        await asyncio.to_thread(self._table.resume, service, self._clock.now())
        self.replan()

    async def go_on(self, service: str, streams: Collection[str], *, seen: Collection[Pending]) -> None:
        """Bring near the regular turns of streams whose run was broken off; a wait after a problem stays as it is.

        `seen` is what was pending before the runs were looked at: a turn that was called or moved since then stays.
        """
        soon = self._clock.now() + GO_ON_S
        pairs = plan.brought_near([entry for entry in seen if entry.service == service], streams, soon)
        await asyncio.to_thread(self._table.replace, pairs)
        self.replan()

    async def ensure_streams(self) -> None:
        """Start every stream that has nothing pending; to be called after an install or an enable too."""
        now = self._clock.now()
        async with self._adding:
            turns = [
                Pending(service=service, path=f"/sync/{stream}", at=now, kind="fallback")
                for service, stream, _ in self._frequencies()
            ]
            await asyncio.to_thread(self._table.add, turns)
        self.replan()

    def replan(self) -> None:
        """Look at the list and the clock again, soon."""
        self._look_again.set()

    async def _plan_forever(self) -> None:
        while True:
            await self._look_again.wait()
            self._look_again.clear()
            try:
                await self._plan()
            except Exception:
                # The edge of the task: the next pulse tries again, a full disk may have room by then.
                log.exception("the schedule could not be read")

    async def _plan(self) -> None:
        await self._follow_clock()
        now = self._clock.now()
        ready = plan.due(await asyncio.to_thread(self._table.due, now), now)
        chosen = plan.choose(ready, self._calls)
        if chosen:
            frequencies = self._frequency_of()
            pairs = [(e, plan.fired(e, now=now, frequency_s=frequencies.get(e.place))) for e in chosen]
            for entry, under_way in await asyncio.to_thread(self._table.replace, pairs):
                task = asyncio.create_task(self._run(under_way), name=f"call {entry.service}{entry.path}")
                self._calls[entry.place] = task
        next_at = await asyncio.to_thread(self._table.next_at, now)
        self._alarm.set(None if next_at is None else next_at - self._clock.now())

    async def _follow_clock(self) -> None:
        """Keep the waits as long as they are when the clock is set back; spread what was slept through."""
        seen, self._seen = self._seen, (self._clock.now(), self._clock.monotonic())
        step_s = plan.step_between(seen, self._seen)
        if step_s < 0:
            log.info("the clock was set back step_s=%.0f", step_s)
            await asyncio.to_thread(self._table.shift, step_s)
        elif step_s > 0 or self._seen[1] - seen[1] > plan.LATE_S:
            # Some systems count sleep as monotonic time: then only the late pulse tells of it.
            log.info("the clock ran on without us step_s=%.0f", step_s)
            await self._spread_missed()

    async def _spread_missed(self) -> None:
        now = self._clock.now()
        missed = plan.due(await asyncio.to_thread(self._table.all), now)
        moved = plan.spread(missed, now=now, random_unit=self._random_unit)
        await asyncio.to_thread(self._table.move, moved)

    async def _take_up(self) -> None:
        """Settle what a stopped core left under way, and bring near what a wrong clock put far ahead."""
        now, frequencies = self._clock.now(), self._frequency_of()
        far = []
        for entry in await asyncio.to_thread(self._table.all):
            if entry.kind == "fallback" and entry.tries > 0 and entry.last_problem is None:
                await self._settle(entry, Answer(Verdict.FAILED, "Locker stopped during the call"))
            elif (near := plan.nearest(entry, now=now, frequency_s=frequencies.get(entry.place))) is not entry:
                far.append(near)
        await asyncio.to_thread(self._table.move, far)

    async def _run(self, under_way: Pending) -> None:
        try:
            await self._settle(under_way, await self._answer(under_way))
        except Exception:
            # The edge of the task: the entry that stands in for the call stays, and comes due by itself.
            log.exception("a call could not be settled service=%s path=%s", under_way.service, under_way.path)
        finally:
            self._calls.pop(under_way.place, None)
            self.replan()

    async def _answer(self, under_way: Pending) -> Answer:
        try:
            async with asyncio.timeout(self._call_s_max):
                status = await self._call(under_way.service, under_way.path)
            is_of_no_stream = under_way.stream is not None and under_way.place not in self._frequency_of()
            return plan.judge_status(status, is_of_no_stream=is_of_no_stream)
        except TimeoutError:
            return Answer(Verdict.FAILED, f"it did not answer within {self._call_s_max:.0f} s")
        except NotFound as err:
            if under_way.service in self._services():
                return plan.judge_error(err)
            await asyncio.to_thread(self._table.purge, under_way.service)
            return Answer(Verdict.DONE)
        except Exception as err:
            # The edge of the task: whatever a call meets becomes the entry's visible problem.
            return plan.judge_error(err)

    async def _settle(self, under_way: Pending, answer: Answer) -> None:
        after = plan.settled(
            under_way,
            answer,
            now=self._clock.now(),
            frequency_s=self._frequency_of().get(under_way.place),
            random_unit=self._random_unit(),
        )
        if answer.problem is not None:
            where = (under_way.service, under_way.path.partition("?")[0])
            log.info("call not done service=%s path=%s tries=%d: %s", *where, under_way.tries, answer.problem)
        await asyncio.to_thread(self._table.settle, under_way, after)

    def _frequency_of(self) -> dict[tuple[str, str], float]:
        return {(service, f"/sync/{stream}"): every_s for service, stream, every_s in self._frequencies()}
