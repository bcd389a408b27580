"""Erasing what facts said: out of the log, the folds, the index, and every copy that can be reached.

Position, id, record and times stay, so that the log has no hole; a version that is erased reads as a deletion. The
hash stays too, unless it is asked to go: of a short value it tells what the value was. Files are not removed here: the
receipt names those that nothing else names, which go with the next collection of garbage.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import apsw
import msgspec

from core.model.fact import JsonObject
from core.store.binaries.named import digests_in, spare_named
from core.store.binaries.shelves import Shelves
from core.store.care.findings import QUARANTINE
from core.store.care.retention import Retention, Target
from core.store.care.verify import COLUMNS, FROM, fetch
from core.store.durable import flush_folder
from core.store.exchange.backup import known_backups
from core.store.log.digest import digest_of
from core.store.log.facts import id_text
from core.store.log.receipts import ERASE
from core.store.words.text import TextIndex

log = logging.getLogger(__name__)

NO_HASH = b""
FILES_TOLD_MAX = 1000

_ROW = f"SELECT {COLUMNS} {FROM} WHERE f.seq = ?"
_BLANK = """
    UPDATE fact SET deleted = 1, value = '{}', common = NULL, producer = NULL, derivation = NULL, value_hash = ?,
        row_digest = ?
    WHERE seq = ?
"""
_PRODUCER = "SELECT producer FROM fact WHERE seq = ?"
_DELETE_PRODUCER = """
    DELETE FROM producer WHERE id = ? AND NOT EXISTS (SELECT 1 FROM fact f WHERE f.producer = producer.id)
"""
_DELETE_REFUSED = "DELETE FROM quarantine WHERE type = ? AND key = ?"
_BACKUPS = "SELECT value FROM meta WHERE name = 'backups'"
_PUT_PENDING = """
    INSERT INTO meta (name, value) VALUES ('erasing', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_PENDING = "SELECT value FROM meta WHERE name = 'erasing'"
_NO_PENDING = "DELETE FROM meta WHERE name = 'erasing'"


class Erasable(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be erased: facts by their ids, or all of a record (type, key); `drop_hash`: their hashes too."""

    ids: tuple[str, ...] = ()
    record: tuple[str, str] | None = None
    drop_hash: bool = False


def erase(db: apsw.Connection, retention: Retention, text: TextIndex, what: Erasable, *, folder: Path) -> JsonObject:
    """Erase what these facts, or all facts of a record, said; the receipt's document. One transaction of the caller.

    It is done when `finish` was called after the commit. Raises NotFound where there is no such fact, BadRequest for
    receipts.
    """
    targets = retention.targets(what.ids, what.record)
    went = retention.digest(one.seq for one in targets)
    files = _files_of(db, targets, folder)
    producers = {db.execute(_PRODUCER, (one.seq,)).get for one in targets} - {None}
    seqs = [one.seq for one in targets]
    text.remove(seqs)
    for one in targets:
        _blank(db, one, drop_hash=what.drop_hash)
    for type_name, key in dict.fromkeys((one.type_name, one.key) for one in targets):
        db.execute(_DELETE_REFUSED, (type_name, key))
    db.executemany(_DELETE_PRODUCER, [(number,) for number in sorted(producers)])
    if files:
        spare_named(files, fetch(db))
    retention.refold(targets)
    text.purge(seqs)
    copies = copies_in(folder)
    db.execute(_PUT_PENDING, (msgspec.json.encode(copies).decode(),))
    said: JsonObject = {
        "ids": [id_text(one.id) for one in targets],
        "drop_hash": what.drop_hash,
        "copies_removed": copies,
        "unreachable": unreachable(db, folder),
        "files": sorted(files)[:FILES_TOLD_MAX],
    }
    return retention.sign(ERASE, seqs, went, said)


def finish(db: apsw.Connection, folder: Path) -> bool:
    """Do what an erasure leaves to be done after its commit: empty the log, remove the copies. Whether all is done.

    Where a reader keeps the log from being emptied, or it was never called, the next call goes on. Outside of any
    transaction.
    """
    text: Any = db.execute(_PENDING).get
    if text is None:
        return True
    pending = set(msgspec.json.decode(text, type=list[str]))
    # Only what is such a copy: the store may be a connector's, which can write any name there.
    for name in pending.intersection(copies_in(folder)):
        (folder / name).unlink(missing_ok=True)
        flush_folder((folder / name).parent)
    if not empty_log(db):
        return False
    with db:
        db.execute(_NO_PENDING)
    return True


def finish_in(folder: Path, path: Path, *, connect: Callable[[], apsw.Connection]) -> bool:
    """As `finish`, by a connection of its own, beside the writer's."""
    db = connect()
    try:
        done = finish(db, folder)
    finally:
        db.close()
    if not done:
        log.warning("erased bytes stay in the write-ahead log until it is closed path=%s", path)
    return done


def empty_log(db: apsw.Connection) -> bool:
    """Move the whole write-ahead log into the database and cut it to nothing; False where a reader is in the way."""
    try:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except (apsw.BusyError, apsw.LockedError):
        return False
    return True


def copies_in(folder: Path) -> list[str]:
    """The copies of the store that lie in its own folder: set aside after damage, or before an upgrade."""
    aside = folder / QUARANTINE
    names = [f"{QUARANTINE}/{name}" for name in _listed(aside)] if not aside.is_symlink() else []
    return sorted([*names, *(name for name in _listed(folder) if name.startswith("store.db.before-"))])


def unreachable(db: apsw.Connection, folder: Path) -> list[str]:
    """The backups of this store that are known and still there: whoever wants it gone from them removes them."""
    text: Any = db.execute(_BACKUPS).get
    known = {*([] if text is None else msgspec.json.decode(text, type=list[str])), *known_backups(folder)}
    return sorted(path for path in known if (folder / path).exists())


def _files_of(db: apsw.Connection, targets: list[Target], folder: Path) -> dict[str, None]:
    """The files that these facts name. What is no file of the store is not told: it may be what is to be forgotten."""
    rows = (row for one in targets for row in db.execute(_ROW, (one.seq,)))
    named = digests_in(text for row in rows for text in (row[5], row[6], row[12], row[13]))
    first = next(named, None)
    if first is None:
        return {}
    # By the files, which are counted: what facts name may be millions of digits in a row.
    kept = {one.digest for one in Shelves(folder).walk() if one.size is not None}
    return dict.fromkeys(digest for digest in chain((first,), named) if digest in kept)


def _blank(db: apsw.Connection, one: Target, *, drop_hash: bool) -> None:
    row: Any = db.execute(_ROW, (one.seq,)).fetchall()[0]
    value_hash = NO_HASH if drop_hash else row[7]
    blank = (*row[:4], 1, "{}", None, value_hash, *row[8:12], None, None, *row[14:-1])
    db.execute(_BLANK, (value_hash, digest_of(blank), one.seq))


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
