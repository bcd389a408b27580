"""All stores at once: each asked in a thread of its own, with a limit of time; one that fails is named and left out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from core.model.errors import LockerError
from core.model.manifest import TypeSpec
from core.store import Reader

log = logging.getLogger(__name__)

T = TypeVar("T")

THREADS_MAX = 4
ANSWER_S_MAX = 3.0

_TOO_LONG = "its store takes too long to answer"


@dataclass(frozen=True)
class Shelf:
    """One service's store, and how its records are read."""

    service: str
    title: str
    reader: Reader
    types: Mapping[str, TypeSpec]


class Skipped(msgspec.Struct, frozen=True):
    """A service whose store could not be looked at, and why."""

    service: str
    reason: str


@dataclass(frozen=True)
class Answers(Generic[T]):
    """What the stores said, and those that could not say anything."""

    given: Sequence[tuple[Shelf, T]]
    skipped: Sequence[Skipped]


class Shelves:
    """The stores of all services, for reading. Owns its threads, from the first question to `close`.

    `find` tells the stores there are now. A store that does not answer within three seconds is skipped, and as long as
    it is still busy with the old question, it is asked no other.
    """

    def __init__(self, find: Callable[[], Sequence[Shelf]], *, answer_s_max: float = ANSWER_S_MAX) -> None:
        self._find = find
        self._answer_s_max = answer_s_max
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="library")
        self._lock = threading.Lock()
        self._late: dict[str, Future[Any]] = {}

    def ask(self, question: Callable[[Shelf], T], *, services: Sequence[str] = ()) -> Answers[T]:
        """What each store answers, in the order of the services; only these services where some are named."""
        shelves = [shelf for shelf in self._find() if not services or shelf.service in services]
        busy = [shelf for shelf in shelves if self._is_late(shelf)]
        asked = [(shelf, self._threads.submit(question, shelf)) for shelf in shelves if shelf not in busy]
        wait([future for _, future in asked], timeout=self._answer_s_max)
        given: list[tuple[Shelf, T]] = []
        skipped = [Skipped(shelf.service, _TOO_LONG) for shelf in busy]
        for shelf, future in asked:
            answer = self._answer(shelf, future)
            if isinstance(answer, Skipped):
                skipped.append(answer)
            else:
                given.append((shelf, answer))
        return Answers(given, skipped)

    def close(self) -> None:
        """End the threads, each after the statement it is at."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _is_late(self, shelf: Shelf) -> bool:
        with self._lock:
            late = self._late.get(shelf.service)
            if late is not None and late.done():
                del self._late[shelf.service]
            return shelf.service in self._late

    def _answer(self, shelf: Shelf, future: Future[T]) -> T | Skipped:
        if not future.done():
            if not future.cancel():
                with self._lock:
                    self._late[shelf.service] = future
                log.warning("a store takes too long service=%s", shelf.service)
            return Skipped(shelf.service, _TOO_LONG)
        try:
            return future.result()
        except LockerError as err:
            return Skipped(shelf.service, err.detail)
        except Exception:  # One store's fault must not hide the others. INV-09.
            log.exception("a store could not be read service=%s", shelf.service)
            return Skipped(shelf.service, "its store could not be read; the log tells more")
