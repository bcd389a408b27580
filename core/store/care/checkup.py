"""Everything about a store that can be checked, looked through by a connection of its own: the log, pages and folds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw
import msgspec

from core.model.errors import FileDamaged, LockerError
from core.model.manifest import TypeSpec, spec_of
from core.store.care.seal import is_seal_broken
from core.store.care.seriescheck import series_differ
from core.store.care.soundness import TALLIES, UNFOLDED
from core.store.care.textcheck import text_differs
from core.store.care.verify import TRIES, Verification, fetch, verify
from core.store.connection import fault_of, identity, open_for_reading
from core.store.log import current
from core.store.log.declarations import Declarations
from core.store.migrate import version_of
from core.store.pace import Wait, rest
from core.store.schema import APPLICATION_ID, MIGRATIONS

FAULTS_LISTED_MAX = 20
RECORDS_PER_REST = 200

_KEYS = "SELECT type, key FROM current WHERE (type, key) > (?, ?) ORDER BY type, key LIMIT ?"
_CURRENT = "SELECT type, key, seq, deleted, change_hash, at FROM current WHERE type = ? AND key = ?"
_PAST = "SELECT type, key, seq, deleted, at, until_seq, until_known FROM past WHERE type = ? AND key = ? ORDER BY seq"
_TYPES = "SELECT id, name FROM type"


class Checkup(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkup found: the log's verification, faults of the file in words, and whether a rebuild is needed."""

    log: Verification
    faults: tuple[str, ...] = ()
    folds_differ: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return self.log.is_whole and not self.faults and not self.folds_differ


def check_up(path: Path, *, types: Mapping[str, TypeSpec], wait: Wait = time.sleep) -> Checkup:
    """Look through the store at `path`, whoever writes it meanwhile; `wait` as for `verify`.

    Raises FileDamaged only where the file is no store that could be looked through, FormatTooNew, or TooBusy.
    """
    if identity(path) is None:
        return Checkup(log=Verification(head=0, facts=0))
    try:
        db = open_for_reading(path)
        try:
            version = version_of(db, path, application_id=APPLICATION_ID, newest=len(MIGRATIONS))
            if version < len(MIGRATIONS):
                raise FileDamaged(f"{path} has version {version}", remedy="Open it once to bring it up to date.")
            log = verify(fetch(db), wait=wait)
            faults = _faults(db)
            return Checkup(log=log, faults=faults, folds_differ=_folds_differ(db, types, wait))
        finally:
            db.close()
    except (apsw.Error, OSError, LockerError) as err:
        raise fault_of(err, path) from err


def _faults(db: apsw.Connection) -> tuple[str, ...]:
    """What SQLite finds wrong with its pages and indexes, and whether the seal of a closed store is broken."""
    faults: list[str] = []
    try:
        for (line,) in db.execute(f"PRAGMA integrity_check({FAULTS_LISTED_MAX})"):
            if line != "ok":
                faults.append(f"pages: {str(line)[:120]}")
        if is_seal_broken(db):
            faults.append("seal: cursors, runs, quarantine, receipts or names are not what they were at the last close")
    except (apsw.CorruptError, apsw.SQLError, apsw.FormatError, ValueError, TypeError) as err:
        faults.append(f"unreadable: {type(err).__name__}")
    return tuple(faults)


def _folds_differ(db: apsw.Connection, types: Mapping[str, TypeSpec], wait: Wait) -> bool:
    """Whether what is folded differs from what the facts fold into."""
    if not Declarations(db, types).are_folded:
        return False  # Made by another manifest's declarations: the next writer folds anew anyway.
    try:
        for _ in range(TRIES):
            if not db.execute(UNFOLDED).get and not db.execute(TALLIES).get:
                break
        else:
            return True
        if series_differ(db) or _records_differ(db, types, wait):
            return True
        return text_differs(db, types, wait=wait)
    except (apsw.CorruptError, apsw.SQLError, apsw.FormatError, ValueError, TypeError, KeyError):
        return True


def _records_differ(db: apsw.Connection, types: Mapping[str, TypeSpec], wait: Wait) -> bool:
    types_found: Any = db.execute(_TYPES).fetchall()
    names: dict[int, str] = dict(types_found)
    place: tuple[Any, ...] = (0, "")
    while True:
        began = time.monotonic()
        page: Any = db.execute(_KEYS, (*place, RECORDS_PER_REST)).fetchall()
        for type_id, key in page:
            spec = spec_of(types, names[type_id])
            if all(_record_differs(db, type_id, key, spec) for _ in range(TRIES)):
                return True
        if len(page) < RECORDS_PER_REST:
            return False
        place = page[-1]
        rest(wait, since=began)


def _record_differs(db: apsw.Connection, type_id: int, key: str, spec: TypeSpec) -> bool:
    versions = current.versions_of(db, type_id, key)
    if not versions:
        return True
    try:
        row, past = current.rows_of(db, type_id, key, versions, spec)
    except FileDamaged:
        return False  # No fold to compare with: the log's verification names the fact.
    counts: Any = db.execute(_CURRENT, (type_id, key)).fetchall()
    counted: Any = db.execute(_PAST, (type_id, key)).fetchall()
    return bool(counts != [tuple(row)] or counted != [tuple(one) for one in sorted(past, key=lambda one: one.seq)])
