"""The one at a time who writes a store: it commits what waits in groups, each with one flush, then answers.

Whoever comes while nobody writes becomes the writer until its own work is done, and hands on to one who waits: a lone
client pays for no other thread's waking, and many share a flush.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import apsw

from core.model.errors import Broken, LockerError, TooBusy
from core.store.connection import fault_of
from core.store.log.flushes import Committing, Flushes
from core.store.log.ledger import Ledger

log = logging.getLogger(__name__)

T = TypeVar("T")

GROUP_FACTS_MAX = 256
GROUP_BYTES_MAX = 1024 * 1024
GROUP_BULK_FACTS_MAX = 512
WAITING_MAX = 16 * 1024
# How long `close` waits for what is being written, and then for what it broke off to end.
CLOSE_WAIT_S = 30.0
BREAK_OFF_S = 5.0
_BREAK_OFF_PAUSE_S = 0.05

_HANDED_ON = 0  # No thread's number: one who waits has been told to write, and has not begun.

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
    apsw.InterruptError,
    OSError,
)


class Submit(Protocol):
    """Has something done within a transaction of the store's writer."""

    def __call__(self, do: Callable[[Ledger], T], *, bulk: bool, changes: int = 1) -> T:
        """What `do` returns, once it is flushed."""


class Work(Generic[T]):
    """One thing to do within a transaction, its size, and later its result or its error.

    Where the work `before` it failed, it fails likewise, untried.
    """

    def __init__(
        self, do: Callable[[Ledger], T], *, changes: int, size_bytes: int, before: Work[Any] | None = None
    ) -> None:
        self.do = do
        self.changes = changes
        self.size_bytes = size_bytes
        self._before = before
        self.is_done = False
        self.has_turn = False
        self.is_left = False
        self.error: LockerError | None = None
        self._result: T | None = None
        self._turn = threading.Lock()
        self._turn.acquire()

    def finish(self, *, result: T | None = None, error: LockerError | None = None) -> None:
        """Give the answer to the one who waits."""
        self._result, self.error = result, error
        self.is_done = True
        self._turn.release()

    def has_failed_before(self) -> bool:
        """Whether the work before it failed, and so it has."""
        if self._before is None or self._before.error is None:
            return False
        self.finish(error=self._before.error)
        return True

    def wait(self) -> bool:
        """Wait for the answer, or for the turn to write: whether it is the turn."""
        self._turn.acquire()
        return not self.is_done

    def lead(self) -> None:
        """Let the one who waits be the next to write; said twice it is said once."""
        if not self.has_turn:
            self.has_turn = True
            self._turn.release()

    @property
    def result(self) -> T:
        """What was done, durable; raises what kept it from being done."""
        if self.error is not None:
            raise self.error
        return cast(T, self._result)


class Lane:
    """Works that wait in order, taken in groups of bounded size."""

    def __init__(self, changes_max: int) -> None:
        self._changes_max = changes_max
        self._works: deque[Work[Any]] = deque()

    def __len__(self) -> int:
        return len(self._works)

    def put(self, works: Sequence[Work[Any]]) -> None:
        """Let `works` wait, in order; raises TooBusy where too many would."""
        if len(self._works) + len(works) > WAITING_MAX:
            raise TooBusy(f"{len(self._works)} writes are waiting already")
        self._works.extend(works)

    def put_back(self, works: Sequence[Work[Any]]) -> None:
        """Let `works`, the end of what was taken, be the next again, but for those whose thread has left."""
        self._works.extendleft(work for work in reversed(works) if not work.is_left)

    def first(self) -> Work[Any]:
        """The work that waits longest."""
        return self._works[0]

    def withdraw(self, works: Sequence[Work[Any]]) -> list[Work[Any]]:
        """Let `works` wait no more; those that still did."""
        withdrawn = [work for work in works if work in self._works]
        for work in withdrawn:
            self._works.remove(work)
        return withdrawn

    def next_group(self) -> list[Work[Any]]:
        """One work of any size, or as many as fit together; they wait still."""
        group: list[Work[Any]] = []
        changes = size = 0
        for work in self._works:
            changes += work.changes
            size += work.size_bytes
            if group and (changes > self._changes_max or size > GROUP_BYTES_MAX):
                break
            group.append(work)
        return group

    def drop(self, count: int) -> None:
        """Let as many of the first wait no more."""
        for _ in range(count):
            self._works.popleft()


class Writer:
    """Owns the ledger, from the first to `close`; one thread at a time works on it.

    Two lanes: single writes pass between the works of a bulk group, and neither lane starves the other. A failed group
    leaves nothing behind; the database is closed then and opened again before the next write.

    A thread may be interrupted at any moment, as by Ctrl-C. `_leave` then finds in `_leader` and `_group` what it was
    about: both are set before it begins with that. The lock is a plain one, since entering a Condition can be
    interrupted with its lock held.
    """

    def __init__(
        self, ledger: Ledger, *, path: Path, reopen: Callable[[], Ledger], after_commit: Callable[[int], None]
    ) -> None:
        self._ledger: Ledger | None = ledger
        self._path = path
        self._reopen = reopen
        self._after_commit = after_commit
        self._told = ledger.head
        self._lock = threading.Lock()
        self._rested = threading.Condition(self._lock)
        self._singles = Lane(GROUP_FACTS_MAX)
        self._bulk = Lane(GROUP_BULK_FACTS_MAX)
        self._turn_of_bulk = False
        self._flushes = Flushes()
        self._leader: int | None = None
        self._group: list[Work[Any]] = []
        self._closing = False

    def committing(self) -> Committing:
        """How the last commits went, and how much waits."""
        return self._flushes.figures(queue=len(self._singles) + len(self._bulk))

    def submit(self, do: Callable[[Ledger], T], *, bulk: bool, changes: int = 1, size_bytes: int = 0) -> T:
        """What `do` returns, once it is flushed. Raises StorageFull, TooBusy or what else kept it from being stored."""
        work = Work(do, changes=changes, size_bytes=size_bytes)
        self.do_all([work], bulk=bulk)
        return work.result

    def do_all(self, works: Sequence[Work[Any]], *, bulk: bool) -> None:
        """Do `works` in order, until each has its result or its error; others may be done between them.

        Raises TooBusy, or Broken once the store is closed: then nothing was done.
        """
        if self._leader == threading.get_ident():
            raise Broken(f"{self._path}: a callback after a commit may not write")
        lane = self._bulk if bulk else self._singles
        try:
            if self._enter(works, lane) or any(work.wait() for work in works):
                self._lead(works[-1])
        except BaseException as err:
            self._leave(works, lane, err)
            raise

    def close(self) -> bool:
        """Commit what waits, close the database; whether it was whole and closed properly.

        What is not done after CLOSE_WAIT_S is broken off and undone; where that does not help, nothing is closed.
        """
        with self._lock:
            self._closing = True
            if not self._rested.wait_for(lambda: self.is_at_rest, CLOSE_WAIT_S) and not self._broke_off():
                log.error("store not closed, what is being written does not end path=%s", self._path)
                return False
        ledger, self._ledger = self._ledger, None
        if ledger is None:
            return False
        ledger.close()
        return True

    @property
    def is_at_rest(self) -> bool:
        """Whether nobody is writing."""
        return self._leader is None

    def _broke_off(self) -> bool:
        """Break off what is being written, again and again for a while: whether it ended."""
        log.warning("writing broken off path=%s", self._path)
        end = time.monotonic() + BREAK_OFF_S
        while not self.is_at_rest and time.monotonic() < end:
            ledger = self._ledger
            with suppress(apsw.Error):  # It may be closed by now.
                if ledger is not None:
                    ledger.interrupt()
            self._rested.wait(_BREAK_OFF_PAUSE_S)
        return self.is_at_rest

    def _enter(self, works: Sequence[Work[Any]], lane: Lane) -> bool:
        """Let `works` wait in their lane; whether they lead, since nobody writes."""
        with self._lock:
            if self._closing:
                raise Broken(f"{self._path} is closed")
            lane.put(works)
            if self._leader is not None:
                return False
            self._leader = threading.get_ident()
            return True

    def _leave(self, works: Sequence[Work[Any]], lane: Lane, err: BaseException) -> None:
        """Wait no more, nor write: `err` keeps this thread from both. Where it had the turn, another gets it.

        Those whose works it had taken up are told of `err`; what it wrote of them may be stored.
        """
        with self._lock:
            for work in works:
                work.is_left = True
            left = lane.withdraw(works)
            has_led = self._leader == threading.get_ident()
            if not has_led and not any(work.has_turn for work in left):
                return
            taken = [work for work in self._group if not work.is_done] if has_led else []
            for one in (self._singles, self._bulk):
                one.withdraw(taken)
        if has_led:
            self._abandon()
        self._refuse(taken, err)
        self._hand_on()

    def _lead(self, last: Work[Any]) -> None:
        """Commit groups until `last`, the last of this thread's own, is done, then hand on."""
        with self._lock:
            self._leader = threading.get_ident()
        while not last.is_done:
            from_bulk = self._take_group()
            self._commit(self._group, self._is_wanted if from_bulk else _never)
            self._tell()
        self._hand_on()

    def _hand_on(self) -> None:
        with self._lock:
            lane = self._singles if self._singles else self._bulk
            if lane:
                lane.first().lead()
                self._leader = _HANDED_ON
                return
            self._leader = None
            self._rested.notify_all()

    def _take_group(self) -> bool:
        """Take up what is committed next; whether it is from the bulk lane."""
        with self._lock:
            from_bulk = bool(self._bulk) and (self._turn_of_bulk or not self._singles)
            self._turn_of_bulk = not from_bulk
            lane = self._bulk if from_bulk else self._singles
            self._group = lane.next_group()
            lane.drop(len(self._group))
            return from_bulk

    def _is_wanted(self) -> bool:
        """Whether a single write waits."""
        return bool(self._singles)

    def _commit(self, group: list[Work[Any]], gives_way: Callable[[], bool]) -> None:
        """One transaction for all, or for those done before it `gives_way`, which has the others wait again.

        If a work in it cannot be done, each gets a transaction of its own.
        """
        # First: after a failure the database would be opened again, for each piece of a batch that has failed already.
        group = [work for work in group if not work.has_failed_before()]
        if not group:
            return
        try:
            if self._ledger is None:
                self._ledger = self._reopen()
            results = self._ledger.transaction([work.do for work in group], gives_way)
        except Exception as err:  # The thread's edge: whatever it is, it goes to those who wait.
            self._abandon()
            if len(group) > 1 and not isinstance(err, _EVERYBODYS):
                for work in group:
                    self._commit([work], _never)
                return
            if not isinstance(err, LockerError):  # That one is the answer to who asked, no trouble of the store's.
                log.warning("commit failed path=%s error=%s", self._path, type(err).__name__)
            self._refuse(group, err)
        else:
            if len(results) < len(group):
                with self._lock:
                    self._bulk.put_back(group[len(results) :])
                    self._group = group[: len(results)]
            self._flushes.note(sum(work.changes for work in group[: len(results)]), self._ledger.flush_s)
            for work, result in zip(group, results, strict=False):
                work.finish(result=result)

    def _refuse(self, group: list[Work[Any]], err: BaseException) -> None:
        for work in group:
            fault = fault_of(err, self._path)
            fault.__cause__ = err
            work.finish(error=fault)

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


def _never() -> bool:
    """Nobody is given way to."""
    return False
