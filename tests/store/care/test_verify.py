"""Damage is loud: every fact against its digest, the log against its chain, the closed store against its seal."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.errors import FactDamaged, FileDamaged, LockerError
from core.model.fact import Change
from core.store import Reader, Run, Store
from core.store.care.checkpoint import EVERY_FACTS, ORIGIN, Chain, mark_of
from core.store.care.checkup import check_up
from core.store.care.recovery import recover
from core.store.care.retention import Policy
from core.store.care.verify import Span, Verification, fetch, verify
from core.store.connection import open_for_reading
from core.store.pace import SHARE_OF_TIME
from core.store.words.search import Search
from core.store.words.wanted import parse_query
from tests.store.care.small import with_small_pages
from tests.store.conftest import ORIGIN as LOG
from tests.store.conftest import TYPES, OpenStore

PAGE_BYTES = 4096
PARTS = 8


@contextmanager
def _raw(folder: Path) -> Iterator[apsw.Connection]:
    """The database in the hands of somebody else."""
    db = apsw.Connection(str(folder / "store.db"))
    try:
        yield db
    finally:
        db.close()


def _verified(folder: Path) -> Verification:
    with _raw(folder) as db:
        return verify(fetch(db), wait=lambda _: None)


def _filled(open_store: OpenStore, count: int) -> Store:
    store = open_store()
    for first in range(0, count, 500):
        store.commit(
            [Change(type="note", key=f"k{n}", value={"n": n, "title": f"w{n}"}) for n in range(first, first + 500)]
        )
    return store


def test_a_whole_store_is_whole(open_store: OpenStore, folder: Path) -> None:
    """Every fact is counted; what no mark covers yet is looked at too."""
    store = _filled(open_store, 1500)
    assert Verification(head=1500, facts=1500) == _verified(folder)
    store.close()

    found = check_up(folder / "store.db", types=TYPES)
    assert found.is_whole and 1500 == found.log.facts


def test_a_store_that_is_not_there_is_whole(folder: Path) -> None:
    """Nothing is wrong with nothing."""
    assert check_up(folder / "store.db", types=TYPES).is_whole


def test_a_mark_every_thousand_facts_and_at_the_close(open_store: OpenStore, folder: Path) -> None:
    """The chain has a mark where it should, and each follows from the one before."""
    _filled(open_store, 2 * EVERY_FACTS + 500).close()
    with _raw(folder) as db:
        marks = [ORIGIN, *(mark_of(row) for row in db.execute("SELECT seq, facts, digest FROM checkpoint"))]

    assert [0, 1000, 2000, 2500] == [mark.seq for mark in marks] == [mark.facts for mark in marks]
    assert all(mark.holds_after(before) for before, mark in pairwise(marks))


def test_short_lives_leave_one_mark(open_store: OpenStore, folder: Path) -> None:
    """Each close takes the mark of the one before in, until a thousand facts are reached."""
    seqs = []
    for number in range(5):
        store = open_store()
        store.commit([Change(type="note", key=f"{number}-{n}", value={}) for n in range(300)])
        store.close()
        assert _verified(folder).is_whole
        with _raw(folder) as db:
            seqs.append([row[0] for row in db.execute("SELECT seq FROM checkpoint ORDER BY seq")])
    open_store().close()

    assert [[300], [600], [900], [1000, 1200], [1000, 1500]] == seqs


def test_a_short_mark_that_fails_is_kept_to_tell(open_store: OpenStore, folder: Path) -> None:
    """A row that vanished under it is not papered over by the next mark."""
    _filled(open_store, 500).close()
    with _raw(folder) as db:
        db.execute("DELETE FROM fact WHERE seq = 100")
    store = open_store()
    store.commit([Change(type="note", key="more", value={})])
    store.close()

    assert (Span(1, 500),) == _verified(folder).broken


def test_chain_goes_on_after_a_kill(open_store: OpenStore, folder: Path) -> None:
    """Facts that no mark covered are covered by the next writer's."""
    _filled(open_store, 500).close()
    with _raw(folder) as db:
        db.execute("DELETE FROM checkpoint")
        with db:
            assert (500, 500) == Chain(db).close()[:2]
    store = open_store()
    store.commit([Change(type="note", key="more", value={})])
    store.close()

    assert _verified(folder).is_whole


def test_a_bad_row_is_named_and_hides_nothing(open_store: OpenStore, folder: Path) -> None:
    """Whatever column is changed, the row is bad, and the others are counted."""
    _filled(open_store, 500).close()
    with _raw(folder) as db:
        db.execute("UPDATE fact SET value = '{\"n\":7}' WHERE seq = 8")
        db.execute("UPDATE fact SET recorded_at = recorded_at + 1 WHERE seq = 9")
        db.execute("UPDATE fact SET deleted = 1 WHERE seq = 300")

    assert Verification(head=500, facts=497, bad=(8, 9, 300), bad_count=3) == _verified(folder)


def test_reading_names_the_bad_row_and_goes_on(open_store: OpenStore, folder: Path) -> None:
    """The facts before it come, then the error with its position, then the facts after it."""
    _filled(open_store, 500).close()
    with _raw(folder) as db:
        db.execute("UPDATE fact SET value = '{}' WHERE seq = 8")
        db.execute("UPDATE fact SET value = CAST(x'7bff7d' AS TEXT) WHERE seq = 12")
    with Reader.open(folder, types=TYPES) as reader:
        seen, bad, since = [], [], 0
        while True:
            try:
                page = reader.facts(since, limit=100)
            except FactDamaged as err:
                bad.append(err.seq)
                since = err.seq
                continue
            if not page:
                break
            seen += [fact.seq for fact in page]
            since = page[-1].seq

    assert [8, 12] == bad
    assert [seq for seq in range(1, 501) if seq not in bad] == seen


def test_a_record_that_is_not_what_was_written_is_an_error(open_store: OpenStore, folder: Path) -> None:
    """The record, its history and its fact name the position; its neighbours are read."""
    _filled(open_store, 500).close()
    with _raw(folder) as db:
        db.execute("UPDATE fact SET value = '{\"n\":8}' WHERE seq = 8")
    with Reader.open(folder, types=TYPES) as reader:
        for ask in (lambda: reader.record("note", "k7"), lambda: reader.history("note", "k7", limit=5)):
            with pytest.raises(FactDamaged) as caught:
                ask()
            assert 8 == caught.value.seq
        assert reader.record("note", "k8") is not None


def test_a_missing_or_moved_row_breaks_the_chain(open_store: OpenStore, folder: Path) -> None:
    """A row that is gone leaves no bad row behind; the mark over it tells."""
    _filled(open_store, 1000).close()
    with _raw(folder) as db:
        db.execute("DELETE FROM fact WHERE seq = 500")

    assert Verification(head=1000, facts=999, broken=(Span(1, 1000),)) == _verified(folder)


def test_a_forged_mark_breaks_the_chain(open_store: OpenStore, folder: Path) -> None:
    """A mark that does not follow from the one before covers nothing; one that cannot be read, neither."""
    _filled(open_store, 2500).close()
    with _raw(folder) as db:
        db.execute("UPDATE checkpoint SET facts = facts + 1 WHERE seq = 2000")
    assert Span(1001, 2000) in _verified(folder).broken
    with _raw(folder) as db:
        db.execute("UPDATE checkpoint SET digest = x'00'")

    assert not _verified(folder).is_whole


def test_lost_end_of_the_log_is_seen(open_store: OpenStore, folder: Path) -> None:
    """The head says how far the log went; rows short of it are missed."""
    _filled(open_store, 500).close()
    with _raw(folder) as db:
        db.execute("DELETE FROM fact WHERE seq > 490")
        db.execute("DELETE FROM checkpoint")

    assert not _verified(folder).is_whole


def test_pages_that_cannot_be_read_are_named(open_store: OpenStore, folder: Path) -> None:
    """Every row on such a page is bad, each row on the others is good."""
    _filled(open_store, 1000).close()
    with _raw(folder) as db:
        pages = db.execute("SELECT pageno FROM dbstat WHERE name = 'fact' AND pagetype = 'leaf' ORDER BY path").get
    with open(folder / "store.db", "r+b") as file:
        file.seek((pages[5] - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    found = _verified(folder)

    assert 1000 == found.facts + found.bad_count
    assert 0 < found.bad_count < 100
    assert tuple(range(found.bad[0], found.bad[-1] + 1)) == found.bad


def test_verification_leaves_time_to_others(open_store: OpenStore, folder: Path) -> None:
    """Between short reads it waits, so that it takes a fifth of the time."""
    _filled(open_store, 2000)
    waits: list[float] = []
    with _raw(folder) as db:
        verify(fetch(db), wait=waits.append)

    assert 2 <= len(waits) and all(wait >= 0 for wait in waits)
    assert 0 < SHARE_OF_TIME <= 0.2


@pytest.mark.parametrize("moment", range(1, 7))
def test_what_is_committed_meanwhile_is_no_damage(open_store: OpenStore, folder: Path, moment: int) -> None:
    """A verification beside a writer tells of the log as it was when it began, whenever facts are added."""
    store = open_store()
    for number in range(3):
        store.commit([Change(type="note", key=f"{number}-{one}", value={}) for one in range(400)])
    db = open_for_reading(folder / "store.db")
    asked = 0

    def rows(statement: str, parameters: tuple[object, ...]) -> list[tuple[object, ...]]:
        nonlocal asked
        asked += 1
        if asked == moment:
            store.commit([Change(type="note", key=f"late-{one}", value={}) for one in range(500)])
            store.commit([Change(type="note", key=f"later-{one}", value={}) for one in range(500)])
        return fetch(db)(statement, parameters)

    found = verify(rows)
    db.close()
    assert asked >= moment
    assert found.is_whole


def test_retention_keeps_the_chain_whole(open_store: OpenStore, folder: Path) -> None:
    """What went by receipt is no damage."""
    store = _filled(open_store, 1500)
    store.commit([Change(type="note", key=f"k{n}", value={"n": -n}) for n in range(0, 500, 2)])
    store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
    store.compact(actor="owner")
    store.prune([store.facts(700, limit=1)[0].id], actor="owner")
    assert _verified(folder).is_whole
    store.close()

    assert check_up(folder / "store.db", types=TYPES).is_whole


def test_a_broken_seal_is_told(open_store: OpenStore, folder: Path) -> None:
    """A cursor changed while the store was closed is found; while it is written there is no seal to break."""
    store = open_store()
    store.commit([Change(type="note", key="a", value={})], cursor=("main", 4711))
    with _raw(folder) as db:
        assert db.execute("SELECT 1 FROM meta WHERE name = 'sealed'").get is None
    store.close()
    assert check_up(folder / "store.db", types=TYPES).is_whole
    with _raw(folder) as db:
        db.execute("UPDATE cursor SET value = '4611'")

    assert [True] == [fault.startswith("seal:") for fault in check_up(folder / "store.db", types=TYPES).faults]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE current SET at = at + 1 WHERE key = 'k7'",
        "UPDATE current SET change_hash = x'00' WHERE key = 'k7'",
        "DELETE FROM current WHERE key = 'k7'",
        "UPDATE past SET until_seq = until_seq + 1",
        "UPDATE past SET until_known = until_known + 1",
        "UPDATE tally SET live = live + 1",
        "UPDATE tally SET type = 9",
        "INSERT INTO past SELECT type, key, seq, 0, at, seq, at FROM current LIMIT 1",
        "INSERT INTO text (text, rowid, title, body) VALUES ('delete', 7, 'w6 \ue0001', '')",
        "INSERT INTO text (rowid, title, body) VALUES (900, 'odd', '')",
        "UPDATE sample SET value = 6.5 WHERE at = 7.0",
        "UPDATE rollup SET total = total + 1e-9 WHERE width = 60",
        "UPDATE rollup SET start = start + 3600 WHERE width = 3600",
        "DELETE FROM rollup WHERE width = 86400",
    ],
)
def test_folds_that_differ_are_told_and_mended(open_store: OpenStore, folder: Path, statement: str) -> None:
    """What is folded is compared with the facts; folding anew mends it."""
    store = _filled(open_store, 500)
    store.commit([Change(type="note", key="k7", value={"n": "new"})], samples=[("p", 7.0, 1.5), ("p", 90.0, 2.5)])
    store.close()
    with _raw(folder) as db:
        db.execute(statement)
    assert check_up(folder / "store.db", types=TYPES).folds_differ
    store = open_store()
    store.rebuild()
    store.close()

    assert check_up(folder / "store.db", types=TYPES).is_whole


def test_what_is_no_store_cannot_be_looked_through(folder: Path) -> None:
    """It is damage, told at once."""
    (folder / "store.db").write_bytes(b"noise" * 5000)

    with pytest.raises(FileDamaged):
        check_up(folder / "store.db", types=TYPES)


def _answers(folder: Path) -> dict[str, Any]:
    """What can be asked of the store, errors standing for themselves."""
    with Reader.open(folder, types=TYPES) as reader:
        questions = {
            "head": reader.head,
            "epoch": reader.epoch,
            "opens": reader.opens,
            "counts": reader.counts,
            "facts": lambda: reader.facts(0, limit=1000),
            "by key": lambda: reader.records("note", limit=100),
            "newest": lambda: reader.records("note", limit=100, order="newest"),
            "histories": lambda: [reader.history("note", f"k{n}", limit=50) for n in range(7)],
            "records": lambda: [reader.record("note", f"k{n}") for n in range(7)],
            "cursor": lambda: reader.cursor("main"),
            "runs": lambda: reader.runs(limit=10),
            "quarantined": lambda: reader.quarantined(10),
            "search": lambda: [
                Search(reader.rows, TYPES, parse_query(q)).page(limit=50).hits for q in ("word1*", "word7")
            ],
            "samples": lambda: reader.series.samples("p", limit=50),
            "hours": lambda: reader.series.rollups("p", by="hour", limit=50),
        }
        found: dict[str, Any] = {}
        for name, ask in questions.items():
            try:
                found[name] = ask()  # type: ignore[operator]
            except LockerError as err:
                found[name] = err
        return found


def _small(folder: Path, clock: ManualClock) -> None:
    """A small store with something in every table, closed."""
    with Store.open(with_small_pages(folder), types=TYPES, origin=LOG, clock=clock) as store:
        for n in range(20):
            change = Change(type="note", key=f"k{n % 7}", value={"n": n, "title": f"word{n}", "text": "x" * 100})
            store.commit([change], cursor=("main", n), producer={"by": "me"}, samples=[("p", 50.0 * n, n / 3)])
            clock.advance(10)
        store.commit([Change(type="note", key="k1", action="delete"), Change(type="note", key="", value={})])
        store.note_run(Run(id="r1", stream="main", started_at=1.0, ended_at=2.0, status="ok", new=3))


def _check_flips(folder: Path, target: Path, bits: Iterator[int]) -> int:
    """Flip each bit: a wrong answer is told by the checkup, an error tells itself; how many answers changed."""
    data = (folder / "store.db").read_bytes()
    right = _answers(folder)
    target.mkdir()
    changed = 0
    for bit in bits:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        for name in ("store.db-wal", "store.db-shm"):
            (target / name).unlink(missing_ok=True)
        (target / "store.db").write_bytes(flipped)
        answers = _answers(target)
        wrong = [name for name in right if right[name] != answers[name]]
        changed += bool(wrong)
        if any(not isinstance(answers[name], LockerError) for name in wrong):
            assert not _is_whole(target), (bit, wrong)
    return changed


def _is_whole(folder: Path) -> bool:
    try:
        return check_up(folder / "store.db", types=TYPES, wait=lambda _: None).is_whole
    except LockerError:
        return False


def test_flipped_bits_in_the_database_are_told(folder: Path, tmp_path: Path, clock: ManualClock) -> None:
    """Bits of the database chosen by chance, most of them where something is written. INV-13, S2."""
    _small(folder, clock)
    data = (folder / "store.db").read_bytes()
    dice = random.Random(3)
    bits = (bit for bit in iter(lambda: dice.randrange(8 * len(data)), None) if data[bit // 8] or dice.random() < 0.02)

    assert 100 < _check_flips(folder, tmp_path / "flipped", (next(bits) for _ in range(500)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_flipped_bit_of_each_byte_of_the_database_is_told(
    folder: Path, tmp_path: Path, clock: ManualClock, part: int
) -> None:
    """The database, byte by byte, a bit of each chosen by chance. INV-13, S2."""
    _small(folder, clock)
    size = (folder / "store.db").stat().st_size
    dice = random.Random(part)

    _check_flips(folder, tmp_path / "flipped", (8 * byte + dice.randrange(8) for byte in range(part, size, PARTS)))


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
def test_clock_steps_change_no_order(folder: Path, tmp_path: Path, clock: ManualClock, step_s: float) -> None:
    """A clock set back or forth by a day changes no order and no winner, before and after a reopening. S4."""
    with Store.open(folder, types=TYPES, origin=LOG, clock=clock) as store:
        for n in range(10):
            store.commit([Change(type="note", key="a", value={"n": n})])
            clock.step(step_s if n % 2 else -step_s / 2)
        answers = _told(store)
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("store.db-shm"))
    with Store.open(folder, types=TYPES, origin=LOG, clock=clock) as store:
        assert answers == _told(store)
        store.rebuild()
        assert answers == _told(store)
    found = recover(copy, clock=clock)
    assert found is not None and "whole" == found.verdict
    with Store.open(copy, types=TYPES, origin=LOG, clock=clock) as store:
        assert answers == _told(store)
        times = [fact.recorded_at for fact in store.facts(0, limit=100)]
        assert sorted(times) == times


def _told(store: Store) -> Any:
    last = store.record("note", "a")
    assert last is not None and 9 == last.value["n"]
    return last, store.facts(0, limit=100), store.history("note", "a", limit=100)
