"""A database brought to the version this Locker knows: numbered steps, each a transaction, after a backup."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import apsw

from core.model.errors import FileDamaged, FormatTooNew
from core.store.durable import FILE_MODE, move_into_place

log = logging.getLogger(__name__)

_BACKUP_PAGES = 1024

Step = str | Callable[[apsw.Connection], None]


def migrate(db: apsw.Connection, path: Path, *, application_id: int, steps: tuple[Step, ...]) -> None:
    """Apply the steps that `db` lacks; step n makes version n, and what is done stays done if a later one fails.

    Raises FormatTooNew for a newer database and FileDamaged for a file that is none of ours; both are left as found.
    """
    version = version_of(db, path, application_id=application_id, newest=len(steps))
    if version == len(steps):
        return
    if version > 0:
        _back_up(db, path.with_name(f"{path.name}.before-v{version + 1}"))
    for number in range(version + 1, len(steps) + 1):
        with db:
            step = steps[number - 1]
            if isinstance(step, str):
                db.execute(step)
            else:
                step(db)
            db.execute(f"PRAGMA application_id = {application_id}")
            db.execute(f"PRAGMA user_version = {number}")
        if version > 0:
            log.info("database migrated path=%s version=%d", path, number)


def version_of(db: apsw.Connection, path: Path, *, application_id: int, newest: int) -> int:
    """The version `db` is at, 0 for one without any table; raises as `migrate` does."""
    found = db.pragma("application_id")
    version = db.pragma("user_version")
    if found not in (0, application_id) or (found == 0 and (version or _has_tables(db))):
        raise FileDamaged(f"{path} is a database of some other program")
    if version > newest:
        raise FormatTooNew(f"{path} has version {version}; this Locker knows up to {newest}")
    return int(version)


def _has_tables(db: apsw.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").get is not None


def _back_up(db: apsw.Connection, target: Path) -> None:
    """A whole copy at `target`: complete, or what stood there before."""
    unfinished = target.with_name(f"{target.name}.tmp")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
    copy = apsw.Connection(str(unfinished), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        with copy.backup("main", db, "main") as backup:
            while not backup.done:
                backup.step(_BACKUP_PAGES)
    finally:
        copy.close()
    move_into_place(unfinished, target)
