"""How a store fares, for its status: where its log stands, how large it is, and what is wrong with it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import apsw
import msgspec

from core.model.errors import FileDamaged
from core.store.care.findings import QUARANTINE, damage_of
from core.store.care.verify import Verification
from core.store.rows import Rows

LISTED_MAX = 100

_META = "SELECT value FROM meta WHERE name = ?"
_PUT_META = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class LastVerify(msgspec.Struct, frozen=True, kw_only=True):
    """The last verification that a writer was asked for: when, and what it found; of bad positions the first ones."""

    at: float
    facts: int
    is_whole: bool
    bad_count: int = 0
    bad: tuple[int, ...] = ()


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What a store's status says of its storage; `quarantine` are the copies that were set aside."""

    floor_seq: int
    indexed_seq: int
    db_bytes: int
    wal_bytes: int
    free_bytes: int
    damaged: bool
    quarantine: tuple[str, ...] = ()
    last_verify: LastVerify | None = None


def condition_of(path: Path, rows: Rows) -> Condition:
    """The condition of the store at `path`, whose small tables `rows` reads; raises FileDamaged for a strange one."""
    try:
        return _condition(path, rows)
    except (msgspec.MsgspecError, ValueError, TypeError) as err:
        raise FileDamaged(f"{path} holds a row that cannot be read") from err


def _condition(path: Path, rows: Rows) -> Condition:
    told = rows(_META, ("last_verify",))
    return Condition(
        floor_seq=_number(rows, "floor_seq"),
        indexed_seq=_number(rows, "indexed_seq"),
        db_bytes=_bytes_of(path),
        wal_bytes=_bytes_of(path.with_name(f"{path.name}-wal")),
        free_bytes=shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0,
        damaged=damage_of(path.parent) is not None,
        quarantine=_copies(path.parent / QUARANTINE),
        last_verify=msgspec.json.decode(told[0][0], type=LastVerify) if told else None,
    )


def note_verify(db: apsw.Connection, found: Verification, *, at: float) -> None:
    """Keep what a verification found, within the caller's transaction."""
    last = LastVerify(
        at=at,
        facts=found.facts,
        is_whole=found.is_whole,
        bad_count=found.bad_count,
        bad=found.bad[:LISTED_MAX],
    )
    db.execute(_PUT_META, ("last_verify", msgspec.json.encode(last).decode()))


def _number(rows: Rows, name: str) -> int:
    found = rows(_META, (name,))
    return int(found[0][0]) if found else 0


def _bytes_of(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _copies(folder: Path) -> tuple[str, ...]:
    if folder.is_symlink() or not folder.is_dir():
        return ()
    return tuple(sorted(path.name for path in folder.iterdir())[:LISTED_MAX])
