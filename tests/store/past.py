"""A store's whole past as a list of its facts: what every question about a moment must agree with."""

from __future__ import annotations

from collections.abc import Sequence

from core.model.fact import Fact, Record
from core.model.filter import Filter, predicate
from core.model.manifest import TypeSpec
from core.store import Store
from core.store.asking.asof import AsOf, AtSeq
from core.store.log.fold import common_of

SPEC = TypeSpec(name="note", time="written", title="name", index=("n", "by.name"), common={"author": "by.name"})


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


def record(fact: Fact) -> Record:
    """The record that a fact shows."""
    written = fact.value.get("written")
    at = float(written) if isinstance(written, int) else fact.known_at if fact.valid_time is None else fact.valid_time
    common = common_of(SPEC, fact.value, fact.common)
    return Record(type=fact.type, key=fact.key, value=fact.value, common=common, at=at, seq=fact.seq)


def listed(facts: Sequence[Fact], as_of: AsOf | None, where: Filter | None, order: str) -> list[Record]:
    """All records of a list, in its order."""
    found = [record(fact) for fact in state(facts, as_of).values()]
    if where is not None:
        judge = predicate(where, SPEC)
        found = [one for one in found if judge(one.value, one.common)]
    if order == "key":
        return sorted(found, key=lambda one: one.key)
    if order == "newest":
        return sorted(found, key=lambda one: (one.at, one.seq), reverse=True)
    return sorted(found, key=lambda one: (_rank(one.value.get("n")), one.seq), reverse=order.startswith("-"))


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
