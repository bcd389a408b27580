"""Reading an archive that may come from anywhere: no links, no way out of its folder, bounded in every number."""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from core.backup.archive import (
    CHUNK_BYTES,
    CONTENTS,
    CONTENTS_BYTES_MAX,
    Contents,
    Item,
    checked_name,
    damaged,
    lines_of,
)
from core.model.errors import BodyTooLarge, FileDamaged, NotFound

BYTES_MAX = 16 * 1024**4
# Above this much, an archive from elsewhere that unpacks to so many times its size was made to do harm.
RATIO_MAX = 100
RATIO_FREE_BYTES = 64 * 1024 * 1024
LINE_BYTES_MAX = 64 * 1024

_BLOCK = tarfile.BLOCKSIZE
_HEADER_BYTES_MAX = 1024 * 1024
_GZIP = b"\x1f\x8b"
_ZIP = b"PK"
# The others may ask for gigabytes of memory before a byte of them is unpacked.
_ZIP_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PARTIAL = "the archive breaks off, or is none"
_OPEN = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class _Piece:
    """One entry: its bytes are counted against what the whole archive may have."""

    def __init__(self, name: str, size: int, chunks: Iterator[bytes]) -> None:
        self.name = checked_name(name)
        self.size = size
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


def is_archive(path: Path) -> bool:
    """Whether the file begins as an archive does."""
    with opened(path) as file:
        head = file.read(_BLOCK)
    return head.startswith((_GZIP, _ZIP)) or head[257:262] == b"ustar"


def items(archive: Path, *, bytes_max: int = BYTES_MAX, ratio_max: int | None = None) -> Iterator[Item]:
    """The files of a folder, tar, tar.gz or zip, the contents last where they are; each is read before the next.

    No more than `bytes_max` come out, nor more than `ratio_max` times its size. Raises NotFound, FileDamaged or
    BodyTooLarge; what was given until then is not to be trusted.
    """
    with _words():
        yield from _items(archive, _Budget(bytes_max, ratio_max))


def check_archive(archive: Path) -> list[str]:
    """What is wrong with it, by its own contents; every byte is read. None where it is whole."""
    contents = Contents()
    faults: list[str] | None = None
    for item in items(archive):
        if faults is not None:
            return ["the archive goes on behind its contents"]
        if item.name == CONTENTS:
            faults = contents.faults(lines_of(item, line_bytes_max=LINE_BYTES_MAX))
            continue
        for _ in contents.watched(item.name, item, size=item.size):
            pass
    return [_PARTIAL] if faults is None else faults


class _Budget:
    """What may still come out of one archive."""

    def __init__(self, bytes_max: int, ratio_max: int | None) -> None:
        self._left = bytes_max
        self._ratio_max = ratio_max
        self._ratio_left: int | None = None

    def measure(self, packed_bytes: int) -> None:
        """From now on no more than so many times this may come out."""
        if self._ratio_max is not None:
            self._ratio_left = RATIO_FREE_BYTES + self._ratio_max * packed_bytes

    def spend(self, size: int) -> None:
        self._left -= size
        if self._ratio_left is not None:
            self._ratio_left -= size
        if self._left < 0:
            raise BodyTooLarge("the archive holds more than there is room for", remedy="Free some space.")
        if self._ratio_left is not None and self._ratio_left < 0:
            raise BodyTooLarge(f"the archive unpacks to more than {self._ratio_max} times its size")


def _items(archive: Path, budget: _Budget) -> Iterator[Item]:
    if archive.is_dir():
        yield from _in_folder(archive, budget)
        return
    with opened(archive) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(len(_GZIP))
        file.seek(0)
        if head == _ZIP:
            budget.measure(size)
            yield from _in_zip(file, budget)
        elif head == _GZIP:
            budget.measure(size)
            with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                yield from _in_tar(unpacked, budget)
        else:
            yield from _in_tar(file, budget)


def _in_folder(folder: Path, budget: _Budget) -> Iterator[Item]:
    found: list[tuple[str, Path]] = []
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise damaged(f"{path} is neither a file nor a folder")
        found += [(str((Path(place) / name).relative_to(folder).as_posix()), Path(place) / name) for name in files]
    for name, path in sorted(found, key=lambda pair: (pair[0] == CONTENTS, "/" in pair[0], pair[0])):
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            yield _Piece(name, size, _chunks(file, size, budget))


def _in_zip(file: IO[bytes], budget: _Budget) -> Iterator[Item]:
    with zipfile.ZipFile(file) as packed:
        for entry in packed.infolist():
            mode = entry.external_attr >> 16
            if entry.is_dir():
                continue
            if entry.flag_bits & 1 or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
                raise damaged(f"the archive holds {entry.filename[:80]!a}, which is no plain file")
            if entry.compress_type not in _ZIP_WAYS:
                raise FileDamaged(
                    f"the archive holds {entry.filename[:80]!a}, packed in a way that Locker does not unpack",
                    remedy="Pack it again as zip programs do by default.",
                )
            with packed.open(entry) as inside:
                yield _Piece(entry.filename, entry.file_size, _chunks(inside, entry.file_size, budget))


def _in_tar(file: IO[bytes] | gzip.GzipFile, budget: _Budget) -> Iterator[Item]:
    """Entry by entry, never seeking: a header is believed as far as its own sum and our bounds go."""
    special: dict[str, str] = {}
    while (entry := _header(file)) is not None:
        if entry.type in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
            said = _extension(file, entry)
            special |= {} if entry.type == tarfile.XGLTYPE else said
            continue
        name = special.get("path", entry.name)
        size = _size(special.get("size"), entry.size)
        special = {}
        if entry.type == tarfile.DIRTYPE:
            continue
        if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise damaged(f"the archive holds {name[:80]!a}, which is no plain file")
        chunks = _chunks(file, size, budget)
        yield _Piece(name, size, chunks)
        for _ in chunks:
            pass
        _exactly(file, -size % _BLOCK)


def _header(file: IO[bytes] | gzip.GzipFile) -> tarfile.TarInfo | None:
    """The next header; None at the end, with its blocks of zeros or without."""
    block = file.read(_BLOCK)
    if not block.strip(b"\0"):
        return None
    if len(block) < _BLOCK:
        raise EOFError
    entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    if entry.size < 0:  # As some tars write large numbers; to read "-1 bytes" would be to read all there is.
        raise damaged("a header of the archive cannot be read")
    return entry


def _extension(file: IO[bytes] | gzip.GzipFile, entry: tarfile.TarInfo) -> dict[str, str]:
    """What an extended header says of the entry behind it."""
    if entry.size > _HEADER_BYTES_MAX:
        raise damaged("a header of the archive is larger than any header")
    body = _exactly(file, entry.size)
    _exactly(file, -entry.size % _BLOCK)
    if entry.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": body.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    said: dict[str, str] = {}
    while body:
        digits, _, rest = body.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        record, body = rest[: length - len(digits) - 1], body[length:]
        name, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise damaged("a header of the archive cannot be read")
        said[name.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
    return said


def _size(said: str | None, otherwise: int) -> int:
    if said is None:
        return otherwise
    if not said.isdecimal() or len(said) > 18:
        raise damaged("a header of the archive cannot be read")
    return int(said)


def _exactly(file: IO[bytes] | gzip.GzipFile, size: int) -> bytes:
    read = file.read(size)
    if len(read) < size:
        raise EOFError
    return read


def _chunks(file: IO[bytes] | gzip.GzipFile, size: int, budget: _Budget) -> Iterator[bytes]:
    left = size
    while left:
        with _words():
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise EOFError
        left -= len(chunk)
        budget.spend(len(chunk))
        yield chunk


@contextlib.contextmanager
def _words() -> Iterator[None]:
    """What the unpackers raise for a file that is not what it should be, as an error of ours."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, tarfile.TarError, NotImplementedError) as err:
        raise damaged(_PARTIAL) from err


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file at `path`, a plain one; raises NotFound or FileDamaged."""
    try:
        handle = os.open(path, _OPEN)
    except FileNotFoundError as err:
        raise NotFound(f"there is no {path}", remedy="Check the name.") from err
    except OSError as err:
        raise damaged(f"{path} cannot be opened: {err.strerror}") from err
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise damaged(f"{path} is no file")
        yield file


def text_of(item: Iterable[bytes], *, bytes_max: int = CONTENTS_BYTES_MAX) -> bytes:
    """The whole of a small entry."""
    read = bytearray()
    for chunk in item:
        read += chunk
        if len(read) > bytes_max:
            raise BodyTooLarge(f"an entry of the archive has more than {bytes_max} bytes")
    return bytes(read)
