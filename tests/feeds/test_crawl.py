"""Many jobs side by side, one at a time for each host."""

from __future__ import annotations

import threading
import time

import pytest

from connectors.feeds.crawl import HOSTS_MAX, Crawl


def test_every_job_gives_its_result() -> None:
    """Each once, in any order."""
    crawl = Crawl([(f"host{n % 7}", n) for n in range(30)], lambda n: n * 2)

    assert sorted(n * 2 for n in range(30)) == sorted(crawl)


def test_no_jobs_no_threads() -> None:
    """It ends at once."""
    before = threading.active_count()

    assert [] == list(Crawl([], lambda n: n))
    assert before == threading.active_count()


def test_hosts_are_bounded_and_served_one_at_a_time() -> None:
    """At most six at once, never two jobs of one host."""
    lock, running, most, clashes = threading.Lock(), list[str](), [0], list[str]()

    def work(host: str) -> None:
        with lock:
            if host in running:
                clashes.append(host)
            running.append(host)
            most[0] = max(most[0], len(running))
        time.sleep(0.02)
        with lock:
            running.remove(host)

    list(Crawl([(f"h{n % 10}", f"h{n % 10}") for n in range(20)], work))

    assert ([], True) == (clashes, 1 < most[0] <= HOSTS_MAX)


def test_who_leaves_early_ends_the_work() -> None:
    """The threads end when nobody wants the results any more."""
    done: list[int] = []

    def work(n: int) -> int:
        time.sleep(0.01)
        done.append(n)
        return n

    before = threading.active_count()
    results = iter(Crawl([(f"h{n}", n) for n in range(200)], work))
    next(results)
    results.close()  # type: ignore[attr-defined]
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)

    assert before == threading.active_count()
    assert len(done) < 100


@pytest.mark.parametrize("count", [1, 17, 60])
def test_a_slow_reader_is_waited_for(count: int) -> None:
    """Results wait in a bounded queue; none is lost."""
    found = []
    for result in Crawl([(f"h{n}", n) for n in range(count)], lambda n: n):
        time.sleep(0.002)
        found.append(result)

    assert list(range(count)) == sorted(found)
