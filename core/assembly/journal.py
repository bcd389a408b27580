"""Me/logs/core.log: what the core did, rotated by size, without a secret."""

from __future__ import annotations

import logging
import logging.handlers
import os
import time
from io import TextIOWrapper
from pathlib import Path

from core.model.errors import FolderUnusable
from core.vault import Redactor

FILE_BYTES_MAX = 2 * 1024 * 1024
FILES_KEPT = 3
# Libraries whose debug output would drown ours, and whose access lines may hold tickets.
_QUIET = ("apscheduler", "asyncio", "uvicorn", "websockets", "urllib3")


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A rotated file that only the owner can read."""

    def _open(self) -> TextIOWrapper:
        return os.fdopen(
            os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8"
        )


class Journal:
    """Takes every log record of the process while it is entered; raises FolderUnusable where none can be kept."""

    def __init__(self, folder: Path, redactor: Redactor, *, level: str) -> None:
        path = folder / "core.log"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handler = _PrivateFile(path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8")
        except OSError as err:
            raise FolderUnusable(f"{path} cannot be written: {err.strerror}", remedy="Move it away.") from err
        formatter = logging.Formatter(
            "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        formatter.converter = time.gmtime
        self._handler.setFormatter(formatter)
        self._handler.addFilter(redactor)
        self._level = level.upper()

    def __enter__(self) -> Journal:
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(self._level)
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        self._handler.close()
