"""Binaries of a service, named by what they hold: `files/ab/cd…` is the SHA-256 of its content."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from core.model.errors import BadRequest, BodyTooLarge, FileDamaged, FilesFull, NotFound, StorageFull
from core.store.binaries.shelves import FOLDER, UNFINISHED, Kept, Shelves
from core.store.durable import FILE_MODE, NO_FOLLOW
from core.store.pace import Wait, rest

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 1024 * 1024 * 1024
FILES_BYTES_MAX = 10 * 1024 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
DAMAGED_LISTED_MAX = 1000

_CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | NO_FOLLOW


class FileTotals(msgspec.Struct, frozen=True):
    """How many files there are, and how many bytes they have together."""

    files: int
    bytes: int


class FilesVerified(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at every file found: how many are what their names say, and which (1000 at most) are not."""

    files: int
    bytes: int
    damaged: tuple[str, ...] = ()
    damaged_count: int = 0


class _Written(NamedTuple):
    digest: str
    size: int
    is_whole: bool


class ByteSource(Protocol):
    """What a file is read from: the `read` of any binary stream."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class FilePart:
    """`length` bytes of an open file of `size` bytes, from `start`; iterate it once, inside its `with`.

    What the disk does not give, a file that is shorter than it said, and a whole one whose content is not what its name
    says, are FileDamaged.
    """

    def __init__(self, handle: int, digest: str, *, size: int, start: int, length: int) -> None:
        self._handle = handle
        self._digest = digest
        self.size = size
        self.start = start
        self.length = length

    def __enter__(self) -> FilePart:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        whole = hashlib.sha256() if self.length == self.size else None
        os.lseek(self._handle, self.start, os.SEEK_SET)
        left = self.length
        while left:
            try:
                chunk = os.read(self._handle, min(CHUNK_BYTES, left))
            except OSError as err:
                raise FileDamaged(f"file {self._digest} cannot be read: {err.strerror}") from err
            if not chunk:
                raise FileDamaged(f"file {self._digest} ends {left} bytes early")
            left -= len(chunk)
            if whole is not None:
                whole.update(chunk)
                if not left and whole.hexdigest() != self._digest:
                    raise FileDamaged(f"file {self._digest} does not hold what its name says")
            yield chunk

    def close(self) -> None:
        """Let go of the file; again does nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


class Files:
    """The files of one service, opened beneath its folder without following links: a child owns that folder.

    Together they have `bytes_max` bytes at most. Thread-safe; one process at a time puts and removes.
    """

    def __init__(self, folder: Path, *, bytes_max: int = FILES_BYTES_MAX) -> None:
        self._shelves = Shelves(folder)
        self.bytes_max = bytes_max
        # Guards the sum, and with it the moment in which a file gets or loses its name. It is counted once: a walk
        # over many files takes longer than anything else here.
        self._lock = threading.Lock()
        self._held: FileTotals | None = None

    def put_file(self, source: ByteSource, *, bytes_max: int = FILE_BYTES_MAX) -> str:
        """Keep what `source` holds, durably, and return its digest; the same content again is kept once.

        Raises BodyTooLarge above `bytes_max`, FilesFull where all files together would have too many bytes, and
        StorageFull where the disk has no room; then nothing is kept.
        """
        folder = self._shelves.folder
        try:
            with self._shelves.made(FOLDER), self._shelves.made(FOLDER, UNFINISHED) as unfinished:
                return self._put(source, unfinished, bytes_max)
        except OSError as err:
            if err.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"no room for a file in {folder}") from err
            if err.errno in (errno.ELOOP, errno.ENOTDIR):
                raise FileDamaged(f"{folder / FOLDER} is no folder of files") from err
            raise

    def open_file(self, digest: str, *, start: int = 0, length: int | None = None) -> FilePart:
        """The file, or `length` bytes of it from `start` as far as it goes.

        Raises NotFound where there is none, BadRequest for a start beyond its end, FileDamaged for what is no file.
        """
        handle, size = self._shelves.open(digest)
        if not 0 <= start <= size or (length is not None and length < 0):
            os.close(handle)
            raise BadRequest(f"file {digest} has {size} bytes: no range begins at {start}")
        reach = size - start if length is None else min(length, size - start)
        return FilePart(handle, digest, size=size, start=start, length=reach)

    def size(self, digest: str) -> int:
        """How many bytes the file has; raises NotFound where there is none."""
        handle, size = self._shelves.open(digest)
        os.close(handle)
        return size

    def exists(self, digest: str) -> bool:
        """Whether the file is here."""
        try:
            self.size(digest)
        except NotFound:
            return False
        return True

    def totals(self) -> FileTotals:
        """How much is kept, as this process knows it: counted once, then added up as files come and go."""
        with self._lock:
            return self._count()

    def recount(self) -> FileTotals:
        """How much is kept, by looking: for who does not put and remove files itself."""
        with self._lock:
            self._held = None
            return self._count()

    def walk(self) -> Iterator[Kept]:
        """Everything that stands where files do, in order of the names; what is no file of ours has no size."""
        return self._shelves.walk()

    def verify_files(self, *, wait: Wait = time.sleep) -> FilesVerified:
        """Read every file and compare it with its name, resting by `wait` between short reads."""
        good, size, damaged = 0, 0, 0
        names: list[str] = []
        for kept in self.walk():
            try:
                size += self._verify(kept, wait)
                good += 1
            except NotFound:
                continue
            except FileDamaged:
                damaged += 1
                if len(names) < DAMAGED_LISTED_MAX:
                    names.append(kept.digest)
        return FilesVerified(files=good, bytes=size, damaged=tuple(names), damaged_count=damaged)

    def remove(self, digests: Iterable[str], *, put_before: float) -> FileTotals:
        """Remove files that nothing names; how many it did. Those that were put again since that moment are let be."""
        files = size = 0
        for _, shelf in groupby(sorted(digests), key=lambda digest: digest[:2]):
            with self._lock:
                held = self._count()
                gone = [kept.size or 0 for kept in self._shelves.remove(list(shelf), put_before=put_before)]
                self._held = FileTotals(held.files - len(gone), held.bytes - sum(gone))
            files, size = files + len(gone), size + sum(gone)
        return FileTotals(files, size)

    def clear_unfinished(self) -> None:
        """Remove what a killed writer began; only for the one who holds the writer's lock."""
        try:
            self._shelves.clear_unfinished()
        except (OSError, FileDamaged) as err:
            log.warning("unfinished files not removed folder=%s error=%s", self._shelves.folder, err)

    def _put(self, source: ByteSource, unfinished: int, bytes_max: int) -> str:
        name = secrets.token_hex(16)
        try:
            written = _write(source, name, unfinished, bytes_max, room=self.bytes_max - self.totals().bytes)
            if not written.is_whole:
                self._check_kept(written)
            with self._shelves.made(FOLDER, written.digest[:2]) as shelf:
                self._give_name(written, name, unfinished, shelf)
                os.fsync(shelf)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=unfinished)
        return written.digest

    def _check_kept(self, written: _Written) -> None:
        """Raise FilesFull unless the file that there was no room to write again is kept already, and is whole."""
        try:
            with self.open_file(written.digest) as part:
                for _ in part:
                    pass
        except (NotFound, FileDamaged) as err:
            raise self._full(self.totals().bytes, written.size) from err

    def _give_name(self, written: _Written, name: str, unfinished: int, shelf: int) -> None:
        """Move the finished file to its place; one that stands there is replaced, so damage is mended by that."""
        digest, size, is_whole = written
        with self._lock:
            held, there = self._count(), self._shelves.look(digest)
            is_here = there is not None and there.size == size
            more = size - (there.size or 0 if there is not None else 0)
            if not is_here and (not is_whole or held.bytes + more > self.bytes_max):
                raise self._full(held.bytes, size)
            if not is_whole:
                os.utime(digest[2:], dir_fd=shelf, follow_symlinks=False)  # It counts as put now.
                return
            os.rename(name, digest[2:], src_dir_fd=unfinished, dst_dir_fd=shelf)
            self._held = FileTotals(held.files + (there is None), held.bytes + more)

    def _full(self, held_bytes: int, size: int) -> FilesFull:
        return FilesFull(
            f"the files of {self._shelves.folder.name} have {held_bytes} bytes and may have {self.bytes_max}:"
            f" there is no room for {size} more"
        )

    def _count(self) -> FileTotals:
        if self._held is None:
            sizes = [kept.size for kept in self.walk() if kept.size is not None]
            self._held = FileTotals(len(sizes), sum(sizes))
        return self._held

    def _verify(self, kept: Kept, wait: Wait) -> int:
        if kept.size is None:
            raise FileDamaged(f"file {kept.digest} is no file of ours")
        with self.open_file(kept.digest) as part:
            began = time.monotonic()
            for _ in part:
                rest(wait, since=began)
                began = time.monotonic()
            return part.size


def _write(source: ByteSource, name: str, folder: int, bytes_max: int, *, room: int) -> _Written:
    """Write and flush what `source` holds. What has no room is read to its end all the same: it may be here already."""
    digest, size = hashlib.sha256(), 0
    handle = os.open(name, _CREATE_FILE, FILE_MODE, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        while chunk := source.read(CHUNK_BYTES):
            size += len(chunk)
            if size > bytes_max:
                raise BodyTooLarge(f"the file has more than {bytes_max} bytes")
            digest.update(chunk)
            if size <= room:
                file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return _Written(digest.hexdigest(), size, size <= room)
