"""Times, sizes and counts as a person says them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.web.dashboard.words import Words, count, plural, size, span

NOW = 1_795_165_200.0
BERLIN = Words(NOW, ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (86_399, "23 h"), (86_400, "1 day"),
        (3 * 86_400, "3 days"), (29.9 * 86_400, "29 days"), (30 * 86_400, "1 month"), (365 * 86_400, "12 months"),
        (3 * 365 * 86_400, "3 years"),
    ],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    """One unit, the largest that fits."""
    assert text == span(seconds)


def test_ago_and_until() -> None:
    """Before, after, and about now."""
    assert ("2 h ago", "just now", "just now") == (BERLIN.ago(NOW - 7200), BERLIN.ago(NOW), BERLIN.ago(NOW + 60))
    assert ("in 30 min", "due now", "due now") == (BERLIN.until(NOW + 1800), BERLIN.until(NOW), BERLIN.until(NOW - 9))


def test_moments_are_the_owners() -> None:
    """By the clock on the owner's wall."""
    assert ("20 Nov 2026, 10:00", "2026-11-20", "10:00") == (BERLIN.moment(NOW), BERLIN.day(NOW), BERLIN.clock(NOW))
    assert "2026-11-20T10:00:00+01:00" == BERLIN.machine(NOW)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_moment_can_be_said(at: float) -> None:
    """A source's date may be anything; a page must not fail of it."""
    for say in (BERLIN.moment, BERLIN.machine, BERLIN.day, BERLIN.clock, BERLIN.seconds, BERLIN.ago, BERLIN.until):
        assert isinstance(say(at), str)


def test_counts_and_plurals() -> None:
    """Groups of digits, and the common rule."""
    assert ["0 entries", "1 entry", "1,204 entries"] == [count(n, "entry") for n in (0, 1, 1204)]
    assert ["days", "boxes", "matches", "photos", "buses"] == [
        plural(n) for n in ("day", "box", "match", "photo", "bus")
    ]


def test_sizes() -> None:
    """Bytes in a fitting unit."""
    assert ["999 bytes", "1.0 kB", "48.3 MB", "5000.0 TB"] == [size(n) for n in (999, 1000, 48_300_000, 5e15)]
