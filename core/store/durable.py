"""Files that are whole or absent after a crash: flushed, then renamed, then their folder flushed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
FILE_MODE = 0o600
FOLDER_MODE = 0o700


def flush_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in `folder` outlive a power cut."""
    if sys.platform == "win32":  # Windows cannot flush a folder; NTFS journals the rename.
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_into_place(finished: Path, target: Path) -> None:
    """Give a flushed file its name, replacing what bore it, so that it keeps the name after a power cut."""
    finished.replace(target)
    flush_folder(target.parent)
