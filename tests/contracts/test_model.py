"""Every way to have a store against one model: the same answers after every step, whatever the steps are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.model.clock import ManualClock
from core.model.errors import Conflict, ConflictingDuplicate, CursorTooOld
from core.model.fact import Change, Fact
from core.model.filter import parse
from core.model.manifest import TypeSpec
from core.store import AsOf, AtSeq, AtTime, Entry, Import, Origin, Policy, Store
from core.store.asking import query
from tests.contracts import model as past
from tests.contracts.hands import DECLARED
from tests.contracts.keepers import KEEPERS, Keeper, entry_of, taken
from tests.contracts.waiting import pages

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("note", "other")
KEYS = st.sampled_from(["a", "b", "é", "a b", "~"])
VALUES = st.fixed_dictionaries(
    {"n": st.sampled_from([0, 1, 2, "x", None, 1.5])},
    optional={
        "views": st.integers(0, 5),
        "written": st.integers(1, 6),
        "rate": st.sampled_from([0.5, 1.0, 1]),
        "name": st.sampled_from(["one", "two"]),
        "by": st.fixed_dictionaries({"name": st.sampled_from(["x", ""])}),
    },
)
PUTS = st.builds(
    Change,
    type=st.sampled_from(NAMES),
    key=KEYS,
    value=VALUES,
    common=st.sampled_from([{}, {"own": 1}]),
    order_key=st.one_of(st.none(), st.none(), st.integers(0, 3)),
    valid_time=st.one_of(st.none(), st.just(5.0)),
)
DELETES = st.builds(Change, type=st.sampled_from(NAMES), key=KEYS, action=st.just("delete"))
BAD = st.builds(
    Change,
    type=st.sampled_from(NAMES),
    key=KEYS,
    value=st.sampled_from([{"n": float("nan"), "bad": 1}, {"n": float("nan")}]),  # Where a null stands, perhaps.
)
FILTERS = st.sampled_from([
    None, "n > 1", "n == 2", 'n in [0, 2, "x"]', 'by->name == "x"', "not n", 'name contains "e"', "own == 1 or n == 0",
    "n >= 1 and n < 3", 'n < "y"',
])  # fmt: skip
# A failure is shown as it came: to make it shorter would open hundreds of stores.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
BOUNDS = {"GATHERED_MAX": 2, "LISTED_MAX": 4, "READ_MAX": 7, "PASSED_MAX": 9, "_SLICE_FIRST": 2}


class Machine(RuleBasedStateMachine):
    """Writes, questions, ends and beginnings in any order."""

    make: Callable[[Path, ManualClock], Keeper]

    @initialize()
    def begin(self) -> None:
        """An empty store."""
        self.patch = pytest.MonkeyPatch()
        for name, bound in BOUNDS.items():  # So that pages end early, and every way of answering is taken.
            self.patch.setattr(query, name, bound)
        self.place = Path(tempfile.mkdtemp(prefix="store-model-"))
        self.place.chmod(0o700)
        (self.place / "0").mkdir(mode=0o700)
        self.clock = ManualClock()
        self.model = past.Model()
        self.crashes = self.children = self.others = 0
        self.keeper = type(self).make(self.place / "0", self.clock)
        self._hand(DECLARED[0])

    @rule(
        changes=st.lists(st.one_of(PUTS, PUTS, PUTS, DELETES, BAD), max_size=6),
        stream=st.sampled_from(["a", "b"]),
        cursor=st.none() | st.integers(),
        bulk=st.booleans(),
    )
    def commit(self, changes: list[Change], stream: str, cursor: int | None, bulk: bool) -> None:
        """What changes, with its cursor."""
        done = self.store.commit(changes, cursor=(stream, cursor), bulk=bulk)
        expected = self.model.commit(changes, self.types, now=self.clock.now())
        self.model.cursors[stream] = cursor
        self._adopt()

        assert expected == (done.new, done.updated, done.same, done.deleted, done.quarantined)
        assert self.model.head == done.head

    @rule(
        change=st.one_of(PUTS, DELETES),
        late=st.integers(-30, 5),
        rev=st.none() | st.tuples(st.integers(0, 4), st.integers(0, 3)),
    )
    def append(self, change: Change, late: int, rev: tuple[int, int] | None) -> None:
        """A fact from here, or one that another store made, perhaps long ago."""
        entry = Entry(type=change.type, key=change.key, action=change.action, value=change.value, common=change.common)
        if rev is not None:
            self.others += 1
            entry = msgspec.structs.replace(
                entry, origin="there", origin_epoch=1, origin_seq=self.others, known_at=self.clock.now() + late, rev=rev
            )
        (done,) = taken(self.store.append([entry]))
        self.model.append(entry, self.types, now=self.clock.now())
        self._adopt()

        assert (self.model.head, False) == (done.seq, done.duplicate)

    @precondition(lambda self: self.model.facts)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        """A fact that is there already: nothing is added, and what came after it and waits in quarantine waits on."""
        fact = self._some_fact(data)
        if fact is not None:
            (done,) = taken(self.store.append([entry_of(fact)]))

            assert (True, fact.seq) == (done.duplicate, done.seq)

    @rule(data=st.data(), change=st.one_of(PUTS, DELETES), differs=st.booleans())
    def snapshot(self, data: st.DataObject, change: Change, differs: bool) -> None:
        """Facts of a snapshot are checked, and those that are not here added: all, or none where one differs."""
        with Store.in_memory(types=self.types, origin=Origin("x/y", 1), clock=self.clock) as made:
            taken(made.append([
                Entry(type=change.type, key=change.key, action=change.action, value=change.value, common=change.common)
            ]))  # fmt: skip
            (new,) = past.facts_of(made)
        known = [one for one in [self._some_fact(data)] if one is not None]
        if differs and known:
            odd = msgspec.structs.replace(known[0], schema_version=9)
            with pytest.raises((ConflictingDuplicate, Conflict)):
                self.keeper.snapshot([new, odd])
            return
        counts = self.keeper.snapshot([*known, new])
        self.model.append(entry_of(new), self.types, now=self.clock.now())
        self._adopt()

        assert (len(known), 1) == counts

    @rule(seconds=st.integers(-3, 30))
    def step_clock(self, seconds: int) -> None:
        """Forth, or back."""
        self.clock.step(seconds)

    @rule()
    def rebuild(self) -> None:
        """Every fold anew; the answers are compared as after every step."""
        self.store.rebuild()

    @precondition(lambda self: self.keeper.lasts)
    @rule(types=st.sampled_from(DECLARED))
    def hand_over(self, types: dict[str, TypeSpec]) -> None:
        """Closed, and opened by another who declares other types."""
        epoch = self.store.epoch()
        self._hand(types)

        assert self.keeper.own.was_clean
        assert epoch == self.store.epoch()

    @precondition(lambda self: self.keeper.lasts and self.crashes < 2)
    @rule()
    def crash(self) -> None:
        """What lies on the disk at this moment is all that the next one has."""
        self.crashes += 1
        folder = self.place / str(self.crashes)
        # By another process: to open a database's file here would drop the locks on it.
        copy = "import shutil, sys; shutil.copytree(*sys.argv[1:], ignore=shutil.ignore_patterns('*.sock'))"
        subprocess.run([sys.executable, "-I", "-c", copy, str(self.keeper.folder), str(folder)], check=True)
        self.keeper.close()
        self.keeper.folder = folder
        self.keeper.own = self.keeper.opened()
        self.store = self.keeper.session()
        self.model.reopen()

        assert not self.keeper.own.was_clean

    @precondition(lambda self: self.keeper.lasts and self.children < 1)
    @rule(key=KEYS, n=st.integers(0, 2))
    def another_process(self, key: str, n: int) -> None:
        """The store is handed over to a child, which writes, and back."""
        self.children += 1
        self.keeper.close()
        command = [sys.executable, "-m", "tests.contracts.hands", str(self.keeper.folder), repr(self.clock.now()), key]
        subprocess.run([*command, str(n)], check=True, cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        self.keeper.own = self.keeper.opened()
        self.store = self.keeper.session()
        self.model.reopen()
        self.model.commit([Change(type="note", key=key, value={"n": n})], DECLARED[0], now=self.clock.now())
        self._adopt()

    @precondition(lambda self: self.model.facts)
    @rule(name=st.sampled_from(NAMES))
    def compact(self, name: str) -> None:
        """Superseded facts go; nothing that counts does."""
        self.store.set_policy(name, Policy("ephemeral"), actor="test")
        self.store.compact(actor="test")
        self.model.come(self.clock.now())
        self.store.set_policy(name, Policy(), actor="test")
        counting = {self.model.counting(fact.type, fact.key).seq for fact in self.model.facts}  # type: ignore[union-attr]
        left = {fact.seq for fact in past.facts_of(self.keeper.own)}

        assert counting <= left
        assert not [fact for fact in self.model.facts if fact.type != name and fact.seq not in left]
        self._retain(left)

    @precondition(lambda self: self.model.facts)
    @rule(data=st.data())
    def prune(self, data: st.DataObject) -> None:
        """A fact goes, whether it counts or not; the one before it counts again."""
        fact = self._some_fact(data)
        if fact is not None:
            self.store.prune([fact.id], actor="test")
            self._retain({one.seq for one in self.model.facts} - {fact.seq})

    @rule()
    def another_store(self) -> None:
        """All facts, out of here as JSON and into another store: it knows the same records, and the same histories."""
        with Store.in_memory(types=self.types, origin=Origin("x/y", 1), clock=self.clock) as other:
            facts = [fact for fact in self.model.facts if fact.type in NAMES]
            taking = Import(other, source="here", actor="test")
            for document in msgspec.json.decode(msgspec.json.encode(facts)):
                taking.take(document, size_bytes=1)
            done = taking.finish()

            assert (len(facts), True) == (done.added, done.is_whole), done.problems
            for name in NAMES:
                expected = {key: past.record(fact, self.spec(name)) for key, fact in self._state(name).items()}
                there = {one.key: one for one in other.records(name, limit=1000).records}
                assert {key: (one.value, one.common, one.at) for key, one in expected.items()} == {
                    key: (one.value, one.common, one.at) for key, one in there.items()
                }
            assert [self._kept(one) for one in facts] == [
                self._kept(one) for one in past.facts_of(other) if one.type in NAMES
            ]

    @rule(data=st.data(), text=FILTERS, name=st.sampled_from(NAMES), limit=st.integers(1, 4))
    def ask(self, data: st.DataObject, text: str | None, name: str, limit: int) -> None:
        """A list with a filter in an order, and its count, as of a moment; or the error that it is too old."""
        spec = self.spec(name)
        order = data.draw(st.sampled_from(["key", "newest", *(["n", "-n"] if "n" in spec.index else [])]))
        as_of, where = data.draw(st.sampled_from(self._moments())), None if text is None else parse(text)

        def listed() -> list[Any]:
            return list(pages(lambda after: self.store.records(
                name, where=where, order=order, as_of=as_of, limit=limit, after=after
            ), "records"))  # fmt: skip

        if self._is_too_old(as_of, name):
            with pytest.raises(CursorTooOld):
                listed()
            return
        expected = past.listed(self.model.of(name), as_of, where, order, spec)
        assert expected == listed(), (as_of, text, order)
        count = self.store.count(name, where=where, as_of=as_of)
        assert count.count == len(expected) if count.is_exact else count.count <= len(expected)

    @precondition(lambda self: self.model.facts)
    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def what_changed(self, data: st.DataObject, name: str) -> None:
        """Between two positions."""
        seqs = [seq for seq in range(self.model.head + 1) if seq >= self.keeper.own.floor([name])]
        if len(seqs) < 2:
            return
        start, end = sorted(data.draw(st.tuples(st.sampled_from(seqs), st.sampled_from(seqs))))
        told = list(pages(lambda after: self.store.changes(
            AtSeq(start), AtSeq(end), limit=2, after=after, type_name=name
        ), "changes"))  # fmt: skip

        expected = past.changed(self.model.of(name), AtSeq(start), AtSeq(end))
        assert expected == {one.key: (one.action, one.before) for one in told}
        assert len(expected) == len(told)

    @invariant()
    def answers_are_the_model_s(self) -> None:
        """The log, the records now and at some moments, histories, counts, cursors, quarantine."""
        facts = past.facts_of(self.keeper.own)
        assert self.model.facts == facts
        assert self.model.head == self.store.head()
        counts = {name: len(self._state(name)) for name in NAMES}
        found = self.store.counts()
        assert {name: n for name, n in counts.items() if n} == {name: found[name] for name in NAMES if found.get(name)}
        assert self.model.quarantine == {(bad.type, bad.key): bad.times for bad in self.store.quarantined(100)}
        assert [self.model.cursors.get(stream) for stream in "ab"] == [self.store.cursor(stream) for stream in "ab"]
        for as_of in {None, AtSeq(self.model.head // 2), AtTime(self.clock.now() - 5.0)}:
            self._compare(as_of)

    def teardown(self) -> None:
        """Leave nothing."""
        if hasattr(self, "keeper"):
            self.keeper.close()
            shutil.rmtree(self.place)
            self.patch.undo()

    def spec(self, name: str) -> TypeSpec:
        """What the present writer declares of a type."""
        return self.types.get(name, TypeSpec(name=name))

    def _compare(self, as_of: AsOf | None) -> None:
        for name in NAMES:
            if self._is_too_old(as_of, name):
                continue
            state = past.state(self.model.of(name), as_of)
            for key in {fact.key for fact in self.model.of(name)}:
                expected = past.record(state[key], self.spec(name)) if key in state else None
                assert expected == self.store.record(name, key, as_of=as_of), as_of
                versions = [fact for fact in past.then(self.model.of(name), as_of) if fact.key == key]
                assert versions[::-1] == list(pages(partial(self._history, name, key, as_of), "facts"))

    def _history(self, name: str, key: str, as_of: AsOf | None, after: str | None) -> Any:
        return self.store.history(name, key, limit=3, after=after, as_of=as_of)

    def _some_fact(self, data: st.DataObject) -> Fact | None:
        facts = [fact for fact in self.model.facts if fact.type in NAMES]
        return data.draw(st.sampled_from(facts)) if facts else None

    def _hand(self, types: dict[str, TypeSpec]) -> None:
        self.types = self.keeper.types = types
        self.store = self.keeper.reopen()
        self.model.reopen()

    def _adopt(self) -> None:
        since = min((fact.seq for fact in self.model.facts if not fact.id), default=self.model.head + 1) - 1
        self.model.adopt(self.store.facts(since, limit=1000))

    def _retain(self, seqs: set[int]) -> None:
        """Only these are left, and what the store says of it."""
        known = self.model.head
        self.model.facts = [fact for fact in self.model.facts if fact.seq in seqs]
        self.model.note(self.store.facts(known, limit=1000))

    def _state(self, name: str) -> dict[str, Any]:
        return past.state(self.model.of(name), None)

    def _moments(self) -> list[AsOf | None]:
        times = {moment for one in self.model.facts for moment in (one.known_at, one.recorded_at, one.known_at - 0.5)}
        seqs = range(self.model.head + 2)
        return [None, *map(AtSeq, seqs), *map(AtTime, sorted(times))]

    def _is_too_old(self, as_of: AsOf | None, name: str) -> bool:
        if as_of is None:
            return False
        seq = as_of.seq if isinstance(as_of, AtSeq) else self.model.seq_at(as_of.time)
        return seq < self.keeper.own.floor([name])

    @staticmethod
    def _kept(fact: Any) -> Any:
        return msgspec.structs.replace(fact, seq=0, recorded_at=0.0)


def _case(kind: str, examples: int, steps: int = 15) -> Any:
    machine: Any = type(f"{kind.title()}Machine", (Machine,), {"make": staticmethod(KEEPERS[kind])})
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=PHASES,
    )
    return pytest.mark.timeout(1800 if examples > 50 else 300)(case)


TestOnDisk = _case("disk", 20)
TestInMemory = _case("memory", 40)
TestOverTcp = _case("tcp", 6)
TestOverUnix = _case("unix", 8)
TestOnDiskForLong = pytest.mark.slow(_case("disk", 300, 40))
TestInMemoryForLong = pytest.mark.slow(_case("memory", 500, 40))
TestOverUnixForLong = pytest.mark.slow(_case("unix", 100, 40))
