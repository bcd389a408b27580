"""Least, greatest, total and count of a point's numbers by minute, hour and day, kept beside every change of them.

A minute is folded from its samples, an hour from its minutes, a day from its hours, each sum rounded once. So it does
not matter in which order numbers came: what is kept equals what folding everything again gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from math import fsum, inf
from typing import Any, NamedTuple

import apsw

from core.store.numbers.days import DAY_S, HOUR_S, MINUTE_S, MOMENT_MAX, Days, Span, minute_of

SLICE_ROWS = 5000

SAMPLES = "SELECT at, value FROM sample WHERE point = ? AND at >= ? AND at < ? ORDER BY at LIMIT ?"
_COLUMNS = "start, least, greatest, total, count"
ROLLUPS = (
    f"SELECT {_COLUMNS} FROM rollup WHERE point = ? AND width = ? AND start >= ? AND start < ? ORDER BY start LIMIT ?"
)
_PUT = (
    f"INSERT INTO rollup (point, width, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
    + """
    ON CONFLICT (point, width, start) DO UPDATE SET least = excluded.least, greatest = excluded.greatest,
        total = excluded.total, count = excluded.count
"""
)
_DROP = "DELETE FROM rollup WHERE point = ? AND width = ? AND start >= ? AND start < ?"
_POINTS = "SELECT id FROM point"

Sample = tuple[float, float]


class Fold(NamedTuple):
    """The numbers of one span, which begins at `start`."""

    start: float
    least: float
    greatest: float
    total: float
    number: int


class Rollups:
    """The writer's side, within the caller's transaction."""

    def __init__(self, db: apsw.Connection, days: Days) -> None:
        self._db = db
        # What each width is folded from: the span of a moment, and the next smaller width.
        self._levels: tuple[tuple[int, Callable[[float], Span]], ...] = ((HOUR_S, days.hour), (DAY_S, days.day))

    def add(self, point: int, samples: Sequence[Sample], *, newest: float) -> None:
        """Fold what came: samples in order of time, written already; `newest` is the last moment known before."""
        folds = list(self._minutes(point, samples, newest))
        self._put(point, MINUTE_S, folds)
        smaller = MINUTE_S
        for width, span_of in self._levels:
            folds = [self._larger(point, smaller, span, list(part), newest) for span, part in _by_span(folds, span_of)]
            self._put(point, width, folds)
            smaller = width

    def refold(self, point: int, since: float = -MOMENT_MAX, until: float = MOMENT_MAX) -> None:
        """Fold again whatever a change of the samples from `since` up to `until` can have touched."""
        span = Span(minute_of(since).start, minute_of(until).end)
        self._db.execute(_DROP, (point, MINUTE_S, *span))
        for start, part in groupby(self._slices(SAMPLES, (point,), span), key=_minute_start):
            self._put(point, MINUTE_S, [_folded(start, [sample[1] for sample in part])])
        self.refold_days(point, span)

    def refold_days(self, point: int, span: Span | None = None) -> None:
        """Fold again the hours and days that the span touches, or all of them, from the minutes as they are."""
        smaller = MINUTE_S
        for width, span_of in self._levels:
            touched = Span(-int(MOMENT_MAX), int(MOMENT_MAX))
            if span is not None:
                touched = Span(span_of(max(span.start, touched.start)).start, span_of(min(span.end, touched.end)).end)
            self._db.execute(_DROP, (point, width, *touched))
            parts = (Fold(*row) for row in self._slices(ROLLUPS, (point, smaller), touched))
            for larger, part in _by_span(parts, span_of):
                self._put(point, width, [_merged(larger.start, list(part))])
            smaller = width

    def points(self) -> list[int]:
        """The numbers of all points."""
        return [number for (number,) in self._db.execute(_POINTS)]

    def _minutes(self, point: int, samples: Sequence[Sample], newest: float) -> Iterator[Fold]:
        """The minutes that the samples touch, of everything that is known of them."""
        known: list[int] = []
        for start, part in groupby(samples, key=_minute_start):
            if start <= newest:
                known.append(start)
            else:
                yield from self._known_minutes(point, known)
                known = []
                yield _folded(start, [value for _, value in part])
        yield from self._known_minutes(point, known)

    def _known_minutes(self, point: int, starts: Sequence[int]) -> Iterator[Fold]:
        """Minutes that held samples before, neighbours read together."""
        for span in _runs(starts):
            for start, part in groupby(self._slices(SAMPLES, (point,), span), key=_minute_start):
                yield _folded(start, [sample[1] for sample in part])

    def _larger(self, point: int, smaller: int, span: Span, touched: list[Fold], newest: float) -> Fold:
        """A span of the next width: from the touched ones alone where nothing else can be in it."""
        if span.start > newest:
            return _merged(span.start, touched)
        return _merged(span.start, [Fold(*row) for row in self._slices(ROLLUPS, (point, smaller), span)])

    def _slices(self, statement: str, of: tuple[int, ...], span: Span) -> Iterator[Any]:
        """The rows within the span, a slice at a time: others may be written while they are walked through."""
        since: float = span.start
        while True:
            rows: list[Any] = self._db.execute(statement, (*of, since, span.end, SLICE_ROWS + 1)).fetchall()
            yield from rows[:SLICE_ROWS]
            if len(rows) <= SLICE_ROWS:
                return
            since = rows[SLICE_ROWS][0]

    def _put(self, point: int, width: int, folds: Iterable[Fold]) -> None:
        self._db.executemany(_PUT, [(point, width, *fold) for fold in folds])


def _folded(start: float, values: list[float]) -> Fold:
    return Fold(start, min(values), max(values), fsum(values), len(values))


def _merged(start: float, folds: list[Fold]) -> Fold:
    _, least, greatest, totals, counts = zip(*folds, strict=True)
    return Fold(start, min(least), max(greatest), fsum(totals), sum(counts))


def _minute_start(sample: Sample) -> int:
    return int(sample[0] // MINUTE_S) * MINUTE_S


def _by_span(folds: Iterable[Fold], span_of: Callable[[float], Span]) -> Iterator[tuple[Span, Iterable[Fold]]]:
    """The folds in order, together with the others of their span."""
    part: list[Fold] = []
    span = Span(0, 0)
    end = -inf
    for fold in folds:
        if fold.start >= end:
            if part:
                yield span, part
            span = span_of(fold.start)
            end, part = span.end, []
        part.append(fold)
    if part:
        yield span, part


def _runs(starts: Sequence[int]) -> Iterator[Span]:
    """Minutes that follow each other, as one span each."""
    first = last = None
    for start in starts:
        if first is None or last is None or start != last + MINUTE_S:
            if first is not None and last is not None:
                yield Span(first, last + MINUTE_S)
            first = start
        last = start
    if first is not None and last is not None:
        yield Span(first, last + MINUTE_S)
