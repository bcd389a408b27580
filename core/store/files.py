"""Binaries of a service, named by what they hold: `files/ab/cd…` is the SHA-256 of its content."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from core.model.errors import BadRequest, BodyTooLarge, FileDamaged, NotFound, StorageFull
from core.store.durable import FILE_MODE, FOLDER_MODE, NO_FOLLOW

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 1024 * 1024 * 1024
CHUNK_BYTES = 256 * 1024

_FOLDER = "files"
_UNFINISHED = "unfinished"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_OPEN_FOLDER = os.O_RDONLY | os.O_CLOEXEC | NO_FOLLOW | getattr(os, "O_DIRECTORY", 0)
_OPEN_FILE = os.O_RDONLY | os.O_CLOEXEC | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
_CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | NO_FOLLOW


class ByteSource(Protocol):
    """What a file is read from: the `read` of any binary stream."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class FilePart:
    """`length` bytes of an open file of `size` bytes, from `start`; iterate it once, inside its `with`.

    A file that is shorter than it said, or a whole one whose content is not what its name says, is FileDamaged.
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
            chunk = os.read(self._handle, min(CHUNK_BYTES, left))
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
    """The files of one service, opened beneath its folder without following links: a child owns that folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put_file(self, source: ByteSource, *, bytes_max: int = FILE_BYTES_MAX) -> str:
        """Keep what `source` holds, durably, and return its digest; the same content again is kept once.

        Raises BodyTooLarge above `bytes_max` and StorageFull where the disk has no room; then nothing is kept.
        """
        try:
            with self._made(_FOLDER), self._made(_FOLDER, _UNFINISHED) as unfinished:
                return self._put(source, unfinished, bytes_max)
        except OSError as err:
            if err.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"no room for a file in {self._folder}") from err
            if err.errno in (errno.ELOOP, errno.ENOTDIR):
                raise FileDamaged(f"{self._folder / _FOLDER} is no folder of files") from err
            raise

    def open_file(self, digest: str, *, start: int = 0, length: int | None = None) -> FilePart:
        """The file, or `length` bytes of it from `start` as far as it goes.

        Raises NotFound where there is none, BadRequest for a start beyond its end, FileDamaged for what is no file.
        """
        handle, size = self._open(digest)
        if not 0 <= start <= size or (length is not None and length < 0):
            os.close(handle)
            raise BadRequest(f"file {digest} has {size} bytes: no range begins at {start}")
        reach = size - start if length is None else min(length, size - start)
        return FilePart(handle, digest, size=size, start=start, length=reach)

    def size(self, digest: str) -> int:
        """How many bytes the file has; raises NotFound where there is none."""
        handle, size = self._open(digest)
        os.close(handle)
        return size

    def exists(self, digest: str) -> bool:
        """Whether the file is here."""
        try:
            self.size(digest)
        except NotFound:
            return False
        return True

    def clear_unfinished(self) -> None:
        """Remove what a killed writer began; only for the one who holds the writer's lock."""
        try:
            with self._opened(_FOLDER, _UNFINISHED) as unfinished:
                for name in os.listdir(unfinished):  # noqa: PTH208 (by handle, so that no link is followed)
                    os.unlink(name, dir_fd=unfinished)
        except FileNotFoundError:
            return
        except OSError as err:
            log.warning("unfinished files not removed folder=%s error=%s", self._folder, err.strerror)

    def _put(self, source: ByteSource, unfinished: int, bytes_max: int) -> str:
        name = secrets.token_hex(16)
        try:
            digest = _write(source, name, unfinished, bytes_max)
            with self._made(_FOLDER, digest[:2]) as shelf:
                os.rename(name, digest[2:], src_dir_fd=unfinished, dst_dir_fd=shelf)
                os.fsync(shelf)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=unfinished)
            raise
        return digest

    def _open(self, digest: str) -> tuple[int, int]:
        if not _DIGEST.fullmatch(digest):
            raise NotFound(f"{digest[:80]!r} is not the name of a file")
        try:
            with self._opened(_FOLDER, digest[:2]) as shelf:
                handle = os.open(digest[2:], _OPEN_FILE, dir_fd=shelf)
        except FileNotFoundError as err:
            raise NotFound(f"there is no file {digest}") from err
        except OSError as err:
            raise FileDamaged(f"file {digest} cannot be opened: {err.strerror}") from err
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            os.close(handle)
            raise FileDamaged(f"file {digest} is not a regular file")
        return handle, found.st_size

    @contextlib.contextmanager
    def _opened(self, *names: str) -> Iterator[int]:
        """A handle on the folder `names` leads to from ours, no step of it a link."""
        handle = os.open(self._folder, _OPEN_FOLDER)
        try:
            for name in names:
                inner = os.open(name, _OPEN_FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _made(self, *names: str) -> Iterator[int]:
        """As `_opened`, the last folder made where it is missing."""
        *outer, last = names
        with self._opened(*outer) as parent, contextlib.suppress(FileExistsError):
            os.mkdir(last, FOLDER_MODE, dir_fd=parent)
            os.fsync(parent)
        with self._opened(*names) as handle:
            yield handle


def _write(source: ByteSource, name: str, folder: int, bytes_max: int) -> str:
    """Write and flush what `source` holds; its digest."""
    digest, size = hashlib.sha256(), 0
    handle = os.open(name, _CREATE_FILE, FILE_MODE, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        while chunk := source.read(CHUNK_BYTES):
            size += len(chunk)
            if size > bytes_max:
                raise BodyTooLarge(f"the file has more than {bytes_max} bytes")
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
