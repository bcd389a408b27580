"""Delivers to one path of one service: batch after batch, in order, each until it is taken or set aside."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from core.events import patience
from core.events.batch import Allowed, Batch, Ear, fill
from core.events.bus import Bus
from core.events.cursor import Position
from core.events.letters import LetterTable
from core.events.listeners import ListenerTable, Place
from core.events.patience import Answer, Attempt, Move
from core.model.clock import Clock

CONTENT_TYPE = "application/jsonl"
SKIPPED_PER_WRITE = 5000
RECHECK_S = 60.0

Call = Callable[[str, str, Mapping[str, str], bytes], Awaitable[int]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeliveryLimits:
    """How much goes out at once, how long it is gathered, and how patiently it is tried."""

    batch_events_max: int = 500
    batch_wait_s: float = 1.0
    call_s_max: float = 150.0
    backoff_first_s: float = 1.0
    backoff_max_s: float = 300.0


@dataclass(frozen=True)
class Delivery:
    """What every courier works with: the bus, its tables, and the way to a service."""

    bus: Bus
    listeners: ListenerTable
    letters: LetterTable
    clock: Clock
    call: Call
    allowed: Allowed
    limits: DeliveryLimits
    random_unit: Callable[[], float]


class Courier:
    """One path's deliveries. It owns the path's positions while it runs; the log is its queue."""

    def __init__(self, place: Place, names: frozenset[str], delivery: Delivery) -> None:
        self.place = place
        self.problem: str | None = None
        self._with = delivery
        self._ear = Ear(place[0], names, delivery.allowed)
        self._attempt = Attempt(size=delivery.limits.batch_events_max)
        self._positions: dict[str, Position] = {}
        self._kept: dict[str, Position] = {}
        self._read_at: dict[str, int] = {}
        self._skipped = 0
        self._first = 0
        self._is_loaded = False
        self._recheck_at: float | None = None
        self._nudged = asyncio.Event()
        self._calling = asyncio.Lock()

    @property
    def tries(self) -> int:
        """How often in a row the next events were not taken."""
        return self._attempt.tries + self._attempt.waits

    def hear(self, names: frozenset[str]) -> None:
        """Listen to these names from the next batch on."""
        self._ear = Ear(self.place[0], names, self._with.allowed)

    def nudge(self) -> None:
        """Try again now: what stood in the way may be gone."""
        self._nudged.set()

    def behind(self, heads: Mapping[str, Position]) -> int:
        """How many entries of the logs it has not looked at."""
        known = {uid: self._positions.get(uid, Position("", 0)) for uid in heads}
        return sum(max(0, h.seq - (known[uid].seq if known[uid].epoch == h.epoch else 0)) for uid, h in heads.items())

    async def run(self) -> None:
        """Deliver for ever; ends by cancellation, and leaves what it knows of its positions in core.db."""
        try:
            while True:
                try:
                    await self._round()
                except Exception:
                    # The edge of the task: core.db may be out of room; the logs keep everything meanwhile.
                    log.exception("deliveries stand still service=%s path=%s", *self.place)
                    await self._pause(self._with.limits.backoff_max_s)
        finally:
            await asyncio.shield(asyncio.to_thread(self._keep))

    async def _round(self) -> None:
        if not self._is_loaded:
            self._positions = await asyncio.to_thread(self._with.listeners.positions, self.place)
            self._kept = dict(self._positions)
            self._is_loaded = True
        tells = self._with.bus.tells
        batch = await self._gather()
        if batch.lines:
            await self._deliver(batch)
        else:
            await self._pass_by(batch)
            await self._wait(tells)

    async def post(self, body: bytes) -> Answer:
        """Send the lines, one batch at a time, and judge what came of it."""
        headers = {"content-type": CONTENT_TYPE}
        try:
            async with self._calling, asyncio.timeout(self._with.limits.call_s_max):
                return patience.judge_status(await self._with.call(*self.place, headers, body))
        except TimeoutError:
            return Answer(patience.Verdict.FAILED, f"no answer within {self._with.limits.call_s_max:.0f} s")
        except Exception as err:
            # The edge to another program: whatever stands in the way becomes the listener's visible problem.
            return patience.judge_error(err)

    async def _gather(self) -> Batch:
        """The next events; while all goes well they are gathered for a moment, so that they go out together."""
        logs = self._with.bus.logs()
        told = {uid: self._with.bus.told(each.service) for uid, each in logs.items()}
        unread = [uid for uid in self._in_turn(list(logs)) if self._read_at.get(uid) != told[uid]]
        batch = Batch(size_max=self._attempt.size, positions=dict(self._positions), unread=list(unread))
        if not unread:
            return batch
        await asyncio.to_thread(fill, batch, logs, self._ear)
        if batch.lines and not batch.is_full and not self.tries and not self._attempt.suspects:
            await asyncio.sleep(self._with.limits.batch_wait_s)
            batch.unread = list(unread)
            await asyncio.to_thread(fill, batch, logs, self._ear)
        if not batch.lines:
            self._read_at |= {uid: told[uid] for uid in unread if uid not in batch.unread}
        if batch.broken and self._recheck_at is None:
            self._recheck_at = self._with.clock.monotonic() + RECHECK_S
        return batch

    def _in_turn(self, uids: list[str]) -> list[str]:
        """Another log first after each batch that was taken, so that a busy one does not keep back the rest."""
        start = self._first % len(uids)
        return uids[start:] + uids[:start]

    async def _deliver(self, batch: Batch) -> None:
        answer = await self.post(b"".join(batch.lines))
        size_max = self._with.limits.batch_events_max
        tried = self.tries + 1
        move, self._attempt = patience.after(self._attempt, answer, events=len(batch.lines), size_max=size_max)
        self._note(answer)
        if move is Move.GO_ON:
            await self._move_on(batch)
        elif move is Move.BURY and not await self._bury(batch, answer, tried):
            self.problem = f"too many dead letters; {answer.problem}"
            await self._pause(self._with.limits.backoff_max_s)
        elif move is Move.AGAIN:
            await self._pause(max(self._backoff_s(), min(answer.retry_after_s, self._with.limits.backoff_max_s)))

    async def _move_on(self, batch: Batch) -> None:
        self._positions = batch.positions
        self._first += 1
        await asyncio.to_thread(self._keep)

    async def _bury(self, batch: Batch, answer: Answer, tried: int) -> bool:
        [line] = batch.lines
        now = self._with.clock.now()
        buried = await asyncio.to_thread(
            self._with.letters.bury,
            self.place,
            line,
            problem=answer.problem,
            now=now,
            tries=tried,
            positions=batch.positions,
        )
        if buried:
            log.warning("event set aside service=%s path=%s: %s", *self.place, answer.problem)
            self._positions = batch.positions
            self._kept = dict(batch.positions)
        return buried

    async def _pass_by(self, batch: Batch) -> None:
        """Facts that nobody here asked for move the position too, but are not worth a write each."""
        self._positions = batch.positions
        self._skipped += batch.passed
        if self._skipped >= SKIPPED_PER_WRITE:
            await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        moved = {uid: p for uid, p in self._positions.items() if self._kept.get(uid) != p}
        if moved:
            self._with.listeners.advance(self.place, moved)
            self._kept |= moved
        self._skipped = 0

    def _note(self, answer: Answer) -> None:
        """Warn once when deliveries begin to fail, and tell once that they succeed again."""
        problem = answer.problem or None
        if problem and not self.problem:
            log.warning("delivery not taken service=%s path=%s: %s", *self.place, problem)
        elif self.problem and not problem:
            log.info("deliveries are taken again service=%s path=%s", *self.place)
        self.problem = problem

    def _backoff_s(self) -> float:
        limits = self._with.limits
        unit = self._with.random_unit()
        return patience.backoff_s(
            self._attempt, random_unit=unit, first_s=limits.backoff_first_s, max_s=limits.backoff_max_s
        )

    async def _wait(self, tells: int) -> None:
        """Until a log grows, or it is time to look again at one that could not be read."""
        left_s = None if self._recheck_at is None else max(0.0, self._recheck_at - self._with.clock.monotonic())
        try:
            async with asyncio.timeout(left_s):
                await self._with.bus.grown(tells)
        except TimeoutError:
            self._recheck_at = None
            self._read_at.clear()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudged.wait()
        self._nudged.clear()
