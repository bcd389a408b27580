"""What a command's exit code tells a script. docs/cli.md lists the same numbers."""

from __future__ import annotations

from core.model.errors import Broken, LockerError, Reauthorise, Reject, Retry, Skip, UserActionNeeded

DONE = 0
FAILED = 1
USAGE = 2
NOT_RUNNING = 3
OWNER_MUST_ACT = 4
REFUSED = 5
LATER = 6
BROKEN = 7
INTERRUPTED = 130

_BY_REMEDY: tuple[tuple[type[LockerError], int], ...] = (
    (UserActionNeeded, OWNER_MUST_ACT),
    (Reauthorise, OWNER_MUST_ACT),
    (Reject, REFUSED),
    (Skip, REFUSED),
    (Retry, LATER),
    (Broken, BROKEN),
)


def exit_code(error: LockerError) -> int:
    """The code for an error, by the group that says its remedy."""
    return next((code for group, code in _BY_REMEDY if isinstance(error, group)), BROKEN)
