"""The writer's thread: flushed before the answer, grouped, fair between lanes, and whole again after a failure."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.model.errors import Broken, NotFound, TooBusy
from core.model.fact import Change
from core.store import Appended, Entry, Store
from core.store.log import writer
from core.store.log.adding import PIECE_FACTS
from core.store.log.ledger import Ledger
from core.store.log.writer import GROUP_BYTES_MAX, GROUP_FACTS_MAX, Lane, Work
from tests.store.conftest import ORIGIN, TYPES, OpenStore
from tests.store.disks import watched_disk

DEADLINE_S = 20.0


def put(key: str, **fields: Any) -> Change:
    """A note with these fields in its value."""
    return Change(type="note", key=key, value={"id": key, **fields})


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.001)


def test_commit_is_flushed_before_it_is_answered(open_store: OpenStore) -> None:
    """Between the last write to the log and the answer there is a flush of it. INV-02."""
    with watched_disk() as disk:
        store = open_store()
        for bulk in (True, False):
            disk.done.clear()
            store.commit([put(f"{bulk}")], bulk=bulk)
            done = list(disk.done)

            assert ("wal", "write") in done
            assert ("wal", "flush") == done[-1]
        store.close()


def test_commit_that_changes_nothing_writes_nothing(open_store: OpenStore) -> None:
    """An unchanged rerun costs the disk nothing."""
    with watched_disk() as disk:
        store = open_store()
        store.commit([put("a")])
        disk.done.clear()
        store.commit([put("a")])

        assert [] == disk.done
        store.close()


def test_failed_flush_acknowledges_nothing_and_the_next_write_works(open_store: OpenStore) -> None:
    """The caller hears of it, the database is opened again, and nothing half done is seen."""
    with watched_disk() as disk:
        store = open_store()
        store.commit([put("a")], cursor=("notes", 1))
        disk.failing_flushes = 1
        with pytest.raises(Broken):
            store.commit([put("b")], cursor=("notes", 2))

        assert (1, 1) == (store.head(), store.cursor("notes"))
        assert 2 == store.commit([put("b")], cursor=("notes", 2)).head
        assert [1, 2] == [fact.origin_seq for fact in store.facts(0, limit=10)]
        store.close()


def test_failed_write_at_every_step_loses_and_invents_nothing(open_store: OpenStore) -> None:
    """Whichever write of a commit fails, the store is as before it, or as after it where the answer was yes."""
    with watched_disk() as disk:
        store = open_store()
        expected: dict[str, int] = {}
        for step in range(60):
            disk.failing_writes = 0
            store.commit([put("filler", n=step)])
            disk.done.clear()
            disk.failing_writes = 1 if step % 2 else 0
            disk.failing_flushes = 0 if step % 2 else step % 3
            key = f"k{step % 5}"
            try:
                store.commit([put(key, n=step)])
                expected[key] = step
            except Broken:
                pass
            disk.failing_flushes = disk.failing_writes = 0
            found = {record.key: record.value["n"] for record in store.records("note", limit=100).records}
            found.pop("filler")

            assert expected == found
        before = store.records("note", limit=100)
        store.rebuild()
        assert before == store.records("note", limit=100)
        store.close()


def test_writers_at_the_same_time_share_flushes(open_store: OpenStore) -> None:
    """What waits together is committed together, and each gets its own answer, in order. S12."""
    with watched_disk() as disk:
        store = open_store()
        heads: list[int] = []
        store.on_commit = heads.append
        disk.done.clear()
        results: list[int] = []

        def write(name: int) -> None:
            results.extend(store.commit([put(f"{name}-{number}")], bulk=False).head for number in range(50))

        threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        flushes = disk.done.count(("wal", "flush"))
        store.close()

        assert list(range(1, 401)) == sorted(results)
        assert sorted(set(heads)) == heads
        assert flushes < 400


def test_single_write_passes_between_bulk_batches(store: Store) -> None:
    """While bulk batches queue up, a single write waits for one of them at most."""
    order: list[str] = []
    gate = threading.Event()
    inside = threading.Event()

    def blocking(ledger: Ledger) -> None:
        inside.set()
        assert gate.wait(DEADLINE_S)

    def noting(name: str) -> Callable[[Ledger], None]:
        return lambda ledger: order.append(name)

    submit = store._submit
    threads = [threading.Thread(target=submit, args=(blocking,), kwargs={"bulk": True})]
    threads[0].start()
    assert inside.wait(DEADLINE_S)
    for number in range(4):
        threads.append(
            threading.Thread(target=submit, args=(noting(f"bulk-{number}"),), kwargs={"bulk": True, "changes": 500})
        )
        threads[-1].start()
        until(lambda number=number: len(store._writer._bulk) == number + 1)  # type: ignore[misc]
    for number in range(2):
        threads.append(threading.Thread(target=submit, args=(noting(f"single-{number}"),), kwargs={"bulk": False}))
        threads[-1].start()
        until(lambda number=number: len(store._writer._singles) == number + 1)  # type: ignore[misc]
    gate.set()
    for thread in threads:
        thread.join(DEADLINE_S)

    assert ["single-0", "single-1", "bulk-0", "bulk-1", "bulk-2", "bulk-3"] == order


def test_single_write_passes_within_a_batch(store: Store) -> None:
    """A batch in pieces is one group while nobody else writes, and gives way after a piece once somebody does."""
    order: list[str] = []
    others: list[threading.Thread] = []
    mine = store._writer

    def piece(number: int) -> Work[None]:
        def do(ledger: Ledger) -> None:
            order.append(f"piece-{number}")
            if number == 1:
                others.append(threading.Thread(target=mine.submit, args=(single,), kwargs={"bulk": False}))
                others[0].start()
                until(lambda: len(mine._singles) == 1)

        return Work(do, changes=1, size_bytes=0)

    def single(ledger: Ledger) -> None:
        order.append("single")

    mine.do_all([piece(number) for number in range(4)], bulk=True)
    others[0].join(DEADLINE_S)

    assert ["piece-0", "piece-1", "single", "piece-2", "piece-3"] == order


def test_batch_whose_disk_fails_on_the_way_says_what_was_added(open_store: OpenStore) -> None:
    """The pieces that were flushed stay and say so, the rest say why not; a batch of which nothing stayed raises."""
    with watched_disk() as disk:
        store = open_store()
        store._writer._bulk = Lane(PIECE_FACTS)  # A transaction for each piece.
        entries = [Entry(type="note", key=f"k{number}", value={}) for number in range(3 * PIECE_FACTS)]

        def fail_next(head: int) -> None:
            disk.failing_flushes = int(head == PIECE_FACTS)

        store.on_commit = fail_next
        answers = store.append(entries)

        assert all(isinstance(answer, Appended) for answer in answers[:PIECE_FACTS])
        # The third piece could have been stored; it would stand before the second once that comes again.
        assert all(isinstance(answer, Broken) for answer in answers[PIECE_FACTS:])
        assert (len(entries), PIECE_FACTS) == (len(answers), store.head())
        disk.failing_flushes = 1
        with pytest.raises(Broken):
            store.append(entries[PIECE_FACTS:])
        assert all(isinstance(answer, Appended) for answer in store.append(entries[PIECE_FACTS:]))
        assert len(entries) == store.head()
        store.close()


def test_batch_whose_disk_fails_opens_the_database_once_more_at_most(open_store: OpenStore) -> None:
    """Its other pieces fail likewise, untried; who comes next finds it opened again."""
    with watched_disk() as disk:
        store = open_store()
        store._writer._bulk = Lane(PIECE_FACTS)
        reopen, opened = store._writer._reopen, []
        store._writer._reopen = lambda: opened.append(1) or reopen()
        entries = [Entry(type="note", key=f"k{number}", value={}) for number in range(20 * PIECE_FACTS)]
        disk.failing_flushes = 1

        with pytest.raises(Broken):
            store.append(entries)

        assert [] == opened
        assert all(isinstance(answer, Appended) for answer in store.append(entries))
        assert [1] == opened
        store.close()


def test_work_that_fails_spoils_no_other_in_its_group(store: Store) -> None:
    """One poisoned write gets its error; those that waited with it are stored."""
    gate = threading.Event()
    inside = threading.Event()
    failures: list[Exception] = []

    def blocking(ledger: Ledger) -> None:
        inside.set()
        assert gate.wait(DEADLINE_S)

    def poisoned(ledger: Ledger) -> None:
        raise ValueError("a fault in our own code")

    def poison() -> None:
        try:
            store._submit(poisoned, bulk=False)
        except Broken as err:
            failures.append(err)

    threads = [threading.Thread(target=store._submit, args=(blocking,), kwargs={"bulk": False})]
    threads[0].start()
    assert inside.wait(DEADLINE_S)
    threads.append(threading.Thread(target=poison))
    threads += [threading.Thread(target=store.commit, args=([put(f"k{n}")],), kwargs={"bulk": False}) for n in range(5)]
    for count, thread in enumerate(threads[1:], start=1):
        thread.start()
        until(lambda count=count: len(store._writer._singles) == count)  # type: ignore[misc]
    gate.set()
    for thread in threads:
        thread.join(DEADLINE_S)

    assert 1 == len(failures)
    assert "fault in our own code" not in str(failures[0])
    assert {"note": 5} == store.counts()


def test_one_who_is_interrupted_while_waiting_holds_up_nobody(store: Store) -> None:
    """Ctrl-C while another writes: what waited is not written, and the turn goes to those who are still there."""
    gate = threading.Event()
    inside = threading.Event()
    left = threading.Event()

    def blocking(ledger: Ledger) -> None:
        inside.set()
        assert gate.wait(DEADLINE_S)

    def interrupted(*_: object) -> None:
        if not left.is_set():
            left.set()
            raise KeyboardInterrupt

    def has_left() -> bool:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return left.is_set()

    def interrupt() -> None:
        # A signal that comes just before a wait begins is noticed after it only, so it is sent until it is.
        until(lambda: len(store._writer._bulk) == 1)
        until(has_left)

    usual = signal.signal(signal.SIGINT, interrupted)
    threads = [threading.Thread(target=store._submit, args=(blocking,), kwargs={"bulk": True})]
    threads += [threading.Thread(target=interrupt)]
    threads[0].start()
    assert inside.wait(DEADLINE_S)
    threads[1].start()
    with pytest.raises(KeyboardInterrupt):
        store.commit([put("left")])
    gate.set()
    for thread in threads:
        thread.join(DEADLINE_S)
    signal.signal(signal.SIGINT, usual)

    assert 1 == store.commit([put("stayed")]).new
    assert {"note": 1} == store.counts()


def test_one_who_left_is_not_given_the_turn_by_a_group_that_gives_way(store: Store) -> None:
    """Interrupted while another has taken the work up already: it does not wait again, for nobody would lead there."""
    mine = store._writer
    leaving = threading.Event()
    threads: dict[str, threading.Thread] = {}

    class Left(Work[None]):
        def wait(self) -> bool:
            assert leaving.wait(DEADLINE_S)
            raise KeyboardInterrupt

    def leave() -> None:
        with pytest.raises(KeyboardInterrupt):
            mine.do_all([Left(lambda ledger: None, changes=1, size_bytes=0)], bulk=True)

    def begin(name: str, target: Callable[[], object], lane: Lane) -> None:
        there = len(lane)
        threads[name] = threading.Thread(target=target, daemon=True)
        threads[name].start()
        until(lambda: len(lane) == there + 1)

    def first(ledger: Ledger) -> None:
        begin("second", lambda: mine.submit(second, bulk=True), mine._bulk)
        begin("left", leave, mine._bulk)

    def second(ledger: Ledger) -> None:
        leaving.set()
        threads["left"].join(DEADLINE_S)
        begin("single", lambda: store.commit([put("a")], bulk=False), mine._singles)

    mine.submit(first, bulk=True)
    threads["second"].join(DEADLINE_S)
    threads["single"].join(DEADLINE_S)
    until(lambda: mine.is_at_rest)

    assert {"note": 1} == store.counts()


def test_one_who_is_interrupted_while_writing_leaves_nobody_waiting(store: Store) -> None:
    """Those whose writes went together with his are told that theirs failed, and later ones are done."""
    failures: list[Exception] = []
    gate = threading.Event()
    inside = threading.Event()

    def interrupted(ledger: Ledger) -> None:
        raise KeyboardInterrupt

    def blocking(ledger: Ledger) -> None:
        inside.set()
        assert gate.wait(DEADLINE_S)

    def commit() -> None:
        try:
            store.commit([put("a")], bulk=False)
        except Broken as err:
            failures.append(err)

    def interrupt() -> None:
        with pytest.raises(KeyboardInterrupt):
            store._submit(interrupted, bulk=False)

    threads = [threading.Thread(target=store._submit, args=(blocking,), kwargs={"bulk": False})]
    threads += [threading.Thread(target=interrupt), threading.Thread(target=commit)]
    threads[0].start()
    assert inside.wait(DEADLINE_S)
    for count, thread in enumerate(threads[1:], start=1):
        thread.start()
        until(lambda count=count: len(store._writer._singles) == count)  # type: ignore[misc]
    gate.set()
    for thread in threads:
        thread.join(DEADLINE_S)

    assert 1 == len(failures)
    assert 1 == store.commit([put("b")]).new


@pytest.mark.parametrize("step", ["_take_group", "_tell", "_hand_on"])
def test_one_who_is_interrupted_between_two_steps_leaves_nobody_waiting(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Just after the works of others were taken up, or just before the turn is handed on: each gets an answer."""
    mine = store._writer
    do = getattr(mine, step)
    waiting: list[threading.Thread] = []
    answers: list[object] = []

    def other() -> None:
        try:
            answers.append(store.commit([put("a")], bulk=False).new)
        except Broken as err:
            answers.append(err)

    def interrupted() -> None:
        monkeypatch.setattr(mine, step, do)
        waiting.append(threading.Thread(target=other))
        waiting[0].start()
        until(lambda: len(mine._singles) == (2 if step == "_take_group" else 1))
        if step == "_take_group":
            do()
        raise KeyboardInterrupt

    monkeypatch.setattr(mine, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        store._submit(lambda ledger: None, bulk=False)
    waiting[0].join(DEADLINE_S)

    assert 1 == len(answers)
    assert mine.is_at_rest
    assert 1 == store.commit([put("b")]).new


def test_what_is_refused_to_one_who_asks_is_no_trouble_of_the_store(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer says it, the log does not; what nobody foresaw stands in the log."""
    with caplog.at_level("WARNING"):
        with pytest.raises(NotFound):
            store.drop_quarantined(7, actor="owner")
        assert [] == caplog.messages

        def fault(ledger: Ledger) -> None:
            raise ValueError

        with pytest.raises(Broken):
            store._submit(fault, bulk=False)
    assert 1 == len(caplog.messages)


def _work(*, changes: int = 1, size_bytes: int = 0) -> Work[None]:
    return Work(lambda ledger: None, changes=changes, size_bytes=size_bytes)


def test_group_stays_within_its_bounds() -> None:
    """Just as many changes and bytes as allowed, one more waits; a work of any size goes alone."""
    lane = Lane(GROUP_FACTS_MAX)
    for work in [_work(changes=GROUP_FACTS_MAX - 1), _work(), _work(), _work(size_bytes=GROUP_BYTES_MAX), _work()]:
        lane.put([work])
    lane.put([_work(size_bytes=GROUP_BYTES_MAX + 1, changes=500), _work()])

    sizes = []
    while lane:
        sizes.append(len(lane.next_group()))
        lane.drop(sizes[-1])
    assert [2, 3, 1, 1] == sizes


def test_too_many_waiting_writes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded: just under is taken, just over is told to come again."""
    monkeypatch.setattr(writer, "WAITING_MAX", 3)
    lane = Lane(GROUP_FACTS_MAX)
    lane.put([_work(), _work()])
    with pytest.raises(TooBusy):
        lane.put([_work(), _work()])
    lane.put([_work()])

    with pytest.raises(TooBusy):
        lane.put([_work()])
    assert 3 == len(lane)


def test_close_commits_what_waits(folder: Path, clock: ManualClock) -> None:
    """Nobody who was let in is left without an answer."""
    store = Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock)
    gate = threading.Event()
    inside = threading.Event()

    def blocking(ledger: Ledger) -> None:
        inside.set()
        assert gate.wait(DEADLINE_S)

    threads = [threading.Thread(target=store._submit, args=(blocking,), kwargs={"bulk": True})]
    threads[0].start()
    assert inside.wait(DEADLINE_S)
    threads += [threading.Thread(target=store.commit, args=([put(f"k{number}")],)) for number in range(5)]
    for count, thread in enumerate(threads[1:], start=1):
        thread.start()
        until(lambda count=count: len(store._writer._bulk) == count)  # type: ignore[misc]
    closing = threading.Thread(target=store.close)
    closing.start()
    gate.set()
    for thread in [*threads, closing]:
        thread.join(DEADLINE_S)

    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as again:
        assert {"note": 5} == again.counts()
        assert again.was_clean
