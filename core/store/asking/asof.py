"""The past as a store keeps it: which of a record's facts counted at a position, or at a time.

A fact that counts no more lies in `past` with the position and the time from which it did not. So at any moment a
record's state is its row in `current` where that fact was there already, else the one row of `past` that spans it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import msgspec

from core.model.errors import BadRequest, CursorTooOld
from core.store.asking.where import Parameters
from core.store.rows import Rows

_FLOORS = "SELECT name, value FROM meta WHERE name IN ('floor_seq', 'floors')"
LAST = "SELECT seq, recorded_at FROM fact ORDER BY seq DESC LIMIT 1"
_NUMBERED = "SELECT 1 FROM fact INDEXED BY fact_of_origin WHERE origin_seq IS NOT NULL LIMIT 1"
# Halves what is left to look at until one place is: some twenty steps, in one statement. Positions may be missing.
_UP_TO_TIME = """
    WITH RECURSIVE half (low, high) AS (
        SELECT 0, ?1
        UNION ALL
        SELECT iif(f.recorded_at > ?2, low, (low + high + 1) / 2), iif(f.recorded_at > ?2, f.seq - 1, high)
        FROM half LEFT JOIN fact f ON f.seq = (SELECT max(seq) FROM fact WHERE seq <= (low + high + 1) / 2)
        WHERE low < high
    )
    SELECT coalesce((SELECT max(seq) FROM fact WHERE seq <= low), 0) FROM half WHERE low >= high
"""


class AtSeq(msgspec.Struct, frozen=True):
    """What this store held when its log ended at `seq`."""

    seq: int


class AtTime(msgspec.Struct, frozen=True):
    """What was known at a time in epoch seconds: a fact that became known at that very time is in it."""

    time: float


AsOf = AtSeq | AtTime


def had(as_of: AsOf, row: str, parameters: Parameters) -> str:
    """The condition that the fact of a row with a `seq` was there already."""
    if isinstance(as_of, AtSeq):
        return f"{row}.seq <= {parameters.add(as_of.seq)}"
    known_at = f"(SELECT coalesce(k.known_at, k.recorded_at) FROM fact k WHERE k.seq = {row}.seq)"
    return f"{known_at} <= {parameters.add(float(as_of.time))}"


def spanned(as_of: AsOf, row: str, parameters: Parameters) -> str:
    """The condition that a row of `past` counted then."""
    if isinstance(as_of, AtSeq):
        return f"{row}.until_seq > {parameters.add(as_of.seq)} AND {had(as_of, row, parameters)}"
    return f"{row}.until_known > {parameters.add(float(as_of.time))} AND {had(as_of, row, parameters)}"


def settled(rows: Rows, as_of: AsOf | None, types: Collection[str] = ()) -> AsOf | None:
    """The moment where it is one of the past, None where it is the present: a position at or beyond the last one.

    A time becomes a position where both mean the same: recorded times never fall, and a store in which no fact has an
    `origin_seq` of its own holds none that was known elsewhere before it was recorded here.
    Raises CursorTooOld for one below the floor of what is asked about, these types or all; BadRequest for what is no
    moment.
    """
    if as_of is None:
        return None
    floor = floor_of(rows, types)
    if isinstance(as_of, AtTime):
        if not math.isfinite(as_of.time):
            raise BadRequest("a time to look back to is a finite number of seconds")
        if rows(_NUMBERED, ()):
            if floor:
                _check(seq_at(rows, as_of.time), floor)
            return as_of
        as_of = AtSeq(seq_at(rows, as_of.time))
    if as_of.seq < 0:
        raise BadRequest(f"{as_of.seq} is no position", remedy="Ask for a position from 0 on, or for a time.")
    if as_of.seq >= last_of(rows):
        return None
    _check(as_of.seq, floor)
    return as_of


def floor_of(rows: Rows, types: Collection[str] = ()) -> int:
    """The first position that the store can answer for, of these types or of all; 0 where it retained everything."""
    found: dict[str, Any] = dict(rows(_FLOORS, ()))
    floor = int(found.get("floor_seq", 0))
    if not types or "floors" not in found:
        return floor
    by_type = floors_in(found["floors"])
    return max(by_type.get(name, by_type.get("", 0)) for name in types)


def floors_in(text: str) -> dict[str, int]:
    """The floor of each type that has its own, and under an empty name that of the others."""
    return msgspec.json.decode(text, type=dict[str, int])


def seq_at(rows: Rows, time: float) -> int:
    """The last position that this store had recorded by `time`; 0 for none. Recorded times never fall."""
    found = rows(_UP_TO_TIME, (last_of(rows), time))
    return int(found[0][0]) if found else 0


def last_of(rows: Rows) -> int:
    """The position of the last fact; 0 where there is none."""
    found = rows(LAST, ())
    return int(found[0][0]) if found else 0


def _check(seq: int, floor: int) -> None:
    if seq < floor:
        raise CursorTooOld(f"nothing is retained from before position {floor}", floor=floor)
