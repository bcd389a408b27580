"""Adding facts as a work of the writer: what several callers add at the same time is added as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from core.model.errors import LockerError
from core.store.log.entries import Judged
from core.store.values import Appended

# So many facts keep a single write that comes meanwhile waiting for 1 ms or so.
PIECE_FACTS = 32

Answers = list[Appended | LockerError]
# A work of the writer: what it does with the ledger, within a transaction.
Do = Callable[[Any], Any]


class Appends(Protocol):
    """What adds facts within a transaction."""

    def append(self, judged: Sequence[Judged | LockerError], *, atomic: bool, index: bool) -> Answers:
        """What became of each."""


class Adding:
    """Adds some facts."""

    def __init__(self, judged: Sequence[Judged | LockerError], *, atomic: bool, index: bool) -> None:
        self.judged = judged
        self.atomic = atomic
        self.index = index

    def __call__(self, ledger: Appends) -> Answers:
        """What became of each fact, within the transaction of `ledger`."""
        return _together(ledger, [self])[0]


def in_runs(works: Sequence[Do]) -> Iterator[Sequence[Do]]:
    """`works` in order, in runs that `do_run` does as one."""
    run: list[Do] = []
    for work in works:
        if run and not _joins(work, run):
            yield run
            run = []
        run.append(work)
    if run:
        yield run


def do_run(ledger: Any, run: Sequence[Do]) -> list[Any]:
    """What each work of a run of `in_runs` gives."""
    return _together(ledger, run) if all(isinstance(one, Adding) for one in run) else [one(ledger) for one in run]


def _joins(work: Do, run: Sequence[Do]) -> bool:
    """Whether facts are added by it as by those of the run, few enough together."""
    added = [one for one in (work, *run) if isinstance(one, Adding)]
    return (
        len(added) == len(run) + 1
        and sum(len(one.judged) for one in added) <= PIECE_FACTS
        and not any(one.atomic for one in added)
        and len({one.index for one in added}) == 1
    )


def _together(ledger: Appends, run: Sequence[Any]) -> list[Answers]:
    judged = [fact for one in run for fact in one.judged] if len(run) > 1 else run[0].judged
    answers = iter(ledger.append(judged, atomic=run[0].atomic, index=run[0].index))
    return [[next(answers) for _ in one.judged] for one in run]
