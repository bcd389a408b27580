"""What a run says of the feeds that could not be read: the same feeds give the same words, in whatever order they came.

Decides only; nothing is done here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from core.model.errors import Broken, LockerError, Reauthorise, Reject, Retry, UserActionNeeded

FAILURES_TOLD_MAX = 20
# What the owner can mend comes first.
_SEVEREST: tuple[type[LockerError], ...] = (UserActionNeeded, Reauthorise, Reject, Broken, Retry)

Failure = tuple[str, LockerError]


def summary(failures: Sequence[Failure], count: int) -> LockerError:
    """The problem of a run in which these, pairs of an address and its error, failed of `count` feeds."""
    failures = sorted(failures, key=lambda failure: failure[0])
    url, error = failures[0]
    if len(failures) == 1 and count <= 1:
        return error
    if len(failures) == 1:
        return type(error)(f"1 of {count} feeds could not be read: {url}: {error.detail}", remedy=error.remedy)
    told = failures[:FAILURES_TOLD_MAX]
    more = f"; {len(told)} of them are named" if len(told) < len(failures) else ""
    chosen = _chosen([error for _, error in failures])
    problem = type(chosen)(f"{len(failures)} of {count} feeds could not be read{more}.", remedy=chosen.remedy)
    sharing = sum(error.remedy == chosen.remedy for _, error in failures)
    if sharing < len(failures):
        problem.remedy = f"For {sharing} of them: {chosen.remedy}"
    problem.parts = tuple((url, error.detail) for url, error in told)
    return problem


def _chosen(errors: Sequence[LockerError]) -> LockerError:
    """The one whose advice helps with most of them; of those that help with as many, the severest."""
    sharing = Counter(error.remedy for error in errors)
    return min(errors, key=lambda error: (-sharing[error.remedy], _severity(error), error.remedy, error.code))


def _severity(error: LockerError) -> int:
    return next((place for place, cls in enumerate(_SEVEREST) if isinstance(error, cls)), len(_SEVEREST))
