"""The store against a model of a few lines: the same answers after every step, whatever the steps are."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import apsw
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.model.clock import ManualClock
from core.model.fact import Change
from core.store import Reader, Store
from tests.store.conftest import ORIGIN, TYPES

TYPE_NAMES = st.sampled_from(["note", "other"])
KEYS = st.sampled_from(["a", "b", "é", "a b", "~"])
VALUES = st.fixed_dictionaries(
    {"n": st.integers(0, 2)},
    optional={
        "views": st.integers(0, 5),
        "written": st.sampled_from(["2026-01-01", 1_600_000_000, "soon", None]),
        "rate": st.sampled_from([0.5, 1.0, 1]),
    },
)
CHANGES = st.one_of(
    st.builds(
        Change,
        type=TYPE_NAMES,
        key=KEYS,
        value=VALUES,
        common=st.sampled_from([{}, {"title": "T"}]),
        order_key=st.one_of(st.none(), st.integers(0, 3)),
    ),
    st.builds(Change, type=TYPE_NAMES, key=KEYS, action=st.just("delete")),
    st.builds(Change, type=TYPE_NAMES, key=KEYS, value=st.just({"n": float("nan")})),
)
STREAMS = st.sampled_from(["notes", "others"])


class Model:
    """What a store is: a list of facts, the latest of each key, the cursors, and who is in quarantine."""

    def __init__(self) -> None:
        self.facts: list[Change] = []
        self.latest: dict[tuple[str, str], Change] = {}
        self.cursors: dict[str, Any] = {}
        self.quarantine: dict[tuple[str, str], int] = {}

    def commit(self, changes: list[Change]) -> tuple[int, int, int, int, int]:
        """Counts of new, updated, same, deleted, quarantined."""
        counts = [0, 0, 0, 0, 0]
        bad = [change for change in changes if change.value.get("n") != change.value.get("n")]
        for change in changes:
            name = (change.type, change.key)
            before = self.latest.get(name)
            live = before is not None and before.action == "put"
            if change in bad:
                what = 4
            elif change.action == "delete":
                what = 3 if live else 2
            elif not live:
                what = 0
            else:
                assert before is not None
                what = 2 if self._told(before) == self._told(change) else 1
            counts[what] += 1
            if what in (0, 1, 3):
                self.facts.append(change)
                self.latest[name] = change
        for change in changes:
            if change not in bad:
                self.quarantine.pop((change.type, change.key), None)
        for change in bad:
            name = (change.type, change.key)
            self.quarantine[name] = self.quarantine.get(name, 0) + 1
        new, updated, same, deleted, quarantined = counts
        return new, updated, same, deleted, quarantined

    @staticmethod
    def _told(change: Change) -> Any:
        volatile = ("views",) if change.type == "note" else ()
        return {name: value for name, value in change.value.items() if name not in volatile}, change.common


class StoreMachine(RuleBasedStateMachine):
    """Commits, reopens and rebuilds in any order."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="store-model-"))
        self.clock = ManualClock()
        self.model = Model()
        self.store = self._open()
        self.reader = Reader.open(self.folder, types=TYPES)

    @rule(changes=st.lists(CHANGES, max_size=6), stream=STREAMS, cursor=st.none() | st.integers(), bulk=st.booleans())
    def commit(self, changes: list[Change], stream: str, cursor: int | None, bulk: bool) -> None:
        done = self.store.commit(changes, cursor=(stream, cursor), bulk=bulk)
        expected = self.model.commit(changes)
        self.model.cursors[stream] = cursor

        assert expected == (done.new, done.updated, done.same, done.deleted, done.quarantined)
        assert len(self.model.facts) == done.head

    @rule()
    def reopen(self) -> None:
        epoch = self.store.epoch()
        self.store.close()
        self.store = self._open()

        assert self.store.was_clean
        assert epoch == self.store.epoch()

    @rule()
    def rebuild(self) -> None:
        before = self._current()
        self.store.rebuild()

        assert before == self._current()

    @rule(seconds=st.integers(-3, 3))
    def step_clock(self, seconds: int) -> None:
        self.clock.step(seconds)

    @invariant()
    def answers_are_the_models(self) -> None:
        """Writer and reader answer alike, and as the model says."""
        live = {name: change for name, change in self.model.latest.items() if change.action == "put"}
        for side in (self.store, self.reader):
            assert len(self.model.facts) == side.head()
            assert self._counts(live) == side.counts()
            assert self.model.cursors.get("notes") == side.cursor("notes")
            assert self.model.quarantine == {(bad.type, bad.key): bad.times for bad in side.quarantined(100)}
            found = {
                (record.type, record.key): record.value
                for type_name in ("note", "other")
                for record in side.records(type_name, limit=1000).records
            }
            assert {name: change.value for name, change in live.items()} == found

    @invariant()
    def facts_are_the_models(self) -> None:
        """The log holds each version in order, chained, numbered without holes, its times and revs never going back."""
        facts = self.store.facts(0, limit=1000)
        assert [(c.type, c.key, c.action, c.value, c.common) for c in self.model.facts] == [
            (fact.type, fact.key, fact.action, fact.value, fact.common) for fact in facts
        ]
        assert list(range(1, len(facts) + 1)) == [fact.seq for fact in facts] == [fact.origin_seq for fact in facts]
        assert sorted(fact.recorded_at for fact in facts) == [fact.recorded_at for fact in facts]
        last: dict[tuple[str, str], Any] = {}
        for fact in facts:
            before = last.get((fact.type, fact.key))
            assert (before.id if before else None) == fact.causation
            assert before is None or before.rev < fact.rev
            assert before == self.store.previous(fact)
            last[fact.type, fact.key] = fact

    @invariant()
    def newest_is_sorted(self) -> None:
        """By time, the later position first where times are equal, over pages of two."""
        for type_name in ("note", "other"):
            seen: list[tuple[float, int]] = []
            after = None
            while True:
                page = self.store.records(type_name, limit=2, after=after, order="newest")
                seen += [(record.at, record.seq) for record in page.records]
                after = page.next
                if after is None:
                    break
            assert sorted(seen, reverse=True) == seen
            assert self.store.counts().get(type_name, 0) == len(set(seen))

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.reader.close()
            self.store.close()
            shutil.rmtree(self.folder)

    def _open(self) -> Store:
        return Store.open(self.folder, types=TYPES, origin=ORIGIN, clock=self.clock)

    def _current(self) -> list[tuple[Any, ...]]:
        db = apsw.Connection(str(self.folder / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            current = "SELECT type, key, seq, deleted, change_hash, at FROM current ORDER BY type, key"
            return [*db.execute(current), *db.execute("SELECT type, live FROM tally WHERE live > 0 ORDER BY type")]
        finally:
            db.close()

    @staticmethod
    def _counts(live: dict[tuple[str, str], Change]) -> dict[str, int]:
        names = [type_name for type_name, _ in live]
        return {type_name: names.count(type_name) for type_name in sorted(set(names))}


StoreMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestStoreAgainstItsModel = StoreMachine.TestCase
