"""Hours and days are those that the owner's clock shows."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.errors import BadRequest
from core.store.numbers.days import HOUR_S, MINUTE_S, MOMENT_MAX, Days, Span, minute_of, rules_of

ZONES = (
    "UTC", "Europe/Vienna", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
    "America/Sao_Paulo", "America/St_Johns", "Pacific/Apia", "Pacific/Chatham", "Antarctica/Troll", "Africa/Casablanca",
)  # fmt: skip
DAYS = {zone: Days(zone) for zone in ZONES}


def noon(day: str, zone: str) -> float:
    """Noon of that day there."""
    return datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=ZoneInfo(zone)).timestamp()


def shown(second: int) -> str:
    """The moment as UTC shows it."""
    return datetime.fromtimestamp(second, UTC).strftime("%d. %H:%M")


@pytest.mark.parametrize(
    ("zone", "day", "start", "end"),
    [
        ("UTC", "2026-03-29", "29. 00:00", "30. 00:00"),
        ("Europe/Vienna", "2026-03-29", "28. 23:00", "29. 22:00"),
        ("Europe/Vienna", "2026-10-25", "24. 22:00", "25. 23:00"),
        ("Asia/Kolkata", "2026-01-02", "01. 18:30", "02. 18:30"),
        ("Asia/Kathmandu", "2026-01-02", "01. 18:15", "02. 18:15"),
        ("Australia/Lord_Howe", "2026-10-04", "03. 13:30", "04. 13:00"),
        ("America/Sao_Paulo", "2018-11-04", "04. 03:00", "05. 02:00"),  # The clock skips midnight.
        ("America/Sao_Paulo", "2018-02-17", "17. 02:00", "18. 03:00"),  # It shows 23 o'clock twice.
        ("America/St_Johns", "2010-11-07", "07. 02:30", "08. 03:30"),  # A minute after midnight it goes back.
        ("Pacific/Apia", "2011-12-31", "30. 10:00", "31. 10:00"),  # There is no 30 December before it.
    ],
)
def test_day_is_from_midnight_to_midnight(zone: str, day: str, start: str, end: str) -> None:
    """Days of 23, 24 and 25 hours, and of zones that are half an hour apart from the others."""
    found = DAYS[zone].day(noon(day, zone))

    assert (start, end) == (shown(found.start), shown(found.end))


def test_hour_that_the_clock_cuts_is_two() -> None:
    """Where it goes back half an hour, the hour of one o'clock is shown for half an hour twice."""
    change = int(datetime(2026, 4, 4, 15, 0, tzinfo=UTC).timestamp())

    before, after = DAYS["Australia/Lord_Howe"].hour(change - 1), DAYS["Australia/Lord_Howe"].hour(change)

    assert Span(change - HOUR_S, change) == before
    assert Span(change, change + HOUR_S // 2) == after


@given(st.sampled_from(ZONES), st.floats(-MOMENT_MAX, MOMENT_MAX))
def test_spans_hold_their_moment_and_nest(zone: str, at: float) -> None:
    """A minute lies in one hour, an hour in one day, and each begins where the one before ends."""
    days = DAYS[zone]
    minute, hour, day = minute_of(at), days.hour(at), days.day(at)

    assert minute.start <= at < minute.end == minute.start + MINUTE_S
    assert day.start <= hour.start <= minute.start < minute.end <= hour.end <= day.end
    assert 0 < hour.end - hour.start <= HOUR_S
    assert (hour, day) == (days.hour(hour.end - 1), days.day(day.end - 1))
    assert (hour.end, day.end) == (days.hour(hour.end).start, days.day(day.end).start)


@given(st.sampled_from(ZONES), st.integers(0, 2_000_000_000))
def test_day_has_one_date(zone: str, second: int) -> None:
    """Both ends of a day show its date; only where a clock goes back over midnight another may show between."""
    day = DAYS[zone].day(second)
    first, last = (datetime.fromtimestamp(moment, ZoneInfo(zone)) for moment in (day.start, day.end - 1))

    assert first.date() == last.date()


@pytest.mark.parametrize("name", ["Nowhere/Atlantis", "", "../../etc/passwd", "\x00"])
def test_unknown_zone_is_named(name: str) -> None:
    """A name that no zone has is the caller's fault."""
    with pytest.raises(BadRequest, match="is no time zone"):
        Days(name)


def test_rules_are_told_apart() -> None:
    """Zones differ, and one is the same each time it is asked; every zone of ours has rules on this machine."""
    found = {zone: rules_of(zone) for zone in ZONES}

    assert len(ZONES) == len(set(found.values()))
    assert found["UTC"] == rules_of("UTC")
