"""Whether the text index holds the words that the facts say: compared word by word, without order."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw

from core.model.manifest import TypeSpec
from core.store.care.verify import TRIES
from core.store.log.facts import SEQ_MAX
from core.store.migrate import migrate
from core.store.pace import Wait, rest
from core.store.schema import APPLICATION_ID, MIGRATIONS
from core.store.words.text import PUTS, WORDS, TextIndex, puts_of

FACTS_AT_ONCE = 1000

_REACHED = "SELECT value FROM meta WHERE name = 'indexed_seq'"
_STRAYS = """
    SELECT 1 FROM text_docsize
    WHERE id < 1 OR id > (SELECT coalesce(max(value), 0) FROM meta WHERE name = 'indexed_seq')
"""
_INSTANCES = "SELECT term, doc, col, offset FROM temp.words WHERE doc <= ?"
_SIZES = "SELECT id, sz FROM text_docsize WHERE id <= ?"


def text_differs(db: apsw.Connection, types: Mapping[str, TypeSpec], *, wait: Wait) -> bool:
    """Whether an index made anew, as far as this one reaches, would hold other words or hold them elsewhere.

    `db` may be writing to nothing but its own temporary tables. It takes one read of the whole index.
    """
    _make_words(db)
    if db.execute(_STRAYS).get is not None:
        return True
    for _ in range(TRIES):
        until = int(db.execute(_REACHED).get or 0)
        expected = _expected(db, types, until, wait)
        if expected == _sum(db, until):
            return False
        if until == int(db.execute(_REACHED).get or 0):
            break
    return True


def _make_words(db: apsw.Connection) -> None:
    was_closed = db.pragma("query_only")
    db.pragma("temp_store", "memory")
    db.pragma("query_only", False)
    db.execute(WORDS)
    db.pragma("query_only", was_closed)


def _expected(db: apsw.Connection, types: Mapping[str, TypeSpec], until: int, wait: Wait) -> int:
    """The sum over an index of the same facts, made in memory a piece at a time."""
    memory = apsw.Connection(":memory:")
    try:
        migrate(memory, Path(":memory:"), application_id=APPLICATION_ID, steps=MIGRATIONS)
        index = TextIndex(memory, types)
        memory.execute(WORDS)
        total, since = 0, 0
        while True:
            began = time.monotonic()
            rows: Any = db.execute(PUTS, (since, until, FACTS_AT_ONCE)).fetchall()
            with memory:
                index.add(list(puts_of(rows)), since=0, head=0)
            total += _sum(memory, SEQ_MAX)
            with memory:
                index.clear()
            if len(rows) < FACTS_AT_ONCE:
                return total
            since = rows[-1][0]
            rest(wait, since=began)
    finally:
        memory.close()


def _sum(db: apsw.Connection, until: int) -> int:
    """One number over every word at its place, and over the length of each text by which hits are ranked."""
    return sum(map(hash, db.execute(_INSTANCES, (until,)))) + sum(map(hash, db.execute(_SIZES, (until,))))
