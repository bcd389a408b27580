"""The tables of store.db, and how a store of an earlier version becomes one of this version.

A released migration is never edited: the next change of the tables is a new entry at the end.
"""

from __future__ import annotations

APPLICATION_ID = 0x4C4B5231  # "LKR1": tells a Locker store from any other SQLite file.

_TABLES = """
-- One row: a named fact about this store as a whole.
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: a log that facts here were made in, and its incarnation.
CREATE TABLE origin (
    id INTEGER PRIMARY KEY,
    log TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    UNIQUE (log, epoch)
) STRICT;

-- One row: who made facts, as the JSON document they share.
CREATE TABLE producer (
    id INTEGER PRIMARY KEY,
    document TEXT NOT NULL UNIQUE
) STRICT;

-- One row: one immutable version of a record, or its tombstone.
CREATE TABLE fact (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id ANY NOT NULL UNIQUE,
    type TEXT NOT NULL,
    key TEXT NOT NULL,
    action TEXT NOT NULL,
    value TEXT NOT NULL,
    common TEXT,
    value_hash BLOB NOT NULL,
    causation ANY,
    transaction_time REAL NOT NULL,
    valid_time REAL,
    schema_version INTEGER NOT NULL,
    producer INTEGER REFERENCES producer (id),
    derivation TEXT,
    origin INTEGER NOT NULL REFERENCES origin (id),
    origin_seq INTEGER NOT NULL,
    known_at REAL NOT NULL,
    rev_generation INTEGER NOT NULL,
    rev_order INTEGER NOT NULL,
    recorded_at REAL NOT NULL,
    UNIQUE (origin, origin_seq)
) STRICT;
CREATE INDEX fact_of_record ON fact (type, key);

-- One row: one record, deleted ones too, and which of its facts counts. Rebuilt from fact at will.
CREATE TABLE current (
    type TEXT NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    change_hash BLOB,
    at REAL NOT NULL,
    PRIMARY KEY (type, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX current_newest ON current (type, at, seq) WHERE deleted = 0;

-- One row: a type, and how many of its records are not deleted. Rebuilt with current.
CREATE TABLE tally (
    type TEXT NOT NULL PRIMARY KEY,
    live INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: where a stream resumes, as JSON.
CREATE TABLE cursor (
    stream TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    changed_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: one execution of a stream.
CREATE TABLE run (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    stream TEXT NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL NOT NULL,
    status TEXT NOT NULL,
    new INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    same INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    problem TEXT
) STRICT;
CREATE INDEX run_of_stream ON run (stream, position);

-- One row: a record that could not be stored, as it last came.
CREATE TABLE quarantine (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    key TEXT NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    sample TEXT NOT NULL,
    first_seen REAL NOT NULL,
    last_seen REAL NOT NULL,
    times INTEGER NOT NULL,
    UNIQUE (type, key)
) STRICT;
"""

MIGRATIONS: tuple[str, ...] = (_TABLES,)
