"""One core per Me: a lock that the kernel gives up when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import IO

from core.model.errors import AlreadyRunning, FolderUnusable

try:
    import fcntl
except ImportError:  # Windows: the port and the console's socket still tell two cores apart.
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = "core.lock"
LOCK_BYTES_MAX = 4096


class MeLock:
    """Held from `take` to `release`; raises AlreadyRunning, naming the holder, when another core has it."""

    def __init__(self, me: Path) -> None:
        self._path = me / LOCK_NAME
        self._file: IO[str] | None = None

    def is_begun(self) -> bool:
        """Whether a core ever had this Me, so that one may have it now."""
        return self._path.exists()

    def take(self) -> None:
        """Become the only core of this Me; done once, however often it is asked."""
        if self._file is not None:
            return
        try:
            # Kept open as long as the lock is held.
            file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+")
        except OSError as err:
            raise FolderUnusable(f"{self._path} cannot be opened: {err.strerror}") from err
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            holder = _holder(file.read(LOCK_BYTES_MAX))
            file.close()
            raise AlreadyRunning(f"{self._path.parent} is in use by the Locker with {holder}") from err
        self._file = file

    def note(self, *, port: int) -> None:
        """Say who holds it, for those who come too late."""
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "port": port}, self._file)
        self._file.flush()

    def withdraw(self) -> None:
        """Release it, and leave no file that says that a core was here."""
        with contextlib.suppress(OSError):  # Windows removes no file that is open.
            self._path.unlink()
        self.release()

    def release(self) -> None:
        """Let the next core in."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _holder(text: str) -> str:
    try:
        known = json.loads(text)
        return f"process {int(known['pid'])} at http://locker.localhost:{int(known['port'])}"
    except (ValueError, KeyError, TypeError):
        return "a process that is just starting"
