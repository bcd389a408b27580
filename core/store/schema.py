"""The tables of store.db, and how a store of an earlier version becomes one of this version.

A released migration is never edited: the next change of the tables is a new entry at the end.
"""

from __future__ import annotations

from core.store.migrate import Step
from core.store.upgrade import number_the_types

APPLICATION_ID = 0x4C4B5231  # "LKR1": tells a Locker store from any other SQLite file.

_FIRST = """
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

_SECOND = """
-- One row: a type of record, which facts name by its number: smaller files, quicker comparisons.
CREATE TABLE type (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- One row: one immutable version of a record, or its tombstone (deleted = 1). None stands for what mostly holds:
-- transaction_time and known_at for recorded_at, origin_seq for seq, rev_order for known_at in whole milliseconds.
CREATE TABLE numbered (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id ANY NOT NULL UNIQUE,
    type INTEGER NOT NULL REFERENCES type (id),
    key TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    value TEXT NOT NULL,
    common TEXT,
    value_hash BLOB NOT NULL,
    causation ANY,
    transaction_time REAL,
    valid_time REAL,
    schema_version INTEGER NOT NULL,
    producer INTEGER REFERENCES producer (id),
    derivation TEXT,
    origin INTEGER NOT NULL REFERENCES origin (id),
    origin_seq INTEGER,
    known_at REAL,
    rev_generation INTEGER NOT NULL,
    rev_order INTEGER,
    recorded_at REAL NOT NULL,
    row_digest BLOB NOT NULL
) STRICT;
"""

_SECOND_FOLDS = """
ALTER TABLE numbered RENAME TO fact;
CREATE UNIQUE INDEX fact_of_origin ON fact (origin, origin_seq) WHERE origin_seq IS NOT NULL;

-- One row: one record, deleted ones too, and which of its facts counts. Rebuilt from fact at will.
CREATE TABLE current (
    type INTEGER NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    change_hash BLOB,
    at REAL NOT NULL,
    PRIMARY KEY (type, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX current_newest ON current (type, at, seq) WHERE deleted = 0;

-- One row: a fact that counts no more, and since when: in this store's order and in time. Rebuilt with current.
CREATE TABLE past (
    type INTEGER NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    at REAL NOT NULL,
    until_seq INTEGER NOT NULL,
    until_known REAL NOT NULL,
    PRIMARY KEY (type, key, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX past_newest ON past (type, at, seq) WHERE deleted = 0;

-- One row: a type, and how many of its records are not deleted. Rebuilt with current.
CREATE TABLE tally (
    type INTEGER NOT NULL PRIMARY KEY,
    live INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The words of every retained version, under its seq. Rebuilt with current. What a word is was decided before: the
-- tokenizer only cuts between them. Wider merges than SQLite's own: a first load is twice as fast by them.
CREATE VIRTUAL TABLE text USING fts5 (title, body, content = '', contentless_delete = 1, tokenize = 'ascii');
INSERT INTO text (text, rank) VALUES ('automerge', 16);
INSERT INTO text (text, rank) VALUES ('crisismerge', 32);

-- One row: a declared path of a type, and the index over it.
CREATE TABLE field_index (
    type INTEGER NOT NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    PRIMARY KEY (type, path)
) STRICT, WITHOUT ROWID;

-- One row: a point whose numbers over time are kept.
CREATE TABLE point (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- One row: a point's number at one moment.
CREATE TABLE sample (
    point INTEGER NOT NULL REFERENCES point (id),
    at REAL NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (point, at)
) STRICT, WITHOUT ROWID;

-- One row: a point's numbers within one minute, hour or day of `width` seconds. Rebuilt from sample at will.
CREATE TABLE rollup (
    point INTEGER NOT NULL REFERENCES point (id),
    width INTEGER NOT NULL,
    start REAL NOT NULL,
    least REAL NOT NULL,
    greatest REAL NOT NULL,
    total REAL NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (point, width, start)
) STRICT, WITHOUT ROWID;

-- One row: something left this store or came into it by other than the usual way: what, when, by whom.
CREATE TABLE receipt (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    verb TEXT NOT NULL,
    at REAL NOT NULL,
    actor TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT;

-- One row: the facts up to seq, and the chained digest over their rows.
CREATE TABLE checkpoint (
    seq INTEGER PRIMARY KEY,
    facts INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;

-- The whole of what was refused, as JSON, where it can be tried again.
ALTER TABLE quarantine ADD COLUMN value TEXT;
"""

_THIRD = """
-- The words of every retained version, under its seq, in a form that SQLite of 2022 opens too: a version's words are
-- taken out by saying them again. Left empty: the writer that opens the store next folds them, beside its other work.
DROP TABLE text;
CREATE VIRTUAL TABLE text USING fts5 (title, body, content = '', tokenize = 'ascii');
INSERT INTO text (text, rank) VALUES ('automerge', 16);
INSERT INTO text (text, rank) VALUES ('crisismerge', 32);
DELETE FROM meta WHERE name = 'indexed_seq';
"""

MIGRATIONS: tuple[Step, ...] = (_FIRST, number_the_types(_SECOND, _SECOND_FOLDS), _THIRD)
