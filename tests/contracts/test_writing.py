"""What writing promises, whoever is asked: order, identity, rules, chains, all or none."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.model.errors import (
    BadRequest,
    Conflict,
    ConflictingDuplicate,
    HashMismatch,
    InvalidFact,
    LeftOut,
    LockerError,
    SeqMoved,
)
from core.model.fact import Change, Fact
from core.store import Appended, Entry, Store
from tests.contracts.keepers import ORIGIN, TYPES, Keeper, Kept, taken

ID = "00000000-0000-4000-8000-000000000001"
VALUE = {"title": "Hello", "status": "open", "n": 1}
VALUE_HASH = "657fefd933bb4aef9741f77cb8387424adc2590e6b90be5d6e8e9e0dc04bbf9b"


def entry(**fields: Any) -> Entry:
    """A fact as a client writes it."""
    return Entry(**{"type": "tasks", "key": "t1", "id": ID, "value": VALUE, **fields})


def together(count: int, do: Callable[[int], object]) -> None:
    """Do it in as many threads at once; what one raises is raised."""
    faults: list[BaseException] = []

    def run(number: int) -> None:
        try:
            do(number)
        except BaseException as err:
            faults.append(err)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    for fault in faults:
        raise fault


def test_what_one_session_wrote_the_next_reads(keeper: Keeper) -> None:
    """Facts, records, cursors: with everything that was said, in order, under the same epoch."""
    store = keeper.session()
    said = {
        "value_hash": VALUE_HASH, "transaction_time": 1700000000.25, "valid_time": 5.0, "schema_version": 3,
        "producer": {"by": "test"}, "derivation": {"of": "nothing"}, "common": {"place": "here"},
    }  # fmt: skip
    taken(store.append([entry(**said)]))
    store.commit([Change(type="note", key="a", value={"title": "A"})], cursor=("notes", {"page": 2}))
    before = (store.facts(0, limit=10), store.record("note", "a"), store.cursor("notes"), store.epoch())
    other = keeper.reopen() if keeper.lasts else keeper.session()

    assert said == {name: getattr(before[0][0], name) for name in said}
    assert [1, 2] == [fact.seq for fact in before[0]]
    assert before == (other.facts(0, limit=10), other.record("note", "a"), other.cursor("notes"), other.epoch())
    assert (1 + keeper.lasts, {"note": 1, "tasks": 1}) == (other.opens(), other.counts())


@pytest.mark.parametrize("step_s", [-86_400, 86_400])
def test_order_is_the_log_s_whatever_the_clock_does(keeper: Keeper, clock: ManualClock, step_s: int) -> None:
    """The later write wins, now and after a reopening; recorded times never fall. S4."""
    store = keeper.session()
    for n, step in enumerate((0, step_s, step_s, -step_s)):
        clock.step(step)
        taken(store.append([Entry(type="note", key="a", value={"n": n})]))
    facts = store.facts(0, limit=10)

    for _ in range(2):
        record = store.record("note", "a")
        assert record is not None and {"n": 3} == record.value
        assert facts == store.facts(0, limit=10)
        store = keeper.reopen() if keeper.lasts else store
    assert [1, 2, 3, 4] == [fact.seq for fact in facts]
    assert sorted(fact.recorded_at for fact in facts) == [fact.recorded_at for fact in facts]


def test_an_id_stands_for_one_fact(keeper: Keeper) -> None:
    """The same again adds nothing, at once, from many sides, in the next session; another one is refused. S10."""
    store = keeper.session()
    first = taken(store.append([entry(), entry()]))
    together(4, lambda _: taken(keeper.session().append([entry()])))
    (other,) = store.append([entry(value={"n": 2})])
    if keeper.lasts:
        store = keeper.reopen()
    (again,) = taken(store.append([entry()]))

    assert ([False, True], 1) == ([one.duplicate for one in first], store.head())
    assert isinstance(other, ConflictingDuplicate)
    assert (True, 1) == (again.duplicate, again.seq)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("store", ""), ("store", "x" * 129), ("store", "a\nb"), ("store", "__locker_x"), ("store", "half \ud800"),
        ("key", ""), ("key", "k" * 513), ("key", "a\x00b"),
        ("id", ""), ("id", "i" * 65), ("causation", "c" * 65),
        ("value", {"n": float("nan")}), ("value", {"n": [None, float("-inf")]}), ("value", {"t": "x" * 4194305}),
        ("value_hash", "WRONG"), ("transaction_time", float("nan")), ("transaction_time", 1e13),
        ("valid_time", float("inf")), ("schema_version", 0), ("if_seq", -1),
        ("producer", {"x": "y" * 17000}), ("derivation", {"x": "y" * 17000}),
    ],
)  # fmt: skip
def test_each_rule_names_its_field(store: Kept, field: str, value: Any) -> None:
    """Judged by the same words wherever it comes in; nothing of it is stored, and the others go on. S9."""
    bad = entry(**{"type" if field == "store" else field: value})
    answer, good = store.append([bad, entry(id="good", key="good")])

    assert isinstance(answer, InvalidFact)
    assert field == answer.field
    assert isinstance(good, Appended)
    assert ["good"] == [fact.key for fact in store.facts(0, limit=10)]


def test_a_value_has_a_depth(store: Kept) -> None:
    """60 levels pass, 70 do not. S9."""

    def nested(depth: int) -> dict[str, Any]:
        return {"x": nested(depth - 1)} if depth else {}

    good, bad = store.append([entry(value=nested(60)), entry(id="deep", value=nested(70))])

    assert isinstance(good, Appended)
    assert isinstance(bad, InvalidFact)


def test_hash_forms(store: Kept) -> None:
    """Ours and Ruby's are taken, an integer beyond 2^53 is exact in both; another hash is refused."""
    value = {"price": 1.0, "tiny": 1.5e-7, "big": 1e20, "id": 2**70 + 1}
    ruby = hashlib.sha256(b'{"big":1.0e+20,"id":1180591620717411303425,"price":1.0,"tiny":1.5e-07}').hexdigest()
    ours = hashlib.sha256(b'{"big":100000000000000000000,"id":1180591620717411303425,"price":1,"tiny":1.5e-7}')
    forms = {"none": None, "ours": ours.hexdigest(), "ruby": ruby, "wrong": "0" * 64}
    done = store.append([entry(id=name, value=value, value_hash=given) for name, given in forms.items()])

    assert [Appended, Appended, Appended, HashMismatch] == [type(one) for one in done]
    assert [forms["ours"], forms["ours"], ruby] == [one.value_hash for one in done if isinstance(one, Appended)]
    assert [value] * 3 == [fact.value for fact in store.facts(0, limit=9)]
    assert VALUE_HASH == taken(store.append([entry()]))[0].value_hash


def test_causation_is_one_chain(keeper: Keeper) -> None:
    """Two sessions take turns, and go on after a reopening: each fact follows the one before. S5."""
    for round_ in range(2):
        sessions = (keeper.session(), keeper.session())
        for n in range(10):
            store = sessions[n % 2]
            taken(store.append([Entry(type="note", key="a", value={"n": n, "round": round_})]))
            record = sessions[(n + 1) % 2].record("note", "a")
            assert record is not None and {"n": n, "round": round_} == record.value
        if round_ == 0 and keeper.lasts:
            keeper.reopen()
    store = keeper.session()
    facts = store.facts(0, limit=100)

    assert 20 == len(facts)
    assert [None, *(fact.id for fact in facts[:-1])] == [fact.causation for fact in facts]
    assert [None, *facts[:-1]] == [store.previous(fact) for fact in facts]


def test_of_many_that_want_one_place_one_gets_it(keeper: Keeper) -> None:
    """`if_seq` from eight sides at once: one is added, the others are told where the record stands. S5."""
    (first,) = taken(keeper.session().append([entry(id="first", if_seq=0)]))
    sessions = [keeper.session() for _ in range(8)]
    done: list[Appended | LockerError] = []
    together(8, lambda n: done.extend(sessions[n].append([entry(id=f"r{n}", if_seq=first.seq)])))
    won = [one for one in done if isinstance(one, Appended)]
    lost = [one for one in done if isinstance(one, SeqMoved)]

    assert (1, 7) == (len(won), len(lost))
    assert {won[0].seq} == {one.current_seq for one in lost}
    assert 2 == sessions[0].head()


@pytest.mark.parametrize("bad", [{"key": ""}, {"value": {"n": float("nan")}}])
def test_together_or_each_by_itself(store: Kept, bad: dict[str, Any]) -> None:
    """One bad fact keeps all others out where they are one; where not, it keeps out nobody."""
    some = [entry(id="a"), entry(**{"id": "b", **bad}), entry(id="c")]
    refused = store.append(some, atomic=True)
    head = store.head()
    partly = store.append(some)

    assert [True, False, True] == [isinstance(one, (LeftOut, Conflict)) for one in refused]
    assert (InvalidFact, 0) == (type(refused[1]), head)
    assert [Appended, InvalidFact, Appended] == [type(one) for one in partly]
    assert [1, 2] == [one.seq for one in taken(store.append([entry(id="a"), entry(id="c")], atomic=True))]


def test_no_more_than_a_thousand_at_once(store: Kept) -> None:
    """A bound, told with its number; none of them is added."""
    with pytest.raises(BadRequest, match="allowed are 1000"):
        store.append([entry(id=str(n)) for n in range(1001)])
    assert 0 == store.head()


def write_side_by_side(keeper: Keeper, sides: int, count: int) -> None:
    """Each side writes facts one by one; then all are there, once, numbered without a hole."""
    sessions = [keeper.session() for _ in range(sides)]

    def write(side: int) -> None:
        for n in range(count):
            taken(sessions[side].append([Entry(type="note", key=f"{side}-{n}", value={"n": n})]))

    together(sides, write)
    store = keeper.session()
    seen: list[Fact] = []
    while page := store.facts(len(seen), limit=1000):
        seen += page

    assert [*range(1, sides * count + 1)] == [fact.seq for fact in seen]
    assert {f"{side}-{n}" for side in range(sides) for n in range(count)} == {fact.key for fact in seen}
    assert {"note": sides * count} == store.counts()
    for side in range(sides):  # Each side's writes stand in the order in which it made them.
        assert [*range(count)] == [fact.value["n"] for fact in seen if fact.key.startswith(f"{side}-")]


def test_four_times_five_writes_are_twenty(keeper: Keeper) -> None:
    """Side by side."""
    write_side_by_side(keeper, 4, 5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_times_five_thousand_writes_are_forty_thousand(keeper: Keeper) -> None:
    """Side by side, each durable before the next."""
    write_side_by_side(keeper, 8, 5000)


def test_a_snapshot_is_checked_and_added(keeper: Keeper, clock: ManualClock) -> None:
    """What is known counts, what is unknown is added; one that differs keeps all of it out, and nothing goes."""
    store = keeper.session()
    now = clock.now()
    taken(store.append([entry(id=f"f{n}", key=f"k{n}", value={"n": n}, transaction_time=now) for n in range(4)]))
    facts = store.facts(0, limit=10)
    changed = [Entry(type="tasks", key="k9", id="f9", value={"n": 9}, transaction_time=1.0)]
    known = keeper.snapshot(facts)
    made = _made(keeper, changed)
    added = keeper.snapshot([*facts[:2], made])
    odd = _made(keeper, [entry(id="f1", key="k1", value={"n": "other"}, transaction_time=now)])
    new = _made(keeper, [entry(id="new", key="new")])
    with pytest.raises((ConflictingDuplicate, Conflict)):
        keeper.snapshot([new, odd])

    assert ((4, 0), (2, 1)) == (known, added)
    assert [*facts, store.fact("f9")] == store.facts(0, limit=10)


def _made(keeper: Keeper, entries: list[Entry]) -> Fact:
    """The fact that another store made of an entry."""
    with Store.in_memory(types=TYPES, origin=ORIGIN, clock=keeper.clock) as made:
        taken(made.append(entries))
        return made.facts(0, limit=1)[0]
