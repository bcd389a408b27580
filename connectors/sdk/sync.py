"""The runs of a service: one per stream at a time, streams one after another, each asking for its next time.

`Sync` owns the threads that run streams and the table of what runs; everybody else sees copies.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from connectors.sdk.broken_off import mark_begun
from connectors.sdk.context import Service
from connectors.sdk.due import Due
from connectors.sdk.epilogue import log_run
from connectors.sdk.outcome import RESUME_AFTER_STOP_S, STOPPED, Outcome, failures_before, outcome_of
from connectors.sdk.pull import Pull, Report, Tally
from connectors.sdk.source import Source
from connectors.sdk.streams import Stream, streams_of
from core.model.errors import Broken, Interrupted, LockerError, NotFound
from core.model.ids import uuid7
from core.model.problem import problem_document
from core.store import Begun, Run

HOLD_S = 900.0
HOLD_RENEW_S = 300.0
PROGRESS_PAUSE_S = 0.2
RUNS_LOOKED_AT = 20

Publish = Callable[[str, dict[str, Any]], None]

log = logging.getLogger(__name__)


@dataclass
class Handle:
    """A run that waits or goes on; `ended` becomes its record as `POST /sync` answers it.

    `is_for_owner` says that the owner asked for it, and counts as it is when the run begins;
    `is_marked` that the store knows of it.
    """

    stream: str
    id: str
    state: str = "queued"
    is_for_owner: bool = False
    is_marked: bool = False
    progress: dict[str, Any] | None = None
    ended: Future[dict[str, Any]] = field(default_factory=Future)


class Sync:
    """Starts, joins and stops the runs of one service. Its threads live only while something runs."""

    def __init__(
        self, service: Service, source: Source, *, publish: Publish, sign_in_lapsed: Callable[[str], None]
    ) -> None:
        self._service = service
        self._source = source
        self._publish = publish
        self._sign_in_lapsed = sign_in_lapsed
        self._lock = threading.Lock()
        self._active: dict[str, Handle] = {}
        self._queue: deque[Handle] = deque()
        self._threads: set[threading.Thread] = set()
        self._has_worker = False
        self._due = Due(service.core, clock=service.clock, told=service.due)

    @property
    def names(self) -> tuple[str, ...]:
        """The streams that the manifest declares."""
        return tuple(self._service.manifest.streams)

    def start(self, names: Iterable[str] | None = None, *, is_for_owner: bool = False) -> list[Handle]:
        """Runs of these streams (all, unless told): those under way are joined, the others begin."""
        wanted = self.names if names is None else tuple(names)
        for name in wanted:
            if name not in self.names:
                raise NotFound(f"{self._service.id} has no stream {name!r}; it has {', '.join(self.names) or 'none'}")
        parallel = {name for name in wanted if self._is_parallel(name)}
        with self._lock:
            return [self._start(name, alone=name in parallel, is_for_owner=is_for_owner) for name in wanted]

    def active(self) -> Mapping[str, Handle]:
        """What runs or waits now, by stream."""
        with self._lock:
            return dict(self._active)

    def next_times(self) -> Mapping[str, float | None]:
        """When each stream's next run is due, None where nobody knows."""
        return self._due.times(self.names)

    def ask_now(self) -> None:
        """Have the core start every stream, as after a sign-in."""
        for name in self.names:
            self._ask(name, self._service.clock.now())

    def stop(self, *, deadline_s: float) -> None:
        """Let the runs finish the batch in hand; those that do not by the deadline end with the process."""
        self._service.stopping.set()
        until = self._service.clock.monotonic() + deadline_s
        with self._lock:
            waiting = list(self._queue)
            self._queue.clear()
            if waiting:
                self._thread("later", lambda: self._ask_all(waiting))
            threads = list(self._threads)
        problem = problem_document(Interrupted(STOPPED))
        stopped = Outcome(status="partial", problem=problem, next_at=0.0)
        for handle in waiting:
            self._note_run(handle, self._service.clock.now(), stopped, Tally())
            self._close(handle, run_document(handle.stream, "partial", 0.0, Tally(), problem))
        for thread in threads:
            thread.join(max(0.0, until - self._service.clock.monotonic()))

    def _start(self, name: str, *, alone: bool, is_for_owner: bool) -> Handle:
        handle = self._active.get(name)
        if handle is not None:
            handle.is_for_owner = handle.is_for_owner or is_for_owner
            return handle
        handle = Handle(stream=name, id=str(uuid7(self._service.clock.now())), is_for_owner=is_for_owner)
        self._active[name] = handle
        if alone:
            self._thread(name, lambda: self._run(handle))
            return handle
        self._queue.append(handle)
        if not self._has_worker:
            self._has_worker = True
            self._thread("streams", self._work)
        return handle

    def _thread(self, name: str, target: Callable[[], None]) -> None:
        def body() -> None:
            try:
                target()
            finally:
                with self._lock:
                    self._threads.discard(thread)

        # A daemon: a source that never answers must not keep the process from ending.
        thread = threading.Thread(target=body, name=f"sync {name}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._has_worker = False
                    return
                handle = self._queue.popleft()
            self._run(handle)

    def _run(self, handle: Handle) -> None:
        document = run_document(handle.stream, "failed", 0.0, Tally(), None)
        try:
            with _Hold(self._service, f"sync {handle.stream}") as hold:
                document = self._one(handle, hold)
        except Exception:
            # The edge of the thread: whoever waits is answered, whatever happened.
            log.exception("run broke stream=%s", handle.stream)
        finally:
            self._close(handle, document)

    def _one(self, handle: Handle, hold: _Hold) -> dict[str, Any]:
        service, name = self._service, handle.stream
        handle.state = "running"
        self._publish("status", {"stream": name, "state": "running", "run": handle.id})
        started_at, started = service.clock.now(), service.clock.monotonic()
        self._mark_begun(started_at)
        pull = Pull(
            service,
            spec=service.manifest.streams[name],
            load=lambda: self._stream(name),
            report=Report(progress=_Progress(handle, self._publish, service.clock.monotonic).note, alive=hold.renew),
            is_for_owner=handle.is_for_owner,
        )
        sign_ins = service.sign_ins()
        ended = pull.run()
        outcome = outcome_of(
            ended,
            now=service.clock.now(),
            every_s=self._every_s(name),
            failures=failures_before([run.status for run in service.store.runs(name, limit=RUNS_LOOKED_AT)]),
            random_unit=random.random(),  # noqa: S311  # jitter, no secret
        )
        self._note_run(handle, started_at, outcome, pull.tally)
        next_at = outcome.next_at
        if outcome.sign_in_lapsed and service.credentials() and service.sign_ins() != sign_ins:
            # The owner signed in anew meanwhile: what was refused is there no more. Tokens that were renewed do not
            # count: where the source refuses those too, only the owner can help.
            next_at = service.clock.now()
        elif outcome.sign_in_lapsed:
            self._sign_in_lapsed(str((outcome.problem or {}).get("detail", "")))
        self._ask(name, next_at)
        took_s = service.clock.monotonic() - started
        return run_document(name, outcome.status, took_s, pull.tally, outcome.problem)

    def _close(self, handle: Handle, document: dict[str, Any]) -> None:
        with self._lock:
            self._active.pop(handle.stream, None)
        handle.state = "ended"
        handle.ended.set_result(document)
        self._publish("run", document)

    def _mark_begun(self, now: float) -> None:
        """Mark the runs that go on or wait: whatever ends the process, the next one knows of them."""
        with self._lock:
            handles = [handle for handle in self._active.values() if not handle.is_marked]
            for handle in handles:
                handle.is_marked = True
        for handle in handles:
            mark_begun(self._service.store, handle.stream, Begun(handle.id, now))

    def _note_run(self, handle: Handle, started_at: float, outcome: Outcome, tally: Tally) -> None:
        run = Run(
            id=handle.id,
            stream=handle.stream,
            started_at=started_at,
            ended_at=self._service.clock.now(),
            status=outcome.status,
            new=tally.new,
            updated=tally.updated,
            same=tally.same,
            deleted=tally.deleted,
            quarantined=tally.quarantined,
            problem=outcome.problem,
        )
        log_run(run, self._service.store)
        try:
            self._service.store.note_run(run)
        except Exception:
            # The disk may be full, which is what the run's own outcome says; its next time matters more.
            log.exception("the run could not be noted stream=%s", handle.stream)

    def _ask(self, name: str, when: float) -> None:
        try:
            self._due.ask(name, when)
        except LockerError as err:
            # The core starts a stream without a pending time by the manifest's frequency.
            log.warning("the core did not take the next time stream=%s problem=%s", name, err.code)

    def _ask_all(self, handles: list[Handle]) -> None:
        for handle in handles:
            self._ask(handle.stream, self._service.clock.now() + RESUME_AFTER_STOP_S)

    def _stream(self, name: str) -> Stream:
        found = streams_of(self._source.module("sync")).get(name)
        if found is None:
            raise Broken(f"connector.toml names the stream {name!r}, and sync.py has no function for it")
        return found

    def _is_parallel(self, name: str) -> bool:
        try:
            return self._stream(name).parallel
        except Broken:
            return False  # The run meets the same fault and tells it.

    def _every_s(self, name: str) -> float:
        try:
            declared = self._stream(name).every_s
        except Broken:
            declared = None
        return declared or self._service.manifest.streams[name].frequency_s


def run_document(
    stream: str, status: str, took_s: float, tally: Tally, problem: dict[str, Any] | None
) -> dict[str, Any]:
    """A run as `POST /sync` and the event stream tell it."""
    document: dict[str, Any] = {
        "stream": stream,
        "status": status,
        "new": tally.new,
        "updated": tally.updated,
        "same": tally.same,
        "deleted": tally.deleted,
        "quarantined": tally.quarantined,
        "took_s": round(took_s, 3),
    }
    return document if problem is None else {**document, "problem": problem}


class _Hold:
    """Keeps the process alive at the core while a run goes on, and lets go of it afterwards."""

    def __init__(self, service: Service, reason: str) -> None:
        self._service = service
        self._reason = reason
        self._renewed = 0.0

    def __enter__(self) -> _Hold:
        self._hold()
        return self

    def __exit__(self, *_: object) -> None:
        self._call(lambda: self._service.core.release(self._reason))

    def renew(self) -> None:
        """Called often; holds again when the last hold grows old."""
        if self._service.clock.monotonic() - self._renewed > HOLD_RENEW_S:
            self._hold()

    def _hold(self) -> None:
        self._renewed = self._service.clock.monotonic()
        self._call(lambda: self._service.core.hold(self._reason, self._service.clock.now() + HOLD_S))

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except LockerError as err:
            log.warning("the core did not take a hold reason=%s problem=%s", self._reason, err.code)


class _Progress:
    """Passes progress on, a few times a second at most."""

    def __init__(self, handle: Handle, publish: Publish, monotonic: Callable[[], float]) -> None:
        self._handle = handle
        self._publish = publish
        self._monotonic = monotonic
        self._last = float("-inf")

    def note(self, done: int, total: int | None) -> None:
        """Remember how far the run is, and tell those who watch."""
        self._handle.progress = {"done": done, "total": total}
        now = self._monotonic()
        if now - self._last >= PROGRESS_PAUSE_S:
            self._last = now
            self._publish("progress", {"stream": self._handle.stream, "done": done, "total": total})
