"""Where a writer's store lives: in a folder, locked against other writers, or in this process's memory alone."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import apsw

from core.model.errors import FileDamaged, FolderUnusable
from core.model.manifest import TypeSpec
from core.store.connection import BUSY_TIMEOUT_MS, hardened, open_for_writing
from core.store.durable import FOLDER_MODE
from core.store.lock import WriterLock
from core.store.reader import STORE_NAME, Reader

# How soon to ask again for a lock: a transaction in memory takes less than a millisecond.
_PAUSE_S = 0.0002
_MEMORY_WRITE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
_MEMORY_READ = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


class Home(Protocol):
    """What a store's writer needs of the place: connections to it, and the right to write there."""

    path: Path
    was_clean: bool

    @property
    def is_mine(self) -> bool:
        """Whether this process still has the right to write."""

    def connect(self) -> apsw.Connection:
        """A connection that writes."""

    def reader(self, types: Mapping[str, TypeSpec]) -> Reader:
        """What reads beside it."""

    def note_epoch(self, epoch: int) -> None:
        """Keep beside the database in which epoch facts are made here."""

    def release(self, *, clean: bool) -> None:
        """Let go of the place; `clean` says that the store was closed properly."""


class DiskHome:
    """A folder with its database, whose lock is held."""

    def __init__(self, path: Path, lock: WriterLock) -> None:
        self.path = path
        self.was_clean = lock.was_clean
        self._lock = lock

    @property
    def is_mine(self) -> bool:
        """Whether this process still has the right to write."""
        return self._lock.is_mine

    def connect(self) -> apsw.Connection:
        """A durable connection."""
        return open_for_writing(self.path, mode_of=self._lock.path)

    def reader(self, types: Mapping[str, TypeSpec]) -> Reader:
        """What reads the file as any other process does."""
        return Reader(self.path, types)

    def note_epoch(self, epoch: int) -> None:
        """Keep it in the lock's file."""
        self._lock.note_epoch(epoch)

    def release(self, *, clean: bool) -> None:
        """Unlock."""
        self._lock.release(clean=clean)


class MemoryHome:
    """A database in memory that is gone when it is released, and a temporary folder for what lies beside one.

    All of its connections are to one database that they lock in turn: a reader waits for a transaction to end, and a
    transaction for a reader. It holds a gibibyte at most.
    """

    def __init__(self) -> None:
        self.was_clean = True
        self._name = f"file:/locker-{secrets.token_hex(16)}?vfs=memdb"
        self._pid = os.getpid()
        self._folder = Path(tempfile.mkdtemp(prefix="locker-memory-"))
        self.path = self._folder / STORE_NAME
        # The database lasts as long as any connection to it.
        self._anchor: apsw.Connection | None = apsw.Connection(self._name, flags=_MEMORY_WRITE)

    @property
    def is_mine(self) -> bool:
        """Whether it is still there, for this process."""
        return self._anchor is not None and self._pid == os.getpid()

    def connect(self) -> apsw.Connection:
        """A connection that writes; its journal is in memory too."""
        db = apsw.Connection(self._name, flags=_MEMORY_WRITE)
        db.set_busy_handler(_Patience())
        db.pragma("journal_mode", "memory")
        db.pragma("secure_delete", True)
        db.pragma("foreign_keys", True)
        return db

    def reader(self, types: Mapping[str, TypeSpec]) -> Reader:
        """What reads beside it."""
        return _MemoryReader(self, types)

    def connect_reader(self) -> apsw.Connection:
        """A connection that only reads, as careful as one to a file."""
        db = hardened(apsw.Connection(self._name, flags=_MEMORY_READ))
        db.set_busy_handler(_Patience())
        return db

    def note_epoch(self, epoch: int) -> None:
        """Nothing is left of it that would have to know."""

    def release(self, *, clean: bool) -> None:  # noqa: ARG002 -- there is no one to tell
        """Let it go, with everything it held."""
        anchor, self._anchor = self._anchor, None
        if anchor is not None:
            anchor.close()
            shutil.rmtree(self._folder, ignore_errors=True)


class _MemoryReader(Reader):
    """The reads of a store in memory."""

    def __init__(self, home: MemoryHome, types: Mapping[str, TypeSpec]) -> None:
        super().__init__(home.path, types)
        self._home = home

    def _identity(self) -> tuple[int, int] | None:
        return (0, 0) if self._home.is_mine else None

    def _open(self) -> apsw.Connection:
        return self._home.connect_reader()


class _Patience:
    """A busy handler that asks again soon, and gives up after as long as for a file."""

    def __init__(self) -> None:
        self._end = 0.0

    def __call__(self, tries: int) -> bool:
        now = time.monotonic()
        if tries == 0:
            self._end = now + BUSY_TIMEOUT_MS / 1000
        time.sleep(_PAUSE_S)
        return now < self._end


def make_folder(folder: Path) -> None:
    """Make the folder of a store, where it is not there; raises FolderUnusable, or FileDamaged for a link."""
    try:
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    except OSError as err:
        raise FolderUnusable(f"{folder} cannot be made: {err.strerror}") from err
    if folder.is_symlink():
        raise FileDamaged(f"{folder} is a link")
