"""The folder of a service's files: two levels, opened beneath the service's own folder without following a link."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from core.model.errors import FileDamaged, NotFound
from core.store.durable import FOLDER_MODE, NO_FOLLOW

FOLDER = "files"
UNFINISHED = "unfinished"
DIGEST = re.compile(r"[0-9a-f]{64}")

_OPEN_FOLDER = os.O_RDONLY | os.O_CLOEXEC | NO_FOLLOW | getattr(os, "O_DIRECTORY", 0)
_OPEN_FILE = os.O_RDONLY | os.O_CLOEXEC | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
_SHELF = re.compile(r"[0-9a-f]{2}")


class Kept(NamedTuple):
    """A file that is kept: when it was last put here, as the disk says. One that is no file of ours has no size."""

    digest: str
    size: int | None
    put_at: float


class Shelves:
    """`files/ab/cd…` beneath `folder`: a child owns that folder, so no step of the way may be a link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._flushed: set[str] = set()

    def open(self, digest: str) -> tuple[int, int]:
        """A handle on the file, and its size. Raises NotFound, or FileDamaged for what is no file."""
        if not DIGEST.fullmatch(digest):
            raise NotFound(f"{digest[:80]!r} is not the name of a file")
        try:
            with self.opened(FOLDER, digest[:2]) as shelf:
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

    def look(self, digest: str) -> Kept | None:
        """What stands under the name; None where nothing does."""
        try:
            with self.opened(FOLDER, digest[:2]) as shelf:
                return _look(shelf, digest)
        except FileNotFoundError:
            return None

    def walk(self) -> Iterator[Kept]:
        """Everything that stands where files do, in order of the names; what comes or goes meanwhile may be missed."""
        for name in self._names(FOLDER):
            if _SHELF.fullmatch(name):
                yield from self._on_shelf(name)

    def remove(self, digests: Sequence[str], *, put_before: float) -> list[Kept]:
        """Remove files of one shelf durably; those that it did. One that is gone, or was put again since, is let be."""
        gone: list[Kept] = []
        with contextlib.suppress(FileNotFoundError), self.opened(FOLDER, digests[0][:2]) as shelf:
            for digest in digests:
                with contextlib.suppress(FileNotFoundError):
                    kept = _look(shelf, digest)
                    if kept.put_at < put_before:
                        os.unlink(digest[2:], dir_fd=shelf)
                        gone.append(kept)
            os.fsync(shelf)
        return gone

    def clear_unfinished(self) -> None:
        """Remove what was begun and never finished."""
        for name in self._names(FOLDER, UNFINISHED):
            with contextlib.suppress(FileNotFoundError), self.opened(FOLDER, UNFINISHED) as unfinished:
                os.unlink(name, dir_fd=unfinished)

    @contextlib.contextmanager
    def opened(self, *names: str) -> Iterator[int]:
        """A handle on the folder `names` leads to from ours, no step of it a link."""
        handle = os.open(self.folder, _OPEN_FOLDER)
        try:
            for name in names:
                inner = os.open(name, _OPEN_FOLDER, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def made(self, *names: str) -> Iterator[int]:
        """As `opened`, the last folder made where it is missing, so that it outlives a power cut."""
        *outer, last = names
        path = "/".join(names)
        if path not in self._flushed:  # Flushed even where it is there: who made it may not have come so far.
            with self.opened(*outer) as parent:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(last, FOLDER_MODE, dir_fd=parent)
                os.fsync(parent)
            self._flushed.add(path)
        with self.opened(*names) as handle:
            yield handle

    def _on_shelf(self, name: str) -> list[Kept]:
        found: list[Kept] = []
        with self._tolerant(name), self.opened(FOLDER, name) as shelf:
            for rest in _listed(shelf):
                with contextlib.suppress(FileNotFoundError):
                    found.append(_look(shelf, name + rest))
        return found

    def _names(self, *names: str) -> list[str]:
        found: list[str] = []
        with self._tolerant(names[-1]), self.opened(*names) as handle:
            found += _listed(handle)
        return found

    @contextlib.contextmanager
    def _tolerant(self, name: str) -> Iterator[None]:
        """What is not there, or no folder, holds nothing; one that cannot be looked into is FileDamaged."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as err:
            raise FileDamaged(
                f"the folder {name} of the files of {self.folder.name} cannot be looked into: {err.strerror}",
                remedy="Let its owner read it again, and look at the disk.",
            ) from err


def _listed(folder: int) -> list[str]:
    return sorted(os.listdir(folder))


def _look(shelf: int, digest: str) -> Kept:
    found = os.stat(digest[2:], dir_fd=shelf, follow_symlinks=False)
    is_ours = stat.S_ISREG(found.st_mode) and DIGEST.fullmatch(digest) is not None
    return Kept(digest, found.st_size if is_ours else None, found.st_mtime)
