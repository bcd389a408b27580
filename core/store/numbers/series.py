"""Numbers over time: what a point showed at its moments, and the rollups of that by minute, hour and day."""

from __future__ import annotations

from math import inf, isnan
from typing import Literal, TypeVar

import msgspec

from core.model.errors import BadRequest, FileDamaged
from core.store.numbers.days import DAY_S, HOUR_S, MINUTE_S
from core.store.numbers.rollups import ROLLUPS, SAMPLES
from core.store.numbers.samples import TIMEZONE, UTC
from core.store.rows import Row, Rows

READ_MAX = 10_000

Width = Literal["minute", "hour", "day"]
WIDTHS: dict[str, int] = {"minute": MINUTE_S, "hour": HOUR_S, "day": DAY_S}

_NAMES = "SELECT name FROM point WHERE name > ? ORDER BY name LIMIT ?"
_LAST = """
    SELECT at, value FROM sample WHERE point = (SELECT id FROM point WHERE name = ?1) AND at <= ?2
    ORDER BY at DESC LIMIT 1
"""

T = TypeVar("T")


class Moment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A number and its moment."""

    at: float
    value: float


class Rollup(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The numbers of one minute, hour or day, which begins at `start`."""

    start: float
    least: float
    greatest: float
    total: float
    count: int

    @property
    def average(self) -> float:
        """Their mean."""
        return self.total / self.count


class Moments(msgspec.Struct, frozen=True):
    """Numbers in order of time; `next` is the `since` of the following page, None at the end."""

    moments: list[Moment]
    next: float | None


class RollupPage(msgspec.Struct, frozen=True):
    """Rollups in order of time; `next` is the `since` of the following page, None at the end."""

    rollups: list[Rollup]
    next: float | None


class Series:
    """What can be asked of the numbers of a store; ranges are from `since` on, up to and without `until`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def points(self, *, limit: int, after: str = "") -> list[str]:
        """The names of points that have numbers, or had, after that name."""
        return [str(name) for (name,) in self._rows(_NAMES, (after, _bounded(limit)))]

    def samples(self, point: str, *, limit: int, since: float = -inf, until: float = inf) -> Moments:
        """A page of what the point showed."""
        found, more = self._page(list[Moment], _of_name(SAMPLES), (point, since, until), limit)
        return Moments(found, more)

    def rollups(self, point: str, *, by: Width, limit: int, since: float = -inf, until: float = inf) -> RollupPage:
        """A page of the point's minutes, hours or days that begin in the range; those without numbers are left out."""
        if by not in WIDTHS:
            raise BadRequest(f"{by!r:.40} is no width", remedy=f"Ask by {', '.join(WIDTHS)}.")
        found, more = self._page(list[Rollup], _of_name(ROLLUPS), (point, WIDTHS[by], since, until), limit)
        return RollupPage(found, more)

    def last(self, point: str, *, at: float = inf) -> Moment | None:
        """What the point showed last at that moment or before it."""
        found = self._read(list[Moment], self._rows(_LAST, (point, moment_of(at))))
        return found[0] if found else None

    def timezone(self) -> str:
        """The zone whose hours and days the rollups are."""
        found = self._rows(TIMEZONE, ())
        return str(found[0][0]) if found else UTC

    def _page(self, form: type[list[T]], statement: str, parameters: Row, limit: int) -> tuple[list[T], float | None]:
        *of, since, until = parameters
        rows = self._rows(statement, (*of, moment_of(since), moment_of(until), _bounded(limit) + 1))
        return self._read(form, rows[:limit]), rows[limit][0] if len(rows) > limit else None

    def _read(self, form: type[list[T]], rows: list[Row]) -> list[T]:
        try:
            return msgspec.convert(rows, form)
        except msgspec.ValidationError as err:
            raise FileDamaged("a number of the series cannot be read") from err


def _of_name(statement: str) -> str:
    """A statement that asks by the point's number, asking by its name."""
    return statement.replace("point = ?", "point = (SELECT id FROM point WHERE name = ?)")


def moment_of(at: float) -> float:
    """The moment, the infinite ones included; raises BadRequest for what is none."""
    if isinstance(at, bool) or not isinstance(at, int | float) or isnan(at):
        raise BadRequest("a moment is a number of epoch seconds")
    return float(at)


def _bounded(limit: int) -> int:
    if not 1 <= limit <= READ_MAX:
        raise BadRequest(f"limit is {limit}", remedy=f"Ask for 1 to {READ_MAX}.")
    return limit
