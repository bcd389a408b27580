"""One service in the supervisor's care: its state, its child, and who is using it. Owned by the loop.

One task accompanies each child from its start to its end and makes every move of the state meanwhile; callers only
ask for a start or a stop and wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from core.model.clock import Clock
from core.model.errors import (
    Broken,
    ChildSilent,
    CoolingDown,
    LockerError,
    Retry,
    RunMissing,
    UserActionNeeded,
)
from core.process import lifecycle
from core.process.child import Child
from core.process.launcher import Launcher
from core.process.lifecycle import Announce, Clear, Crash, End, Failed, Refuse, Running, Start, Starting, State, Stop
from core.process.logs import ChildLogs
from core.process.orphans import ChildRoll
from core.process.ports import suggested_port
from core.process.slot import Slot
from core.process.spec import Endpoint, LaunchSpec, ProcessLimits
from core.process.use import REASON_CHARS_MAX, Use

log = logging.getLogger(__name__)

ROUNDS_MAX = 5
# The second is what is known of a child that outlived the warm parent which would have reaped it.
ENDED_IN_ORDER = ("ended with exit status 0", "ended")

Outcome = Endpoint | LockerError | None


async def nothing_before(_service_id: str) -> None:
    """Nothing has to be done before a start."""


@dataclass(frozen=True)
class Means:
    """What every charge of one supervisor shares."""

    spec_for: Callable[[str], LaunchSpec]
    launcher: Launcher
    limits: ProcessLimits
    clock: Clock
    logs: ChildLogs
    roll: ChildRoll
    slots: asyncio.Semaphore
    on_change: Callable[[str, State], None]
    before_launch: Callable[[str], Awaitable[None]]
    random_unit: Callable[[], float]


class Charge:
    """A service's process life; `state` is the one truth about it."""

    def __init__(self, service_id: str, means: Means) -> None:
        self.service_id = service_id
        self.state: State = lifecycle.Stopped(since=means.clock.monotonic())
        self.spec: LaunchSpec | None = None
        self.endpoint: Endpoint | None = None
        self.child: Child | None = None
        self.token_digest: bytes | None = None
        self.last_exit: str | None = None
        self._last_words = ""
        self.use = Use(service_id, clock=means.clock, limits=means.limits)
        self._means = means
        self._generation = 0
        self._starting: asyncio.Future[Outcome] | None = None
        self._life: asyncio.Task[None] | None = None
        self._stop_asked = asyncio.Event()
        self._grace_s = means.limits.stop_grace_s

    async def ensure(self) -> Endpoint:
        """The running child's endpoint, started if need be; any number of callers share one start. INV-04."""
        for _ in range(ROUNDS_MAX):
            if isinstance(self.state, Running) and self.endpoint is not None:
                self.use.touch()
                return self.endpoint
            if isinstance(self.state, Running | lifecycle.Stopping):
                # Told to end, or ended by itself: either way it is not put away yet.
                await self.gone()
                continue
            outcome = await asyncio.shield(self._starting_now())
            if isinstance(outcome, LockerError):
                raise outcome.with_traceback(None)
            if outcome is not None:
                self.use.touch()
                return outcome
        raise Retry(f"{self.service_id} was stopped each time it was started", retry_after_s=1.0)

    async def stop(self, *, reason: str, grace_s: float | None = None) -> None:
        """End the child and return when it and all it started are gone; nothing to do where none lives."""
        if self._life is None:
            return
        if isinstance(self.state, Starting | Running):
            self._grace_s = self._means.limits.stop_grace_s if grace_s is None else grace_s
            self._move(Stop(reason[:REASON_CHARS_MAX]))
            self._stop_asked.set()
        await self.gone()

    async def gone(self) -> None:
        """Return when the present child, if there is one, is gone."""
        if self._life is not None:
            await asyncio.wait([self._life])

    def kill(self) -> None:
        """End a child that was told to end, without further waiting."""
        if self.child is not None:
            self.child.kill()

    def clear(self) -> None:
        """Forget a failure: the next start need not wait."""
        if isinstance(self.state, Failed):
            self._move(Clear())

    def report_dead(self, endpoint: Endpoint) -> None:
        """Somebody could not reach `endpoint`: if the child does not listen there, it is ended."""
        if endpoint != self.endpoint or not isinstance(self.state, Running) or self.child is None:
            return
        if not self.child.owns(endpoint.port):
            self._move(Stop("it stopped listening on its port"))
            self._stop_asked.set()

    def is_idle(self) -> bool:
        """Whether the child runs and nobody has used it for as long as its manifest allows."""
        if not isinstance(self.state, Running) or self.spec is None or self.spec.resident:
            return False
        return self.use.quiet_s() >= self.spec.idle_stop_s

    def _starting_now(self) -> asyncio.Future[Outcome]:
        if isinstance(self.state, Starting) and self._starting is not None:
            return self._starting
        left_s = lifecycle.cooling_s(self.state, self._means.clock.monotonic())
        if left_s > 0 and isinstance(self.state, Failed):
            raise CoolingDown(
                f"{self.service_id} failed {self.state.crashes} times in a row: {self.state.detail}",
                retry_after_s=left_s,
            )
        spec = self._means.spec_for(self.service_id)
        self._starting = asyncio.get_running_loop().create_future()
        self._stop_asked = asyncio.Event()
        self._move(Start(calm_s=self._means.limits.calm_s))
        self.spec = spec
        self._life = asyncio.create_task(self._live(spec, self._starting), name=f"child {self.service_id}")
        return self._starting

    async def _live(self, spec: LaunchSpec, starting: asyncio.Future[Outcome]) -> None:
        try:
            outcome = await self._bring_up(spec)
            if isinstance(outcome, Endpoint) and isinstance(self.state, Starting):
                self._run(outcome)
                starting.set_result(outcome)
                await self._accompany()
            else:
                await self._give_up(outcome, starting)
        except Exception as err:
            log.exception("supervision failed id=%s", self.service_id)
            await self._let_go()
            problem = Broken(f"{self.service_id} could not be supervised: {type(err).__name__}")
            self._settle(self._failure(problem))
            if not starting.done():
                starting.set_result(problem)
        finally:
            self._life = None

    async def _bring_up(self, spec: LaunchSpec) -> Outcome:
        """The endpoint of a new child; the error that kept it from starting; None if a stop came between."""
        began = asyncio.get_running_loop().time()
        slot = Slot(self._means.slots)
        try:
            if not await self._unless_stopped(slot.take()):
                return None
            slot.free_after(self._means.limits.start_slot_s)
            token = secrets.token_urlsafe(32)
            if not await self._unless_stopped(self._launch(spec, token)) or self.child is None:
                return None
            port = await self._port_of(self.child, spec)
            if port is None:
                return None
        except LockerError as err:
            return err
        finally:
            slot.free()
        took_s = asyncio.get_running_loop().time() - began
        log.info("child ready id=%s port=%d pid=%d took_s=%.3f", self.service_id, port, self.child.pid, took_s)
        return Endpoint(
            service_id=self.service_id,
            port=port,
            token=token,
            pid=self.child.pid,
            started_at=self._means.clock.now(),
            generation=self._generation,
        )

    async def _launch(self, spec: LaunchSpec, token: str) -> None:
        # The service counts as starting by now, so whatever gives way to its child keeps out of the way.
        await self._means.before_launch(self.service_id)
        greeting = spec.greeting(suggested_port(), token)
        launched = await self._means.launcher.launch(spec)
        self._generation += 1
        self.token_digest = hashlib.sha256(token.encode()).digest()
        self.child = Child(
            launched,
            greeting=greeting,
            log=self._means.logs.of(self.service_id),
            limits=self._means.limits,
            secrets=spec.secrets,
        )
        self._means.roll.enter(self.service_id, self.child.leader)
        self._means.logs.of(self.service_id).write("core", f"started, pid {self.child.pid}")

    async def _port_of(self, child: Child, spec: LaunchSpec) -> int | None:
        """The port that the child announces; None if a stop was asked for meanwhile; raises ChildSilent and others."""
        hearing = asyncio.create_task(child.announced())
        try:
            if not await self._unless_stopped(asyncio.wait([hearing], timeout=spec.start_timeout_s)):
                return None
            if not hearing.done():
                raise ChildSilent(
                    f"{self.service_id} announced no port within {spec.start_timeout_s:g} s{child.last_words()}"
                )
            return hearing.result()
        finally:
            hearing.cancel()
            await asyncio.wait([hearing])
            # An error that comes after everyone has left is no news; asking for it keeps it quiet.
            if not hearing.cancelled():
                hearing.exception()

    async def _accompany(self) -> None:
        """Wait for the child's end or for a stop, and make the move that follows."""
        assert self.child is not None
        if await self._unless_stopped(asyncio.wait([self.child.ended])):
            await self._let_go()
            self._settle(self._own_end())
            return
        await self.child.ask_to_end(grace_s=self._grace_s)
        await self._let_go()
        self._settle(None)

    async def _give_up(self, outcome: Outcome, starting: asyncio.Future[Outcome]) -> None:
        """The start did not succeed, or a stop overtook it: those who wait learn which once the child is gone."""
        was_stopped = self._stop_asked.is_set()
        if was_stopped and self.child is not None:
            await self.child.ask_to_end(grace_s=self._grace_s)
        await self._let_go()
        if isinstance(outcome, LockerError) and not self._stop_asked.is_set():
            log.warning("child failed to start id=%s code=%s detail=%s", self.service_id, outcome.code, outcome)
            self._note_failure(outcome)
            self._settle(self._failure(outcome))
            starting.set_result(outcome)
        else:
            self._settle(None)
            starting.set_result(None)

    def _note_failure(self, error: LockerError) -> None:
        """Say in the service's own log why it did not start: where the owner is sent to look."""
        told = self._means.logs.of(self.service_id)
        told.write("core", " ".join(f"did not start: {error.detail}".split()))
        told.close()

    def _settle(self, move: lifecycle.Move | None) -> None:
        """The last move of a life: the end that was asked for, or else `move`."""
        if isinstance(self.state, lifecycle.Stopping):
            self._move(End(self.state.reason))
        elif move is not None:
            self._move(move)

    def _own_end(self) -> lifecycle.Move:
        sentence = self.last_exit or "ended"
        if sentence in ENDED_IN_ORDER:
            return End("it ended by itself")
        log.warning("child died id=%s exit=%s", self.service_id, sentence)
        return self._crash("child_died", f"{self.service_id} {sentence}{self._last_words}")

    def _failure(self, error: LockerError) -> lifecycle.Move:
        # A plain Retry blames nobody: something else has to end before the child can start.
        if isinstance(error, RunMissing | UserActionNeeded) or type(error) is Retry:
            return Refuse(error.code, error.detail)
        return self._crash(error.code, error.detail)

    async def _let_go(self) -> None:
        """Make sure that nothing of the child is left, and forget it."""
        child, self.child = self.child, None
        self.endpoint = None
        if child is not None:
            is_gone = await child.finish()
            self.last_exit, self._last_words = child.exit_sentence(), child.last_words()
            self._means.logs.of(self.service_id).write("core", self.last_exit)
            if is_gone:
                self._means.roll.strike(child.pid)
            else:
                log.error("child cannot be ended id=%s pid=%d", self.service_id, child.pid)
        self.token_digest = None
        self.use.release_all()
        self._means.logs.of(self.service_id).close()

    def _run(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.use.touch()
        self._move(Announce(port=endpoint.port, pid=endpoint.pid))

    def _crash(self, code: str, detail: str) -> Crash:
        return Crash(code, detail, random_unit=self._means.random_unit(), backoff=self._means.limits.backoff)

    async def _unless_stopped(self, awaited: Coroutine[Any, Any, object]) -> bool:
        """Wait for `awaited` or a stop, whichever is first; False if a stop was asked for."""
        work = asyncio.ensure_future(awaited)
        stop = asyncio.ensure_future(self._stop_asked.wait())
        try:
            await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            work.cancel()
            await asyncio.wait([work])
        if not work.cancelled():
            work.result()
        return not self._stop_asked.is_set()

    def _move(self, move: lifecycle.Move) -> None:
        self.state = lifecycle.after(self.state, move, self._means.clock.monotonic())
        try:
            self._means.on_change(self.service_id, self.state)
        except Exception:
            log.exception("a listener to lifecycle moves failed id=%s", self.service_id)
