"""How a run ended: its status, its problem, and when the next one is due. Decides only; nothing is done here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.model.errors import (
    Broken,
    Interrupted,
    LockerError,
    Reauthorise,
    StorageFull,
    UserActionNeeded,
)
from core.model.problem import problem_document

RETRY_FIRST_S = 30.0
RETRY_MAX_S = 6 * 3600.0
RETRY_AFTER_MAX_S = 7 * 86400.0
HELD_RETRY_S = 24 * 3600.0
STORAGE_RETRY_S = 15 * 60.0
RESUME_AFTER_STOP_S = 5.0
JITTER = 0.05
STOPPED = "Locker, or this connector, stopped before the sync was through"

RunStatus = Literal["ok", "partial", "failed", "held"]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a run came to: the error that ended it, parts that failed, and whether it was told to stop.

    `is_nothing_read` says that every part failed: what was stored then is only what was noted of that.
    """

    stored: int
    quarantined: int
    error: LockerError | None = None
    partial: LockerError | None = None
    is_nothing_read: bool = False
    stopped: bool = False
    again_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What follows: the run's `status` and `problem`, the time of the next run, and whether sign-in has lapsed."""

    status: RunStatus
    problem: dict[str, Any] | None
    next_at: float
    sign_in_lapsed: bool = False


def outcome_of(ended: Ended, *, now: float, every_s: float, failures: int, random_unit: float) -> Outcome:
    """What follows from a run that ended at `now`; `failures` counts the failed runs just before it."""
    error = ended.error
    problem = None if error is None else problem_document(error)
    if isinstance(error, StorageFull):
        return Outcome(status="held", problem=problem, next_at=now + STORAGE_RETRY_S)
    if isinstance(error, (Reauthorise, UserActionNeeded)):
        lapsed = isinstance(error, Reauthorise)
        return Outcome(status="held", problem=problem, next_at=now + HELD_RETRY_S, sign_in_lapsed=lapsed)
    if error is not None:
        has_some = ended.stored and not ended.is_nothing_read
        status: RunStatus = "partial" if has_some and not isinstance(error, Broken) else "failed"
        return Outcome(status=status, problem=problem, next_at=now + retry_after_s(error, failures, random_unit))
    if ended.stopped:
        problem = problem_document(Interrupted(STOPPED))
        return Outcome(status="partial", problem=problem, next_at=now + RESUME_AFTER_STOP_S)
    if ended.partial is not None:
        problem = problem_document(ended.partial)
    if ended.is_nothing_read:
        status = "failed"
    else:
        status = "partial" if ended.partial is not None or ended.quarantined else "ok"
    wait_s = every_s * (1 + JITTER * (2 * random_unit - 1)) if ended.again_s is None else ended.again_s
    return Outcome(status=status, problem=problem, next_at=now + wait_s)


def retry_after_s(error: LockerError, failures: int, random_unit: float) -> float:
    """How long to wait after `error`: as long as the source asked, else full jitter under a doubling ceiling."""
    if error.retry_after_s is not None:
        asked_s = min(max(error.retry_after_s, 1.0), RETRY_AFTER_MAX_S)
        # Everybody told "in 60 s" comes back at once; a little later than asked is still what was asked.
        return asked_s * (1 + JITTER * random_unit)
    ceiling_s = min(RETRY_FIRST_S * (1 << min(failures, 20)), RETRY_MAX_S)
    return max(1.0, ceiling_s * random_unit)


def failures_before(statuses: Sequence[str]) -> int:
    """How many runs failed in a row, newest first."""
    count = 0
    for status in statuses:
        if status != "failed":
            return count
        count += 1
    return count
