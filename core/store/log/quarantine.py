"""Records that could not be stored: kept with their reason until a good version comes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NamedTuple

import apsw
import msgspec

from core.model.fact import JsonObject
from core.model.ids import KEY_BYTES_MAX
from core.store.log.facts import OF_TYPE_1
from core.store.log.prepare import REASON_LETTERS_MAX, SAMPLE_LETTERS_MAX, TYPE_BYTES_MAX, Refusal, key_shown
from core.store.log.refused import CHANGE, whole_again, with_head
from core.store.values import Quarantined, TakenIn

ROWS_MAX = 10_000

_COLUMNS = f"""
    position, type, key, code, reason, sample, first_seen, last_seen, times,
    ifnull(substr(value, 1, {len(CHANGE)}) = '{CHANGE}', 0)
"""
LIST = f"SELECT {_COLUMNS} FROM quarantine ORDER BY last_seen DESC, position DESC LIMIT ?"
_SHAPE: tuple[Any, ...] = (int, str, str, str, str, str, float, float, int, int)
_ONE = f"SELECT {_COLUMNS} FROM quarantine WHERE position = ?"
_TRYABLE = """
    SELECT position, type, value, last_seen FROM quarantine WHERE position > ?1
        AND (?2 IS NULL OR type IN (SELECT value FROM json_each(?2))) ORDER BY position LIMIT ?3
"""
_ANY = "SELECT EXISTS (SELECT 1 FROM quarantine)"
_COUNT = "SELECT count(*) FROM quarantine"
_WAITS = "SELECT EXISTS (SELECT 1 FROM quarantine WHERE type = ? AND key = ?)"
_PUT = """
    INSERT INTO quarantine (type, key, code, reason, sample, value, first_seen, last_seen, times)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)
    ON CONFLICT (type, key) DO UPDATE SET code = excluded.code, reason = excluded.reason, value = excluded.value,
        sample = excluded.sample, last_seen = excluded.last_seen, times = times + 1
"""
_AGAIN = "UPDATE quarantine SET code = ?, reason = ?, last_seen = ?, times = times + 1 WHERE position = ?"
_EXPLAIN = "UPDATE quarantine SET reason = ? WHERE position = ?"
_CLEAR = "DELETE FROM quarantine WHERE type = ? AND key IN (SELECT value FROM json_each(?))"
_LET_GO = "DELETE FROM quarantine WHERE position = ?"
_TRIM = "DELETE FROM quarantine WHERE position <= (SELECT max(position) FROM quarantine) - ?"
WHOLE = """
    SELECT value, sample, position, type, key, code, reason, first_seen, last_seen, times FROM quarantine
    WHERE position > ? ORDER BY position LIMIT ?
"""
_TAKE_IN = """
    INSERT INTO quarantine (type, key, code, reason, sample, value, first_seen, last_seen, times)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# Whether the record has a version that was known later, or is deleted: erased, perhaps.
_HAS_GONE_ON = f"""
    SELECT c.deleted OR ifnull(f.known_at, f.recorded_at) > ?3 FROM current c JOIN fact f ON f.seq = c.seq
    WHERE c.type = {OF_TYPE_1} AND c.key = ?2
"""


class Tryable(NamedTuple):
    """A record as it waits to be tried again, with what is kept of it."""

    position: int
    type: str
    value: str | None
    last_seen: float


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A record in quarantine as it goes from store to store; `refused` is what is kept of it, None where nothing is."""

    type: Annotated[str, msgspec.Meta(max_length=TYPE_BYTES_MAX)]
    key: Annotated[str, msgspec.Meta(max_length=KEY_BYTES_MAX)]
    code: Annotated[str, msgspec.Meta(max_length=64)]
    reason: Annotated[str, msgspec.Meta(max_length=REASON_LETTERS_MAX)]
    sample: Annotated[str, msgspec.Meta(max_length=SAMPLE_LETTERS_MAX)]
    first_seen: float
    last_seen: float
    times: Annotated[int, msgspec.Meta(ge=1, lt=2**62)]
    refused: JsonObject | None = None

    def is_of_its_record(self) -> bool:
        """Whether what is kept is a change of the very record under whose name it waits, or no change at all."""
        change = (self.refused or {}).get("change", {})
        if not isinstance(change, dict):
            return False
        return not change or (change.get("type", self.type), key_shown(change.get("key", ""))) == (self.type, self.key)


class Quarantine:
    """The writer's side: knows whether anything is in quarantine, so that mostly good records cost no look-up."""

    def __init__(self, db: apsw.Connection, *, rows_max: int = ROWS_MAX) -> None:
        self._db = db
        self._rows_max = rows_max
        self._holds = bool(db.execute(_ANY).get)

    def put(self, refused: list[Refusal], *, now: float, head: int) -> None:
        """Keep what was refused when the log ended at `head`; above the bound the longest kept are dropped."""
        for bad in refused:
            whole = with_head(bad.whole, head)
            self._db.execute(_PUT, (bad.type, bad.key, bad.code, bad.reason, bad.sample, whole, now, now))
        if refused:
            self._db.execute(_TRIM, (self._rows_max,))
            self._holds = True

    def take_in(self, waiting: Iterable[Waiting], *, now: float) -> TakenIn:
        """Keep what waits in another store too, as far as there is room; how many came, and how many had none.

        Left out is what waits here under the same name, and whose record has gone on since or is deleted here. What
        comes was refused in another log, and so before any fact of this one.
        """
        came = no_room = 0
        here = int(self._db.execute(_COUNT).get)
        for one in waiting:
            name = (one.type, one.key)
            first_seen, last_seen = min(one.first_seen, now), min(one.last_seen, now)
            if self._db.execute(_WAITS, name).get or self._db.execute(_HAS_GONE_ON, (*name, last_seen)).get:
                continue
            if here + came >= self._rows_max:
                no_room += 1
                continue
            said = (one.code, one.reason, one.sample, with_head(whole_again(one.refused), 0))
            self._db.execute(_TAKE_IN, (*name, *said, first_seen, last_seen, one.times))
            self._holds = True
            came += 1
        return TakenIn(set_aside=came, no_room=no_room)

    def clear(self, good: Iterable[tuple[str, str]]) -> None:
        """Let go of those records of which a good version came."""
        if not self._holds:
            return
        keys: dict[str, list[str]] = {}
        for type_name, key in good:
            keys.setdefault(type_name, []).append(key)
        for type_name, its in keys.items():
            self._db.execute(_CLEAR, (type_name, msgspec.json.encode(its).decode()))
            if self._db.changes():
                self._holds = bool(self._db.execute(_ANY).get)

    def tryable(self, types: Sequence[str] | None, *, limit: int, after: int) -> list[Tryable]:
        """Records of these types, or of all, after a position."""
        wanted = None if types is None else msgspec.json.encode(list(types)).decode()
        return [Tryable(*row) for row in self._db.execute(_TRYABLE, (after, wanted, limit))]

    def refuse_again(self, position: int, code: str, reason: str, *, now: float) -> None:
        """Note that it came again, with what is wrong with it now."""
        self._db.execute(_AGAIN, (code, reason[:REASON_LETTERS_MAX], now, position))

    def explain(self, position: int, reason: str) -> None:
        """Say why it stays; it has not come again."""
        self._db.execute(_EXPLAIN, (reason[:REASON_LETTERS_MAX], position))

    def let_go(self, position: int) -> None:
        """Forget it: it is stored."""
        self._db.execute(_LET_GO, (position,))
        self._holds = bool(self._db.execute(_ANY).get)

    def drop(self, position: int) -> Quarantined | None:
        """Forget it unstored; what it was, None where there is none."""
        found = self._db.execute(_ONE, (position,)).fetchone()
        if found is None:
            return None
        self.let_go(position)
        return quarantined_of(found)


def quarantined_of(row: tuple[Any, ...]) -> Quarantined:
    """The refusal in a row of `LIST`; raises ValueError for one that no store of ours wrote."""
    if not all(map(isinstance, row, _SHAPE)):
        raise ValueError("a quarantined record's column has a type it cannot have")
    return Quarantined(
        position=row[0],
        type=row[1],
        key=row[2],
        code=row[3],
        reason=row[4],
        sample=row[5],
        first_seen=row[6],
        last_seen=row[7],
        times=row[8],
        can_retry=bool(row[9]),
    )


def waiting_of(row: tuple[Any, ...]) -> Waiting:
    """The record in a row of `WHOLE`; raises what msgspec raises for one that no store of ours wrote."""
    kept, sample, _, type_name, key, code, reason, first_seen, last_seen, times = row
    return msgspec.convert(
        {
            "type": type_name,
            "key": key,
            "code": code,
            "reason": reason,
            "sample": sample,
            "first_seen": first_seen,
            "last_seen": last_seen,
            "times": times,
            "refused": None if kept is None else msgspec.json.decode(kept, type=JsonObject),
        },
        Waiting,
    )
