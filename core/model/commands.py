"""Commands as the owner is told to type them, so that they can be copied as they stand."""

from __future__ import annotations

import shlex
from pathlib import Path


def typed(words: str = "", *, me: Path | None = None, config: Path | None = None) -> str:
    """The command line of these words, over that Me and with that folder of locker.toml where they are named.

    >>> typed("logs feeds", me=Path("/home/a/My data"))
    "python3 locker.py logs feeds --me '/home/a/My data'"
    """
    places = [f"{option} {shlex.quote(str(place))}" for option, place in (("--me", me), ("--config", config)) if place]
    return " ".join(["python3 locker.py", *filter(None, [words]), *places])
