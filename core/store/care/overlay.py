"""A database as it would be with chosen frames of its write-ahead log: read from raw bytes, changing nothing.

SQLite decides by itself how far a log counts. Here somebody else does: a database file and some frames over it are
shown to SQLite as one read-only file. Only for a process that has no other connection to that file.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import apsw

from core.model.errors import FileDamaged
from core.store.care.walfile import FRAME_HEADER_BYTES, Frame
from core.store.connection import CELL_BYTES_MAX
from core.store.durable import NO_FOLLOW

_URI_FLAGS = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
_RAW_FLAGS = os.O_RDONLY | os.O_CLOEXEC | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
_SECTOR_BYTES = 4096

ReadAt = Callable[[int, int], bytes]


@contextmanager
def raw(path: Path) -> Iterator[tuple[ReadAt, int]]:
    """How to read the file's bytes at an offset, and how many it has; a file that is not there has none.

    Raises FileDamaged for what is no file: a pipe would be waited for.
    """
    try:
        handle = os.open(path, _RAW_FLAGS)
    except FileNotFoundError:
        yield lambda _offset, _length: b"", 0
        return
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise FileDamaged(f"{path} is not a regular file")
        yield lambda offset, length: os.pread(handle, length, offset), found.st_size
    finally:
        os.close(handle)


@contextmanager
def overlaid(base: Path, wal: Path, frames: Iterable[Frame], *, page_bytes: int) -> Iterator[apsw.Connection]:
    """A read-only connection to `base` with the pages of `frames`, the later ones over the earlier."""
    frames = [frame for frame in frames if frame.page > 0]
    with raw(base) as (read_base, base_bytes), raw(wal) as (read_wal, _):
        places = {frame.page - 1: frame.offset + FRAME_HEADER_BYTES for frame in frames}
        pages = max([frame.pages for frame in frames if frame.pages][-1:] + [number + 1 for number in places] or [0])
        size = pages * page_bytes or base_bytes
        file = _Pages(read_base, read_wal, places, page_bytes=page_bytes, size=size)
        disk = _Disk(file)
        try:
            db = apsw.Connection(f"file:{quote(str(base))}?immutable=1", flags=_URI_FLAGS, vfs=disk.name)
            try:
                db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
                db.limit(apsw.SQLITE_LIMIT_LENGTH, CELL_BYTES_MAX)
                db.pragma("cell_size_check", True)
                yield db
            finally:
                db.close()
        finally:
            disk.unregister()


class _Disk(apsw.VFS):
    """SQLite's disk, on which every database is the one file."""

    def __init__(self, file: _Pages) -> None:
        self.name = f"overlay-{uuid.uuid4().hex}"
        self._file = file
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 (SQLite's name)
        """The file for a database; SQLite's own for what it sorts in."""
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            flags[1] = flags[0]
            return cast("apsw.VFSFile", self._file)
        return super().xOpen(name, flags)


class _Pages:
    """A file whose pages come from one of two places; it speaks as SQLite's files do."""

    def __init__(
        self, read_base: ReadAt, read_wal: ReadAt, places: dict[int, int], *, page_bytes: int, size: int
    ) -> None:
        self._read_base = read_base
        self._read_wal = read_wal
        self._places = places
        self._page_bytes = page_bytes
        self._size = size

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        """The bytes asked for; SQLite asks for a page or a part of one."""
        page, within = divmod(offset, self._page_bytes)
        place = self._places.get(page)
        if place is None:
            return self._read_base(offset, max(0, min(amount, self._size - offset)))
        return self._read_wal(place + within, min(amount, self._page_bytes - within))

    def xFileSize(self) -> int:  # noqa: N802
        """How long the database would be."""
        return self._size

    def xClose(self) -> None:  # noqa: N802
        """The handles are closed by who opened them."""

    def xLock(self, level: int) -> None:  # noqa: N802
        """Nobody else is there."""

    def xUnlock(self, level: int) -> None:  # noqa: N802
        """Nobody else is there."""

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        """Nobody else is there."""
        return False

    def xFileControl(self, *_: int) -> bool:  # noqa: N802
        """No wish is understood."""
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        """A size that suits any database."""
        return _SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        """It never changes."""
        return apsw.SQLITE_IOCAP_IMMUTABLE
