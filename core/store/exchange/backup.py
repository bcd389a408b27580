"""A database copied while others write it: one moment of it, read back and compared before the copy has its name."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

import apsw
import msgspec

from core.model.errors import Broken, FileDamaged, LockerError, NotFound
from core.store.care.seal import is_sealed, put_seal
from core.store.care.verify import fetch, verify
from core.store.connection import fault_of, identity, open_for_reading
from core.store.durable import CREATE, FILE_MODE, NO_FOLLOW, move_into_place, read_file, replace_file
from core.store.log.incarnation import pass_on
from core.store.migrate import version_of
from core.store.schema import APPLICATION_ID, MIGRATIONS

EPOCH_BYTES = 16
MAGIC = b"SQLite format 3\x00"
BACKUPS = "backups.json"
BACKUPS_MAX = 100
BACKUPS_BYTES_MAX = 1024 * 1024

_PAGES = 1024
# What SQLite meets where the disk does not give what was written; writing fails by other names.
_NOT_READ = (apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_SHORT_READ, apsw.SQLITE_IOERR_CORRUPTFS)
_READ = os.O_RDONLY | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What a database holds, by which two of them are compared: `facts` and the rest are of a store's alone.

    `bad_facts` are not what was written, in the original already; they are copied as they are.
    """

    version: int
    pages: int
    facts: int | None = None
    head: int | None = None
    epoch: str | None = None
    digest: str | None = None
    bad_facts: int = 0


def copy_database(source: Path, target: Path) -> Holding:
    """Copy the database at `source`, as it is at one moment, to `target`; what it holds, found in the copy again.

    Whoever writes it goes on writing. The copy is one file, flushed and read back; until then it bears another name.
    Raises FileDamaged for what SQLite cannot read, StorageFull, TooBusy.
    """
    unfinished = target.with_name(f"{target.name}.tmp")
    try:
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, CREATE, FILE_MODE))
        held = _copy(source, unfinished)
        found = holding_of(unfinished)
        if msgspec.structs.replace(found, bad_facts=0) != held:
            raise Broken(f"the copy of {source} does not hold what it copied", remedy="Look at the disk.")
        move_into_place(unfinished, target)
    except (apsw.Error, OSError, LockerError) as err:
        for name in ("", "-wal", "-shm", "-journal"):
            unfinished.with_name(unfinished.name + name).unlink(missing_ok=True)
        if isinstance(err, apsw.IOError) and getattr(err, "extendedresult", 0) in _NOT_READ:
            raise FileDamaged(f"{source} cannot be read: the disk does not give what is in it") from err
        # The disk that fills is the copy's, what is damaged is the source.
        raise fault_of(err, unfinished if _is_of_writing(err) else source) from err
    return found


def holding_of(path: Path) -> Holding:
    """What the database at `path` holds, and that SQLite finds it whole; raises FileDamaged where it is not."""
    if identity(path) is None:
        raise NotFound(f"there is no {path}")
    db = open_for_reading(path)
    try:
        found = db.execute("PRAGMA quick_check(1)").fetchall()
        if found != [("ok",)]:
            raise FileDamaged(f"{path} is damaged: SQLite finds its pages in disorder")
        held = _holding(db, path)
        if held.epoch is None or held.version < len(MIGRATIONS):
            return held
        bad = verify(fetch(db), wait=_never).bad_count
        return msgspec.structs.replace(held, bad_facts=bad)
    except (apsw.Error, LockerError) as err:
        raise fault_of(err, path) from err
    finally:
        db.close()


def renew_epoch(path: Path) -> str:
    """Make the store at `path` another incarnation: positions in the one it was copied from mean nothing in it.

    Its own facts go on in the next epoch of their log.
    """
    epoch = secrets.token_bytes(EPOCH_BYTES)
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
    try:
        db.pragma("synchronous", "full")
        with db:
            was_sealed = is_sealed(db)
            db.execute("UPDATE meta SET value = ? WHERE name = 'store_epoch'", (epoch,))
            pass_on(db)
            if was_sealed:
                put_seal(db)
    except apsw.Error as err:
        raise fault_of(err, path) from err
    finally:
        db.close()
    return epoch.hex()


def known_backups(folder: Path) -> list[str]:
    """The archives that hold a copy of the store in `folder`, as far as they were noted there."""
    try:
        text = read_file(folder / BACKUPS, bytes_max=BACKUPS_BYTES_MAX)
        return [] if text is None else msgspec.json.decode(text, type=list[str])
    except (FileDamaged, msgspec.MsgspecError):
        return []


def note_backup(folder: Path, archive: Path) -> None:
    """Note that `archive` holds a copy of the store in `folder`, so that whoever erases something is told of it."""
    known = [path for path in known_backups(folder) if path != str(archive)]
    text = msgspec.json.encode([*known, str(archive)][-BACKUPS_MAX:])
    replace_file(folder / BACKUPS, text)


def is_database(path: Path) -> bool:
    """Whether the file begins as SQLite's do; not for a process that has a connection to it."""
    handle = os.open(path, _READ)
    try:
        return os.read(handle, len(MAGIC)) == MAGIC
    finally:
        os.close(handle)


def _copy(source: Path, target: Path) -> Holding:
    origin = open_for_reading(source)
    try:
        copy = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
        try:
            # The copy becomes a copy by being flushed at the end; until then nobody needs it.
            copy.pragma("synchronous", "off")
            # One read transaction over all: otherwise each commit of another would start the copying again.
            origin.execute("BEGIN")
            held = _holding(origin, source)
            with copy.backup("main", origin, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES)
            origin.execute("ROLLBACK")
            # A file that needs no log beside it can be read where nothing may be written.
            copy.pragma("journal_mode", "delete")
        finally:
            copy.close()
    finally:
        origin.close()
    handle = os.open(target, os.O_RDWR | NO_FOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return held


def _holding(db: apsw.Connection, path: Path) -> Holding:
    version = int(db.pragma("user_version"))
    pages = int(db.execute("PRAGMA page_count").get)
    if db.pragma("application_id") != APPLICATION_ID:
        return Holding(version=version, pages=pages)
    version_of(db, path, application_id=APPLICATION_ID, newest=len(MIGRATIONS))
    facts: int = db.execute("SELECT count(*) FROM fact").get
    head: int = db.execute("SELECT coalesce(max(seq), 0) FROM fact").get
    epoch = db.execute("SELECT value FROM meta WHERE name = 'store_epoch'").get
    return Holding(
        version=version,
        pages=pages,
        facts=facts,
        head=head,
        epoch=epoch.hex() if isinstance(epoch, bytes) else None,
        digest=_digest(db, "row_digest" if version > 1 else "value_hash"),
    )


def _digest(db: apsw.Connection, column: str) -> str:
    """SHA-256 over every fact's position and its own digest."""
    digest = hashlib.sha256()
    for seq, own in db.execute(f"SELECT seq, {column} FROM fact ORDER BY seq"):
        digest.update(b"%d:%b" % (seq, own if isinstance(own, bytes) else repr(own).encode()))
    return digest.hexdigest()


def _never(_seconds: float) -> None:
    """Nobody waits for a copy but whoever wants it."""


def _is_of_writing(err: Exception) -> bool:
    return isinstance(err, (OSError, apsw.FullError, apsw.IOError))
