"""Everything known of a service for the dashboard, gathered once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.model.errors import LockerError
from core.model.manifest import Manifest, StreamSpec
from core.registry import Service
from core.schedule import Pending
from core.store import Policy, Quarantined, Receipt, Run
from core.web.dashboard.condition import Condition, condition_of, last_of_each, next_sync
from core.web.dashboard.holdings import holdings
from core.web.dashboard.words import Words
from core.web.parts import ChildDetails, ChildState, Parts
from core.web.records import manifest_of, obstacle_of

RUNS_READ = 60
SET_ASIDE_READ = 10
RECEIPTS_READ = 10
CHILD_ASKED_S = 1.0


@dataclass(frozen=True)
class StreamOverview:
    """One stream: what it pulls, how its last run went, and when the next is due."""

    name: str
    spec: StreamSpec
    last: Run | None
    due: Pending | None


@dataclass(frozen=True)
class Overview:
    """A service as its card and its page show it."""

    service: Service
    manifest: Manifest | None
    state: ChildState
    details: ChildDetails
    condition: Condition
    counts: Mapping[str, int]
    runs: Sequence[Run]
    set_aside: Sequence[Quarantined]
    pending: Sequence[Pending]
    has_store: bool
    rests: bool = False
    receipts: Sequence[Receipt] = ()
    policies: Mapping[str, Policy] = field(default_factory=dict)

    @property
    def keeps_itself(self) -> bool:
        """Whether what it holds is out of sight while it sleeps: no store is there, and no sync will bring one."""
        return not self.has_store and keeps_itself(self.manifest)

    @property
    def can_wake(self) -> bool:
        """Whether it would have to be started to see what it holds."""
        return self.keeps_itself and self.service.enabled and self.state.name == "stopped"

    @property
    def last_run(self) -> Run | None:
        """The newest run of any stream."""
        return max(self.runs, key=lambda run: run.started_at, default=None)

    @property
    def due(self) -> Pending | None:
        """The next sync of any stream."""
        return next_sync(self.pending)

    @property
    def streams(self) -> list[StreamOverview]:
        """Its streams, in the manifest's order."""
        last = {run.stream: run for run in last_of_each(self.runs)}
        specs = self.manifest.streams if self.manifest else {}
        return [StreamOverview(n, spec, last.get(n), next_sync(self.pending, n)) for n, spec in specs.items()]

    @property
    def untold(self) -> list[StreamOverview]:
        """The streams whose last run met a problem, but for the one of which the condition speaks."""
        return [one for one in self.streams if one.last and one.last.problem and one.name != self.condition.stream]

    @property
    def told(self) -> frozenset[str]:
        """What the last runs met, which the page says above the list of runs."""
        return frozenset(_detail(one.last) for one in self.streams if one.last and one.last.problem)

    def news_in(self, run: Run) -> str:
        """What an earlier run met, where the page does not say it already."""
        detail = _detail(run)
        return "" if detail in self.told else detail

    @property
    def can_sync(self) -> bool:
        """Whether asking it to sync makes sense."""
        return self.is_scheduled and self.manifest is not None and bool(self.manifest.streams)

    @property
    def awaits_first_run(self) -> bool:
        """Whether its first sync is about to come, or has begun just now."""
        return self.can_sync and not self.runs and not self.keeps_itself and not self.condition.is_problem

    @property
    def is_scheduled(self) -> bool:
        """Whether it is called when a sync is due."""
        return self.service.enabled and not self.service.paused

    @property
    def keeps(self) -> list[tuple[str, Policy]]:
        """How long versions are kept of each type that it holds, declares or has a policy for."""
        known = types_of(self.counts, self.manifest)
        every = [*known, *sorted(set(self.policies) - set(known))] if self.has_store else []
        return [(name, self.policies.get(name, Policy())) for name in every]

    @property
    def href(self) -> str:
        """The address of its page."""
        return f"/services/{self.service.id}"


def overview(parts: Parts, service: Service, words: Words, *, asks_child: bool = False) -> Overview:
    """The service as it is now; a child that keeps its data itself is asked what it holds only where told to."""
    manifest = manifest_of(parts, service)
    store = _stored(parts, service.id, asks_child=asks_child)
    state, details = parts.children.state(service.id), parts.children.details(service.id)
    pending = parts.schedule.pending(service.id)
    rest = parts.rest_of(service)
    return Overview(
        service=service,
        manifest=manifest,
        state=state,
        details=details,
        condition=condition_of(
            service,
            manifest,
            state=state,
            holds=details.holds,
            runs=store.runs,
            pending=pending,
            fault=store.fault,
            obstacle=obstacle_of(parts, service),
            words=words,
            rest=rest,
        ),
        rests=bool(rest),
        counts={name: store.counts[name] for name in types_of(store.counts, manifest) if name in store.counts},
        runs=store.runs,
        set_aside=store.set_aside,
        pending=pending,
        has_store=store.is_there,
        receipts=store.receipts,
        policies=store.policies,
    )


def keeps_itself(manifest: Manifest | None) -> bool:
    """Whether no sync brings what it holds into a store of Locker's: it has no streams, or is not on the SDK."""
    return manifest is not None and not (manifest.streams and manifest.is_python)


def types_of(counts: Mapping[str, int], manifest: Manifest | None) -> list[str]:
    """Every type that it declares or holds: those it holds first, each part in the manifest's order."""
    declared = list(manifest.types) if manifest else []
    names = [*declared, *sorted(name for name in counts if name not in declared)]
    return sorted(names, key=lambda name: not counts.get(name))


def _detail(run: Run) -> str:
    problem = run.problem or {}
    return str(problem.get("detail") or problem.get("title") or "")


@dataclass(frozen=True)
class _Stored:
    counts: Mapping[str, int]
    runs: Sequence[Run]
    set_aside: Sequence[Quarantined]
    is_there: bool = True
    fault: str = ""
    receipts: Sequence[Receipt] = ()
    policies: Mapping[str, Policy] = field(default_factory=dict)


def _stored(parts: Parts, service_id: str, *, asks_child: bool) -> _Stored:
    """What the store tells; where it cannot be read, why: the other services' cards do not suffer from it."""
    try:
        with parts.reader(service_id) as reader:
            if reader.epoch():
                return _Stored(
                    dict(reader.counts()),
                    reader.runs(limit=RUNS_READ),
                    reader.quarantined(SET_ASIDE_READ),
                    receipts=reader.receipts(RECEIPTS_READ),
                    policies=reader.policies(),
                )
    except LockerError as error:
        return _Stored({}, (), (), fault=f"{error.detail} {error.remedy}")
    if not asks_child:
        # A page of many services would wait for one child after the other.
        return _Stored({}, (), (), is_there=False)
    try:
        with holdings(parts, service_id, within_s=CHILD_ASKED_S) as reader:
            return _Stored(dict(reader.counts()), (), (), is_there=False)
    except LockerError:
        # It keeps its data by itself, and does not say how much: that is no fault of what is stored.
        return _Stored({}, (), (), is_there=False)
