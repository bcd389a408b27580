"""What a store is, in a few dozen lines: its facts in order. Every answer about any moment follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from core.model.fact import Change, Fact, Record, value_hash
from core.model.filter import Filter, predicate
from core.model.manifest import TypeSpec
from core.store import AsOf, AtSeq, Entry, Store
from core.store.log.fold import common_of

SPEC = TypeSpec(name="note", time="written", title="name", index=("n", "by.name"), common={"author": "by.name"})


class Model:
    """The facts that a store holds, and what its writers wait for: cursors, and who is in quarantine."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.head = 0
        self.recorded_at = 0.0
        self.cursors: dict[str, Any] = {}
        self.quarantine: dict[tuple[str, str], int] = {}
        self._ids: dict[int | None, str | None] = {None: None}
        self._parents: dict[int, int | None] = {}

    def commit(self, changes: Sequence[Change], types: Mapping[str, TypeSpec], *, now: float) -> tuple[int, ...]:
        """Counts of new, updated, same, deleted, quarantined."""
        self.come(now)
        counts = [0, 0, 0, 0, 0]
        bad = [change for change in changes if change.value.get("n") != change.value.get("n")]
        for change in changes:
            before = self.counting(change.type, change.key)
            live = before is not None and before.action == "put"
            spec = types.get(change.type, TypeSpec(name=change.type))
            if change in bad:
                what = 4
            elif change.action == "delete":
                what = 3 if live else 2
            elif before is None or not live:
                what = 0
            else:
                what = 2 if _told(before, spec) == _told(change, spec) else 1
            counts[what] += 1
            if what in (0, 1, 3):
                self._add(change, spec, now=now, order=change.order_key)
        for change in changes:
            if change not in bad:
                self.quarantine.pop((change.type, change.key), None)
        for change in bad:
            self.quarantine[change.type, change.key] = self.quarantine.get((change.type, change.key), 0) + 1
        return tuple(counts)

    def append(self, entry: Entry, types: Mapping[str, TypeSpec], *, now: float) -> None:
        """A fact as somebody else made it; one with a revision may be older than those that are here."""
        self.come(now)
        self._add(entry, types.get(entry.type, TypeSpec(name=entry.type)), now=now, entry=entry)
        self.quarantine.pop((entry.type, entry.key), None)

    def come(self, now: float) -> None:
        """A writer looks at its clock: what it records is never earlier than what it saw before."""
        self.recorded_at = max(self.recorded_at, now)

    def reopen(self) -> None:
        """The next writer knows what is recorded, and no more."""
        self.recorded_at = max((fact.recorded_at for fact in self.facts), default=0.0)

    def adopt(self, real: Sequence[Fact]) -> None:
        """Compare what was added with what the store added, and take over its ids."""
        assert [fact.seq for fact in self.facts if not fact.id] == [fact.seq for fact in real]
        for fact in real:
            place = next(n for n, one in enumerate(self.facts) if one.seq == fact.seq)
            causation = self._ids[self._parents[fact.seq]]
            expected = msgspec.structs.replace(
                self.facts[place], id=fact.id, causation=causation, origin=fact.origin, origin_seq=fact.origin_seq
            )
            assert expected == fact, (expected, fact)
            self.facts[place] = fact
            self._ids[fact.seq] = fact.id

    def note(self, real: Iterable[Fact]) -> None:
        """Take in facts that the store itself had to say."""
        for fact in real:
            self.facts.append(fact)
            self.head, self._ids[fact.seq], self.recorded_at = fact.seq, fact.id, fact.recorded_at

    def of(self, type_name: str) -> list[Fact]:
        """The facts of one type."""
        return [fact for fact in self.facts if fact.type == type_name]

    def counting(self, type_name: str, key: str) -> Fact | None:
        """The fact that counts of a record, its deletion too."""
        found = [fact for fact in self.of(type_name) if fact.key == key]
        return max(found, key=lambda fact: (fact.rev, fact.value_hash), default=None)

    def seq_at(self, time: float) -> int:
        """The last position that was recorded by then."""
        return max((fact.seq for fact in self.facts if fact.recorded_at <= time), default=0)

    def _add(
        self,
        said: Change | Entry,
        spec: TypeSpec,
        *,
        now: float,
        order: int | None = None,
        entry: Entry | None = None,
    ) -> None:
        before = self.counting(said.type, said.key)
        known_at = self.recorded_at if entry is None or entry.known_at is None else entry.known_at
        is_put = said.action == "put"
        value, common = (said.value, said.common) if is_put else ({}, {})
        written = value.get("written")
        declared = float(written) if spec.time and isinstance(written, int) else None
        is_foreign = entry is not None and entry.rev is not None
        self.head += 1
        self.facts.append(Fact(
            seq=self.head, id="", type=said.type, key=said.key, action=said.action, value=value, common=common,
            value_hash=value_hash(value), causation=None,
            transaction_time=now if entry is None else entry.transaction_time or self.recorded_at,
            valid_time=said.valid_time if said.valid_time is not None or is_foreign else declared, schema_version=1,
            producer=None, derivation=None, origin="", origin_epoch=1, origin_seq=0, known_at=known_at,
            rev=entry.rev if entry is not None and entry.rev is not None else _rev(before, order, known_at),
            recorded_at=self.recorded_at,
        ))  # fmt: skip
        self._parents[self.head] = None if before is None else before.seq


def _rev(before: Fact | None, order: int | None, known_at: float) -> tuple[int, int]:
    """Above the one that it follows: by the source's own number where that is greater, else by its generation."""
    order = int(known_at * 1000) if order is None else order
    if before is None:
        return 0, order
    return (before.rev[0] + (order <= before.rev[1]), order)


def _told(said: Change | Fact, spec: TypeSpec) -> Any:
    return {name: value for name, value in said.value.items() if name not in spec.volatile}, said.common


def facts_of(store: Store) -> list[Fact]:
    """All facts, in the log's order."""
    found: list[Fact] = []
    while page := store.facts(found[-1].seq if found else 0, limit=1000):
        found += page
    return found


def then(facts: Sequence[Fact], as_of: AsOf | None) -> list[Fact]:
    """The facts that were there at a moment."""
    if as_of is None:
        return list(facts)
    return [f for f in facts if (f.seq <= as_of.seq if isinstance(as_of, AtSeq) else f.known_at <= as_of.time)]


def state(facts: Sequence[Fact], as_of: AsOf | None) -> dict[str, Fact]:
    """The fact that counted of each key, deleted ones left out: of those there, the greatest (`rev`, `value_hash`)."""
    counted: dict[str, Fact] = {}
    for fact in then(facts, as_of):
        held = counted.get(fact.key)
        if held is None or (fact.rev, fact.value_hash) > (held.rev, held.value_hash):
            counted[fact.key] = fact
    return {key: fact for key, fact in counted.items() if fact.action == "put"}


def record(fact: Fact, spec: TypeSpec = SPEC) -> Record:
    """The record that a fact shows."""
    written = fact.value.get("written") if spec.time else None
    at = float(written) if isinstance(written, int) else fact.known_at if fact.valid_time is None else fact.valid_time
    common = common_of(spec, fact.value, fact.common)
    return Record(type=fact.type, key=fact.key, value=fact.value, common=common, at=at, seq=fact.seq)


def listed(
    facts: Sequence[Fact], as_of: AsOf | None, where: Filter | None, order: str, spec: TypeSpec = SPEC
) -> list[Record]:
    """All records of a list, in its order."""
    found = [record(fact, spec) for fact in state(facts, as_of).values()]
    if where is not None:
        judge = predicate(where, spec)
        found = [one for one in found if judge(one.value, one.common)]
    if order == "key":
        return sorted(found, key=lambda one: one.key)
    if order == "newest":
        return sorted(found, key=lambda one: (one.at, one.seq), reverse=True)
    return sorted(found, key=lambda one: (_rank(one.value.get("n")), one.key), reverse=order.startswith("-"))


def changed(facts: Sequence[Fact], start: AsOf | None, end: AsOf | None) -> dict[str, tuple[str, int | None]]:
    """What became of each key between two moments, and the fact it began with."""
    before, after = state(facts, AtSeq(0) if start is None else start), state(facts, end)
    found: dict[str, tuple[str, int | None]] = {}
    for key in before.keys() | after.keys():
        was, now = before.get(key), after.get(key)
        if was is None:
            found[key] = "new", None
        elif now is None:
            found[key] = "delete", was.seq
        elif (was.value_hash, was.common) != (now.value_hash, now.common):
            found[key] = "update", was.seq
    return found


def _rank(value: object) -> tuple[int, float | str]:
    if value is None:
        return 0, 0
    return (1, float(value)) if isinstance(value, int | float) else (2, str(value))
