"""What services say without a fact, as a bounded log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.events import published
from core.events.published import PUBLISHED_AGE_S_MAX, PUBLISHED_BYTES_MAX, PublishedLog
from core.model.clock import ManualClock
from core.model.errors import BadRecord, BodyTooLarge
from core.model.event import Idr
from core.store import CoreDb

ALARM = Idr("alarm", "house", "door", key="front")


class Book:
    """A log in a core.db of its own, and its clock."""

    def __init__(self, coredb: CoreDb) -> None:
        self.coredb = coredb
        self.clock = ManualClock()
        self.log = PublishedLog(coredb, self.clock)

    def add(self, count: int = 1) -> None:
        """Publish so many."""
        for number in range(count):
            self.log.add("house", ALARM, "new", {"number": number})


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    """An empty log."""
    with CoreDb.open(tmp_path / "core.db") as coredb:
        yield Book(coredb)


def test_what_was_said_is_read_back(book: Book) -> None:
    """The event that was given back is the event in the log, big numbers and all."""
    event = book.log.add("house", ALARM, "update", {"number": 2**70, "text": "ä"})
    [entry] = book.log.page(0, limit=10)

    assert event == book.log.event(entry)
    assert (1, "house", ALARM) == (entry.seq, entry.service, entry.idr)
    assert (1, 0) == (book.log.head().seq, book.log.floor())


def test_pages_follow_each_other(book: Book) -> None:
    """Each page begins after the position it is asked for, and ends the log with nothing."""
    book.add(25)

    pages = [[entry.seq for entry in book.log.page(since, limit=10)] for since in (0, 10, 20, 25)]

    assert [list(range(1, 11)), list(range(11, 21)), list(range(21, 26)), []] == pages


def test_the_oldest_go_when_there_are_too_many(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many stay beside the few since the last look, and the floor says what went."""
    monkeypatch.setattr(published, "PUBLISHED_ROWS_MAX", 150)
    book.add(200)
    floor_then = book.log.floor()
    book.add(100)

    assert (50, 150) == (floor_then, book.log.floor())
    assert [151] == [entry.seq for entry in book.log.page(0, limit=1)]
    assert 300 == book.log.head().seq


def test_the_oldest_go_when_they_are_too_old(book: Book) -> None:
    """After a month what was said is gone, and positions still count on."""
    book.add(99)
    book.clock.advance(PUBLISHED_AGE_S_MAX + 1)
    book.add(1)

    assert (99, 100) == (book.log.floor(), book.log.head().seq)


def test_erasing_a_service_takes_nothing_from_others(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events are gone to the last word; a reader of the others' goes on where it stood, until those go by age."""
    monkeypatch.setattr(published, "_TRIM_EVERY", 5)
    for service in ("gone", "gone", "house", "gone"):
        book.log.add(service, ALARM, "new", {"of": f"words of {service}"})
    book.log.erase("gone")
    rows = book.coredb.read("SELECT * FROM published", ())
    floor = book.log.floor()
    book.clock.advance(PUBLISHED_AGE_S_MAX + 1)
    book.add(1)

    assert 0 == floor
    assert "gone" not in repr(rows)
    assert [(5, "house")] == [(entry.seq, entry.service) for entry in book.log.page(0)]
    assert (4, 5) == (book.log.floor(), book.log.head().seq)


def test_pages_pass_over_what_was_erased(book: Book) -> None:
    """However much of it stands between, a page ends only where the log does."""
    for service in ("house", *["gone"] * 20, "house"):
        book.log.add(service, ALARM, "new", {})
    book.log.erase("gone")

    assert [22] == [entry.seq for entry in book.log.page(1, limit=5)]


def test_the_size_is_bounded(book: Book) -> None:
    """A value of exactly the bound is kept, one letter more is refused, and what is not JSON too."""
    frame = len('{"text":""}')
    book.log.add("house", ALARM, "new", {"text": "x" * (PUBLISHED_BYTES_MAX - frame)})

    with pytest.raises(BodyTooLarge):
        book.log.add("house", ALARM, "new", {"text": "x" * (PUBLISHED_BYTES_MAX - frame + 1)})
    with pytest.raises(BadRecord):
        book.log.add("house", ALARM, "new", {"number": float("nan")})
    assert 1 == book.log.head().seq
