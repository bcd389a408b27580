"""What changed between two moments: of each record that is not the same at both, what became of it.

The facts that came in between are walked in the log's order. A record is told where the fact stands that it ended
with, so each comes once, whatever its detours; one that ended as it began, or came and went, is not told.
"""

from __future__ import annotations

from time import monotonic
from typing import Literal

import msgspec

from core.store.asking.asof import AsOf, AtSeq, had, last_of, settled, spanned
from core.store.asking.where import Parameters
from core.store.pages import place_of, word_of
from core.store.rows import Row, Rows

# How many facts of the log are looked at for one page, and at once; and how long it goes on.
FACTS_MAX = 100_000
SLICE = 1_000
PAGE_S_MAX = 0.25

_ACTIONS: dict[tuple[int, bool], Literal["new", "update", "delete"]] = {
    (0, False): "new",
    (0, True): "update",
    (1, True): "delete",
}
_BETWEEN = """
    SELECT t.name, f.key, f.deleted, f.seq, f.recorded_at, iif(b.deleted = 0, b.seq, NULL)
    FROM fact f CROSS JOIN type t ON t.id = f.type
    LEFT JOIN current c ON c.type = f.type AND c.key = f.key AND c.seq = f.seq
    LEFT JOIN past p ON p.type = f.type AND p.key = f.key AND p.seq = f.seq
    LEFT JOIN past b ON b.type = f.type AND b.key = f.key AND {began}
    LEFT JOIN fact g ON g.seq = b.seq
    WHERE f.seq > {low} AND f.seq <= {high} AND NOT ({was_there}) AND {came} AND {of_type}
    AND (c.seq IS NOT NULL OR ({ended}))
    AND (f.deleted = 0 OR b.deleted = 0)
    AND NOT (f.deleted = 0 AND b.deleted IS 0 AND f.value_hash IS g.value_hash AND f.common IS g.common)
    ORDER BY f.seq LIMIT {limit}
"""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is not as it was: `seq` names the fact it ended with, `before` the one it began with, if any."""

    type: str
    key: str
    action: Literal["new", "update", "delete"]
    seq: int
    before: int | None
    recorded_at: float


class ChangePage(msgspec.Struct, frozen=True, kw_only=True):
    """Changes in the log's order; `next` is the `after` of the following page, None at the end.

    A page may hold fewer changes than its limit, or none, where much came to nothing.
    """

    changes: list[Changed]
    next: str | None


class _Place(msgspec.Struct, frozen=True, array_like=True, tag="changes"):
    """How far the facts are looked at, and where the log ended when the first page was asked for."""

    seq: int
    last: int


def between(
    rows: Rows, start: AsOf | None, end: AsOf | None, *, limit: int, after: str | None, only: str | None = None
) -> ChangePage:
    """What changed after `start` (None: the beginning) up to and with `end` (None: the present), of one type or all.

    Raises CursorTooOld where one of them lies below the retained floor.
    """
    place = _Place(0, last_of(rows)) if after is None else place_of(after, _Place)
    asked = () if only is None else (only,)
    began = settled(rows, AtSeq(0) if start is None else start, asked)
    ended = settled(rows, end, asked) or AtSeq(place.last)
    if began is None:
        return ChangePage(changes=[], next=None)
    low = max(place.seq, began.seq if isinstance(began, AtSeq) and isinstance(ended, AtSeq) else 0)
    last = min(place.last, ended.seq) if isinstance(ended, AtSeq) else place.last
    changes: list[Changed] = []
    looked_at, until = 0, monotonic() + PAGE_S_MAX
    while low < last:
        high = min(low + SLICE, last)
        parameters = Parameters()
        statement = _BETWEEN.format(
            began=spanned(began, "b", parameters),
            was_there=had(began, "f", parameters),
            came=had(ended, "f", parameters),
            ended=spanned(ended, "p", parameters),
            of_type="1" if only is None else f"t.name = {parameters.add(only)}",
            low=parameters.add(low),
            high=parameters.add(high),
            limit=parameters.add(limit + 1 - len(changes)),
        )
        changes += map(_changed, rows(statement, parameters.values))
        if len(changes) > limit:
            return ChangePage(changes=changes[:limit], next=word_of(_Place(changes[limit - 1].seq, place.last)))
        low, looked_at = high, looked_at + SLICE
        if looked_at >= FACTS_MAX or monotonic() > until:
            break
    return ChangePage(changes=changes, next=word_of(_Place(low, place.last)) if low < last else None)


def _changed(row: Row) -> Changed:
    type_name, key, deleted, seq, recorded_at, before = row
    action = _ACTIONS[deleted, before is not None]
    return Changed(type=type_name, key=key, action=action, seq=seq, before=before, recorded_at=recorded_at)
