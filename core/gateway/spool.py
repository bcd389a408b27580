"""Where waiting bodies lie that are too large for memory: files without a name, within a total."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from pathlib import Path

from core.model.errors import StorageFull, TooBusy

READ_BYTES = 256 * 1024
RETRY_AFTER_S = 5.0


class Spool:
    """The folder, and how much of its allowance is taken."""

    def __init__(self, folder: Path, *, bytes_total_max: int) -> None:
        self._folder = folder
        self._bytes_total_max = bytes_total_max
        self.taken_bytes = 0

    def open(self) -> SpoolFile:
        """A file that vanishes when it is closed, or when the core dies."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return SpoolFile(self._folder)
        except OSError as err:
            raise disk_error(err) from err

    def take(self, size: int) -> None:
        """Count `size` bytes more; raises TooBusy when waiting bodies fill the spool."""
        if self.taken_bytes + size > self._bytes_total_max:
            raise TooBusy(
                "too many large request bodies are waiting for their services to start", retry_after_s=RETRY_AFTER_S
            )
        self.taken_bytes += size

    def give_back(self, size: int) -> None:
        """Count `size` bytes less."""
        self.taken_bytes -= size


class SpoolFile:
    """Bytes appended and read at offsets, from worker threads; `close` may come from elsewhere while one works."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by `close`
        self._lock = threading.Lock()
        self._is_unwanted = False

    def append(self, piece: bytes) -> None:
        """Write all of `piece` at the end."""
        self._lock.acquire()
        try:
            if self._is_unwanted:
                return
            self._file.seek(0, os.SEEK_END)
            left = memoryview(piece)
            while left:
                left = left[self._file.write(left) :]
        finally:
            self._release()

    def read(self, offset: int) -> bytes:
        """What stands at `offset`, up to one piece."""
        self._lock.acquire()
        try:
            if self._is_unwanted:
                return b""
            self._file.seek(offset)
            return self._file.read(READ_BYTES)
        finally:
            self._release()

    def close(self) -> None:
        """Let go of the file as soon as nobody works on it; never waits."""
        self._is_unwanted = True
        if self._lock.acquire(blocking=False):
            self._release()

    def _release(self) -> None:
        # Whoever holds the lock last closes: a descriptor closed under a working thread could be another file's.
        if self._is_unwanted:
            self._file.close()
        self._lock.release()
        if self._is_unwanted and not self._file.closed and self._lock.acquire(blocking=False):
            self._file.close()
            self._lock.release()


def disk_error(err: OSError) -> StorageFull | TooBusy:
    """What a failed write or read means to the caller."""
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("there is no room on the disk for a request's body that waits for its service")
    return TooBusy("a request's body could not be kept while its service starts", retry_after_s=RETRY_AFTER_S)
