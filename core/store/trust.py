"""What a store's schema may hold: another may have written the file, and code in it would run as ours."""

from __future__ import annotations

import re
from pathlib import Path

import apsw

from core.model.errors import FileDamaged

CURE = "Restore a backup of this store, or move the file away: the next sync brings what the source still has."

_TRIGGERS = "SELECT name FROM sqlite_schema WHERE type = 'trigger' LIMIT 1"
# Before any table is looked at more closely: to ask for the columns of a virtual table is to start its module.
_FOREIGN = """
    SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage IS NOT NULL AND rootpage = 0
        AND NOT (name = 'text' AND sql LIKE 'CREATE VIRTUAL TABLE text USING fts5%') LIMIT 1
"""
_COMPUTED = """
    SELECT s.name FROM sqlite_schema s JOIN pragma_table_xinfo(s.name) c
    WHERE s.type = 'table' AND s.rootpage > 0 AND c.hidden IN (2, 3) LIMIT 1
"""
_CODE = (
    "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('table', 'index') AND rootpage > 0 AND sql IS NOT NULL"
)
# A check runs at each row that is written, a default that is no plain value at each one that does not name its column.
# Behind the word a comment may hide the parenthesis.
_RUNS = re.compile(r"\bcheck\b|\bdefault\s*(?:\(|/\*|--)", re.IGNORECASE)
_FIELD_INDEX = re.compile(
    r"""CREATE INDEX "field_\d+_[0-9a-f]{12}" ON fact \((?:iif\(json_valid\(value\), )?"""
    r"""json_extract\(value, '(?:[^']|'')*'\)(?:, NULL\))?(?:, key)?\) WHERE type = \d+"""
)
_PATTERNS = re.compile(r"\b(like|glob|regexp|match)\b", re.IGNORECASE)


def refuse_computed(db: apsw.Connection, path: Path) -> None:
    """Raise FileDamaged where reading a table would run more than reading: a foreign module, a generated column."""
    _refuse(db, path, _FOREIGN, "a virtual table that is none of ours")
    _refuse(db, path, _COMPUTED, "a table with generated columns")


def refuse_active(db: apsw.Connection, path: Path) -> None:
    """Raise FileDamaged where writing would run what somebody put into the file: for a writer, before it writes."""
    _refuse(db, path, _TRIGGERS, "a trigger")
    refuse_computed(db, path)
    for kind, name, sql in db.execute(_CODE):
        if _RUNS.search(sql) if kind == "table" else _computes(sql):
            raise _damage(path, "a check, a default or an index over something computed", name)


def _computes(index: str) -> bool:
    """Whether an index calls a function that ours do not, or matches a pattern, which may take for ever."""
    return _FIELD_INDEX.fullmatch(index) is None and (index.count("(") > 1 or _PATTERNS.search(index) is not None)


def _refuse(db: apsw.Connection, path: Path, statement: str, what: str) -> None:
    name = db.execute(statement).get
    if name is not None:
        raise _damage(path, what, name)


def _damage(path: Path, what: str, name: object) -> FileDamaged:
    return FileDamaged(f"{path} holds {what}, which no Locker made: {str(name)!r:.80}", remedy=CURE)
