"""Reading a store that another process writes: what it committed is seen at once, what it damaged is reported."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import apsw

from core.model.errors import BadRequest, Broken, FileDamaged, LockerError, Retry, TooBusy
from core.model.manifest import TypeSpec
from core.store.connection import StepLimit, fault_of, identity, open_for_reading
from core.store.migrate import version_of
from core.store.reads import Reads
from core.store.rows import Row
from core.store.schema import APPLICATION_ID, MIGRATIONS
from core.store.trust import CURE, refuse_computed
from core.store.words import relevance

STORE_NAME = "store.db"
# What an answer of ours weighs at most, all its columns counted: a thousand runs, each with the longest problem.
ROWS_BYTES_MAX = 64 * 1024 * 1024
# A row has two documents of 4 MiB at most, and is sorted as a whole.
ROW_BYTES_MAX = 12 * 1024 * 1024


class Reader(Reads):
    """One read-only connection, opened at the first question and again when the file is another one.

    The file belongs to a child and is taken for hostile. May be asked from any thread; one question at a time.
    """

    def __init__(self, path: Path, types: Mapping[str, TypeSpec]) -> None:
        super().__init__(path, types)
        self._lock = threading.Lock()
        self._db: apsw.Connection | None = None
        self._steps: StepLimit | None = None
        self._opened: tuple[int, int] | None = None
        self._is_ended = False

    @classmethod
    def open(cls, folder: Path, *, types: Mapping[str, TypeSpec]) -> Reader:
        """The reads of the store in `folder`, whether it is there already or not."""
        return cls(folder / STORE_NAME, types)

    @property
    def is_of_earlier_version(self) -> bool:
        """Whether whoever writes the store next will bring it up to this version first."""
        try:
            with closing(self._open()) as db:
                return 0 < self._version(db) < len(MIGRATIONS)
        except (apsw.Error, OSError, LockerError):
            return False

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; the next question opens it again."""
        with self._lock:
            self._drop()

    def end(self) -> None:
        """Let go of the file for good: every question from here on raises Retry."""
        with self._lock:
            self._is_ended = True
            self._drop()

    def rows(self, statement: str, parameters: Row = (), *, bytes_max: int | None = None) -> list[Row]:
        with self._lock:
            if self._is_ended:
                raise Retry("the store is closed", remedy="Ask again once it is open.")
            try:
                db = self._connected()
                return [] if db is None else self._fetched(db, statement, parameters, bytes_max)
            except (OverflowError, UnicodeEncodeError) as err:
                raise BadRequest(
                    "the question holds a number past 64 bits, or half a letter",
                    remedy="Ask for positions below 2^63, and in whole letters.",
                ) from err
            except (apsw.Error, OSError, ValueError, LockerError) as err:
                self._drop()
                raise self._fault(err) from err

    def _connected(self) -> apsw.Connection | None:
        """The connection to the file that bears the name now; None where there is no file, or no table in it yet."""
        found = self._identity()
        if found is None or found != self._opened:
            self._drop()
        if found is not None and self._db is None:
            self._db, self._opened = self._open(), found
            self._db.limit(apsw.SQLITE_LIMIT_LENGTH, ROW_BYTES_MAX)
            self._steps = StepLimit(self._db)
            version = self._version(self._db)
            if version == 0:
                self._drop()
            elif version < len(MIGRATIONS):
                raise TooBusy(
                    f"{self.path} is of an earlier version of Locker",
                    remedy="Start its service once: whoever writes it brings it up, after a backup.",
                )
            else:
                refuse_computed(self._db, self.path)
                relevance.register(self._db)
        if self._steps is not None:
            self._steps.restart()
        return self._db

    def _version(self, db: apsw.Connection) -> int:
        return version_of(db, self.path, application_id=APPLICATION_ID, newest=len(MIGRATIONS))

    def _identity(self) -> tuple[int, int] | None:
        return identity(self.path)

    def _open(self) -> apsw.Connection:
        return open_for_reading(self.path)

    def _drop(self) -> None:
        db, self._db, self._opened, self._steps = self._db, None, None, None
        if db is not None:
            db.close()

    def _fault(self, err: Exception) -> LockerError:
        """Our statements are known to be good: what SQLite cannot do with them is the file's fault."""
        fault = fault_of(err, self.path)
        return FileDamaged(f"{self.path} cannot be read: {type(err).__name__}") if type(fault) is Broken else fault

    def _fetched(self, db: apsw.Connection, statement: str, parameters: Row, bytes_max: int | None) -> list[Row]:
        """The rows, at most until they weigh `bytes_max`; raises FileDamaged where all is out of measure."""
        most = ROWS_BYTES_MAX if bytes_max is None else bytes_max - 1
        rows: list[Row] = []
        total = 0
        with closing(db.execute(statement, parameters)) as cursor:
            for row in cursor:
                rows.append(row)
                for column in row:  # As `weight` does, without a call: every row that is ever read passes here.
                    if type(column) is str or type(column) is bytes:
                        total += len(column)
                if total > most:
                    if bytes_max is None:
                        raise FileDamaged(f"{self.path} answers with more than any store of ours holds", remedy=CURE)
                    break
        return rows
