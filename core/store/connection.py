"""Connections to SQLite as this house opens them, and what its errors mean to the owner.

Nobody may `open()` a database file in a process that has a connection to it: closing it would drop SQLite's
locks, and a later commit be lost. So files are looked at with `stat` alone, and modes come from the lock file.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from pathlib import Path
from urllib.parse import quote

import apsw

from core.model.errors import Broken, FileDamaged, FolderUnusable, LockerError, StorageFull, TooBusy

BUSY_TIMEOUT_MS = 5000
CLOSE_BUSY_TIMEOUT_MS = 500
WAL_BYTES_KEPT_MAX = 64 * 1024 * 1024
# Four times SQLite's own: a checkpoint stops the writer for some ms, so it comes once in hundreds of single writes.
CHECKPOINT_PAGES = 4000
CELL_BYTES_MAX = 32 * 1024 * 1024
STEPS_MAX = 20_000_000
FREE_BYTES_FULL = 1024 * 1024

_UNREACHABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_STEPS_PER_CHECK = 100_000
_WRITE_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_NOFOLLOW
_READ_FLAGS = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_NOFOLLOW


def open_for_writing(path: Path, *, mode_of: Path) -> apsw.Connection:
    """A durable connection to `path`, created with the mode of the file `mode_of` when it is not there.

    It runs no code that the file holds: no trigger, no view, no function of ours in its schema.
    """
    check_is_file(path)
    db = apsw.Connection(f"file:{quote(str(_real(path)))}?modeof={quote(str(_real(mode_of)))}", flags=_WRITE_FLAGS)
    try:
        return _durable(db)
    except BaseException:
        db.close()
        raise


def open_for_reading(path: Path) -> apsw.Connection:
    """A read-only connection that trusts nothing in the file: no schema code, no link, no endless statement."""
    check_is_file(path)
    return hardened(apsw.Connection(str(_real(path)), flags=_READ_FLAGS))


def distrust(db: apsw.Connection) -> None:
    """Let nothing of what the file holds run, and no statement reach another file."""
    db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    db.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)


def hardened(db: apsw.Connection) -> apsw.Connection:
    """The connection, reading only and trusting nothing that it reads."""
    distrust(db)
    db.set_busy_timeout(BUSY_TIMEOUT_MS)
    db.limit(apsw.SQLITE_LIMIT_LENGTH, CELL_BYTES_MAX)
    db.pragma("query_only", True)
    db.pragma("cell_size_check", True)
    return db


class StepLimit:
    """Ends a statement that runs longer than any of ours needs to; `restart` before each one."""

    def __init__(self, db: apsw.Connection, steps_max: int = STEPS_MAX) -> None:
        self._checks_max = max(1, steps_max // _STEPS_PER_CHECK)
        self._checks = 0
        db.set_progress_handler(self._is_over, min(steps_max, _STEPS_PER_CHECK))

    def restart(self) -> None:
        self._checks = 0

    def _is_over(self) -> bool:
        self._checks += 1
        return self._checks > self._checks_max


def close_checkpointed(db: apsw.Connection) -> None:
    """Close, moving the write-ahead log into the file where no reader is in the way."""
    try:
        db.set_busy_timeout(CLOSE_BUSY_TIMEOUT_MS)
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.Error:
        pass  # The log holds every commit; the next open goes on from it.
    finally:
        db.close()


def identity(path: Path) -> tuple[int, int] | None:
    """What tells this file from another of its name; None when there is none. A link or device is FileDamaged."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        raise FileDamaged(f"{path} is not a regular file")
    return found.st_dev, found.st_ino


def check_is_file(path: Path) -> None:
    """Raise FileDamaged where `path` or its log is there and no regular file: opening a pipe would never return.

    So is an empty file beside a log that is not: SQLite removes such a log, whoever opens the file and for whatever.
    A folder that is a link is FolderUnusable: whoever may change the link could show us another's files.
    """
    if path.parent.is_symlink():
        raise FolderUnusable(
            f"{path.parent} is a link, and none is followed there", remedy="Put the folder itself in its place."
        )
    log = path.with_name(f"{path.name}-wal")
    for one in (path, log, path.with_name(f"{path.name}-shm")):
        identity(one)
    if _is_of_size_0(path) and log.exists() and not _is_of_size_0(log):
        raise FileDamaged(f"{path} is empty, and its log is not")


def _is_of_size_0(path: Path) -> bool:
    try:
        return os.lstat(path).st_size == 0
    except FileNotFoundError:
        return False


def fault_of(err: BaseException, path: Path) -> LockerError:
    """What an error of SQLite or of a row's reading means; the text of `err` stays out, it may quote content."""
    if isinstance(err, LockerError):
        return err
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"no room to write {path}")
    if isinstance(err, apsw.FullError) or (isinstance(err, apsw.IOError) and _is_full(path.parent)):
        return StorageFull(f"no room to write {path}")
    if isinstance(err, (apsw.BusyError, apsw.LockedError)):
        return TooBusy(f"{path} is being written by another program")
    if isinstance(err, OSError) and err.errno in _UNREACHABLE:
        return FolderUnusable(f"{path} cannot be opened: {err.strerror}")
    if isinstance(err, (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError)):
        return FolderUnusable(f"{path} cannot be opened: {type(err).__name__}")
    if isinstance(err, (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)):
        return FileDamaged(f"{path} is damaged: {type(err).__name__}")
    return Broken(f"{path}: {type(err).__name__}")


def _durable(db: apsw.Connection) -> apsw.Connection:
    distrust(db)
    db.set_busy_timeout(BUSY_TIMEOUT_MS)
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    db.pragma("secure_delete", True)
    db.pragma("foreign_keys", True)
    db.pragma("journal_size_limit", WAL_BYTES_KEPT_MAX)
    db.wal_autocheckpoint(CHECKPOINT_PAGES)
    if sys.platform == "darwin":
        db.pragma("fullfsync", True)
        db.pragma("checkpoint_fullfsync", True)
    return db


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < FREE_BYTES_FULL
    except OSError:
        return False


def _real(path: Path) -> Path:
    """`path` with the links above its folder resolved; the folder itself and the file may be none (NOFOLLOW)."""
    return path.parent.parent.resolve() / path.parent.name / path.name
