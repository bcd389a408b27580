"""How an installed service is: its last syncs, its next one, what it holds, and what ails it.

Runs and counts are read from the service's own store beside the core, so that asking starts no connector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from core.cli.running_core import RunningCore, class_of
from core.cli.screen import moment
from core.cli.trouble import Trouble
from core.model.errors import LockerError
from core.store import Reader, Run

RUNS_READ = 100
# The worst first: one of them speaks for a service of several streams.
OUTCOMES = ("failed", "held", "partial", "ok")


@dataclass(frozen=True)
class Condition:
    """What is known of one service: `runs` has the newest of each stream, `trouble` is None where all is well.

    `is_of_sync` says that the problem is one of syncing: what is there can be read all the same.
    """

    state: str
    runs: tuple[Run, ...] = ()
    next_at: float | None = None
    counts: Mapping[str, int] | None = None
    trouble: Trouble | None = None
    is_of_sync: bool = False

    @property
    def problem(self) -> str:
        """What is wrong, in a sentence; empty where nothing is."""
        return self.trouble.detail if self.trouble else ""

    @property
    def remedy(self) -> str:
        """What helps."""
        return self.trouble.remedy if self.trouble else ""

    @property
    def outcome(self) -> str:
        """How the last sync went, by its worst stream; empty before the first."""
        return min((run.status for run in self.runs), key=_weight, default="")

    @property
    def last_sync(self) -> str:
        """The outcome and when it was, as a table shows it."""
        return f"{self.outcome}, {moment(max(run.ended_at for run in self.runs))}" if self.runs else ""

    @property
    def next_sync(self) -> str:
        """When the next sync is due, as a table shows it."""
        return "" if self.next_at is None else moment(self.next_at)

    @property
    def records(self) -> str:
        """How many records of each type, as a table shows it."""
        return ", ".join(f"{number} {name}" for name, number in sorted((self.counts or {}).items()))

    def document(self) -> dict[str, Any]:
        """The same for a script."""
        return {
            "last_runs": msgspec.to_builtins(self.runs),
            "next_at": self.next_at,
            "counts": dict(self.counts or {}),
            "problem": self.problem,
        }


def condition_of(core: RunningCore, me: Path, service: Mapping[str, Any]) -> Condition:
    """How the service is whose record `/map` tells."""
    pending = [call for call in core.get(f"/core/{service['id']}/at") if is_sync(call["path"])]
    try:
        with Reader.open(me / service["id"], types={}) as reader:
            counts, runs = reader.counts(), newest_of_each(reader.runs(limit=RUNS_READ))
    except LockerError as err:
        return Condition(_state(service), trouble=trouble_of(service) or Trouble(err.detail, err.remedy))
    next_at = min((call["at"] for call in pending), default=None) if _may_sync(service) else None
    known = Condition(_state(service), runs, next_at, counts)
    trouble = trouble_of(service)
    if trouble is not None:
        return replace(known, trouble=trouble)
    return replace(known, trouble=_sync_trouble(runs, pending), is_of_sync=True)


def trouble_of(service: Mapping[str, Any]) -> Trouble | None:
    """What keeps the service from working, as the core tells it; None where nothing does."""
    told = service.get("trouble")
    if told is None:
        return None
    sentence, remedy = sentence_of(told["type"])
    # Below a table the name stands before it already.
    detail = told["detail"].removeprefix(f"{service['id']}: ")
    return Trouble(detail or sentence, told["remedy"] or remedy)


def is_sync(path: str) -> bool:
    """Whether a pending call is one that syncs.

    >>> is_sync("/sync/entry"), is_sync("/sync"), is_sync("/synchrony")
    (True, True, False)
    """
    return path == "/sync" or path.startswith("/sync/")


def newest_of_each(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The newest run of each stream, by the streams' names."""
    newest: dict[str, Run] = {}
    for run in runs:
        if run.stream not in newest or run.started_at > newest[run.stream].started_at:
            newest[run.stream] = run
    return tuple(newest[stream] for stream in sorted(newest))


def sentence_of(reason: str) -> tuple[str, str]:
    """What the code of a state's reason means, and what helps; the words themselves for a code of nobody's.

    >>> sentence_of("it_ended")
    ('It ended.', '')
    """
    cls = class_of(reason)
    return (f"{cls.title}.", cls.default_remedy) if cls else (f"{reason.replace('_', ' ').capitalize()}.", "")


def _weight(status: str) -> int:
    """A connector writes its own store: a word that nobody knows counts as the worst."""
    return OUTCOMES.index(status) if status in OUTCOMES else 0


def _state(service: Mapping[str, Any]) -> str:
    if not service["enabled"]:
        return "off"
    if _is_obstructed(service):
        return "cannot start"
    return "paused" if service.get("paused") else str(service["state"])


def _may_sync(service: Mapping[str, Any]) -> bool:
    return bool(service["enabled"]) and not service.get("paused") and not _is_obstructed(service)


def _is_obstructed(service: Mapping[str, Any]) -> bool:
    """Whether something must be mended first; one that failed is tried again when its next sync is due."""
    return service.get("trouble") is not None and service["state"] != "failed"


def _sync_trouble(runs: Iterable[Run], pending: Iterable[Mapping[str, Any]]) -> Trouble | None:
    """The worst of the syncs that went wrong and what helps, else why one could not even begin."""
    for run in sorted(runs, key=lambda run: _weight(run.status)):
        if run.status != "ok":
            return Trouble.of_run(msgspec.to_builtins(run))
    return next((Trouble(str(call["last_problem"])) for call in pending if call.get("last_problem")), None)
