"""One file that only the owner may read: replaced whole by rename, never reached through a link."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from core.model.errors import BadRequest, FileDamaged, FolderUnusable, LockerError, StorageFull, TooBusy

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

MODE = 0o600
LOCK_WAIT_S = 5.0

_LOCK_LOOK_S = 0.01
_NOT_OURS = "Locker did not make it so: move it away, then try again."
# Windows has neither links to follow in this way nor pipes that wait, and needs to be told of bytes.
_SAFELY = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_READ = os.O_RDONLY | _SAFELY
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY
_LOCK = os.O_RDWR | os.O_CREAT | _SAFELY


class PrivateFile:
    """The file at `path`, mode 0600, of at most `bytes_max` bytes. A child may own the folder it lies in."""

    def __init__(self, path: Path, *, bytes_max: int, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self.path = path
        self.bytes_max = bytes_max
        self._lock_wait_s = lock_wait_s

    def read(self) -> bytes | None:
        """The content, or None when there is no file.

        Raises FileDamaged for a link, a pipe, a folder or more than `bytes_max` bytes: nothing of ours makes those.
        """
        try:
            descriptor = os.open(self.path, _READ)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise FileDamaged(f"{self.path} cannot be opened: {err.strerror}", remedy=_NOT_OURS) from err
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileDamaged(f"{self.path} is not a plain file", remedy=_NOT_OURS)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(self.bytes_max + 1)
        finally:
            os.close(descriptor)
        if len(content) > self.bytes_max:
            raise FileDamaged(f"{self.path} is larger than {self.bytes_max} bytes", remedy=_NOT_OURS)
        return content

    def replace(self, content: bytes) -> None:
        """Put `content` in place of what is there, durably; a crash leaves the one or the other, never a mixture."""
        self._check(content)
        with self._beside(content) as beside:
            beside.replace(self.path)
        sync_folder(self.path.parent)

    def create(self, content: bytes) -> bool:
        """Put `content` there unless a file exists; False when one does. Whoever loses a race sees the winner whole."""
        self._check(content)
        with self._beside(content) as beside:
            try:
                # A hard link is the only way to make a name appear with its full content and never over another.
                os.link(beside, self.path, follow_symlinks=False)
            except FileExistsError:
                return False
            except OSError as err:
                raise FolderUnusable(f"{self.path.parent} is on a disk that cannot make links: {err.strerror}") from err
        sync_folder(self.path.parent)
        return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep away other processes that ask for the lock too; raises TooBusy when it never comes free."""
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            descriptor = os.open(lock, _LOCK, MODE)
        except OSError as err:
            raise FileDamaged(f"{lock} cannot be opened: {err.strerror}", remedy=_NOT_OURS) from err
        try:
            _wait_for_lock(descriptor, lock, wait_s=self._lock_wait_s)
            yield
        finally:
            os.close(descriptor)

    def _check(self, content: bytes) -> None:
        if len(content) > self.bytes_max:
            raise BadRequest(f"{self.path.name} would be larger than {self.bytes_max} bytes")

    @contextlib.contextmanager
    def _beside(self, content: bytes) -> Iterator[Path]:
        """A finished, durable copy of `content` in the same folder, removed afterwards if it is still there."""
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}.tmp")
        try:
            with os.fdopen(os.open(beside, _CREATE, MODE), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield beside
        except OSError as err:
            raise unwritable(self.path, err) from err
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a rename is lost with the power until its folder is synced."""
    if sys.platform == "win32":  # Windows cannot flush a folder; its file system keeps a journal of names.
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, lock: Path, *, wait_s: float) -> None:
    # A blocking flock cannot be given a limit, and whoever holds the lock may be a child that never lets go.
    for _look in range(max(1, round(wait_s / _LOCK_LOOK_S))):
        with contextlib.suppress(BlockingIOError, PermissionError):
            if sys.platform == "win32":
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOCK_LOOK_S)
    raise TooBusy(f"{lock} has been held by another program for {wait_s:g} s")


def unwritable(path: Path, err: OSError) -> LockerError:
    """What `err` means for the owner: a full disk clears up by itself, anything else is the folder's fault."""
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"there is no room to write {path}")
    return FolderUnusable(f"{path} cannot be written: {err.strerror}")
