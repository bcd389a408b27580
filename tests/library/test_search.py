"""One search over all services."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest

from core.library import Library, Matches, Shelf
from core.model.errors import BadRequest
from core.store import Reader
from tests.library.conftest import TYPES, Shelves


def names(matches: Matches) -> list[tuple[str, str]]:
    return [(match.service, match.key) for match in matches.matches]


def test_hits_of_all_services_come_by_how_well_they_fit(shelves: Shelves, library: Library) -> None:
    """A rank of one store compares with one of another."""
    shelves.put("feeds", {"id": "a", "title": "fog"}, {"id": "b", "title": "x", "text": "some fog at sea"})
    shelves.put("mail", {"id": "c", "title": "y", "text": "fog, and fog"}, {"id": "d", "title": "sun"})

    assert [("feeds", "a"), ("mail", "c"), ("feeds", "b")] == names(library.search("fog", limit=10))


def test_a_match_says_where_it_is_and_why(shelves: Shelves, library: Library) -> None:
    """With its link, where that leads to the web."""
    shelves.put("feeds", {"id": "a", "title": "Fog", "text": "thick fog", "url": "https://example.org/a", "at": 100})
    shelves.put("mail", {"id": "b", "text": "fog fog fog", "url": "javascript:alert(1)"})
    found = {match.key: match for match in library.search("fog", limit=10).matches}

    assert ("note", 100.0, "https://example.org/a") == (found["a"].type, found["a"].at, found["a"].link)
    assert ([("Fog", True)], [("thick ", False), ("fog", True)]) == (
        found["a"].title.pieces,
        found["a"].snippet.pieces,
    )
    assert ("fog fog fog", "", None) == (found["b"].title.text, found["b"].snippet.text, found["b"].link)


def test_what_has_no_title_is_called_by_how_it_begins(shelves: Shelves, library: Library) -> None:
    """Posts have text alone: whole words of it in one line, which the snippet does not repeat."""
    long = "Fog lay over the harbour\nthe whole morning, and the keepers wrote it down as they had been told to do."
    late = f"{'No ship in sight. ' * 20}Fog."
    shelves.put("feeds", {"id": "a", "text": long}, {"id": "b", "text": late})
    found = {match.key: match for match in library.search("fog", limit=10).matches}

    assert "Fog lay over the harbour the whole morning, and the keepers wrote it down as…" == found["a"].title.text
    assert ("Fog", True) == found["a"].title.pieces[0]
    assert "they had been told to do." == found["a"].snippet.text
    assert found["b"].title.text.startswith("No ship in sight. No ship")
    assert ("Fog", True) in found["b"].snippet.pieces


def test_pages_hold_each_record_of_each_service_once(shelves: Shelves, library: Library) -> None:
    """However the ranks of the stores lie beside each other."""
    for service in ("one", "three", "two"):
        shelves.put(service, *({"id": f"{service}-{n}", "title": "fog " * (n % 5 + 1)} for n in range(40)))
    seen: list[tuple[str, str]] = []
    ranks: list[float] = []
    after: str | None = None
    while True:
        page = library.search("fog", limit=7, after=after)
        seen += names(page)
        ranks += [match.rank for match in page.matches]
        after = page.next
        if after is None:
            break

    assert (120, 120) == (len(seen), len(set(seen)))
    assert sorted(ranks, reverse=True) == ranks


def test_counts_are_by_service_and_type(shelves: Shelves, library: Library) -> None:
    """To narrow the search by."""
    shelves.put("feeds", {"id": "a", "title": "fog"}, {"id": "b", "title": "fog"})
    shelves.put("feeds", {"id": "c", "title": "fog"}, type_name="mail")
    shelves.put("mail", {"id": "d", "title": "fog"}, type_name="mail")
    found = library.search("fog", limit=1)

    assert {"feeds": {"note": 2, "mail": 1}, "mail": {"mail": 1}} == found.counts
    assert (4, False) == (found.count, found.is_capped)


def test_only_some_services_and_types(shelves: Shelves, library: Library) -> None:
    """As they are named."""
    shelves.put("feeds", {"id": "a", "title": "fog"})
    shelves.put("feeds", {"id": "b", "title": "fog"}, type_name="mail")
    shelves.put("mail", {"id": "c", "title": "fog"}, type_name="mail")

    assert [("feeds", "b")] == names(library.search("fog", services=["feeds"], types=["mail"], limit=10))
    assert [] == names(library.search("fog", services=["gone"], limit=10))


def test_as_of_a_time(shelves: Shelves, library: Library) -> None:
    """What all services knew then."""
    shelves.put("feeds", {"id": "a", "title": "fog"})
    then = shelves.clock.now()
    shelves.clock.advance(60)
    shelves.put("feeds", {"id": "a", "title": "sun"})
    shelves.put("mail", {"id": "b", "title": "fog"})

    assert [("feeds", "a")] == names(library.search("fog", as_of=then, limit=10))
    assert [("mail", "b")] == names(library.search("fog", limit=10))


def test_a_broken_store_is_named_and_skipped(shelves: Shelves, library: Library) -> None:
    """The others answer all the same. INV-09."""
    shelves.put("feeds", {"id": "a", "title": "fog"})
    shelves.break_one("bad")
    found = library.search("fog", limit=10)

    assert [("feeds", "a")] == names(found)
    assert ["bad"] == [skipped.service for skipped in found.skipped]
    assert "damaged" in found.skipped[0].reason
    assert found.next is None


def test_a_store_that_is_not_there_yet_has_nothing(shelves: Shelves, open_library: Callable[..., Library]) -> None:
    """A service that never synced is no fault."""
    reader = Reader.open(shelves.me / "fresh", types=TYPES)
    found = open_library(find=lambda: [Shelf("fresh", "Fresh", reader, TYPES)]).search("fog", limit=10)

    assert ([], []) == (list(found.matches), list(found.skipped))


class _Stuck(Reader):
    """A store whose disk does not answer."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader.path, TYPES)
        self.may_go_on = threading.Event()
        self.asked = 0

    def rows(self, *arguments: object, **options: object) -> list[tuple[object, ...]]:
        self.asked += 1
        assert self.may_go_on.wait(30)
        return []


def test_a_store_that_takes_too_long_is_skipped(shelves: Shelves, open_library: Callable[..., Library]) -> None:
    """After its time, and asked no more until it has answered; the others do not wait again."""
    shelves.put("feeds", {"id": "a", "title": "fog"})
    stuck = _Stuck(Reader.open(shelves.me / "stuck", types=TYPES))

    def find() -> Sequence[Shelf]:
        return [*shelves.find(), Shelf("stuck", "Stuck", stuck, TYPES)]

    library = open_library(find=find)
    try:
        first, second = library.search("fog", limit=10), library.search("fog", limit=10)
    finally:
        stuck.may_go_on.set()

    assert [("feeds", "a")] == names(first) == names(second)
    assert (
        ["stuck"] == [skipped.service for skipped in first.skipped] == [skipped.service for skipped in second.skipped]
    )
    assert 1 == stuck.asked


@pytest.mark.parametrize("after", ["x", "WyJsaWJyYXJ5IiwxXQ", "A" * 70_000])
def test_an_after_that_no_page_gave_is_refused(library: Library, after: str) -> None:
    """BadRequest, whatever it is."""
    with pytest.raises(BadRequest):
        library.search("fog", limit=10, after=after)


@pytest.mark.parametrize("limit", [0, 201])
def test_a_limit_has_its_limits(library: Library, limit: int) -> None:
    """From 1 to 200."""
    with pytest.raises(BadRequest):
        library.search("fog", limit=limit)


def test_a_query_that_is_cut_is_told(library: Library) -> None:
    """So that nobody wonders why a word had no effect."""
    assert library.search("fog " * 1000, limit=1).is_cut
    assert not library.search("fog", limit=1).is_cut


def test_everything_is_counted(shelves: Shelves, library: Library) -> None:
    """By service and type, what is broken named."""
    shelves.put("feeds", {"id": "a"}, {"id": "b"})
    shelves.put("mail", {"id": "c"}, type_name="mail")
    shelves.break_one("bad")
    counts = library.counts()

    assert {"feeds": {"note": 2}, "mail": {"mail": 1}} == counts.counts
    assert ["bad"] == [skipped.service for skipped in counts.skipped]
