"""A database as it would be with chosen frames of its write-ahead log: read from raw bytes, changing nothing.

SQLite decides by itself how far a log counts. Here somebody else does: a database file and some frames over it are
shown to SQLite as one read-only file. Only for a process that has no other connection to that file.
"""

from __future__ import annotations

import os
import stat
import struct
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
from core.store.schema import APPLICATION_ID, MIGRATIONS

_URI_FLAGS = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
_RAW_FLAGS = os.O_RDONLY | os.O_CLOEXEC | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
_SECTOR_BYTES = 4096
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_PAGES_AT, _PAGES_BYTES = 28, 4
_GROWTH_MAX = 4
_ALWAYS_AT, _ALWAYS = 21, bytes((64, 32, 32))
_header = struct.Struct(">16sHBBBBBB12I20xII").pack

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
    """A read-only connection to `base` with the pages of `frames`, the later ones over the earlier.

    A header of `base` that is none is shown as that of a store of ours; what `base` lacks at its end, as empty pages.
    """
    with shown(base, wal, frames, page_bytes=page_bytes) as file:
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


@contextmanager
def shown(base: Path, wal: Path, frames: Iterable[Frame], *, page_bytes: int) -> Iterator[_Pages]:
    """The pages that `overlaid` gives SQLite to read."""
    frames = [frame for frame in frames if frame.page > 0]
    with raw(base) as (read_base, base_bytes), raw(wal) as (read_wal, _):
        places = {frame.page - 1: frame.offset + FRAME_HEADER_BYTES for frame in frames}
        pages = max([frame.pages for frame in frames if frame.pages][-1:] + [number + 1 for number in places] or [0])
        size = pages * page_bytes or full_size(read_base, base_bytes, page_bytes=page_bytes)
        header = b"" if 0 in places or not base_bytes else _mended_header(read_base, size, page_bytes=page_bytes)
        yield _Pages(read_base, read_wal, places, page_bytes=page_bytes, size=size, header=header)


def file_faults(read_base: ReadAt, base_bytes: int, frames: Iterable[Frame], *, page_bytes: int) -> tuple[str, ...]:
    """What is wrong with the database's file itself, under the frames of its log that count."""
    pages = {frame.page for frame in frames}
    if not base_bytes and pages:
        return ("file: it is empty",)
    if base_bytes and 1 not in pages and read_base(0, len(_MAGIC)) != _MAGIC:
        return ("file: its header is not that of a database",)
    if not pages and full_size(read_base, base_bytes, page_bytes=page_bytes) > base_bytes:
        return ("file: its end is missing",)
    return ()


def full_size(read_base: ReadAt, base_bytes: int, *, page_bytes: int) -> int:
    """How long the database is by its own header, in bytes; as long as its file, where that cannot be."""
    size = int.from_bytes(read_base(_PAGES_AT, _PAGES_BYTES), "big") * page_bytes
    is_ours = read_base(0, len(_MAGIC)) == _MAGIC
    return size if is_ours and base_bytes < size <= _GROWTH_MAX * base_bytes else base_bytes


def _mended_header(read_base: ReadAt, size: int, *, page_bytes: int) -> bytes:
    """What is to be read in place of the header, where it is none; nothing where it is one."""
    if read_base(0, len(_MAGIC)) == _MAGIC:
        return b""
    if read_base(_ALWAYS_AT, len(_ALWAYS)) == _ALWAYS:
        return _MAGIC + read_base(len(_MAGIC), _HEADER_BYTES - len(_MAGIC))
    pages = size // page_bytes
    written = 1 if page_bytes == 65536 else page_bytes
    counter, text_utf8, schema_format = 1, 1, 4
    return _header(
        _MAGIC, written, 2, 2, 0, 64, 32, 32, counter, pages, 0, 0, 1, schema_format, 0, 0, text_utf8, len(MIGRATIONS),
        0, APPLICATION_ID, counter, apsw.SQLITE_VERSION_NUMBER,
    )  # fmt: skip


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
        self,
        read_base: ReadAt,
        read_wal: ReadAt,
        places: dict[int, int],
        *,
        page_bytes: int,
        size: int,
        header: bytes = b"",
    ) -> None:
        self._read_base = read_base
        self._read_wal = read_wal
        self._places = places
        self._page_bytes = page_bytes
        self._size = size
        self._header = header

    def page(self, number: int) -> bytes:
        """The page of that number, counted from 1; shorter, or nothing, where there is none."""
        return self.xRead(self._page_bytes, (number - 1) * self._page_bytes) if number > 0 else b""

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        """The bytes asked for; SQLite asks for a page or a part of one."""
        page, within = divmod(offset, self._page_bytes)
        place = self._places.get(page)
        if place is None:
            read = self._read_base(offset, max(0, min(amount, self._size - offset)))
            return self._header[offset : offset + amount] + read[max(0, len(self._header) - offset) :]
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
