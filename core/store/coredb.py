"""core.db: the core's own positions and histories. The tables are set here, the rows by the rooms that need them."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import apsw

from core.model.errors import Broken
from core.store.connection import close_checkpointed, fault_of, open_for_reading, open_for_writing
from core.store.durable import FILE_MODE, NO_FOLLOW
from core.store.migrate import migrate

T = TypeVar("T")

APPLICATION_ID = 0x4C4B5243  # "LKRC"
ROWS_MAX = 100_000

_TABLES = """
-- One row: a path of a service that the core will call at a time, asked for by the child or by its frequency.
CREATE TABLE pending_at (
    service TEXT NOT NULL,
    path TEXT NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('asked', 'fallback')),
    tries INTEGER NOT NULL DEFAULT 0,
    last_problem TEXT,
    PRIMARY KEY (service, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_by_time ON pending_at (at);

-- One row: a path of a service that wants the events of a type.
CREATE TABLE listener (
    service TEXT NOT NULL,
    type TEXT NOT NULL,
    path TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('manifest', 'call')),
    PRIMARY KEY (service, type, path)
) STRICT, WITHOUT ROWID;

-- One row: how far a listening path has read one log; log is the source's uid, or empty for published events.
CREATE TABLE position (
    listener_service TEXT NOT NULL,
    path TEXT NOT NULL,
    log TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (listener_service, path, log)
) STRICT, WITHOUT ROWID;

-- One row: events that a listener kept refusing, as a JSON array.
CREATE TABLE dead_letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    service TEXT NOT NULL,
    path TEXT NOT NULL,
    first_seen REAL NOT NULL,
    last_tried REAL NOT NULL,
    tries INTEGER NOT NULL,
    problem TEXT,
    events TEXT NOT NULL
) STRICT;

-- One row: a line of the diary.
CREATE TABLE diary (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    service TEXT NOT NULL,
    level INTEGER NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX diary_by_time ON diary (at);

-- One row: an event without a fact, as a service published it.
CREATE TABLE published (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    idr TEXT NOT NULL,
    action TEXT NOT NULL,
    service TEXT NOT NULL,
    type TEXT NOT NULL,
    key TEXT NOT NULL,
    at REAL NOT NULL,
    value TEXT NOT NULL
) STRICT;

-- One row: when a token was used last.
CREATE TABLE token_use (
    token_id TEXT NOT NULL PRIMARY KEY,
    last_used REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: a request that was answered, and who sent it.
CREATE TABLE access_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    actor TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INTEGER NOT NULL
) STRICT;
CREATE INDEX access_by_time ON access_log (at);
"""

_CARE = """
-- One row: when the core last did one thing for a service's store, and what the owner should know of it, if anything.
CREATE TABLE store_care (
    uid TEXT NOT NULL,
    deed TEXT NOT NULL,
    at REAL NOT NULL,
    trouble TEXT NOT NULL,
    PRIMARY KEY (uid, deed)
) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_TABLES, _CARE)


class CoreDb:
    """One connection that writes and one that reads, each behind a lock; blocking, and usable from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._write_lock = threading.RLock()
        self._read_lock = threading.Lock()
        self._reader: apsw.Connection | None = None
        self._is_writing = False
        self._is_closed = False
        _make(path)
        self._writer: apsw.Connection | None = self._connected()

    @classmethod
    def open(cls, path: Path) -> CoreDb:
        """The database at `path`, made where there is none; raises FormatTooNew or FileDamaged."""
        try:
            return cls(path)
        except (apsw.Error, OSError) as err:
            raise fault_of(err, path) from err

    def __enter__(self) -> CoreDb:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, do: Callable[[apsw.Connection], T]) -> T:
        """What `do` returns, its statements being one transaction: flushed when this returns, undone when it raises.

        Raises StorageFull or TooBusy; after a failure of the disk the database is opened again for the next write.
        """
        with self._write_lock:
            if self._is_writing:
                raise Broken(f"{self._path}: a write within a write")
            self._is_writing = True
            try:
                return self._written(do)
            except (apsw.Error, OSError) as err:
                self._drop_writer()
                raise fault_of(err, self._path) from err
            finally:
                self._is_writing = False

    def read(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a SELECT, as of the last commit; at most 100 000, more is Broken."""
        with self._read_lock:
            self._check_open()
            try:
                if self._reader is None:
                    self._reader = open_for_reading(self._path)
                return _bounded(self._reader.execute(statement, parameters))
            except (apsw.Error, OSError) as err:
                self._drop_reader()
                raise fault_of(err, self._path) from err

    def close(self) -> None:
        """Let go of the file, the write-ahead log folded into it; again does nothing."""
        with self._write_lock, self._read_lock:
            self._is_closed = True
            self._drop_reader()
            writer, self._writer = self._writer, None
            if writer is not None:
                close_checkpointed(writer)

    def _written(self, do: Callable[[apsw.Connection], T]) -> T:
        self._check_open()
        if self._writer is None:
            self._writer = self._connected()
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            result = do(self._writer)
        except BaseException:
            if self._writer.in_transaction:  # A full disk has ended it already.
                self._writer.execute("ROLLBACK")
            raise
        self._writer.execute("COMMIT")
        return result

    def _connected(self) -> apsw.Connection:
        db = open_for_writing(self._path, mode_of=self._path)
        try:
            migrate(db, self._path, application_id=APPLICATION_ID, steps=MIGRATIONS)
        except BaseException:
            db.close()
            raise
        return db

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise Broken(f"{self._path} is closed")


def _make(path: Path) -> None:
    """Give a new database its mode; nobody has a connection to a file that was not there, so it may be opened."""
    if os.path.lexists(path):
        return
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | NO_FOLLOW, FILE_MODE))


def _bounded(rows: apsw.Cursor) -> list[tuple[Any, ...]]:
    found = list(itertools.islice(rows, ROWS_MAX + 1))
    rows.close()
    if len(found) > ROWS_MAX:
        raise Broken(f"a statement found more than {ROWS_MAX} rows")
    return found
