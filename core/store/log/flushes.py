"""How large the last commits of a writer were, and how long the disk took to keep them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeVar

import msgspec

T = TypeVar("T")

KEPT = 1000


class Committing(msgspec.Struct, frozen=True, kw_only=True):
    """Of the last commits: how many changes shared a flush, how long flushes took; and how many works wait now.

    The figures are None before the first commit.
    """

    group_size_p50: int | None = None
    flush_ms_p50: float | None = None
    flush_ms_p99: float | None = None
    queue: int = 0


class Flushes:
    """The last commits; noted by the writer, asked from any thread."""

    def __init__(self) -> None:
        self._last: deque[tuple[int, float]] = deque(maxlen=KEPT)

    def note(self, changes: int, took_s: float) -> None:
        """So many changes were kept by one flush, which took so long."""
        self._last.append((changes, took_s))

    def figures(self, *, queue: int) -> Committing:
        """What is told of them."""
        last = list(self._last)
        if not last:
            return Committing(queue=queue)
        sizes, took_s = sorted(size for size, _ in last), sorted(took for _, took in last)
        return Committing(
            group_size_p50=_at(sizes, 50),
            flush_ms_p50=round(1000 * _at(took_s, 50), 3),
            flush_ms_p99=round(1000 * _at(took_s, 99), 3),
            queue=queue,
        )


def _at(ordered: Sequence[T], percent: int) -> T:
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]
