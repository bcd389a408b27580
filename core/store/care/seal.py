"""The seal on a closed store: one digest over the small tables, which no fact's row vouches for.

It is set when the store is closed properly and taken away when it is opened to be written, so that it is either right
or not there.
"""

from __future__ import annotations

import hashlib
from typing import Any

import apsw
import msgspec

LETTERS_MAX = 16 * 1024 * 1024

# In a fixed order each. Where quarantine holds more than a close has time for, the beginnings count.
_TABLES = (
    "SELECT name, value FROM meta WHERE name <> 'sealed' ORDER BY name",
    "SELECT id, name FROM type ORDER BY id",
    "SELECT id, log, epoch FROM origin ORDER BY id",
    "SELECT id, document FROM producer ORDER BY id",
    "SELECT stream, value, changed_at FROM cursor ORDER BY stream",
    """SELECT position, id, stream, started_at, ended_at, status, new, updated, same, deleted, quarantined, problem
       FROM run ORDER BY position""",
    f"""SELECT position, type, key, code, reason, sample, first_seen, last_seen, times, length(value),
            iif((SELECT total(length(value)) FROM quarantine) <= {LETTERS_MAX}, value, substr(value, 1, 1000))
        FROM quarantine ORDER BY position""",
    "SELECT id, name FROM point ORDER BY id",
    "SELECT seq, verb, at, actor, document FROM receipt ORDER BY seq",
    "SELECT seq, facts, digest FROM checkpoint ORDER BY seq",
    "SELECT type, path, name FROM field_index ORDER BY type, path",
    "SELECT name, seq FROM sqlite_sequence ORDER BY name",
)
_PUT = "INSERT INTO meta (name, value) VALUES ('sealed', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_GET = "SELECT value FROM meta WHERE name = 'sealed'"
_REMOVE = "DELETE FROM meta WHERE name = 'sealed'"

_pack = msgspec.msgpack.Encoder().encode


def put_seal(db: apsw.Connection) -> None:
    """Seal the store as it is, as the last thing before it is closed; within the caller's transaction."""
    db.execute(_PUT, (_digest(db),))


def remove_seal(db: apsw.Connection) -> None:
    """Take the seal away, in the first transaction of whoever is going to write."""
    db.execute(_REMOVE)


def is_sealed(db: apsw.Connection) -> bool:
    """Whether there is a seal, broken or not."""
    return db.execute(_GET).get is not None


def is_seal_broken(db: apsw.Connection) -> bool:
    """Whether the small tables are not what was sealed; False where there is no seal."""
    found: Any = db.execute(_GET).get
    return found is not None and found != _digest(db)


def _digest(db: apsw.Connection) -> bytes:
    whole = hashlib.sha256()
    for statement in _TABLES:
        whole.update(b"%d" % len(statement))
        for row in db.execute(statement):
            whole.update(_pack(row))
    return whole.digest()
