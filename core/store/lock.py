"""The one who may write: `store.lock`, held by the operating system for as long as its process lives."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
import weakref
from pathlib import Path
from typing import Annotated

import msgspec

from core.model.errors import FileDamaged, WriterBusy
from core.store.durable import FILE_MODE, NO_FOLLOW

log = logging.getLogger(__name__)

LOCK_NAME = "store.lock"
LOCK_BYTES = 256

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_held: weakref.WeakSet[WriterLock] = weakref.WeakSet()


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who held the lock last: its process, the boot it ran in, and whether it closed the store properly.

    `origin_epoch` is the last in which facts were made here, 0 where that is not known.
    """

    pid: int
    boot_id: str
    clean: bool
    origin_epoch: Annotated[int, msgspec.Meta(ge=0, lt=2**62)] = 0


class WriterLock:
    """The right to write one store, from `acquire` to `release`.

    It belongs to the process that acquired it: a forked or executed child of it holds nothing. `last` is who held it
    before, None where nobody did.
    """

    def __init__(self, handle: int, path: Path, *, last: Holder | None) -> None:
        self._handle = handle
        self._pid = os.getpid()
        self.path = path
        self.last = last
        self.was_clean = last is None or last.clean
        self._origin_epoch = 0 if last is None else last.origin_epoch

    @classmethod
    def acquire(cls, folder: Path) -> WriterLock:
        """The lock of the store in `folder`, marked dirty and flushed; raises WriterBusy naming who holds it."""
        path = folder / LOCK_NAME
        handle = _opened(path)
        try:
            if not _try_lock(handle):
                raise WriterBusy(f"{folder.name}: {_named(_read(handle))} writes this store")
            lock = cls(handle, path, last=_last(handle))
            lock._mark(clean=False)
        except BaseException:
            os.close(handle)
            raise
        _hold(lock)
        return lock

    @property
    def is_mine(self) -> bool:
        """Whether this process still has the right to write."""
        return self._handle >= 0 and self._pid == os.getpid()

    def note_epoch(self, epoch: int) -> None:
        """Keep, flushed, in which epoch facts are made here: it outlives the database."""
        if epoch != self._origin_epoch:
            self._origin_epoch = epoch
            self._mark(clean=False)

    def release(self, *, clean: bool) -> None:
        """Let the next one write; `clean` says that the store was closed properly. Again does nothing."""
        if not self.is_mine:
            return
        try:
            self._mark(clean=clean)
        except OSError:
            log.warning("lock not marked clean path=%s", self.path)
        # Unlocking frees it for all, also where a process being started still shares the handle for a moment.
        _unlock(self._handle)
        self.forget()

    def forget(self) -> None:
        """Drop the handle without unlocking: what a forked child does with its parent's lock."""
        handle, self._handle = self._handle, -1
        _held.discard(self)
        if handle >= 0:
            os.close(handle)

    def _mark(self, *, clean: bool) -> None:
        """Written in place and always as long: a full disk cannot refuse it, and the lock is on this very file."""
        holder = Holder(pid=self._pid, boot_id=boot_id(), clean=clean, origin_epoch=self._origin_epoch)
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, msgspec.json.encode(holder).ljust(LOCK_BYTES - 1) + b"\n")
        os.fsync(self._handle)


def holder_of(folder: Path) -> Holder | None:
    """Who holds the store's lock, or held it last; None where nobody did or the file cannot be read."""
    try:
        handle = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        return _read(handle)
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Whether somebody writes the store right now."""
    try:
        handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return False
    try:
        is_free = _try_lock(handle)
        if is_free:
            _unlock(handle)
        return not is_free
    finally:
        os.close(handle)


def boot_id() -> str:
    """What tells this start of the machine from earlier ones; empty where the system has no such name."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def _opened(path: Path) -> int:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | NO_FOLLOW, FILE_MODE)
    except OSError as err:
        if path.is_symlink() or path.is_dir():
            raise FileDamaged(f"{path} is not a regular file") from err
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileDamaged(f"{path} is not a regular file")
    return handle


def _read(handle: int) -> Holder | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError, ValueError):
        os.lseek(handle, 0, os.SEEK_SET)
        return msgspec.json.decode(os.read(handle, LOCK_BYTES), type=Holder)
    return None


def _last(handle: int) -> Holder | None:
    """A lock file without content was never held; one that cannot be read was not left by a proper close."""
    if os.fstat(handle).st_size == 0:
        return None
    return _read(handle) or Holder(pid=0, boot_id="", clean=False)


def _named(holder: Holder | None) -> str:
    return "another process" if holder is None else f"process {holder.pid}"


def _hold(lock: WriterLock) -> None:
    global _forks_watched
    _held.add(lock)
    if not _forks_watched and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_all)
        _forks_watched = True


_forks_watched = False


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 30  # Beyond the text: Windows would refuse others the reading of a locked byte.

    def _try_lock(handle: int) -> bool:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
