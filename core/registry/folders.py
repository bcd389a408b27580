"""A service's working directory: made private, given a copy of its record, and erased without a trace.

The child owns what is in it, so nothing here follows a link or trusts a depth.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.model.errors import FolderUnusable
from core.vault import PrivateFile, sync_folder

RECORD_FILE = "me.json"
SEALED_FILE = "auth.sealed"
SCRATCH_FOLDER = "tmp"
MODE = 0o700
RECORD_BYTES_MAX = 1024 * 1024

_FOLDER = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC"))

_FILE = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def make_folder(folder: Path) -> None:
    """Make the working directory and the scratch folder in it, for the owner only; what is there stays."""
    for path in (folder, folder / SCRATCH_FOLDER):
        try:
            path.mkdir(mode=MODE)
        except FileExistsError:
            _close_to_others(path)
        except OSError as err:
            raise FolderUnusable(f"{path} cannot be made: {err.strerror}") from err


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Put a copy of the service's record beside its data, for the child, unless it stands there as it is.

    The core never goes by what a child may have put in its place: it only sees that it is something else.
    """
    text = msgspec.json.format(msgspec.json.encode(record, order="deterministic"), indent=2) + b"\n"
    if not _does_hold(folder / RECORD_FILE, text):
        PrivateFile(folder / RECORD_FILE, bytes_max=RECORD_BYTES_MAX).replace(text)


def is_unclaimed(folder: Path) -> bool:
    """Whether a new service may have `folder`: nothing is there, or an empty folder."""
    if folder.is_symlink() or not folder.is_dir():
        return not os.path.lexists(folder)
    return next(folder.iterdir(), None) is None


def erase(folder: Path) -> None:
    """Remove `folder` and everything in it, durably. Links are removed, never followed.

    Raises FolderUnusable when something resists; a second call goes on where the first one stopped.
    """
    try:
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink(missing_ok=True)
        elif sys.platform == "win32":  # There a folder cannot be held open while it is emptied.
            shutil.rmtree(folder)
        else:
            folder.chmod(MODE)  # A child may have shut itself out.
            _empty(folder)
            folder.rmdir()
        sync_folder(folder.parent)
    except OSError as err:
        raise FolderUnusable(
            f"{folder} cannot be erased: {err.strerror}", remedy="Remove what resists by hand, then start Locker again."
        ) from err


def _empty(folder: Path) -> None:
    """Each folder found is moved to the top before it is emptied, so that no depth can exhaust anything."""
    top = os.open(folder, _FOLDER)
    try:
        prefix = f".{secrets.token_hex(8)}-"
        numbers = itertools.count()
        waiting = ["."]
        while waiting:
            name = waiting.pop()
            inside = os.open(name, _FOLDER, dir_fd=top)
            try:
                waiting += _take_out(inside, top, (f"{prefix}{number}" for number in numbers))
            finally:
                os.close(inside)
            if name != ".":
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _take_out(inside: int, top: int, names: Iterator[str]) -> list[str]:
    """Remove the files of the open folder `inside` and move its folders to `top`; the names they have there."""
    moved = []
    with os.scandir(inside) as entries:
        found = list(entries)
    for entry in found:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=inside)
            continue
        # Moving a folder elsewhere changes its "..", for which it must be writable itself.
        os.chmod(entry.name, MODE, dir_fd=inside)
        name = next(names)
        os.rename(entry.name, name, src_dir_fd=inside, dst_dir_fd=top)
        moved.append(name)
    return moved


def _does_hold(path: Path, text: bytes) -> bool:
    """Whether `path` is a plain, private file with this very content; a pipe in its place is not waited for."""
    try:
        handle = os.open(path, _FILE)
    except OSError:
        return False
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        is_plain = stat.S_ISREG(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
        return is_plain and found.st_size == len(text) and file.read(len(text) + 1) == text


def _close_to_others(path: Path) -> None:
    mode = path.lstat().st_mode
    if not stat.S_ISDIR(mode):
        raise FolderUnusable(f"{path} is no folder", remedy=f"Move {path} away, then try again.")
    if stat.S_IMODE(mode) & 0o077:
        path.chmod(MODE)
