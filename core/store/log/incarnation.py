"""In which epoch of its log a store makes facts: never one in which others of the same positions were made before."""

from __future__ import annotations

import apsw

from core.store.lock import Holder

_GET = "SELECT value FROM meta WHERE name = 'origin_epoch'"
_PUT = """
    INSERT INTO meta (name, value) VALUES ('origin_epoch', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_NEXT = "UPDATE meta SET value = value + 1 WHERE name = 'origin_epoch'"
_LATEST = "SELECT coalesce(max(epoch), 0) FROM origin"


def epoch_beside(given: int, last: Holder | None, *, is_new: bool) -> int:
    """The epoch of a store whose owner names the epoch `given`, by what `last`, who wrote beside it, had.

    `is_new`: there is no store there, so that whoever wrote took what was made with it.
    """
    if last is None:
        return given
    return max(given, last.origin_epoch) + is_new


def epoch_in(db: apsw.Connection, given: int) -> int:
    """The epoch of the store itself: `given`, unless it is in a later one."""
    return max(given, int(db.execute(_GET).get or 0))


def put_epoch(db: apsw.Connection, epoch: int) -> None:
    """Keep in which epoch facts are made, within the caller's transaction."""
    db.execute(_PUT, (epoch,))


def pass_on(db: apsw.Connection) -> None:
    """Let the copy of a store go on in the epoch after, within the caller's transaction."""
    db.execute(_NEXT)


def leave_behind(db: apsw.Connection, last: Holder | None) -> None:
    """Let a store that lost facts go on in an epoch that nobody had, within the caller's transaction."""
    put_epoch(db, max(epoch_in(db, 1), db.execute(_LATEST).get, 0 if last is None else last.origin_epoch) + 1)
