"""What helps, in the words of a terminal: what errors advise by default is meant for programs."""

from __future__ import annotations

from collections.abc import Mapping

from core.model.errors import LockerError, Reject, ServiceDisabled

CURES: Mapping[type[LockerError], str] = {
    ServiceDisabled: "Press Switch on on its page; for its address, see: python3 locker.py status",
    Reject: "Correct the command; --help after it tells what it takes.",
}


def cure_of(error: LockerError) -> str:
    """What the error itself advises; where that is only what its class does by default, what helps at a terminal."""
    if error.remedy != error.default_remedy:
        return error.remedy
    return next((cure for group, cure in CURES.items() if isinstance(error, group)), error.remedy)
