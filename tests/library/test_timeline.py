"""One day of everything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.library import Day, Library
from core.library.days import FIRST, LAST, bounds, day_at
from core.model.clock import ManualClock
from core.model.errors import BadRequest
from tests.library.conftest import Shelves

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def keys(day: Day) -> list[str]:
    return [moment.key for moment in day.moments]


def test_a_day_of_all_services_the_latest_first(shelves: Shelves, library: Library) -> None:
    """From midnight to midnight on the owner's clock."""
    shelves.put(
        "feeds",
        {"id": "last", "at": at("2026-03-10T23:59:59")},
        {"id": "first", "at": at("2026-03-10T00:00")},
        {"id": "before", "at": at("2026-03-09T23:59:59")},
        {"id": "after", "at": at("2026-03-11T00:00")},
    )
    shelves.put("mail", {"id": "noon", "at": "2026-03-10T11:00:00Z"}, type_name="mail")
    day = library.day("2026-03-10", limit=10)

    assert ["last", "noon", "first"] == keys(day)
    assert ("2026-03-10", "2026-03-09", "2026-03-11", None) == (day.day, day.older, day.newer, day.next)


def test_a_moment_says_what_a_person_wants_to_know(shelves: Shelves, library: Library) -> None:
    """Title, text, link, type, service, time."""
    record = {
        "id": "a",
        "title": "<b>Fog</b>",
        "text": "<p>Thick\n fog</p>" + "x" * 1000,
        "url": "https://example.org/",
    }
    shelves.put("feeds", {**record, "at": at("2026-03-10T12:00")}, {"id": "b", "at": at("2026-03-10T11:00")})
    one, other = library.day("2026-03-10", limit=10).moments

    assert ("feeds", "note", "a", "Fog", "https://example.org/") == (
        one.service,
        one.type,
        one.key,
        one.title,
        one.link,
    )
    assert (at("2026-03-10T12:00"), False) == (one.at, one.is_whole_day)
    assert one.text.startswith("Thick fog") and one.text.endswith("…") and len(one.text) == 300
    assert ("b", "", None) == (other.title, other.text, other.link)


def test_what_has_no_title_is_called_by_how_it_begins(shelves: Shelves, library: Library) -> None:
    """And says the rest of its text below, once."""
    long = "Fog lay over the harbour\nthe whole morning, and the keepers wrote it down as they had been told to do."
    shelves.put(
        "feeds",
        {"id": "a", "text": long, "at": at("2026-03-10T12:00")},
        {"id": "b", "text": "Sun.", "at": at("2026-03-10T11:00")},
    )
    one, other = library.day("2026-03-10", limit=10).moments

    assert "Fog lay over the harbour the whole morning, and the keepers wrote it down as…" == one.title
    assert "they had been told to do." == one.text
    assert ("Sun.", "") == (other.title, other.text)


def test_what_has_no_time_of_its_own_is_on_no_day(shelves: Shelves, library: Library) -> None:
    """Contacts would all stand on the day of the first sync."""
    shelves.put("feeds", {"id": "a", "title": "x"}, type_name="thing")

    assert [] == keys(library.day(limit=10))
    assert None is library.day("2000-01-01", limit=10).newer


@pytest.mark.parametrize("dated", ["2001-03-10T12:00", "2037-03-10T12:00"])
def test_records_without_a_time_hide_none_of_their_type(shelves: Shelves, library: Library, dated: str) -> None:
    """One feed that dates nothing must not take all entries off the timeline."""
    shelves.put("feeds", {"id": "dated", "at": at(dated)}, {"id": "undated"}, type_name="thing")

    assert ["dated"] == keys(library.day(dated[:10], limit=10))
    assert ["undated"] == keys(library.day(limit=10))


@pytest.mark.parametrize("timezone", ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "UTC"])
def test_a_whole_day_stands_on_its_day_everywhere(
    shelves: Shelves, open_library: Callable[..., Library], timezone: str
) -> None:
    """All-day dates never shift, and come before the day's moments."""
    zone = ZoneInfo(timezone)
    library = open_library(timezone=timezone)
    shelves.put(
        "feeds",
        {"id": "birthday", "at": "2026-03-10"},
        {"id": "morning", "at": at("2026-03-10T00:00", zone)},
        {"id": "night", "at": at("2026-03-10T23:30", zone)},
        {"id": "eve", "at": at("2026-03-09T23:30", zone)},
        {"id": "next", "at": "2026-03-11"},
    )
    days = [library.day(day, limit=10) for day in ("2026-03-09", "2026-03-10", "2026-03-11")]

    assert [["eve"], ["birthday", "night", "morning"], ["next"]] == list(map(keys, days))
    assert [(None, "2026-03-10"), ("2026-03-09", "2026-03-11"), ("2026-03-10", None)] == [
        (day.older, day.newer) for day in days
    ]


def test_a_day_has_23_to_25_hours() -> None:
    """As summer time has it."""
    hours = [
        (end - start) / 3600
        for start, end in (bounds(date(2026, *day), BERLIN) for day in ((3, 28), (3, 29), (10, 25), (10, 26)))
    ]

    assert [24, 23, 25, 24] == hours


def test_pages_of_a_day_hold_each_record_once(shelves: Shelves, library: Library) -> None:
    """Also where many stand at one moment, in several services, of several types."""
    noon = at("2026-03-10T12:00")
    for service in ("a", "b"):
        for type_name in ("note", "mail"):
            values = [{"id": f"{service}{type_name}{n}", "at": noon - n // 4} for n in range(30)]
            whole = [{"id": f"{service}{type_name}w{n}", "at": "2026-03-10"} for n in range(5)]
            shelves.put(service, *values, *whole, type_name=type_name)
    seen: list[str] = []
    order: list[tuple[bool, float]] = []
    after: str | None = None
    while True:
        day = library.day("2026-03-10", limit=7, after=after)
        seen += keys(day)
        order += [(moment.is_whole_day, moment.at) for moment in day.moments]
        after = day.next
        if after is None:
            break

    assert (140, 140) == (len(seen), len(set(seen)))
    assert sorted(order, reverse=True) == order


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 8 * 24), st.integers(0, 8).map(lambda n: -n - 1)), min_size=1, max_size=12),
    st.sampled_from(["Europe/Berlin", "America/Los_Angeles", "Asia/Tokyo"]),
)
def test_walking_from_day_to_day_meets_everything(
    tmp_path_factory: pytest.TempPathFactory, hours: list[int], timezone: str
) -> None:
    """To newer days from the first and back again: each record on one day, no day without any."""
    begin = datetime(2026, 3, 5, tzinfo=ZoneInfo(timezone))
    values: list[dict[str, object]] = [
        {
            "id": n,
            "at": (begin.date() + timedelta(days=-hour - 1)).isoformat()
            if hour < 0
            else begin.timestamp() + hour * 3600,
        }
        for n, hour in enumerate(hours)
    ]
    shelves = Shelves(tmp_path_factory.mktemp("Me"), ManualClock())
    shelves.put("feeds", *values)
    library = Library(shelves.find, timezone=timezone, clock=shelves.clock)
    forward = _walk(library, "2026-01-01", "newer")
    back = _walk(library, "2026-12-31", "older")
    library.close()
    shelves.close()

    assert [day.day for day in forward] == [day.day for day in reversed(back)]
    assert all(day.moments for day in forward)
    assert sorted(map(str, range(len(hours)))) == sorted(key for day in forward for key in keys(day))


def _walk(library: Library, start: str, way: str) -> list[Day]:
    days: list[Day] = []
    following = getattr(library.day(start, limit=100), way)
    while following is not None:
        days.append(library.day(following, limit=100))
        following = getattr(days[-1], way)
    return days


def test_only_some_services_and_types(shelves: Shelves, library: Library) -> None:
    """As they are named."""
    noon = at("2026-03-10T12:00")
    shelves.put("a", {"id": "an", "at": noon})
    shelves.put("a", {"id": "am", "at": noon}, type_name="mail")
    shelves.put("b", {"id": "bm", "at": noon}, type_name="mail")

    assert ["am"] == keys(library.day("2026-03-10", services=["a"], types=["mail"], limit=10))
    assert {"am", "bm"} == set(keys(library.day("2026-03-10", types=["mail"], limit=10)))


def test_today_is_the_owners(shelves: Shelves, open_library: Callable[..., Library]) -> None:
    """Without a day, the one that it is where the owner is."""
    shelves.clock.step(at("2026-03-10T12:00", ZoneInfo("UTC")) - shelves.clock.now())
    zones = ("Pacific/Kiritimati", "Pacific/Pago_Pago")

    assert ["2026-03-11", "2026-03-10"] == [open_library(timezone=zone).day(limit=1).day for zone in zones]


def test_a_broken_store_is_named_and_skipped(shelves: Shelves, library: Library) -> None:
    """The others' day stands. INV-09."""
    shelves.put("feeds", {"id": "a", "at": at("2026-03-10T12:00")})
    shelves.break_one("bad")
    day = library.day("2026-03-10", limit=10)

    assert (["a"], ["bad"]) == (keys(day), [skipped.service for skipped in day.skipped])


@pytest.mark.parametrize(
    "day", ["", "today", "2026-02-30", "0001-01-01", "9999-12-31", "2026-03-10T12:00", "20260310x"]
)
def test_what_is_no_day_is_refused(library: Library, day: str) -> None:
    """BadRequest with an example."""
    with pytest.raises(BadRequest):
        library.day(day, limit=10)


@pytest.mark.parametrize("moment", [-1e18, 1e18, -62135596800.0, 253402300799.0])
def test_a_record_beyond_the_calendar_stops_nothing(shelves: Shelves, library: Library, moment: float) -> None:
    """A source's date may be anything."""
    shelves.put("feeds", {"id": "a", "at": at("2026-03-10T12:00")}, {"id": "b", "at": moment})
    day = library.day("2026-03-10", limit=10)

    assert ["a"] == [key for key in keys(day) if key == "a"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("100.5", 100.5),
        ("2026-03-10T12:00:00Z", at("2026-03-10T12:00", ZoneInfo("UTC"))),
        ("2026-03-10T12:00", at("2026-03-10T12:00")),
        ("2026-03-10", at("2026-03-11T00:00") - 1e-6),
    ],
)
def test_a_moment_in_words(library: Library, text: str, moment: float) -> None:
    """A day is meant whole, a time without an offset is the owner's."""
    assert pytest.approx(moment, abs=1e-5) == library.moment(text)


@pytest.mark.parametrize("text", ["", "nan", "inf", "soon", "2026-13-01", "1e999"])
def test_no_moment_in_words(library: Library, text: str) -> None:
    """BadRequest."""
    with pytest.raises(BadRequest):
        library.moment(text)


@pytest.mark.parametrize(
    ("timezone", "moment", "day"),
    [
        ("America/St_Johns", "2006-10-29T02:29:59Z", "2006-10-28"),  # 23:59:59, the first time.
        ("America/St_Johns", "2006-10-29T02:30:30Z", "2006-10-29"),  # 00:00:30; at 00:01 it is 23:01 again.
        ("America/St_Johns", "2006-10-29T03:00:00Z", "2006-10-29"),  # 23:30, the second time.
        ("America/Toronto", "1919-03-31T04:45:00Z", "1919-03-30"),  # 00:45; at 23:30 it was 00:30 at once.
        ("America/Toronto", "1919-03-31T05:00:00Z", "1919-03-31"),
        ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29"),  # There was no 30th.
        ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31"),
    ],
)
def test_a_moment_is_of_the_day_within_whose_bounds_it_lies(timezone: str, moment: str, day: str) -> None:
    """Also where clocks change around midnight."""
    zone, when = ZoneInfo(timezone), datetime.fromisoformat(moment).timestamp()
    start, end = bounds(date.fromisoformat(day), zone)

    assert start <= when < end
    assert day == day_at(when, zone).isoformat()


def test_an_evening_that_comes_twice_is_shown_where_its_neighbours_say(
    shelves: Shelves, open_library: Callable[..., Library]
) -> None:
    """The second 23:30 of the 28th stands on the 29th, and the days around it name that day."""
    library = open_library(timezone="America/St_Johns")
    shelves.put("feeds", {"id": "a", "at": datetime.fromisoformat("2006-10-29T03:00:00Z").timestamp()})

    assert ["a"] == keys(library.day("2006-10-29", limit=10))
    assert "2006-10-29" == library.day("2006-10-30", limit=10).older
    assert "2006-10-29" == library.day("2006-10-28", limit=10).newer


@pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
def test_days_end_where_the_calendar_does(timezone: str) -> None:
    """Before its first and after its last, the nearest."""
    zone = ZoneInfo(timezone)

    assert (FIRST, LAST) == (day_at(bounds(FIRST, zone)[0] - 1, zone), day_at(bounds(LAST, zone)[1], zone))
