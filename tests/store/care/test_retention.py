"""What a store lets go: only by policy or wish, never without a receipt, and never an answer that is still given."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.model.clock import ManualClock
from core.model.errors import BadRequest, CursorTooOld, NotFound
from core.model.fact import Change, Fact
from core.store import Almanac, AtSeq, Entry, Store
from core.store.care.checkup import check_up
from core.store.care.retention import PRUNE_IDS_MAX, Policy
from core.store.log.receipts import TYPES as RECEIPT_TYPES
from tests.store.conftest import ORIGIN, TYPES, OpenStore

KEYS = ("a", "b", "c")


def _put(store: Store, key: str, number: int, *, type_name: str = "note") -> None:
    store.commit([Change(type=type_name, key=key, value={"n": number, "title": f"word{number}"})])


def _facts(store: Store) -> list[Fact]:
    return [fact for fact in store.facts(0, limit=1000) if fact.type not in RECEIPT_TYPES.values()]


def _derived(folder: Path) -> list[Any]:
    db = apsw.Connection(str(folder / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in ("current", "past", "tally")]
    finally:
        db.close()


@contextmanager
def _new_store(clock: ManualClock) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "notes"
        folder.mkdir()
        with Store.open(folder, types=TYPES, origin=ORIGIN, clock=clock) as store:
            yield store


def test_permanent_is_the_default(store: Store) -> None:
    """Without a policy nothing goes, and no receipt is left."""
    for number in range(5):
        _put(store, "a", number)

    assert [] == store.compact(actor="owner")
    assert [] == store.receipts(10)
    assert 5 == len(_facts(store))


def test_ephemeral_keeps_what_counts(store: Store, folder: Path) -> None:
    """Of each record the latest fact stays; the receipt says what went, and reads as a fact. INV-14."""
    for number in range(5):
        _put(store, "a", number)
        _put(store, "b", number, type_name="kept")
    store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
    (done,) = store.compact(actor="owner")

    assert [9] == [fact.seq for fact in _facts(store) if fact.type == "note"]
    assert 5 == len([fact for fact in _facts(store) if fact.type == "kept"])
    assert (4, [[1, 1], [3, 3], [5, 5], [7, 7]], 9) == (done["count"], done["ranges"], done["floor_seq"])
    assert {"note": {"kind": "ephemeral"}} == done["policies"]
    (receipt,) = store.receipts(10)
    assert ("compact", "owner", done) == (receipt.verb, receipt.actor, receipt.document)
    as_fact = store.record("__compaction_receipts", "1")
    assert as_fact is not None and done == as_fact.value
    assert check_up(folder / "store.db", types=TYPES).is_whole


def test_receipts_are_not_counted_found_or_laid_out_by_day(store: Store) -> None:
    """They stand in the log; what an owner looks at is without them."""
    for number in range(3):
        _put(store, "a", number)
    store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
    store.compact(actor="owner")
    store.erase(record=("note", "a"), actor="owner")

    assert {} == store.counts()
    assert [] == Almanac(store.rows, TYPES).types()
    assert [[], [], []] == [store.search(words, limit=10).hits for words in ("compact", "erase", "owner")]


def test_what_one_type_lets_go_costs_another_no_answer(store: Store) -> None:
    """Each type has a floor of its own: only who asks about all types is told the highest."""
    for number in range(4):
        _put(store, "a", number)
        store.commit([Change(type="place", key="p", value={"n": number})])
    store.set_policy("place", Policy(kind="ephemeral"), actor="owner")
    store.compact(actor="owner")

    assert (8, 8, 0) == (store.floor(), store.floor(["place"]), store.floor(["note"]))
    for seq in (1, 3, 5):
        kept = store.record("note", "a", as_of=AtSeq(seq))
        assert kept is not None and seq // 2 == kept.value["n"]
        assert 1 == store.count("note", as_of=AtSeq(seq)).count
        assert 1 + seq // 2 == len(store.history("note", "a", limit=9, as_of=AtSeq(seq)).facts)
        assert ["update"] == [one.action for one in store.changes(AtSeq(seq), None, limit=9, type_name="note").changes]
        assert [] == store.search("nowhere", types=["note"], limit=9, as_of=AtSeq(seq)).hits
        for ask in (
            lambda seq=seq: store.record("place", "p", as_of=AtSeq(seq)),
            lambda seq=seq: store.changes(AtSeq(seq), None, limit=9),
            lambda seq=seq: store.search("nowhere", types=["note", "place"], limit=9, as_of=AtSeq(seq)),
            lambda seq=seq: store.search("nowhere", limit=9, as_of=AtSeq(seq)),
        ):
            with pytest.raises(CursorTooOld):
                ask()


def test_a_floor_from_before_there_was_one_for_each_type_is_every_type_s(store: Store) -> None:
    """What went then may have been of any type; what goes later is known by its own."""
    for number in range(4):
        _put(store, "a", number)
    db = apsw.Connection(str(store.path))
    db.execute("INSERT INTO meta (name, value) VALUES ('floor_seq', 2)")
    db.close()
    assert [2, 2] == [store.floor(["note"]), store.floor(["place"])]

    store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
    store.compact(actor="owner")

    assert [4, 2] == [store.floor(["note"]), store.floor(["place"])]


def test_a_window_keeps_what_counted_within_it(store: Store, clock: ManualClock) -> None:
    """A fact goes when it was superseded longer ago than the window is wide, not when it was made."""
    for number in range(6):
        _put(store, "a", number)
        clock.advance(100)
    store.set_policy("note", Policy(kind="rolling_window", duration_s=250.0), actor="owner")
    store.compact(actor="owner")

    # Superseded at 100, 200, 300, 400, 500; the time is 600.
    assert [4, 5, 6] == [fact.seq for fact in _facts(store)]
    assert 4 == store.floor()
    with pytest.raises(CursorTooOld):
        store.record("note", "a", as_of=AtSeq(3))
    kept = store.record("note", "a", as_of=AtSeq(4))
    assert kept is not None and 3 == kept.value["n"]


def test_compaction_goes_in_steps(store: Store) -> None:
    """What is too much for one transaction goes in several, each with its receipt."""
    for number in range(30):
        _put(store, "a", number)
    store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
    retention_steps = []
    while done := store._submit(lambda one: one.retention(actor="owner").compact(facts_max=10), bulk=True):
        retention_steps.append(done["count"])

    assert [10, 10, 9] == retention_steps
    assert [30] == [fact.seq for fact in _facts(store)]


def test_compaction_leaves_the_folds_that_rebuilding_makes(store: Store, folder: Path, clock: ManualClock) -> None:
    """Also where facts from elsewhere were known in another order than they count. INV-13."""
    now = clock.now()
    store.set_policy("a", Policy(kind="rolling_window", duration_s=50.0), actor="owner")
    store.append(
        [
            Entry(type="a", key="k", value={"n": n}, known_at=known_at, rev=(0, n))
            for n, known_at in enumerate((now, now - 100, now - 99))
        ]
    )
    (done,) = store.compact(actor="owner")
    before = _derived(folder)
    store.rebuild()

    assert 1 == done["count"]
    assert _derived(folder) == before


def test_prune_drops_what_is_named(store: Store, folder: Path) -> None:
    """Listed ids go, whether they count or not; what came before counts again, and folding anew gives the same."""
    for number in range(4):
        _put(store, "a", number)
        _put(store, "b", number)
    by_seq = {fact.seq: fact.id for fact in _facts(store)}
    done = store.prune([by_seq[3], by_seq[7], "0190a3c4-0000-7000-8000-00000000ffff"], actor="owner")

    assert sorted([by_seq[3], by_seq[7]]) == done["ids"] and 1 == len(done["unknown"])
    assert 9 == done["floor_seq"]
    now = store.record("note", "a")
    assert now is not None and 2 == now.value["n"]
    derived = _derived(folder)
    store.rebuild()
    assert derived == _derived(folder)
    assert check_up(folder / "store.db", types=TYPES).is_whole
    assert store.record("__fact_prune_receipts", "1") is not None


def test_prune_of_every_fact_takes_the_record(store: Store, folder: Path) -> None:
    """A record without facts is no record."""
    _put(store, "a", 1)
    _put(store, "a", 2)
    _put(store, "b", 1)
    store.prune([fact.id for fact in _facts(store) if fact.key == "a"], actor="owner")

    assert store.record("note", "a") is None
    assert 1 == store.counts()["note"]
    assert check_up(folder / "store.db", types=TYPES).is_whole


def test_a_receipt_is_never_pruned(store: Store) -> None:
    """Nor compacted, nor erased, nor given a policy. INV-14."""
    _put(store, "a", 1)
    store.prune([_facts(store)[0].id], actor="owner")
    receipt = next(fact for fact in store.facts(0, limit=10) if fact.type in RECEIPT_TYPES.values())

    with pytest.raises(BadRequest):
        store.prune([receipt.id], actor="owner")
    with pytest.raises(BadRequest):
        store.erase(ids=[receipt.id], actor="owner")
    with pytest.raises(BadRequest):
        store.set_policy(receipt.type, Policy(kind="ephemeral"), actor="owner")
    assert receipt == store.facts(receipt.seq - 1, limit=1)[0]


def test_pruning_nothing_is_said(store: Store) -> None:
    """Unknown ids alone are an error, and leave no receipt; too many are refused."""
    with pytest.raises(NotFound):
        store.prune(["nobody"], actor="owner")
    with pytest.raises(BadRequest):
        store.prune(["x"] * (PRUNE_IDS_MAX + 1), actor="owner")
    assert [] == store.receipts(10)


@pytest.mark.parametrize(
    "policy",
    [Policy(kind="rolling_window"), Policy(kind="ephemeral", duration_s=1.0), Policy("rolling_window", -1.0)],
)
def test_a_policy_that_says_nothing_is_refused(store: Store, policy: Policy) -> None:
    """A window has a width, and nothing else has."""
    with pytest.raises(BadRequest):
        store.set_policy("note", policy, actor="owner")


def test_policies_outlive_the_writer(open_store: OpenStore) -> None:
    """They are kept in the store; permanent is the same as none."""
    store = open_store()
    store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
    store.set_policy("log", Policy(kind="rolling_window", duration_s=60.0), actor="owner")
    store.set_policy("log", Policy(), actor="owner")
    store.close()

    assert {"note": Policy(kind="ephemeral")} == open_store().policies()


def test_what_goes_is_digested(store: Store, folder: Path) -> None:
    """The receipt's digests are those of the rows that went and of the chain over those that stay."""
    for number in range(3):
        _put(store, "a", number)
    before = _rows(folder)
    store.set_policy("note", Policy(kind="ephemeral"), actor="owner")
    (done,) = store.compact(actor="owner")

    went = hashlib.sha256(b"".join(b"%d:%b" % (seq, digest) for seq, digest in before[:2])).hexdigest()
    assert went == done["went"]
    assert (1, 3) == (done["stays"]["facts"], done["stays"]["seq"])
    assert before[2:] == _rows(folder)[:1]


def _rows(folder: Path) -> list[Any]:
    db = apsw.Connection(str(folder / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.execute("SELECT seq, row_digest FROM fact ORDER BY seq").fetchall()
    finally:
        db.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, 3)),
        st.tuples(st.just("delete"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.sampled_from([1, 50, 200])),
        st.tuples(st.just("compact"), st.sampled_from(["ephemeral", "rolling_window"]), st.sampled_from([0, 100, 300])),
        st.tuples(st.just("prune"), st.sampled_from(KEYS), st.integers(0, 5)),
    ),
    max_size=40,
)


@given(steps=STEPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_answers_for_retained_history_stay_the_same(steps: list[tuple[str, str, int]]) -> None:
    """At every position that is still answered the answer is what it was; below, none is given. INV-14."""
    clock = ManualClock()
    with _new_store(clock) as store:
        answers: dict[int, dict[str, Any]] = {0: {}}
        for verb, key, number in steps:
            _step(store, clock, verb, key, number)
            for seq in range(max(answers) + 1, store.head() + 1):
                answers[seq] = _state(store, seq)
            for seq in range(store.floor(), store.head() + 1):
                assert answers[seq] == _state(store, seq), (verb, key, seq)
            if store.floor():
                with pytest.raises(CursorTooOld):
                    _state(store, store.floor() - 1)
        held = _derived(store.path.parent)
        store.rebuild()
        assert held == _derived(store.path.parent)
        assert check_up(store.path, types=TYPES, wait=lambda _: None).is_whole


def _step(store: Store, clock: ManualClock, verb: str, key: str, number: int) -> None:
    if verb == "put":
        _put(store, key, number)
    elif verb == "delete":
        store.commit([Change(type="note", key=key, action="delete")])
    elif verb == "wait":
        clock.advance(number)
    elif verb == "compact":
        window = float(number) if key == "rolling_window" else None
        store.set_policy("note", Policy("rolling_window" if window is not None else "ephemeral", window), actor="me")
        store.compact(actor="me")
    elif versions := [fact.id for fact in _facts(store) if fact.key == key][:number]:
        store.prune(versions, actor="me")


def _state(store: Store, seq: int) -> dict[str, Any]:
    found = {key: store.record("note", key, as_of=AtSeq(seq)) for key in KEYS}
    return {key: record.value for key, record in found.items() if record is not None}


def test_what_a_policy_would_let_go_is_counted(store: Store, clock: ManualClock) -> None:
    """As many as compacting then removes, of that type, and none that counts."""
    for number in range(3):
        _put(store, "a", number)
        _put(store, "a", number, type_name="mail")
        clock.advance(10.0)
    window = Policy(kind="rolling_window", duration_s=15.0)

    counts = [store.expendable("note", policy, now=clock.now()).count for policy in (Policy(), window)]
    ephemeral = Policy(kind="ephemeral")

    assert [0, 1] == counts
    assert (2, 0) == tuple(store.expendable(name, ephemeral, now=clock.now()).count for name in ("note", "none"))
    store.set_policy("note", ephemeral, actor="owner")
    assert [2] == [receipt["count"] for receipt in store.compact(actor="owner")]
