"""A disk whose flushes take at least FLUSH_S each, as a laptop's do, for every database that is opened on it.

`python -m tests.bench._slow_disk …` runs the commands of `core.cli` on such a disk.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import apsw

from core.cli.command_line import main

FLUSH_S = 0.001
_SYSTEMS_OWN = "unix"


class _Disk(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("slow", _SYSTEMS_OWN, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 (SQLite's name)
        return _File(_SYSTEMS_OWN, name, flags)


class _File(apsw.VFSFile):
    def xSync(self, flags: int) -> None:  # noqa: N802
        with slowed():
            super().xSync(flags)


@contextlib.contextmanager
def slowed() -> Iterator[None]:
    """One flush: when it ends it took FLUSH_S at least."""
    begun = time.perf_counter()
    yield
    if (left_s := FLUSH_S - (time.perf_counter() - begun)) > 0:
        time.sleep(left_s)


@contextlib.contextmanager
def slow_disk() -> Iterator[None]:
    """What this process opens meanwhile lies on such a disk."""
    disk = _Disk()
    try:
        yield
    finally:
        disk.unregister()


if __name__ == "__main__":
    with slow_disk():
        sys.exit(main(sys.argv[1:]))
