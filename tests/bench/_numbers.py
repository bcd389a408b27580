"""The arithmetic of the benches: what is said of a row of measurements. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# 0.07 × 100 is a little more than 7 in binary.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Samples:
    """Measurements of one kind, in order of size; never empty."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Samples:
        """The measurements, sorted; raises ValueError when there are none."""
        found = tuple(sorted(values))
        if not found:
            raise ValueError("there is nothing to tell of no measurements")
        return cls(found)

    def at(self, share: float) -> float:
        """The value that `share` of the measurements do not exceed: the nearest rank, never a value nobody measured."""
        rank = math.ceil(len(self.values) * share - ROUNDING)
        return self.values[max(0, rank - 1)]

    @property
    def p50(self) -> float:
        return self.at(0.50)

    @property
    def p95(self) -> float:
        return self.at(0.95)

    @property
    def least(self) -> float:
        return self.values[0]

    @property
    def most(self) -> float:
        return self.values[-1]


def middle(values: Sequence[float]) -> float:
    """The median round: of an even number, the lower of the two in the middle."""
    return Samples.of(values).p50


def figure(value: float) -> str:
    """Three significant digits, as many as such a measurement can carry: 0.213, 21.3, 213, 2130."""
    size = abs(value)
    digits = 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
    return f"{value:.{digits}f}"


def spread_of(values: Sequence[float]) -> str:
    """The median round, and how far the rounds lay apart: `0.228 (0.218 … 0.234)`."""
    found = Samples.of(values)
    return f"{figure(found.p50)} ({figure(found.least)} … {figure(found.most)})"


def compared(ours: float, theirs: float) -> str:
    """How ours compares, such as `1/8.2` of theirs, or `1.4 ×` where ours is more; a dash where it means nothing."""
    if ours <= 0 or theirs <= 0:
        return "–"
    return f"1/{figure(theirs / ours)}" if ours < theirs else f"{figure(ours / theirs)} ×"
