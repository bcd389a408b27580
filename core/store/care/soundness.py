"""Whether a database that was not closed properly is sound: its pages, its last facts, and the folds over them."""

from __future__ import annotations

import apsw
import msgspec

from core.store.care import checkpoint
from core.store.care.checkpoint import ORIGIN, mark_of, segment_of
from core.store.care.verify import LAST_SEQ, fetch, is_good, readable
from core.store.log import facts

_META = "SELECT value FROM meta WHERE name = ?"
UNFOLDED = "SELECT (SELECT count(*) FROM fact) - (SELECT count(*) FROM current) - (SELECT count(*) FROM past)"
TALLIES = """
    SELECT count(*) FROM (SELECT type, sum(deleted = 0) AS live FROM current GROUP BY type) c
    FULL JOIN tally t ON t.type = c.type WHERE t.live IS NOT c.live
"""
_STRANGE = """
    SELECT count(*) FROM current c LEFT JOIN fact f
        ON f.seq = c.seq AND f.type = c.type AND f.key = c.key AND f.deleted = c.deleted
    WHERE f.seq IS NULL
"""
_FIRST_WITH_DIGESTS = 2


class Soundness(msgspec.Struct, frozen=True, kw_only=True):
    """How far the log goes, the database's faults, rows that are not what was written, and whether folds differ."""

    head: int = 0
    faults: tuple[str, ...] = ()
    bad: tuple[int, ...] = ()
    folds_differ: bool = False


def soundness(db: apsw.Connection, *, is_thorough: bool = False) -> Soundness:
    """Judge the database behind `db`, which nobody writes; an unreadable one has faults, and is no error.

    `is_thorough`: every entry of every index is looked up too.
    """
    try:
        head = head_of(db)
        check = "PRAGMA integrity_check(5)" if is_thorough else "PRAGMA quick_check(5)"
        faults = [f"pages: {line[:80]}" for (line,) in db.execute(check) if line != "ok"]
        if db.pragma("user_version") < _FIRST_WITH_DIGESTS:
            return Soundness(head=head, faults=tuple(faults))
        last = db.execute(LAST_SEQ).get or 0
        if last != head:
            faults.append(f"head: the log ends at {last}, not at {head}")
        if not 0 <= int(db.execute(_META, ("floor_seq",)).get or 0) <= head + 1:
            faults.append("floor: it lies beyond the log's end")
        bad, missing = _end_of_log(db, head)
        if missing:
            faults.append(missing)
        return Soundness(head=head, faults=tuple(faults), bad=tuple(bad), folds_differ=_folds_differ(db, head))
    except (apsw.Error, ValueError, TypeError) as err:
        return Soundness(faults=(f"unreadable: {type(err).__name__}",))


def head_of(db: apsw.Connection) -> int:
    """The last position of the log; 0 for a database without one."""
    if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'fact'").get is None:
        return 0
    return int(db.execute(facts.HEAD).get or 0)


def _end_of_log(db: apsw.Connection, head: int) -> tuple[list[int], str]:
    """The rows since the mark before the last one: those that are bad, and what the marks say of the others."""
    last = next((mark_of(row) for row in db.execute(checkpoint.LAST)), ORIGIN)
    before = next((mark_of(row) for row in db.execute(checkpoint.BEFORE, (last.seq,))), ORIGIN)
    bad: list[int] = []
    covered: list[bytes] = []
    for row in readable(fetch(db), before.seq, max(head, last.seq)):
        if isinstance(row, int):
            bad.append(row)
        elif not is_good(row):
            bad.append(row[0])
        elif row[0] <= last.seq:
            covered.append(row[-1])
    if last is ORIGIN or any(seq <= last.seq for seq in bad):
        return bad, ""
    holds = last.seq <= head and last.holds_after(before) and segment_of(covered) == last.segment
    return bad, "" if holds else f"log: the facts up to {last.seq} are not those that were there"


def _folds_differ(db: apsw.Connection, head: int) -> bool:
    """Whether the folds miss a fact, or name one that is not there. Only a rebuild would find every difference."""
    if db.execute(UNFOLDED).get or db.execute(TALLIES).get:
        return True
    if int(db.execute(_META, ("indexed_seq",)).get or 0) > head:
        return True
    return bool(db.execute(_STRANGE).get)
