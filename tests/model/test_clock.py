"""The clock and its fake."""

from __future__ import annotations

import time

from core.model.clock import ManualClock, SystemClock, iso


def test_system_clock_is_the_machines() -> None:
    """Both readings are those of the machine."""
    clock = SystemClock()

    assert abs(clock.now() - time.time()) < 5
    assert abs(clock.monotonic() - time.monotonic()) < 5


def test_manual_clock_moves_when_told() -> None:
    """Time passes on both readings; a step of the wall clock leaves the monotonic one alone."""
    clock = ManualClock(1000.0)
    clock.advance(5)
    clock.step(-3600)

    assert (-2595.0, 5.0) == (clock.now(), clock.monotonic())


def test_iso_is_utc_with_milliseconds() -> None:
    """A moment is written as RFC 3339 in UTC."""
    assert "2023-11-14T22:13:20.250Z" == iso(1_700_000_000.25)
