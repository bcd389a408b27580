"""Records by the moment they speak of: what stands between two moments, and what stands nearest to one."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from core.model.errors import FileDamaged
from core.model.fact import Record
from core.model.manifest import TypeSpec, spec_of
from core.store.log.current import record_of
from core.store.log.facts import SEQ_MAX
from core.store.log.receipts import OWN_TYPES
from core.store.moments import moment
from core.store.paths import value_at
from core.store.rows import BoundedRows, Row

BETWEEN_MAX = 1000
BYTES_MAX = 8 * 1024 * 1024
# Of so many records at either end of a type that declares no time, one must have one: else it has none.
LOOKED_AT = 100
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

_COLUMNS = "f.value, f.common, t.name, c.key, c.at, c.seq"
_FROM = """
    FROM type t CROSS JOIN current c ON c.type = t.id AND c.deleted = 0 CROSS JOIN fact f ON f.seq = c.seq
    WHERE t.name = ?1
"""
_BETWEEN = f"""
    SELECT {_COLUMNS} {_FROM} AND c.at >= ?2 AND (c.at, c.seq) < (?3, ?4) ORDER BY c.at DESC, c.seq DESC LIMIT ?5
"""
_BEFORE = f"SELECT {_COLUMNS} {_FROM} AND c.at < ?2 ORDER BY c.at DESC LIMIT 1"
_FROM_ON = f"SELECT {_COLUMNS} {_FROM} AND c.at >= ?2 ORDER BY c.at LIMIT 1"
# A record without a time stands at the moment it was recorded, which is mostly after those that have one.
_TIMES = f"""
    SELECT * FROM (SELECT f.valid_time {_FROM} ORDER BY c.at LIMIT {LOOKED_AT})
    UNION SELECT * FROM (SELECT f.valid_time {_FROM} ORDER BY c.at DESC LIMIT {LOOKED_AT})
"""
_TYPES = "SELECT t.name FROM tally CROSS JOIN type t ON t.id = tally.type WHERE live > 0 ORDER BY t.id"


class Almanac:
    """The records of one store that have a time of their own, by that time."""

    def __init__(self, rows: BoundedRows, types: Mapping[str, TypeSpec]) -> None:
        self._rows = rows
        self._types = types

    def types(self) -> list[str]:
        """The types whose records have a time of their own: by declaration, or as some of their records have."""
        names = [str(name) for (name,) in self._rows(_TYPES)]
        return [name for name in names if name not in OWN_TYPES and self._is_timed(name)]

    def between(
        self, type_name: str, start: float, end: float, *, limit: int, before_seq: int | None = None
    ) -> list[Record]:
        """The records of a type from `start` on and before `end`, the latest first, at most as many as `limit`.

        With `before_seq`, those at `end` itself that were recorded before it too. Where records are large, fewer come;
        only an empty answer means that there are no more.
        """
        seq = 0 if before_seq is None else min(before_seq, SEQ_MAX)
        return self._records(_BETWEEN, (type_name, start, end, seq, min(limit, BETWEEN_MAX)))

    def is_whole_day(self, record: Record) -> bool:
        """Whether the record speaks of a day and of no moment: its time is then the day's first moment in UTC."""
        path = spec_of(self._types, record.type).time
        said = record.common.get("at") if path is None else value_at(record.value, path)
        return isinstance(said, str) and _DAY.fullmatch(said.strip()) is not None and moment(said) == record.at

    def before(self, type_name: str, time: float) -> Record | None:
        """The last record of a type before `time`."""
        return next(iter(self._records(_BEFORE, (type_name, time))), None)

    def since(self, type_name: str, time: float) -> Record | None:
        """The first record of a type at `time` or after it."""
        return next(iter(self._records(_FROM_ON, (type_name, time))), None)

    def _is_timed(self, type_name: str) -> bool:
        if spec_of(self._types, type_name).time is not None:
            return True
        return any(said is not None for (said,) in self._rows(_TIMES, (type_name,)))

    def _records(self, statement: str, parameters: Row) -> list[Record]:
        rows = self._rows(statement, parameters, bytes_max=BYTES_MAX)
        try:
            return [record_of(row, spec_of(self._types, row[2])) for row in rows]
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as err:
            raise FileDamaged("a record cannot be read") from err
