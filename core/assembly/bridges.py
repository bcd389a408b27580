"""Rooms that live on the loop, as the calls that Flask's threads may make of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NotInTime
from typing import Any, TypeVar

from core.events import Bus, DeadLetter, Deliveries, Listener
from core.gateway import Caller, Door
from core.model.clock import Clock
from core.model.errors import Retry
from core.model.event import Event, EventAction, Idr
from core.process import ChildLogs, Failed, State, Stopped, Stopping, Supervisor
from core.schedule import Pending, Scheduler
from core.web import ChildDetails, ChildState

T = TypeVar("T")
QUICK_S = 30.0
# Whatever starts or stops a child: as long as its manifest and the owner's limits allow.
START_S_MAX = 660.0
WRITER_S = 120.0
_FOR_OWNER = Caller("owner", ("all",))


# What a child holds itself awake for, before the stream's name; the announcement is called so too.
SYNC = "sync"
Announce = Callable[[str, str, Mapping[str, Any]], None]


class Loop:
    """The core's event loop, seen from other threads; once closed, every call is refused, those under way too."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._under_way: set[Future[Any]] = set()
        self._is_closed = False

    def run(self, work: Coroutine[Any, Any, T], *, timeout_s: float = QUICK_S) -> T:
        """The coroutine's result; raises what it raises, Retry when it takes longer or the core is stopping."""
        with self._lock:
            if self._is_closed:
                work.close()
                raise _stopping()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._under_way.add(future)
        try:
            return future.result(timeout_s)
        except CancelledError as err:
            raise _stopping() from err
        except NotInTime as err:
            # The work's own TimeoutError is the same class: only one that is still under way is late.
            if future.done():
                raise
            future.cancel()
            raise Retry(f"the core did not get to it within {timeout_s:g} s") from err
        finally:
            with self._lock:
                self._under_way.discard(future)

    def call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """A plain function's result, called on the loop."""

        async def work() -> T:
            return function(*arguments, **options)

        return self.run(work())

    def tell(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a plain function called on the loop, soon; nobody waits."""
        with self._lock:
            if not self._is_closed:
                self._loop.call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """Let every thread that waits go on with an error: the loop is about to end."""
        with self._lock:
            self._is_closed = True
            for future in self._under_way:
                future.cancel()


def _stopping() -> Retry:
    return Retry("Locker is stopping", remedy="Start Locker again.")


def child_state(state: State, clock: Clock) -> ChildState:
    """A lifecycle state as a person sees it, with wall-clock time."""
    if isinstance(state, Failed):
        until = None if state.until is None else clock.now() + state.until - clock.monotonic()
        return ChildState(state.name, state.code, state.detail, until, state.crashes)
    return ChildState(state.name, state.reason if isinstance(state, Stopped | Stopping) else "")


class ChildrenBridge:
    """The processes of the services."""

    def __init__(
        self, loop: Loop, supervisor: Supervisor, door: Door, logs: ChildLogs, clock: Clock, *, announce: Announce
    ) -> None:
        self._loop = loop
        self._announce = announce
        self._supervisor = supervisor
        self._door = door
        self._logs = logs
        self._clock = clock

    def state(self, service_id: str, /) -> ChildState:
        return child_state(self._supervisor.state(service_id), self._clock)

    def details(self, service_id: str, /) -> ChildDetails:
        found = self._supervisor.details(service_id)
        return ChildDetails(
            pid=found.pid,
            memory_bytes=found.memory_bytes,
            cpu_s=found.cpu_s,
            started_at=found.started_at,
            holds=found.holds,
            leases=found.leases,
            sandbox=found.sandbox,
            last_exit=found.last_exit,
        )

    def stop(self, service_id: str, *, reason: str) -> None:
        self._loop.run(self._supervisor.stop(service_id, reason=reason), timeout_s=START_S_MAX)

    def restart(self, service_id: str, /) -> None:
        self._loop.run(self._supervisor.restart(service_id), timeout_s=START_S_MAX)

    def hold(self, service_id: str, *, reason: str, until: float) -> None:
        is_new = reason not in self._supervisor.details(service_id).holds
        self._loop.call(self._supervisor.hold, service_id, reason=reason, until=until)
        if is_new:
            self._show_sync(service_id, reason, "running")

    def release(self, service_id: str, *, reason: str) -> None:
        self._loop.call(self._supervisor.release, service_id, reason)
        self._show_sync(service_id, reason, "ended")

    def _show_sync(self, service_id: str, reason: str, state: str) -> None:
        """Tell who looks on right now that a sync began or ended: a child holds itself awake for as long."""
        if reason == SYNC or reason.startswith(f"{SYNC} "):
            stream = reason[len(SYNC) + 1 :]
            self._loop.tell(self._announce, service_id, SYNC, {"stream": stream, "state": state})

    def call(
        self, service_id: str, *, method: str, path: str, body: bytes, content_type: str, timeout_s: float
    ) -> tuple[int, bytes]:
        headers = {"content-type": content_type} if body else {}
        work = self._door.call(
            service_id, method, path, headers=headers, body=body, timeout_s=timeout_s, caller=_FOR_OWNER
        )
        answer = self._loop.run(work, timeout_s=timeout_s + START_S_MAX)
        return answer.status, answer.body

    def log(self, service_id: str, *, lines: int) -> Sequence[str]:
        return self._logs.tail(service_id, lines)


class WritersBridge:
    """The children as the writers of their stores, asked by the core for its own ends."""

    def __init__(self, loop: Loop, door: Door) -> None:
        self._loop = loop
        self._door = door

    def ask(self, service_id: str, path: str) -> None:
        """Have a child do what only its store's writer may, started if it sleeps; raises its refusal as Retry."""
        work = self._door.call(service_id, "POST", path, headers={}, body=b"", timeout_s=WRITER_S)
        status = self._loop.run(work, timeout_s=WRITER_S + START_S_MAX).status
        # What keeps no store of Locker's has no such route, and nothing to let go.
        if status >= 400 and status not in (404, 405):
            raise Retry(f"{service_id} answered {status} to {path}")


class ScheduleBridge:
    """What is called when."""

    def __init__(self, loop: Loop, scheduler: Scheduler) -> None:
        self._loop = loop
        self._scheduler = scheduler

    def at(self, service_id: str, path: str, at: float, /) -> None:
        self._loop.run(self._scheduler.at(service_id, path, at))

    def cancel(self, service_id: str, path: str, /) -> bool:
        return self._loop.run(self._scheduler.cancel(service_id, path))

    def pending(self, service_id: str | None = None, /) -> Sequence[Pending]:
        return self._loop.run(self._scheduler.pending(service_id))


class EventsBridge:
    """What happened, and who hears of it."""

    def __init__(self, loop: Loop, bus: Bus, deliveries: Deliveries) -> None:
        self._loop = loop
        self._bus = bus
        self._deliveries = deliveries

    def committed(self, service_id: str, seq: int, /) -> None:
        self._loop.tell(self._bus.committed, service_id, seq)

    def publish(self, service_id: str, *, idr: Idr, action: EventAction, value: Mapping[str, Any]) -> Event:
        return self._loop.run(self._bus.publish(service_id, idr=idr, action=action, value=value))

    def listen(self, service_id: str, *, wanted: str, path: str) -> None:
        self._loop.run(self._deliveries.listen(service_id, type=wanted, path=path))

    def deafen(self, service_id: str, *, wanted: str, path: str) -> bool:
        return self._loop.run(self._deliveries.deafen(service_id, type=wanted, path=path))

    def listeners(self) -> Sequence[Listener]:
        return self._loop.run(self._deliveries.listeners())

    def dead_letters(self) -> Sequence[DeadLetter]:
        return self._loop.run(self._deliveries.dead_letters())

    def forget_erased(self, service_id: str, *, record: tuple[str, str] | None, ids: Sequence[str]) -> None:
        self._loop.run(self._deliveries.forget_erased(service_id, record=record, ids=ids))

    def retry(self, dead_id: int, /) -> None:
        self._loop.run(self._deliveries.retry(dead_id))

    def drop(self, dead_id: int, /) -> None:
        self._loop.run(self._deliveries.drop(dead_id))
