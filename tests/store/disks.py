"""Disks that misbehave on purpose: one whose writes and flushes are listed and fail when told, and a small one."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest


class WatchedDisk(apsw.VFS):
    """SQLite's own disk, with a list of what is written and flushed where, and flushes that fail on demand."""

    def __init__(self) -> None:
        self.name = f"watched-{uuid.uuid4().hex}"
        self.done: list[tuple[str, str]] = []
        self.failing_flushes = 0
        self.failing_writes = 0
        super().__init__(self.name, "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 (SQLite's name)
        """A file that reports to this disk."""
        return _WatchedFile(self, name, flags)


class _WatchedFile(apsw.VFSFile):
    def __init__(self, disk: WatchedDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        full = name.filename() if isinstance(name, apsw.URIFilename) else (name or "")
        self._kind = "wal" if full.endswith("-wal") else "db"
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.done.append((self._kind, "write"))
        if self._disk.failing_writes > 0:
            self._disk.failing_writes -= 1
            raise apsw.IOError("a write failed on purpose")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.done.append((self._kind, "flush"))
        if self._disk.failing_flushes > 0:
            self._disk.failing_flushes -= 1
            raise apsw.IOError("a flush failed on purpose")
        super().xSync(flags)


@contextmanager
def watched_disk() -> Iterator[WatchedDisk]:
    """Connections that are opened meanwhile live on a watched disk."""
    disk = WatchedDisk()
    try:
        yield disk
    finally:
        disk.unregister()


@contextmanager
def small_disk(place: Path, *, size_bytes: int) -> Iterator[Path]:
    """A folder on a disk of its own of that size; skipped where only root could mount one and we are not root."""
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "tmpfs", str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
