"""What children leave behind: adopted by the core, so that it stays known as below it, and buried when it ends."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Collection

import psutil

from core.process import sandbox
from core.process.inside import PR_SET_CHILD_SUBREAPER

log = logging.getLogger(__name__)


def adopt() -> bool:
    """Make this process the parent of whatever below it loses its own; False where the system has no such thing.

    An orphan would otherwise belong to nobody, and pass for a program of the owner's own.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        sandbox.set_process_option(PR_SET_CHILD_SUBREAPER, 1)
    except OSError as err:
        log.warning("orphans cannot be adopted: %s", err.strerror)
        return False
    return True


class Burials:
    """Reaps adopted processes that have ended. Owned by the patrol that calls it."""

    def __init__(self) -> None:
        self._seen: frozenset[int] = frozenset()

    def look(self, own: Collection[int]) -> None:
        """Reap what has been waiting since the last look and is none of `own`, whose parents wait for them.

        One look later, because somebody else here may be about to wait for a process that just ended.
        """
        waiting = frozenset(_ended()) - frozenset(own)
        for pid in waiting & self._seen:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = waiting - self._seen


def _ended() -> list[int]:
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if child.status() == psutil.STATUS_ZOMBIE:
                    found.append(child.pid)
    return found
