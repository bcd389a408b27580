"""Fetching many feeds at once: a few servers side by side, one request at a time for each of them."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

HOSTS_MAX = 6
WAITING_MAX = 1
HOST_PAUSE_S = 0.2
LOOK_S = 0.2

Job = TypeVar("Job")
Result = TypeVar("Result")


class Crawl(Generic[Job, Result]):
    """Runs `work` on every job and yields the results as they come; jobs of one host follow each other.

    `work` must not raise; threads end when nobody wants the results any more.
    """

    def __init__(self, jobs: Sequence[tuple[str, Job]], work: Callable[[Job], Result]) -> None:
        self._work = work
        self._hosts: queue.SimpleQueue[list[Job]] = queue.SimpleQueue()
        self._results: queue.Queue[Result] = queue.Queue(WAITING_MAX)
        self._unwanted = threading.Event()
        self._count = len(jobs)
        by_host: dict[str, list[Job]] = {}
        for host, job in jobs:
            by_host.setdefault(host, []).append(job)
        for group in by_host.values():
            self._hosts.put(group)
        self._size = min(HOSTS_MAX, len(by_host))

    def __iter__(self) -> Iterator[Result]:
        # Daemons: a server that drips must not keep the process from ending.
        threads = [threading.Thread(target=self._serve, name="fetch", daemon=True) for _ in range(self._size)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(self._count):
                yield self._results.get()
        finally:
            self._unwanted.set()

    def _serve(self) -> None:
        while not self._unwanted.is_set():
            try:
                group = self._hosts.get_nowait()
            except queue.Empty:
                return
            for place, job in enumerate(group):
                if place and self._unwanted.wait(HOST_PAUSE_S * random.random()):  # noqa: S311  # politeness, no secret
                    return
                if not self._hand_over(self._work(job)):
                    return

    def _hand_over(self, result: Result) -> bool:
        while not self._unwanted.is_set():
            try:
                self._results.put(result, timeout=LOOK_S)
            except queue.Full:
                continue
            return True
        return False
