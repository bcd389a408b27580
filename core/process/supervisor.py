"""Who is running: starts children when they are needed, shares each start, ends what is idle, too large or unwanted."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

from core.model.clock import Clock
from core.model.errors import NotFound, Retry
from core.process import strays, tree
from core.process.charge import Charge, Means, nothing_before
from core.process.launcher import Launcher
from core.process.lifecycle import State, Stopped
from core.process.logs import ChildLogs
from core.process.orphans import ChildRoll
from core.process.spec import Endpoint, LaunchSpec, ProcessDetails, ProcessLimits
from core.process.zygote import Zygote

log = logging.getLogger(__name__)

# What a forced end needs after the grace: killing, reaping, closing pipes.
KILL_RESERVE_S = 1.5


class Supervisor:
    """The children of one core. Owned by the loop it was started on; other threads may only call `state`, `details`,
    `pid_of` and `service_of_token`. Whoever made `zygote` and `logs` closes them, after this."""

    def __init__(
        self,
        *,
        spec_for: Callable[[str], LaunchSpec],
        me: Path,
        clock: Clock,
        limits: ProcessLimits,
        zygote: Zygote | None,
        logs: ChildLogs,
        on_change: Callable[[str, State], None],
        before_launch: Callable[[str], Awaitable[None]] = nothing_before,
        environment: Mapping[str, str] | None = None,
        launcher: Launcher | None = None,
    ) -> None:
        self._spec_for = spec_for
        self._limits = limits
        self._clock = clock
        self._launcher = launcher or Launcher(
            zygote=zygote,
            environment=os.environ if environment is None else environment,
            open_files_max=limits.open_files_max,
        )
        self._roll = ChildRoll(me / "run" / "children.json")
        self._means = Means(
            spec_for=self._admitted,
            launcher=self._launcher,
            limits=limits,
            clock=clock,
            logs=logs,
            roll=self._roll,
            slots=asyncio.Semaphore(limits.starts_at_once),
            on_change=on_change,
            before_launch=before_launch,
            random_unit=random.random,
        )
        self._charges: dict[str, Charge] = {}
        self._watch: asyncio.Task[None] | None = None
        self._stops: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._adopts = False
        self._burials = strays.Burials()

    @property
    def sandbox_notice(self) -> str | None:
        """A sentence for the owner where the system cannot shut connectors in; None where it does."""
        return self._launcher.sandbox_notice

    async def start(self) -> None:
        """End the orphans of a core that was killed, then watch over idleness and memory."""
        self._adopts = strays.adopt()
        ended = await asyncio.to_thread(self._roll.end_orphans)
        if ended:
            log.warning("ended children of a core that was killed services=%s", ",".join(ended))
        if self.sandbox_notice:
            log.warning("children are not sandboxed: %s", self.sandbox_notice)
        self._watch = asyncio.create_task(self._patrol(), name="process patrol")

    async def ensure_running(self, service_id: str) -> Endpoint:
        """The service's endpoint, its child started if asleep; callers during a start share it. INV-04.

        Raises what `spec_for` raises, ChildSilent, ChildDied, CoolingDown, HandshakeInvalid, RunMissing,
        FolderUnusable. A caller that leaves does not end the start.
        """
        charge = self._charge(service_id)
        try:
            return await charge.ensure()
        except NotFound:
            # Names that strangers make up leave nothing behind.
            if not charge.use.leases:
                self._charges.pop(service_id, None)
            raise

    @contextlib.contextmanager
    def lease(self, service_id: str) -> Iterator[None]:
        """An open request or stream: while it lasts the child is in use, and idle time counts from its end."""
        use = self._charge(service_id).use
        use.leases += 1
        try:
            yield
        finally:
            use.leases -= 1
            use.touch()

    def hold(self, service_id: str, *, reason: str, until: float) -> None:
        """Keep the child from being stopped as idle until the wall-clock time `until`, a day ahead at most."""
        self._charge(service_id).use.hold(reason, until)

    def release(self, service_id: str, reason: str) -> None:
        """End a hold before its time."""
        self._charge(service_id).use.release(reason)

    async def stop(self, service_id: str, *, reason: str) -> None:
        """Stop the child; returns when it and all it started are gone."""
        charge = self._charges.get(service_id)
        if charge is not None:
            await charge.stop(reason=reason)

    async def restart(self, service_id: str) -> Endpoint:
        """Stop the child, forget its failures, and start it anew."""
        charge = self._charge(service_id)
        await charge.stop(reason="restarted by the owner")
        charge.clear()
        return await self.ensure_running(service_id)

    async def close(self, *, deadline_s: float | None = None) -> None:
        """Stop every child at once; none is left after `deadline_s`."""
        self._is_closing = True
        grace_s = max(0.0, (self._limits.close_s if deadline_s is None else deadline_s) - KILL_RESERVE_S)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        charges = list(self._charges.values())
        # Those that were told to end before, with a longer grace, are cut short as well.
        loop = asyncio.get_running_loop()
        hurries = [loop.call_later(grace_s, charge.kill) for charge in charges]
        await asyncio.gather(*(charge.stop(reason="Locker shut down", grace_s=grace_s) for charge in charges))
        for hurry in hurries:
            hurry.cancel()

    def state(self, service_id: str) -> State:
        """The service's state; stopped for one that never ran. Its times are of the monotonic clock."""
        charge = self._charges.get(service_id)
        return Stopped() if charge is None else charge.state

    def details(self, service_id: str) -> ProcessDetails:
        """What the service's process uses at the moment. Blocks for some milliseconds."""
        charge = self._charges.get(service_id) or Charge(service_id, self._means)
        child, endpoint = charge.child, charge.endpoint
        memory_bytes, cpu_s = (0, 0.0) if child is None else tree.usage(child.pid)
        return ProcessDetails(
            pid=None if child is None else child.pid,
            memory_bytes=memory_bytes,
            cpu_s=cpu_s,
            started_at=None if endpoint is None else endpoint.started_at,
            holds=charge.use.holds(),
            leases=charge.use.leases,
            sandbox=self._launcher.sandbox,
            last_exit=charge.last_exit,
        )

    def pid_of(self, service_id: str) -> int | None:
        """The process of the service's child, from its start on; None where none runs."""
        charge = self._charges.get(service_id)
        child = None if charge is None else charge.child
        return None if child is None else child.pid

    def service_of_token(self, token: str) -> str | None:
        """The service whose living child was given `token`; every one is compared, each in constant time."""
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        found = None
        for charge in list(self._charges.values()):
            known = charge.token_digest
            if known is not None and hmac.compare_digest(known, digest):
                found = charge.service_id
        return found

    def report_dead(self, endpoint: Endpoint) -> None:
        """The gateway was refused at `endpoint`: a child that has stopped listening is ended."""
        charge = self._charges.get(endpoint.service_id)
        if charge is not None:
            charge.report_dead(endpoint)

    def _admitted(self, service_id: str) -> LaunchSpec:
        """The spec of a child that may be started: none is, once closing has begun."""
        if self._is_closing:
            raise Retry("Locker is shutting down")
        return self._spec_for(service_id)

    def _charge(self, service_id: str) -> Charge:
        if service_id not in self._charges:
            self._charges[service_id] = Charge(service_id, self._means)
        return self._charges[service_id]

    async def _patrol(self) -> None:
        loop = asyncio.get_running_loop()
        weighed_at = loop.time()
        while True:
            await asyncio.sleep(self._limits.watch_s)
            try:
                for charge in list(self._charges.values()):
                    if charge.is_idle():
                        self._stop_soon(charge, "it was idle")
                if self._adopts:
                    await asyncio.to_thread(self._burials.look, self._own())
                if loop.time() - weighed_at >= self._limits.memory_watch_s:
                    await self._weigh()
                    weighed_at = loop.time()
            except Exception:
                log.exception("the patrol failed once")

    def _own(self) -> frozenset[int]:
        """The children that are waited for where they were started."""
        return frozenset(charge.child.pid for charge in self._charges.values() if charge.child is not None)

    async def _weigh(self) -> None:
        """Measure every child with all it started; stop those over their limit."""
        for charge in list(self._charges.values()):
            child, spec = charge.child, charge.spec
            if child is None or spec is None:
                continue
            child.remember(await asyncio.to_thread(tree.members, child.leader))
            used, _ = await asyncio.to_thread(tree.usage, child.pid)
            if used > spec.memory_bytes and charge.child is child:
                mib = 1024 * 1024
                log.warning("child uses too much memory id=%s used_mb=%d", charge.service_id, used // mib)
                self._stop_soon(charge, f"it used {used // mib} MB, its limit is {spec.memory_bytes // mib} MB")

    def _stop_soon(self, charge: Charge, reason: str) -> None:
        task = asyncio.create_task(charge.stop(reason=reason))
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)
