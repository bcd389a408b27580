"""What there is in a Me: which files are databases, secrets, plain, and which are of the running core alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path

import msgspec

from core.backup.archive import NAME_PARTS_MAX, checked_name
from core.model.errors import FileDamaged
from core.store import is_database

# They name the process that runs, hold what is being made, or are made again by whoever starts next.
PASSING_TOP = frozenset({"core.lock", "core.sock", "run", ".restore"})
# Beside the documents, for the time that they are open: what was written last, and what is to be told of an edit.
PASSING_DOCUMENTS = frozenset({"locker.json.last", "locker.json.told"})
PASSING_BELOW = frozenset({"store.lock", "store.sock", "writer.sock", "tmp"})
PASSING_ENDS = (".tmp", ".lock", "-wal", "-shm", "-journal", ".unfinished")
SECRETS_TOP = frozenset({"key", "device.sealed"})
SEALED_BELOW = "auth.sealed"
# Documents set aside as they were found: what somebody typed into them by hand may be a password.
SET_ASIDE = ("locker.json.damaged", "locker.json.edited")
# Known by their names: a file that this process has open as a database must not be opened in any other way.
DATABASES = frozenset({"store.db", "core.db"})
KNOWN_AS_PLAIN = frozenset({"locker.json", "me.json"})

_DEPTH_MAX = NAME_PARTS_MAX - 4


class Kind(Enum):
    """How a file is copied."""

    DATABASE = auto()
    SECRET = auto()
    PLAIN = auto()


class Found(msgspec.Struct, frozen=True):
    """One file, by its path from Me on."""

    name: str
    kind: Kind


class Left(msgspec.Struct, frozen=True):
    """Something that is not copied, and why."""

    name: str
    reason: str


def holdings(me: Path) -> Iterator[Found | Left]:
    """Everything in `me` that outlives the core, without following any link."""
    closed: list[OSError] = []
    for place, folders, files in os.walk(me, onerror=closed.append):
        below = Path(place).relative_to(me).parts
        folders[:] = sorted(name for name in folders if not _is_passing(name, below))
        if len(below) >= _DEPTH_MAX:
            yield from (Left("/".join((*below, name)), "it lies too deep") for name in folders)
            folders.clear()
        yield from (
            Left("/".join((*below, name)), "it is a link") for name in folders if (Path(place) / name).is_symlink()
        )
        for name in sorted(files):
            if not _is_passing(name, below) and os.path.lexists(Path(place) / name):
                yield _judged(me, (*below, name), (Path(place) / name).lstat().st_mode)
    for err in closed:
        yield Left(Path(err.filename).relative_to(me).as_posix(), reason_of(err))


def reason_of(err: OSError) -> str:
    """Why something that was there is not copied, as `Left` says it."""
    return "it went away meanwhile" if isinstance(err, FileNotFoundError) else f"it cannot be read: {err.strerror}"


def _is_passing(name: str, below: tuple[str, ...]) -> bool:
    if not below:
        return name in PASSING_TOP or name in PASSING_DOCUMENTS or name.endswith(PASSING_ENDS)
    return (len(below) == 1 and name in PASSING_BELOW) or name.endswith(PASSING_ENDS)


def _judged(me: Path, parts: tuple[str, ...], mode: int) -> Found | Left:
    name = "/".join(parts)
    if stat.S_ISLNK(mode):
        return Left(name, "it is a link")
    if not stat.S_ISREG(mode):
        return Left(name, "it is no file")
    try:
        checked_name(name)
    except FileDamaged:
        return Left(ascii(name), "its name cannot be kept")
    return Found(name, _kind(me, parts))


def _kind(me: Path, parts: tuple[str, ...]) -> Kind:
    if len(parts) == 1 and (parts[0] in SECRETS_TOP or parts[0].startswith(SET_ASIDE)):
        return Kind.SECRET
    if len(parts) == 2 and parts[1].startswith(SEALED_BELOW):
        return Kind.SECRET
    if len(parts) <= 2 and parts[-1] in DATABASES:
        return Kind.DATABASE
    if parts[-1] in KNOWN_AS_PLAIN or (len(parts) > 2 and parts[1] == "files"):
        return Kind.PLAIN
    try:
        return Kind.DATABASE if is_database(me.joinpath(*parts)) else Kind.PLAIN
    except OSError:
        return Kind.PLAIN
