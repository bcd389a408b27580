"""How often a listener is asked again, and how the event that it cannot take is found. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from core.model.errors import AnswerInvalid, ChildCut, ChildDied, ChildMute, LockerError

TRIES_MAX = 12
SPLIT_TRIES_MAX = 3

_REFUSALS = frozenset({400, 413, 422})
_NOT_NOW = frozenset({401, 408, 425, 429, 503})


class Verdict(Enum):
    """What an answer says of the batch: taken, refused as it is, failed, or that the listener was not reached."""

    APPLIED = "applied"
    REFUSED = "refused"
    FAILED = "failed"
    UNREACHED = "unreached"


class Move(Enum):
    """What to do next: go on, try again, or set the batch's only event aside."""

    GO_ON = "go on"
    AGAIN = "again"
    BURY = "bury"


@dataclass(frozen=True)
class Answer:
    """How a delivery went, with the sentence that is shown."""

    verdict: Verdict
    problem: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True)
class Attempt:
    """Where a listener stands: how many events to send at once, what failed, and how many are under suspicion.

    While `suspects` is above zero, one of that many next events is what failed a larger batch.
    """

    size: int
    tries: int = 0
    waits: int = 0
    suspects: int = 0


def judge_status(status: int) -> Answer:
    """What the listener's HTTP status says; nothing but 200 is an acknowledgement."""
    if status == 200:
        return Answer(Verdict.APPLIED)
    problem = f"answered {status}"
    if status in _REFUSALS:
        return Answer(Verdict.REFUSED, problem)
    return Answer(Verdict.UNREACHED if status in _NOT_NOW else Verdict.FAILED, problem)


def judge_error(error: Exception) -> Answer:
    """What an error on the way says. A child that breaks over a batch speaks of the batch; all else does not."""
    if not isinstance(error, LockerError):
        return Answer(Verdict.UNREACHED, f"an unexpected {type(error).__name__}")
    verdict = (
        Verdict.FAILED if isinstance(error, (ChildDied, ChildMute, ChildCut, AnswerInvalid)) else Verdict.UNREACHED
    )
    return Answer(verdict, f"{error.code}: {error.detail}"[:500], error.retry_after_s or 0.0)


def after(attempt: Attempt, answer: Answer, *, events: int, size_max: int) -> tuple[Move, Attempt]:
    """What follows a batch of `events`: halve what failed until one event is left, and set that one aside.

    A listener that was not reached says nothing of the events, so it is waited for without end: the log keeps them.
    """
    match answer.verdict:
        case Verdict.APPLIED:
            return Move.GO_ON, _after_success(attempt, events, size_max)
        case Verdict.UNREACHED:
            return Move.AGAIN, replace(attempt, waits=attempt.waits + 1)
        case Verdict.FAILED if attempt.tries + 1 < (SPLIT_TRIES_MAX if attempt.suspects else TRIES_MAX):
            return Move.AGAIN, replace(attempt, tries=attempt.tries + 1, waits=0)
    if events > 1:
        return Move.AGAIN, Attempt(size=events // 2, suspects=events)
    # The next one alone: if that fails as well it has all its tries, if not the batches grow again.
    return Move.BURY, Attempt(size=1)


def _after_success(attempt: Attempt, events: int, size_max: int) -> Attempt:
    suspects = max(0, attempt.suspects - events)
    if suspects:
        return Attempt(size=attempt.size, suspects=suspects)
    return Attempt(size=min(attempt.size * 2, size_max))


def backoff_s(attempt: Attempt, *, random_unit: float, first_s: float, max_s: float) -> float:
    """How long to wait before the next try: exponential with full jitter, nothing while a batch is being split."""
    failures = attempt.tries + attempt.waits
    return random_unit * min(max_s, first_s * 2.0 ** min(failures - 1, 30)) if failures else 0.0
