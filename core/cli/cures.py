"""What helps, in the words of a terminal: what errors advise by default is meant for programs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.model.errors import LockerError, Reject, ServiceDisabled

CURES: Mapping[type[LockerError], str] = {
    ServiceDisabled: "Switch it on with the command enable, or on its page.",
    Reject: "Correct the command; --help after it tells what it takes.",
}

_OF_PROGRAMS = re.compile(r"(?:GET|POST|PUT|DELETE) /")


def is_for_terminals(remedy: str) -> bool:
    """Whether whoever types commands can do what a remedy says: it is neither a call of the API nor said of any error.

    >>> is_for_terminals("Correct /c/feeds/connector.toml."), is_for_terminals("GET /map lists those there are.")
    (True, False)
    """
    return remedy not in CURES.values() and not _OF_PROGRAMS.match(remedy)


def cure_of(error: LockerError) -> str:
    """What the error itself advises; where that is only what its class does by default, what helps at a terminal."""
    if error.remedy != error.default_remedy:
        return error.remedy
    return next((cure for group, cure in CURES.items() if isinstance(error, group)), error.remedy)
