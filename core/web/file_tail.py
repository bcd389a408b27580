"""The end of a file that somebody else appends to and rotates, read line by line. Blocks; one caller at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

BYTES_READ_MAX = 512 * 1024
LINE_BYTES_MAX = 64 * 1024
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class FileTail:
    """Follows the file that bears the name `path`, also when it comes later or another one takes its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def start(self, lines: int) -> Sequence[str]:
        """The last `lines` lines there are now, oldest first; what is written after them comes by `more`."""
        self._open()
        if self._file is None:
            return []
        size = self._file.seek(0, os.SEEK_END)
        skipped = max(0, size - BYTES_READ_MAX)
        self._file.seek(skipped)
        found = self._lines()
        # Where the beginning was skipped, the first line is but the end of one.
        return (found[1:] if skipped else found)[-lines:]

    def more(self) -> Sequence[str]:
        """The lines that were completed since, in order; half a mebibyte at most at a time."""
        found = self._lines()
        if found or not self._is_replaced():
            return found
        # Whatever was written before the rotation has been read: nobody appends to the old file any more.
        self._open()
        return self._lines()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lines(self) -> list[str]:
        if self._file is None:
            return []
        *ended, rest = (self._rest + self._file.read(BYTES_READ_MAX)).split(b"\n")
        self._rest = rest[:LINE_BYTES_MAX]
        return [line.decode("utf-8", "replace").replace("\r", "") for line in ended]

    def _is_replaced(self) -> bool:
        """Whether the name is another file's now, or its file has shrunk."""
        try:
            named = self._path.stat(follow_symlinks=False)
        except OSError:
            return False
        if self._file is None:
            return True
        own = os.fstat(self._file.fileno())
        return (named.st_dev, named.st_ino) != (own.st_dev, own.st_ino) or own.st_size < self._file.tell()

    def _open(self) -> None:
        self.close()
        self._rest = b""
        try:
            self._file = os.fdopen(os.open(self._path, _FLAGS), "rb", buffering=0)
        except OSError:
            # Not there yet, or between two names: the next look finds it.
            self._file = None
