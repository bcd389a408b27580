"""Facts that come as facts: judged at the door, told apart by their id, folded wherever they belong."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import pytest

from core.model.errors import (
    BadRequest,
    Broken,
    ConflictingDuplicate,
    CursorTooOld,
    HashMismatch,
    InvalidFact,
    SeqMoved,
)
from core.model.fact import Change
from core.model.problem import problem_document
from core.store import Appended, Entry, Reader, Store
from tests.store.conftest import ORIGIN, OpenStore
from tests.store.disks import watched_disk

ID = "00000000-0000-4000-8000-000000000001"
VALUE = {"title": "Hello", "status": "open", "n": 1}
VALUE_HASH = "657fefd933bb4aef9741f77cb8387424adc2590e6b90be5d6e8e9e0dc04bbf9b"


def entry(**fields: Any) -> Entry:
    """A fact as a client writes it."""
    return Entry(**{"type": "tasks", "key": "t1", "id": ID, "value": VALUE, **fields})


def done(store: Store, **fields: Any) -> Appended:
    """What became of one fact that must be taken."""
    (answer,) = store.append([entry(**fields)])
    assert isinstance(answer, Appended), answer
    return answer


def test_a_fact_keeps_all_that_its_maker_said(store: Store) -> None:
    """Id, hash, times, parent and provenance are read back as they were written."""
    said = {
        "value_hash": VALUE_HASH, "transaction_time": 1700000000.25, "valid_time": 5.0, "schema_version": 3,
        "producer": {"by": "test"}, "derivation": {"of": "nothing"}, "causation": "made-elsewhere",
    }  # fmt: skip
    answer = done(store, **said)
    (fact,) = store.facts(0, limit=10)

    assert (1, ID, False, ("stale_parent",)) == (answer.seq, answer.id, answer.duplicate, answer.warnings)
    assert said == {name: getattr(fact, name) for name in said}
    assert (ID, "tasks", "t1", VALUE) == (fact.id, fact.type, fact.key, fact.value)


def test_the_same_fact_again_is_a_duplicate(open_store: OpenStore) -> None:
    """At once, later, and after the store was opened anew: one fact."""
    with open_store() as store:
        first = done(store)
        again = store.append([entry(), entry()])
    with open_store() as store:
        later = done(store)

        assert 1 == store.head()
    assert [first.seq] * 3 == [one.seq for one in (*again, later) if isinstance(one, Appended) and one.duplicate]


def test_what_is_not_taken_leaves_nothing_of_its_maker(store: Store, folder: Path) -> None:
    """Refused, known already, left out with another, unchanged: no row tells of an origin or a producer no fact has."""
    first = entry(producer={"by": "first"}, origin="elsewhere", origin_seq=1)
    other = {"producer": {"by": "nobody"}, "origin": "nowhere"}
    store.append([first])
    store.append([
        entry(value={"n": 2}, **other),
        entry(**other | {"producer": {"by": "first"}}),
        entry(id="moved", if_seq=7, **other),
        entry(id="taken", producer={"by": "second"}),
    ])  # fmt: skip
    store.append([entry(id="good", **other), entry(id="bad", if_seq=7)], atomic=True)
    put = Change(type="tasks", key="t2", value={"n": 1})
    store.commit([put], producer={"by": "third"})
    store.commit([put], producer={"by": "nobody"})
    store.commit([Change(type="tasks", key="t2", value={"n": math.nan})], producer={"by": "nobody"})
    with Reader.open(folder, types={}) as reader:
        origins = reader.rows("SELECT log FROM origin ORDER BY id")
        producers = reader.rows("SELECT document FROM producer ORDER BY id")

    assert 3 == store.head()
    assert [(ORIGIN.log,), ("elsewhere",)] == origins
    assert [(f'{{"by":"{name}"}}',) for name in ("first", "second", "third")] == producers


def test_what_several_callers_add_together_is_answered_to_each(store: Store) -> None:
    """In order; what is wrong with one fact is its own answer, and an id that two have is stored once."""
    store.append([entry(id="before", key="t0")])
    answers = store.append_together(
        [
            [entry(id="a", key="t1"), entry(id="b", key="t1", value={"n": 2})],
            [],
            [entry(id="before", key="other")],
            [entry(id="a", key="t1"), entry(id="c", key=""), entry(id="d", key="t2")],
        ]
    )
    (first, second), nothing, (refused,), (again, bad, last) = answers

    assert [] == nothing and [[], []] == store.append_together([[], []])
    assert isinstance(refused, ConflictingDuplicate) and isinstance(bad, InvalidFact)
    assert [(2, False, None), (3, False, "a"), (2, True, None), (4, False, None)] == [
        (one.seq, one.duplicate, one.causation) for one in (first, second, again, last) if isinstance(one, Appended)
    ]


def test_what_is_added_together_shares_a_flush(open_store: OpenStore) -> None:
    """Eight callers, one flush; and as single writes, which others may pass."""
    with watched_disk() as disk:
        store = open_store()
        disk.done.clear()
        store.append_together([[entry(id=f"f{number}", key=f"k{number}")] for number in range(8)])
        flushes = disk.done.count(("wal", "flush"))
        store.close()

    assert 1 == flushes


def test_what_keeps_all_out_is_told_to_each(open_store: OpenStore) -> None:
    """The flush fails: nobody's facts are there, and the next ones are stored."""
    with watched_disk() as disk:
        store = open_store()
        batches = [[entry(id="a")], [], [entry(id="b", key="t2")]]
        disk.failing_flushes = 1
        failed = store.append_together(batches)
        answers = store.append_together(batches)

        assert [Broken, list, Broken] == [type(answer) for answer in failed]
        assert [["a"], [], ["b"]] == [[one.id for one in of] for of in answers]
        assert ["a", "b"] == [kept.id for kept in store.facts(0, limit=10)]
        store.close()


def test_another_fact_of_that_id_is_refused(store: Store) -> None:
    """Also within one call; the first stands."""
    answers = store.append([entry(), entry(key="t2"), entry(id="other", value={"n": 2})])
    (later,) = store.append([entry(value={"n": 3})])

    assert [Appended, ConflictingDuplicate, Appended] == [type(one) for one in answers]
    assert isinstance(later, ConflictingDuplicate)
    assert 2 == store.head()


@pytest.mark.parametrize("field", ["common", "producer", "derivation"])
@pytest.mark.parametrize("at_once", [False, True])
def test_true_is_not_one(store: Store, field: str, at_once: bool) -> None:
    """What JSON tells apart is not the same fact; how a number is written makes no difference."""
    said = [entry(id="a", **{field: {"f": part}}) for part in (True, 1)]
    number = [entry(id="b", **{field: {"f": part}}) for part in (1, 1.0)]
    calls = [[*said, *number]] if at_once else [[one] for one in (*said, *number)]
    answers = [answer for call in calls for answer in store.append(call)]

    assert [Appended, ConflictingDuplicate, Appended, Appended] == [type(answer) for answer in answers]


def test_causation_is_the_fact_before(store: Store) -> None:
    """Filled in at commit, so that two clients cannot name one parent."""
    first, second = store.append([entry(id="a"), entry(id="b")])

    assert isinstance(first, Appended) and isinstance(second, Appended)
    assert (None, "a") == (first.causation, second.causation)


def test_if_seq_lets_one_of_two_in(store: Store) -> None:
    """The one who read the latest fact wins; the other is told where the record stands."""
    done(store, id="a", if_seq=0)
    done(store, id="b", if_seq=1)
    (late,) = store.append([entry(id="c", if_seq=1)])

    assert isinstance(late, SeqMoved)
    assert 2 == late.current_seq


def test_all_or_none_when_asked(store: Store) -> None:
    """One bad fact of an atomic call keeps the others out; it alone is to blame."""
    answers = store.append([entry(id="a"), entry(id="b", key="")], atomic=True)

    assert isinstance(answers[1], InvalidFact)
    assert 0 == store.head()
    assert isinstance(done(store, id="a"), Appended)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("store", ""), ("store", "x" * 129), ("store", "a\nb"), ("store", "__locker_x"), ("store", "half \ud800"),
        ("key", ""), ("key", "k" * 513), ("key", "a\x00b"),
        ("id", ""), ("id", "i" * 65), ("causation", "c" * 65),
        ("value", {"n": float("nan")}), ("value", {"n": float("inf")}), ("value", {"t": "x" * 4194305}),
        ("value", {"a": {"n": 2**70, "s": "\ud800"}}),
        ("value_hash", "WRONG"), ("value_hash", VALUE_HASH.upper()),
        ("transaction_time", float("nan")), ("transaction_time", 1e13), ("valid_time", float("inf")),
        ("schema_version", 0), ("if_seq", -1), ("producer", {"x": "y" * 17000}), ("derivation", {"x": "y" * 17000}),
        ("origin_epoch", 0), ("rev", (0, 2**63)), ("rev", (1,)),
        ("origin", ""), ("origin", "half \ud800"), ("origin", "o" * 513),
    ],
)  # fmt: skip
def test_each_rule_names_its_field(store: Store, field: str, value: Any) -> None:
    """Null ids, wrong hashes, times far off and the like were stored once; here each is refused by name."""
    (answer,) = store.append([entry(**{"type" if field == "store" else field: value})])

    assert isinstance(answer, InvalidFact)
    assert field == answer.field
    assert 0 == store.head()


def test_a_wrong_hash_is_refused_and_two_forms_are_right(store: Store) -> None:
    """Ours, and that of a client which writes floats as Ruby does."""
    value = {"price": 1.0, "big": 1e20}
    ruby = hashlib.sha256(b'{"big":1.0e+20,"price":1.0}').hexdigest()
    ours = hashlib.sha256(b'{"big":100000000000000000000,"price":1}').hexdigest()
    answers = store.append(
        [entry(id=name, value=value, value_hash=given) for name, given in (("r", ruby), ("o", ours), ("w", "0" * 64))]
    )

    assert [Appended, Appended, HashMismatch] == [type(one) for one in answers]


def test_a_time_far_ahead_is_flagged_and_orders_nothing(store: Store) -> None:
    """It is stored as sent."""
    ahead = store.facts(0, limit=1) or done(store, id="a", transaction_time=9e9)

    assert isinstance(ahead, Appended)
    assert ("clock_suspect",) == ahead.warnings
    assert 9e9 == store.facts(0, limit=1)[0].transaction_time


def test_a_fact_from_elsewhere_finds_its_place(store: Store) -> None:
    """An older version that comes later does not count, and is part of the history; rebuilding agrees."""
    done(store, id="new", value={"n": 2}, origin="there/x", origin_epoch=1, origin_seq=2, known_at=20.0, rev=(0, 20000))
    done(store, id="old", value={"n": 1}, origin="there/x", origin_epoch=1, origin_seq=1, known_at=10.0, rev=(0, 10000))
    done(store, id="mid", value={"n": 3}, origin="there/x", origin_epoch=1, origin_seq=3, known_at=15.0, rev=(0, 15000))
    record = store.record("tasks", "t1")
    before = _folds(store)
    store.rebuild()

    assert record is not None and {"n": 2} == record.value
    assert ["mid", "old", "new"] == [fact.id for fact in store.history("tasks", "t1", limit=9).facts]
    assert before == _folds(store)
    assert {"tasks": 1} == store.counts()


def test_a_deletion_from_elsewhere_takes_the_record_away(store: Store) -> None:
    """And an older one does not."""
    done(store, id="a")
    (fact,) = store.facts(0, limit=1)
    done(store, id="b", action="delete", known_at=1.0, rev=(-1, 0), origin="there/x", origin_epoch=1, origin_seq=1)
    assert {"tasks": 1} == store.counts()
    done(
        store, id="c", action="delete", known_at=fact.known_at + 1, rev=(9, 0), origin="there/x", origin_epoch=1,
        origin_seq=2,
    )  # fmt: skip

    assert {} == store.counts()
    assert store.record("tasks", "t1") is None


def test_more_than_a_thousand_at_once_are_refused(store: Store) -> None:
    """A bound, told with its number."""
    with pytest.raises(BadRequest, match="allowed are 1000"):
        store.append([entry(id=str(n)) for n in range(1001)])


def _folds(store: Store) -> list[tuple[Any, ...]]:
    return store.rows("SELECT * FROM current ORDER BY 1, 2") + store.rows("SELECT * FROM past ORDER BY 1, 2, 3")


def test_a_problem_document_says_where_the_record_stands() -> None:
    """What an error knows beside its sentence reaches the other end of a wire."""
    documents = [
        problem_document(error)
        for error in (SeqMoved("a", current_seq=4), InvalidFact("b", field="key"), CursorTooOld("c", floor=9))
    ]

    assert [4, "key", 9] == [documents[0]["current_seq"], documents[1]["field"], documents[2]["floor"]]
