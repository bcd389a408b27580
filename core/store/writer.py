"""The one thread that writes a store: it commits what waits in groups, each with one flush, then answers."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import apsw

from core.model.errors import Broken, LockerError, TooBusy
from core.store.connection import fault_of
from core.store.ledger import Ledger
from core.store.values import BATCH_CHANGES_MAX

log = logging.getLogger(__name__)

T = TypeVar("T")

GROUP_FACTS_MAX = 256
GROUP_BYTES_MAX = 1024 * 1024
WAITING_MAX = 1024

# Errors of the disk or the file: no work is to blame for them, and none would fare better alone.
_EVERYBODYS = (
    apsw.FullError,
    apsw.IOError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.CorruptError,
    apsw.NotADBError,
    OSError,
)


class Work(Generic[T]):
    """One thing to do within a transaction, its size, and later its result or its error."""

    def __init__(self, do: Callable[[Ledger], T], *, changes: int, size_bytes: int) -> None:
        self.do = do
        self.changes = changes
        self.size_bytes = size_bytes
        self.result: T | None = None
        self.error: LockerError | None = None
        self._done = threading.Event()

    def finish(self, *, result: T | None = None, error: LockerError | None = None) -> None:
        self.result, self.error = result, error
        self._done.set()

    def wait(self) -> T:
        """The result, once it is durable."""
        self._done.wait()
        if self.error is not None:
            raise self.error
        return cast(T, self.result)


class Lane:
    """Works that wait in order, taken in groups of bounded size."""

    def __init__(self, changes_max: int) -> None:
        self._changes_max = changes_max
        self._works: deque[Work[Any]] = deque()

    def __len__(self) -> int:
        return len(self._works)

    def put(self, work: Work[Any]) -> None:
        """Let `work` wait; raises TooBusy where too many do."""
        if len(self._works) >= WAITING_MAX:
            raise TooBusy(f"{WAITING_MAX} writes are waiting already")
        self._works.append(work)

    def take(self) -> list[Work[Any]]:
        """The next group: one work of any size, or as many as fit together."""
        group = [self._works.popleft()]
        changes, size = group[0].changes, group[0].size_bytes
        while self._works:
            changes += self._works[0].changes
            size += self._works[0].size_bytes
            if changes > self._changes_max or size > GROUP_BYTES_MAX:
                break
            group.append(self._works.popleft())
        return group


class Writer:
    """Owns the ledger and its thread, from the first to `close`.

    Two lanes: single writes pass between bulk batches, and neither lane starves the other. A failed group leaves
    nothing behind; the database is closed then and opened again before the next write.
    """

    def __init__(
        self, ledger: Ledger, *, path: Path, reopen: Callable[[], Ledger], after_commit: Callable[[int], None]
    ) -> None:
        self._ledger: Ledger | None = ledger
        self._path = path
        self._reopen = reopen
        self._after_commit = after_commit
        self._told = ledger.head
        self._wake = threading.Condition()
        self._singles = Lane(GROUP_FACTS_MAX)
        self._bulk = Lane(BATCH_CHANGES_MAX)
        self._turn_of_bulk = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"store-writer {path.parent.name}", daemon=True)
        self._thread.start()

    def submit(self, do: Callable[[Ledger], T], *, bulk: bool, changes: int = 1, size_bytes: int = 0) -> T:
        """What `do` returns, once it is flushed. Raises StorageFull, TooBusy or what else kept it from being stored."""
        if threading.current_thread() is self._thread:
            raise Broken(f"{self._path}: a callback after a commit may not write")
        work = Work(do, changes=changes, size_bytes=size_bytes)
        with self._wake:
            if self._closing:
                raise Broken(f"{self._path} is closed")
            (self._bulk if bulk else self._singles).put(work)
            self._wake.notify()
        return work.wait()

    def close(self) -> bool:
        """Commit what waits, end the thread, close the database; whether it was whole and closed properly."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        ledger, self._ledger = self._ledger, None
        if ledger is None:
            return False
        ledger.close()
        return True

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            self._commit(group)
            self._tell()

    def _next_group(self) -> list[Work[Any]] | None:
        with self._wake:
            while not self._singles and not self._bulk:
                if self._closing:
                    return None
                self._wake.wait()
            from_bulk = bool(self._bulk) and (self._turn_of_bulk or not self._singles)
            self._turn_of_bulk = not from_bulk
            return (self._bulk if from_bulk else self._singles).take()

    def _commit(self, group: list[Work[Any]]) -> None:
        """One transaction for all; if a work in it cannot be done, each gets a transaction of its own."""
        try:
            if self._ledger is None:
                self._ledger = self._reopen()
            results = self._ledger.transaction([work.do for work in group])
        except Exception as err:  # The thread's edge: whatever it is, it goes to those who wait.
            self._abandon()
            if len(group) > 1 and not isinstance(err, _EVERYBODYS):
                for work in group:
                    self._commit([work])
                return
            log.warning("commit failed path=%s error=%s", self._path, type(err).__name__)
            for work in group:
                fault = fault_of(err, self._path)
                fault.__cause__ = err
                work.finish(error=fault)
        else:
            for work, result in zip(group, results, strict=True):
                work.finish(result=result)

    def _abandon(self) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            try:
                ledger.abandon()
            except apsw.Error as err:
                log.warning("database not closed path=%s error=%s", self._path, type(err).__name__)

    def _tell(self) -> None:
        head = self._ledger.head if self._ledger is not None else self._told
        if head == self._told:
            return
        self._told = head  # Told after the commit, never before. INV-03.
        try:
            self._after_commit(head)
        except Exception:  # The callback is another's; it must not end the writing.
            log.exception("callback after a commit failed path=%s", self._path)
