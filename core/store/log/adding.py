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


class Appends(Protocol):
    """What adds facts within a transaction."""

    def append(self, judged: Sequence[Judged | LockerError], *, atomic: bool, index: bool) -> Answers:
        """What became of each."""


class Tried(Protocol):
    """What may have failed."""

    error: LockerError | None


class Adding:
    """Adds some facts; where the piece `before` it failed, so does this: what comes again must not come behind it."""

    def __init__(
        self, judged: Sequence[Judged | LockerError], *, atomic: bool, index: bool, before: Tried | None = None
    ) -> None:
        self.judged = judged
        self.atomic = atomic
        self.index = index
        self._before = before

    def __call__(self, ledger: Appends) -> Answers:
        """What became of each fact, within the transaction of `ledger`; raises what the piece before failed with."""
        return _together(ledger, [self])[0]

    def check(self) -> None:
        """Raise what the piece before failed with."""
        if self._before is not None and self._before.error is not None:
            raise self._before.error

    def joins(self, others: Sequence[Adding]) -> bool:
        """Whether it can be done as one with `others`, which can."""
        facts = len(self.judged) + sum(len(one.judged) for one in others)
        return facts <= PIECE_FACTS and not self.atomic and not others[0].atomic and self.index == others[0].index


def in_runs(works: Sequence[Callable[[Any], Any]]) -> Iterator[Callable[[Any], list[Any]]]:
    """`works` in order, neighbours that can be done as one put together; each run gives the results of its works."""
    run: list[Adding] = []
    for work in works:
        if isinstance(work, Adding) and run and work.joins(run):
            run.append(work)
            continue
        if run:
            yield _one(run)
        run = [work] if isinstance(work, Adding) else []
        if not run:
            yield _alone(work)
    if run:
        yield _one(run)


def _one(run: Sequence[Adding]) -> Callable[[Any], list[Any]]:
    return lambda ledger: _together(ledger, run)


def _alone(work: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    return lambda ledger: [work(ledger)]


def _together(ledger: Appends, run: Sequence[Adding]) -> list[Answers]:
    for one in run:
        one.check()
    judged = [fact for one in run for fact in one.judged] if len(run) > 1 else run[0].judged
    answers = iter(ledger.append(judged, atomic=run[0].atomic, index=run[0].index))
    return [[next(answers) for _ in one.judged] for one in run]
