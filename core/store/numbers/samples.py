"""Numbers over time as a transaction writes them: what each point showed, with its rollups beside."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import apsw
import msgspec

from core.model.errors import BadRecord, BadRequest
from core.model.fact import JsonObject
from core.model.ids import KEY_BYTES_MAX
from core.store.log.prepare import Refusal, is_name, refusal
from core.store.log.receipts import put_receipt
from core.store.numbers.days import DAY_S, MOMENT_MAX, Days, rules_of
from core.store.numbers.rollups import SAMPLES, Rollups

SAMPLES_MAX = 2000
DELETE_MAX = 50_000
SAMPLE_TYPE = "__locker_sample"
VALUE_MAX = 1e300  # Beyond it the sum of many would be no number any more.

UTC = "UTC"

TIMEZONE = "SELECT value FROM meta WHERE name = 'timezone'"
_POINTS_KNOWN_MAX = 10_000
_ID = "SELECT id FROM point WHERE name = ?"
_NEW_POINT = "INSERT INTO point (name) VALUES (?)"
_NEWEST = "SELECT max(at) FROM sample WHERE point = ?"
_PUT = """
    INSERT INTO sample (point, at, value) VALUES (?, ?, ?)
    ON CONFLICT (point, at) DO UPDATE SET value = excluded.value
"""
_DELETE = "DELETE FROM sample WHERE point = ? AND at >= ? AND at <= ?"
_COUNT = f"SELECT coalesce(sum(count), 0) FROM rollup WHERE point = ? AND width = {DAY_S}"
_RULES = "SELECT value FROM meta WHERE name = 'timezone_rules'"
_SET_META = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_REASON = "a sample needs the name of a point, a moment in epoch seconds and a finite number"

Prepared = dict[str, dict[float, float]]


class Sample(NamedTuple):
    """What a point showed at one moment, in epoch seconds."""

    point: str
    at: float
    value: float


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """What became of samples: how many are kept, and how many are in quarantine."""

    kept: int
    quarantined: int


class Recording(msgspec.Struct, frozen=True):
    """What goes in together: numbers by point and moment, and what was refused."""

    prepared: Prepared
    refused: list[Refusal]


class Samples:
    """The writer's side, within the caller's transaction; `timezone` None stands for the one it was folded by."""

    def __init__(self, db: apsw.Connection, *, timezone: str | None) -> None:
        self._db = db
        self._timezone: str = timezone or db.execute(TIMEZONE).get or UTC
        self._rollups = Rollups(db, Days(self._timezone))
        self._rules = rules_of(self._timezone)
        self._known: dict[str, int] = {}

    @property
    def is_folded(self) -> bool:
        """Whether hours and days are those of today's zone and its rules."""
        return (self._db.execute(TIMEZONE).get, self._db.execute(_RULES).get) == (self._timezone, self._rules)

    def settle(self) -> None:
        """Fold hours and days by today's zone."""
        for point in self._rollups.points():
            self._rollups.refold_days(point)
        self._note_zone()

    def rebuild(self) -> None:
        """Fold every number again."""
        for point in self._rollups.points():
            self._rollups.refold(point)
        self._note_zone()

    def put(self, prepared: Prepared) -> int:
        """Keep numbers, the later written for one that is there already; how many came."""
        for name, fresh in prepared.items():
            point = self._number_of(name)
            newest: float | None = self._db.execute(_NEWEST, (point,)).get
            samples = sorted(fresh.items())
            self._db.executemany(_PUT, [(point, at, value) for at, value in samples])
            self._rollups.add(point, samples, newest=-math.inf if newest is None else newest)
        return sum(map(len, prepared.values()))

    def delete(self, name: str, *, since: float, until: float, now: float, actor: str) -> tuple[int, float | None]:
        """Delete the first 50 000 numbers of the range and leave a receipt; how many, and where the rest begins."""
        point = self._db.execute(_ID, (name,)).get
        if point is None:
            return 0, None
        rows: list[Any] = self._db.execute(SAMPLES, (point, since, until, DELETE_MAX + 1)).fetchall()
        gone, rest = rows[:DELETE_MAX], rows[DELETE_MAX:]
        if not gone:
            return 0, None
        first, last = gone[0][0], gone[-1][0]
        self._db.execute(_DELETE, (point, first, last))
        self._rollups.refold(point, first, last)
        document: JsonObject = {
            "point": name,
            "since": since,
            "until": until,
            "first": first,
            "last": last,
            "count": len(gone),
            "digest": _digest(gone),
            "stays": self._db.execute(_COUNT, (point,)).get,
        }
        put_receipt(self._db, "delete_samples", actor=actor, at=now, document=document)
        return len(gone), rest[0][0] if rest else None

    def _note_zone(self) -> None:
        self._db.executemany(_SET_META, [("timezone", self._timezone), ("timezone_rules", self._rules)])

    def _number_of(self, name: str) -> int:
        number = self._known.get(name)
        if number is None:
            number = self._db.execute(_ID, (name,)).get
            if number is None:
                self._db.execute(_NEW_POINT, (name,))
                number = self._db.last_insert_rowid()
            if len(self._known) >= _POINTS_KNOWN_MAX:
                self._known.clear()
            self._known[name] = number
        return number


def prepare_samples(samples: Sequence[Sample | tuple[str, float, float]]) -> Recording:
    """The numbers that can be kept, and the refusal of each point that sent others."""
    if len(samples) > SAMPLES_MAX:
        raise BadRequest(f"{len(samples)} samples at once, allowed are {SAMPLES_MAX}", remedy="Send smaller batches.")
    good: Prepared = {}
    bad: dict[str, Refusal] = {}
    for point, at, value in samples:
        try:
            moments = good.get(point) or good.setdefault(_name(point), {})
            if type(at) is float is type(value) and abs(at) <= MOMENT_MAX and abs(value) <= VALUE_MAX:
                moments[at + 0.0] = value + 0.0  # -0.0 becomes the zero that it is read back as.
            else:
                moments[_number(at, MOMENT_MAX)] = _number(value, VALUE_MAX)
        except (BadRecord, TypeError, ValueError, OverflowError):
            refused = refusal(SAMPLE_TYPE, point, BadRecord(_REASON), {"at": at, "value": value})
            bad[refused.key] = refused
    return Recording({point: moments for point, moments in good.items() if moments}, list(bad.values()))


def _name(point: object) -> str:
    if not is_name(point, KEY_BYTES_MAX):
        raise BadRecord(_REASON)
    return str(point)


def _number(number: object, most: float) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= most:
        raise BadRecord(_REASON)
    return float(number) + 0.0


def _digest(samples: Iterable[tuple[float, float]]) -> str:
    """SHA-256 over each moment and number as doubles, most significant byte first."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(struct.pack(">dd", *sample))
    return digest.hexdigest()
