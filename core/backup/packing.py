"""Writing an archive: beside its place, flushed, read back, then renamed; never half of one under the name."""

from __future__ import annotations

import contextlib
import errno
import glob
import gzip
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, Protocol, cast

import psutil

from core.backup.archive import CONTENTS, Contents, Sink, checked_name
from core.backup.unpacking import check_archive
from core.model.errors import BadRequest, Broken, Conflict, FolderUnusable, LockerError, StorageFull
from core.vault import sync_folder

Form = Literal["folder", "tar", "tar.gz", "zip"]

FILE_MODE = 0o600
FOLDER_MODE = 0o700
# The quickest: what is in a store is text and shrinks to a fifth all the same.
GZIP_LEVEL = 1

_UNFINISHED = ".unfinished"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


def form_of(target: Path) -> Form:
    """What the target's name asks for.

    >>> form_of(Path("a/b.tar.gz")), form_of(Path("b.tgz")), form_of(Path("b.zip")), form_of(Path("b"))
    ('tar.gz', 'tar.gz', 'zip', 'folder')
    """
    name = target.name.lower()
    if name.endswith((".tar.gz", ".tgz")):
        return "tar.gz"
    return "tar" if name.endswith(".tar") else "zip" if name.endswith(".zip") else "folder"


def refuse_inside(me: Path, target: Path) -> None:
    """Raise BadRequest for a target in `me`: that folder is Locker's alone, and the next backup would hold this one."""
    if me.resolve() in (target.absolute().parent.resolve() / target.name).parents:
        raise BadRequest(f"{target} lies in {me}, which is Locker's alone", remedy="Choose a place elsewhere.")


@contextlib.contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """A private folder beside `target` for what is not finished; gone at the end, and one that a kill left goes too."""
    parent = target.absolute().parent
    place = parent / f".{target.name}.{os.getpid()}{_UNFINISHED}"
    with words_for_os_errors(target):
        _sweep(parent, target.name)
        place.mkdir(mode=FOLDER_MODE)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def packed(target: Path, beside: Path, *, form: Form) -> Iterator[Sink]:
    """An archive that stands at `target` when the block ends well, whole and read back; else nothing does.

    `beside` is a scratch folder on the same disk. Raises Conflict where something bears the name already, and
    StorageFull where the disk has no room.
    """
    if os.path.lexists(target):
        raise Conflict(f"{target} is there already", remedy="Choose another name, or move that away.")
    unfinished = beside / "archive"
    with words_for_os_errors(target):
        contents = Contents()
        writer = _WRITERS[form](unfinished)
        with contextlib.closing(writer):
            sink = _Watched(writer, contents)
            yield sink
            listing = b"".join(contents.lines())
            writer.put(CONTENTS, [listing], size=len(listing))
        faults = check_archive(unfinished)
        if faults:
            raise Broken(f"{target} cannot be read back as it was written: {faults[0]}", remedy="Look at the disk.")
        if os.path.lexists(target):
            raise Conflict(f"{target} is there already", remedy="Choose another name, or move that away.")
        unfinished.rename(target)
        sync_folder(target.absolute().parent)


class _Watched:
    """The sink that callers see: names are checked, and everything is noted for the contents."""

    def __init__(self, writer: _Writer, contents: Contents) -> None:
        self._writer = writer
        self._contents = contents

    def add(self, name: str, chunks: Iterable[bytes], *, size: int) -> None:
        self._writer.put(checked_name(name), self._contents.watched(name, chunks, size=size), size=size)


class _Writer(Protocol):
    """An archive of one form that is being made."""

    def put(self, name: str, chunks: Iterable[bytes], *, size: int) -> None: ...

    def close(self) -> None: ...


class _FolderWriter:
    def __init__(self, place: Path) -> None:
        self._place = place
        self._place.mkdir(mode=FOLDER_MODE)
        self._made = {place}

    def put(self, name: str, chunks: Iterable[bytes], *, size: int) -> None:  # noqa: ARG002 - a folder needs no size
        path = self._place / name
        self._make(path.parent)
        with created(path) as file:
            file.writelines(chunks)

    def close(self) -> None:
        for folder in sorted(self._made, key=lambda folder: -len(folder.parts)):
            sync_folder(folder)

    def _make(self, folder: Path) -> None:
        if folder not in self._made:
            self._make(folder.parent)
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            self._made.add(folder)


class _TarWriter:
    """A tar as POSIX wrote it down in 2001: any tool unpacks it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._open = contextlib.ExitStack()
        tar = tarfile.TarFile(fileobj=self._opened(), mode="w", format=tarfile.PAX_FORMAT)
        self._tar = self._open.enter_context(tar)

    def _opened(self) -> IO[bytes]:
        return self._open.enter_context(created(self._place))

    def put(self, name: str, chunks: Iterable[bytes], *, size: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, FILE_MODE
        pieces = iter(chunks)
        self._tar.addfile(entry, _Readable(pieces))
        for _ in pieces:  # What notes the entry does so behind its last piece.
            pass

    def close(self) -> None:
        self._open.close()


class _GzipTarWriter(_TarWriter):
    def _opened(self) -> IO[bytes]:
        file = super()._opened()
        packed = gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=GZIP_LEVEL, mtime=0)
        return cast(IO[bytes], self._open.enter_context(packed))


class _ZipWriter:
    def __init__(self, place: Path) -> None:
        self._open = contextlib.ExitStack()
        file = self._open.enter_context(created(place))
        self._zip = self._open.enter_context(zipfile.ZipFile(file, "w"))

    def put(self, name: str, chunks: Iterable[bytes], *, size: int) -> None:
        entry = zipfile.ZipInfo(name)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = (0o100000 | FILE_MODE) << 16
        with self._zip.open(entry, "w", force_zip64=size >= 2**31 - 1) as file:
            for chunk in chunks:
                file.write(chunk)

    def close(self) -> None:
        self._open.close()


_WRITERS: dict[Form, Callable[[Path], _Writer]] = {
    "folder": _FolderWriter,
    "tar": _TarWriter,
    "tar.gz": _GzipTarWriter,
    "zip": _ZipWriter,
}


class _Readable(io.RawIOBase):
    """Pieces as the file that tarfile reads from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, wanted = [], size
        while wanted:
            if not self._left:
                self._left = next(self._pieces, b"")
                if not self._left:
                    break
            parts.append(self._left[:wanted])
            self._left = self._left[wanted:]
            wanted -= len(parts[-1])
        return b"".join(parts)


@contextlib.contextmanager
def created(path: Path) -> Iterator[IO[bytes]]:
    """A new private file, flushed to the disk at its end."""
    with os.fdopen(os.open(path, _CREATE, FILE_MODE), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def words_for_os_errors(target: Path) -> Iterator[None]:
    """OSErrors of the block as errors about `target`: StorageFull or FolderUnusable; errors of ours pass."""
    try:
        yield
    except LockerError:
        raise
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"there is no room to write {target}", remedy="Free some space, then try again.") from err
        raise FolderUnusable(f"{target} cannot be written: {err.strerror}", remedy="Choose another place.") from err


def _sweep(parent: Path, name: str) -> None:
    """Remove what a process that is no more left of this target; one that had our own number is no more."""
    for left in parent.glob(f".{glob.escape(name)}.*{_UNFINISHED}"):
        number = left.name.removesuffix(_UNFINISHED).rpartition(".")[2]
        if number.isdecimal() and (int(number) == os.getpid() or not psutil.pid_exists(int(number))):
            shutil.rmtree(left, ignore_errors=True)
