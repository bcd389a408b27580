"""The diary: days in the owner's time zone, ranges, bounds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest
from core.store import CoreDb
from core.web import diary as diary_module
from core.web.diary import Diary

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def clock() -> ManualClock:
    """Noon in Berlin on a Friday."""
    return ManualClock(datetime(2026, 11, 20, 12, 0, tzinfo=BERLIN).timestamp())


@pytest.fixture
def diary(tmp_path: Path, clock: ManualClock) -> Iterator[Diary]:
    """A diary in a real core.db."""
    with CoreDb.open(tmp_path / "core.db") as coredb:
        yield Diary(coredb, clock, "Europe/Berlin")


def said(diary: Diary, **how: str) -> list[str]:
    """The messages that a question finds, newest first."""
    return [entry.message for entry in diary.entries(**how)]  # type: ignore[arg-type]


def test_diary_midnight(diary: Diary, clock: ManualClock) -> None:
    """Today begins at the owner's midnight, not at UTC's."""
    for hour, minute, day in ((23, 59, 19), (0, 0, 20), (11, 0, 20)):
        moment = datetime(2026, 11, day, hour, minute, tzinfo=BERLIN).timestamp()
        clock.step(moment - clock.now())
        diary.write("feeds", level=0, message=f"{day} {hour:02d}:{minute:02d}")

    assert ["20 11:00", "20 00:00"] == said(diary)
    assert ["19 23:59"] == said(diary, since="2026-11-19", until="2026-11-19")
    assert ["20 11:00", "20 00:00", "19 23:59"] == said(diary, since="2026-11-18", until="2026-11-20")


def test_a_moment_may_be_said_in_any_way(diary: Diary, clock: ManualClock) -> None:
    """Day, RFC 3339 with and without offset, epoch seconds."""
    diary.write("feeds", level=0, message="noon")
    at = clock.now()
    ways = ["2026-11-20", "2026-11-20T12:00:00+01:00", "2026-11-20T11:00:00Z", "2026-11-20T12:00:00", str(at)]

    assert [["noon"]] * len(ways) == [said(diary, since=way) for way in ways]
    assert [] == said(diary, since="2026-11-20T12:00:01")


def test_the_day_that_clocks_change(diary: Diary, clock: ManualClock) -> None:
    """A day of 25 hours is one day."""
    for hours in (0.5, 24.5):
        start = datetime(2026, 10, 25, tzinfo=BERLIN).timestamp()
        clock.step(start + hours * 3600 - clock.now())
        diary.write("feeds", level=0, message=f"{hours}")

    assert ["24.5", "0.5"] == said(diary, since="2026-10-25", until="2026-10-25")


def test_nonsense_is_refused(diary: Diary) -> None:
    """A moment that is none."""
    for text in ("yesterday", "2026-13-01", "noon"):
        with pytest.raises(BadRequest):
            diary.entries(since=text)


def test_pages_go_backwards(diary: Diary) -> None:
    """The last id of a page asks for the next."""
    for number in range(5):
        diary.write("feeds", level=0, message=str(number))
    first = diary.entries(limit=2)
    second = diary.entries(limit=2, before=first[-1].id)

    assert [["4", "3"], ["2", "1"]] == [[e.message for e in page] for page in (first, second)]


def test_only_the_newest_are_kept(diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The diary does not grow for ever."""
    monkeypatch.setattr(diary_module, "ENTRIES_KEPT_MAX", 3)
    for number in range(5):
        diary.write("feeds", level=0, message=str(number))

    assert ["4", "3", "2"] == said(diary)
