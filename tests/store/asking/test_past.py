"""Every question about today and about the past, against a model that folds the whole log anew each time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.model.clock import ManualClock
from core.model.errors import LockerError
from core.model.fact import Change, Fact
from core.model.filter import parse
from core.store import AsOf, AtSeq, AtTime, Entry, Store
from core.store.asking import changes as changes_module
from core.store.asking import query
from tests.contracts import model as past
from tests.contracts.waiting import pages
from tests.store.conftest import ORIGIN

KEYS = ("a", "b", "c", "d", "é", "😀")
FILTERS = (
    None, "n > 1", "n == 2", "n in [0, 2, \"x\"]", "n >= 1 and n < 3", "by->name == \"x\"", "author == \"x\" or n == 0",
    "not n", "n != 1", "n == 1 and by->name", "name contains \"e\"", "title", "n == true",
    "n < \"y\" and by->name > \"\"", "own == 1",
)  # fmt: skip
ORDERS = ("key", "newest", "n", "-n")

values = st.fixed_dictionaries(
    {"n": st.sampled_from([0, 1, 2, 3, True, None, "x", "y", 1.5])},
    optional={
        "written": st.integers(1, 6),
        "by": st.fixed_dictionaries({"name": st.sampled_from(["x", "y", ""])}),
        "name": st.sampled_from(["one", "two"]),
    },
)
locals_ = st.tuples(
    st.just("local"), st.sampled_from(KEYS), st.none() | values, st.sampled_from([{}, {"own": 1}, {"author": "x"}])
)
foreign = st.tuples(
    st.just("foreign"),
    st.sampled_from(KEYS),
    st.none() | values,
    st.integers(-30, 5),
    st.integers(0, 4),
    st.integers(0, 3),
)
waits = st.tuples(st.just("wait"), st.integers(1, 10))
steps = st.lists(st.one_of(locals_, locals_, foreign, waits), min_size=5, max_size=30)
only_ours = st.lists(st.one_of(locals_, locals_, waits), min_size=5, max_size=30)


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little work for each page that every way of answering is taken, and pages end early."""
    for name, bound in {"GATHERED_MAX": 2, "LISTED_MAX": 4, "READ_MAX": 7, "PASSED_MAX": 9, "_SLICE_FIRST": 2}.items():
        monkeypatch.setattr(query, name, bound)
    monkeypatch.setattr(changes_module, "SLICE", 3)
    monkeypatch.setattr(changes_module, "FACTS_MAX", 6)


def filled(store: Store, clock: ManualClock, done: list[Any]) -> list[Fact]:
    """The store after the steps, as its facts."""
    for number, (what, *said) in enumerate(done):
        if what == "wait":
            clock.advance(said[0])
        elif what == "local":
            key, value, common = said
            action, value = ("delete", {}) if value is None else ("put", value)
            store.commit([Change(type="note", key=key, action=action, value=value, common=common if value else {})])
        else:
            key, value, late, generation, order = said
            done_so = store.append([Entry(
                type="note", key=key, action="delete" if value is None else "put", value=value or {},
                origin="elsewhere", origin_epoch=1, origin_seq=number + 1, known_at=clock.now() + late,
                rev=(generation, order),
            )])  # fmt: skip
            assert not isinstance(done_so[0], LockerError)
    return past.facts_of(store)


def moments(facts: list[Fact]) -> list[AsOf | None]:
    """The present, every position, every time around which something came."""
    times = {moment for fact in facts for moment in (fact.known_at, fact.recorded_at, fact.known_at - 0.5)}
    return [None, AtSeq(0), *(AtSeq(fact.seq) for fact in facts), *map(AtTime, sorted(times))]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=steps | only_ours, data=st.data())
def test_the_past_is_what_the_log_says(
    tmp_path_factory: pytest.TempPathFactory, done: list[Any], data: st.DataObject
) -> None:
    """Records, lists in every order with every filter, counts and histories: at any moment as the fold of the log."""
    clock = ManualClock()
    with Store.open(tmp_path_factory.mktemp("s") / "x", types={"note": past.SPEC}, origin=ORIGIN, clock=clock) as store:
        facts = filled(store, clock, done)
        for as_of in data.draw(st.lists(st.sampled_from(moments(facts)), min_size=3, max_size=8)):
            for key in KEYS:
                expected = past.state(facts, as_of).get(key)
                found = store.record("note", key, as_of=as_of)
                assert (None if expected is None else past.record(expected)) == found
                versions = [fact.seq for fact in past.then(facts, as_of) if fact.key == key]
                history = pages(
                    lambda after, k=key, m=as_of: store.history("note", k, limit=2, after=after, as_of=m), "facts"
                )
                assert versions[::-1] == [fact.seq for fact in history]
            text, order = data.draw(st.sampled_from(FILTERS)), data.draw(st.sampled_from(ORDERS))
            where, limit = None if text is None else parse(text), data.draw(st.integers(1, 4))
            expected_list = past.listed(facts, as_of, where, order)
            listed = pages(
                lambda after, w=where, o=order, m=as_of, n=limit: store.records(
                    "note", where=w, order=o, as_of=m, limit=n, after=after
                ),
                "records",
            )
            assert expected_list == list(listed), (as_of, text, order)
            count = store.count("note", where=where, as_of=as_of)
            assert count.count == len(expected_list) if count.is_exact else count.count <= len(expected_list)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=steps | only_ours, data=st.data())
def test_what_changed_is_the_difference_of_two_moments(
    tmp_path_factory: pytest.TempPathFactory, done: list[Any], data: st.DataObject
) -> None:
    """Each record that is not the same at both is told once, with what became of it and what it began with."""
    clock = ManualClock()
    with Store.open(tmp_path_factory.mktemp("s") / "x", types={"note": past.SPEC}, origin=ORIGIN, clock=clock) as store:
        facts = filled(store, clock, done)
        for _ in range(10):
            pair = [data.draw(st.sampled_from(moments(facts))) for _ in range(2)]
            start, end = sorted(pair, key=lambda one: len(past.then(facts, one)))
            if not set(map(id, past.then(facts, start))) <= set(map(id, past.then(facts, end))):
                continue
            start = start or AtSeq(len(facts))
            told = list(pages(lambda after, s=start, e=end: store.changes(s, e, limit=2, after=after), "changes"))

            assert past.changed(facts, start, end) == {one.key: (one.action, one.before) for one in told}
            assert sorted(one.seq for one in told) == [one.seq for one in told]
            assert len({one.key for one in told}) == len(told)
            assert all(past.state(facts, end)[one.key].seq == one.seq for one in told if one.action != "delete")
