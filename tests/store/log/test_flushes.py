"""What is told of the last commits."""

from __future__ import annotations

from core.store.log.flushes import KEPT, Committing, Flushes


def test_nothing_is_told_of_no_commit() -> None:
    """But of what waits."""
    assert Committing(queue=3) == Flushes().figures(queue=3)


def test_the_middle_and_the_slow_end_are_told() -> None:
    """Of the last thousand; what lies before them counts no more."""
    flushes = Flushes()
    for _ in range(KEPT):
        flushes.note(9999, 9.0)
    for number in range(KEPT):
        flushes.note(1 + number % 3, number / 1_000_000)

    assert Committing(group_size_p50=2, flush_ms_p50=0.5, flush_ms_p99=0.99, queue=0) == flushes.figures(queue=0)
