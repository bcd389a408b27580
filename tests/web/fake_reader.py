"""A store in lists, for the web room's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from core.model.fact import Fact, Record
from core.model.filter import Every, Filter, predicate
from core.model.manifest import TypeSpec
from core.store import AsOf, AtTime, Changed, ChangePage, Count, FactPage, Page, Policy, Quarantined, Receipt, Run


@dataclass
class FakeReader:
    """A store in lists: every fact in the order it was committed."""

    facts: list[Fact] = field(default_factory=list)
    all_runs: list[Run] = field(default_factory=list)
    aside: list[Quarantined] = field(default_factory=list)
    incarnation: str = "0a"
    given: list[Receipt] = field(default_factory=list)
    kept_policies: dict[str, Policy] = field(default_factory=dict)

    def put(self, type_name: str, key: str, value: dict[str, Any], *, common: dict[str, Any] | None = None) -> None:
        """Commit a version of a record."""
        seq = len(self.facts) + 1
        self.facts.append(
            Fact(
                seq=seq,
                id=f"f{seq}",
                type=type_name,
                key=key,
                action="put",
                value=value,
                common=common or {},
                value_hash="00",
                causation=None,
                transaction_time=1_700_000_000.0 + seq,
                valid_time=None,
                schema_version=1,
                producer=None,
                derivation=None,
                origin="d/u",
                origin_epoch=1,
                origin_seq=seq,
                known_at=1_700_000_000.0 + seq,
                rev=(seq, 0),
                recorded_at=1_700_000_000.0 + seq,
            )
        )

    def epoch(self) -> str:
        return self.incarnation

    def counts(self) -> Mapping[str, int]:
        counted: dict[str, int] = {}
        for type_name, _ in self._current():
            counted[type_name] = counted.get(type_name, 0) + 1
        return counted

    def record(self, type_name: str, key: str, /, *, as_of: AsOf | None = None) -> Record | None:
        return self._current(as_of).get((type_name, key))

    def count(self, type_name: str, /, *, where: Filter | None = None, as_of: AsOf | None = None) -> Count:
        return Count(count=len(self._matching(type_name, where, as_of)), is_exact=True)

    def changes(self, start: AsOf | None, end: AsOf | None, /, **_: Any) -> ChangePage:
        before, after = self._current(start or AtTime(0.0)), self._current(end)
        changes = [
            Changed(
                type=one.type, key=one.key, action="update" if name in before else "new", seq=one.seq,
                before=before[name].seq if name in before else None, recorded_at=one.at,
            )
            for name, one in after.items()
            if before.get(name) != one
        ]  # fmt: skip
        return ChangePage(changes=changes[:50], next=None)

    def records(
        self,
        type_name: str,
        /,
        *,
        limit: int,
        after: str | None,
        order: str,
        where: Filter | None = None,
        as_of: AsOf | None = None,
    ) -> Page:
        found = self._matching(type_name, where, as_of)
        found.sort(key=lambda record: -record.seq if order == "newest" else record.key)
        start = int(after or 0)
        more = len(found) > start + limit
        return Page(records=found[start : start + limit], next=str(start + limit) if more else None)

    def history(self, type_name: str, key: str, /, *, limit: int, after: Any) -> FactPage:
        found = [fact for fact in reversed(self.facts) if (fact.type, fact.key) == (type_name, key)]
        return FactPage(facts=found[:limit], next=None)

    def runs(self, stream: str | None = None, /, *, limit: int) -> Sequence[Run]:
        found = [run for run in self.all_runs if stream in (None, run.stream)]
        return sorted(found, key=lambda run: -run.started_at)[:limit]

    def quarantined(self, limit: int, /) -> Sequence[Quarantined]:
        return self.aside[:limit]

    def receipts(self, limit: int, /, *, before: int | None = None) -> Sequence[Receipt]:
        return [one for one in self.given if before is None or one.seq < before][:limit]

    def policies(self) -> Mapping[str, Policy]:
        return self.kept_policies

    def expendable(self, type_name: str, policy: Policy, /, *, now: float) -> Count:
        superseded = sum(fact.type == type_name for fact in self.facts) - len(self._matching(type_name, None, None))
        return Count(count=superseded if policy.until(now) is not None else 0, is_exact=True)

    def _matching(self, type_name: str, where: Filter | None, as_of: AsOf | None) -> list[Record]:
        judge = predicate(where or Every(), TypeSpec(name=type_name))
        found = [record for (kind, _), record in self._current(as_of).items() if kind == type_name]
        return [record for record in found if judge(record.value, record.common)]

    def _current(self, as_of: AsOf | None = None) -> dict[tuple[str, str], Record]:
        until = as_of.time if isinstance(as_of, AtTime) else inf
        return {
            (f.type, f.key): Record(type=f.type, key=f.key, value=f.value, common=f.common, at=f.known_at, seq=f.seq)
            for f in self.facts
            if f.known_at <= until
        }
