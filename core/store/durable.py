"""Files that are whole or absent after a crash: flushed, then renamed, then their folder flushed."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from core.model.errors import FileDamaged

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
FILE_MODE = 0o600
FOLDER_MODE = 0o700
CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | NO_FOLLOW

# No link followed, no pipe waited for.
_AS_IT_IS = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"))


def flush_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in `folder` outlive a power cut."""
    if sys.platform == "win32":  # Windows cannot flush a folder; NTFS journals the rename.
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_file(path: Path, *, bytes_max: int) -> bytes | None:
    """The first `bytes_max` bytes of a file that may stand in a connector's folder; None where there is none.

    Raises FileDamaged for a link or a pipe, none of which is waited for, and for what cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _AS_IT_IS)
    except FileNotFoundError:
        return None
    except OSError as err:
        raise FileDamaged(f"{path} cannot be read: {err.strerror}") from err
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FileDamaged(f"{path} is not a regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(bytes_max)
    except OSError as err:
        raise FileDamaged(f"{path} cannot be read: {err.strerror}") from err
    finally:
        os.close(handle)


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` in the place of what bears the name, as a private file of at most a few MB."""
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, CREATE, FILE_MODE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    move_into_place(unfinished, path)


def move_into_place(finished: Path, target: Path) -> None:
    """Give a flushed file its name, replacing what bore it, so that it keeps the name after a power cut."""
    finished.replace(target)
    flush_folder(target.parent)
