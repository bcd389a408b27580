"""Finding records by their words."""

from __future__ import annotations

from collections.abc import Callable

import apsw
import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, FileDamaged
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import AsOf, AtSeq, AtTime, Found, Reader, Search, Store, parse_query
from core.store.words.search import HITS_MAX, RANKED_MAX
from core.store.words.text import TextIndex
from tests.store.conftest import OpenStore

TYPES = {name: TypeSpec(name=name, title="title", text=("text",)) for name in ("note", "mail")}

Searching = Callable[..., Found]


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    """A new store of notes and mails."""
    return open_store(types=TYPES)


@pytest.fixture
def search(store: Store) -> Searching:
    """Searches the store when its index has caught up: with a count of all matches and without, which find the same."""

    def found(
        query: str, *, limit: int = 10, after: str | None = None, only: tuple[str, ...] = (), as_of: AsOf | None = None
    ) -> Found:
        with apsw.Connection(str(store.path)) as db:
            TextIndex(db, TYPES).catch_up(10_000)
        page, uncounted = (
            Search(store.rows, TYPES, parse_query(query), only=only, as_of=as_of, is_counted=is_counted).page(
                limit=limit, after=after
            )
            for is_counted in (True, False)
        )

        assert (page.hits, page.next, page.is_capped) == (uncounted.hits, uncounted.next, uncounted.is_capped)
        return page

    return found


def put(key: str, title: str, text: str = "", *, type_name: str = "note") -> Change:
    return Change(type=type_name, key=key, value={"title": title, "text": text})


def keys(found: Found) -> list[str]:
    return [hit.key for hit in found.hits]


def test_only_what_records_say_today_is_found(store: Store, search: Searching) -> None:
    """Not what they said before, nor what a deleted one said."""
    store.commit([put("a", "fog"), put("b", "fog"), put("c", "fog")])
    store.commit([put("a", "sun"), Change(type="note", key="b", action="delete")])

    assert (["c"], ["a"]) == (keys(search("fog")), keys(search("sun")))


def test_as_of_a_position_is_what_was_said_then(store: Store, search: Searching) -> None:
    """A version counts from its own position until the one that replaced it."""
    store.commit([put("a", "fog")])
    store.commit([put("a", "fog and sun")])
    store.commit([Change(type="note", key="a", action="delete")])
    store.commit([put("a", "fog again")])
    titles = [[hit.title.text for hit in search("fog", as_of=AtSeq(seq)).hits] for seq in range(5)]

    assert [[], ["fog"], ["fog and sun"], [], ["fog again"]] == titles


def test_as_of_a_time_is_what_was_known_then(store: Store, clock: ManualClock, search: Searching) -> None:
    """The moment of a commit itself is after it."""
    start = clock.now()
    for title in ("fog", "fog and sun", "fog and rain"):
        store.commit([put("a", title)])
        clock.advance(10)
    moments = (start - 1, start, start + 9, start + 10, start + 20, start + 1000)
    titles = [[hit.title.text for hit in search("fog", as_of=AtTime(moment)).hits] for moment in moments]

    assert [[], ["fog"], ["fog"], ["fog and sun"], ["fog and rain"], ["fog and rain"]] == titles


def test_a_better_fit_comes_first(store: Store, search: Searching) -> None:
    """A title says more than a text, more mentions more than one, a short text more than a long one."""
    store.commit(
        [
            put("long", "x", "fog " + "and other words " * 100),
            put("once", "x", "fog here"),
            put("often", "x", "fog fog fog"),
            put("title", "fog", "x"),
            put("both", "fog", "fog fog"),
        ]
    )

    assert ["both", "title", "often", "once", "long"] == keys(search("fog"))


def test_of_equal_fits_the_last_recorded_comes_first(store: Store, search: Searching) -> None:
    """So that the order is the same each time."""
    store.commit([put(key, "fog") for key in "abc"])

    assert ["c", "b", "a"] == keys(search("fog"))


def test_only_some_types_are_looked_through(store: Store, search: Searching) -> None:
    """And a type that the store does not have finds nothing."""
    store.commit([put("a", "fog"), put("b", "fog", type_name="mail")])

    assert ["b"] == keys(search("fog", only=("mail",)))
    assert {"a", "b"} == set(keys(search("fog", only=("mail", "note"))))
    assert [] == keys(search("fog", only=("nothing",)))
    assert {"note": 1, "mail": 1} == search("fog").types


def test_pages_hold_each_record_once_and_all_of_them(store: Store, search: Searching) -> None:
    """Also where there are more than are ranked at once, and while others write."""
    total = 2 * RANKED_MAX + 200
    for start in range(0, total, 400):
        store.commit([put(f"k{n}", "fog " * (n % 3 + 1)) for n in range(start, min(start + 400, total))])
    seen: list[str] = []
    after: str | None = None
    while True:
        page = search("fog", limit=HITS_MAX, after=after)
        seen += keys(page)
        after = page.next
        store.commit([put(f"new{len(seen)}", "fog")])
        if after is None:
            break

    assert (total, total) == (len(seen), len(set(seen)))
    assert not any(key.startswith("new") for key in seen)


def test_the_count_is_capped(store: Store, search: Searching) -> None:
    """Exact where all is ranked together, else a least number."""
    store.commit([put(f"k{n}", "fog") for n in range(RANKED_MAX - 1)])
    below = search("fog")
    store.commit([put("one", "fog")])
    at = search("fog")

    assert (RANKED_MAX - 1, False) == (below.count, below.is_capped)
    assert (RANKED_MAX, True) == (at.count, at.is_capped)


def test_many_old_versions_hide_no_record(store: Store, search: Searching) -> None:
    """A page looks on where those ranked together count no more."""
    store.commit([put("kept", "fog")])
    for n in range(RANKED_MAX + 100):
        store.commit([put("busy", f"fog {n}")])
    store.commit([put("busy", "sun")])

    assert ["kept"] == keys(search("fog"))


def test_hits_show_why(store: Store, search: Searching) -> None:
    """The title and the best piece of the text, marked, with the shared fields."""
    store.commit([put("a", "Fog", "<p>The fog &amp; the keeper</p>")])
    hit = search("fog keeper").hits[0]

    assert [("Fog", True)] == hit.title.pieces
    assert [("The ", False), ("fog", True), (" & the ", False), ("keeper", True)] == hit.snippet.pieces
    assert ("note", 1, {"title": "Fog"}) == (hit.type, hit.seq, hit.common)


@pytest.mark.parametrize("query", ["", "   ", '"', "-fog", "NOT fog", "***"])
def test_what_asks_for_nothing_finds_nothing(store: Store, search: Searching, query: str) -> None:
    """Without an error."""
    store.commit([put("a", "fog")])

    assert (0, None, False) == (search(query).count, search(query).next, search(query).is_capped)


@pytest.mark.parametrize("limit", [0, HITS_MAX + 1])
def test_a_limit_has_its_limits(search: Searching, limit: int) -> None:
    """From 1 to 200."""
    with pytest.raises(BadRequest):
        search("fog", limit=limit)


def test_a_word_that_no_page_gave_leads_nowhere(search: Searching) -> None:
    """BadRequest, whatever it is."""
    for word in ("x", "bm90IGpzb24", "WyJzZWFyY2giLCJ4Il0"):
        with pytest.raises(BadRequest):
            search("fog", after=word)


@pytest.mark.parametrize(
    "instead",
    [
        "CREATE TABLE text (title, body)",
        "CREATE VIEW text AS SELECT 1 AS title",
        "CREATE VIRTUAL TABLE text USING fts5 (title)",
        "CREATE VIRTUAL TABLE text USING fts5 (title, body); UPDATE text_data SET block = x'ff00ff'",
        "CREATE VIRTUAL TABLE text USING fts5 (a, b, c, d)",
        "SELECT 1",
    ],
)
def test_an_index_that_is_none_is_a_damaged_file(store: Store, instead: str) -> None:
    """A child may write what it likes into its file; the search says so, or finds nothing."""
    store.commit([put("a", "fog")])
    with apsw.Connection(str(store.path)) as db:
        db.execute("DROP TABLE text")
        db.execute(instead)
        if "fts5" in instead and "block" not in instead:
            db.execute("INSERT INTO text (rowid) VALUES (1)")
    with Reader.open(store.path.parent, types=TYPES) as reader:
        try:
            found = Search(reader.rows, TYPES, parse_query("fog title:mist")).page(limit=10)
        except FileDamaged:
            return

    assert [] == found.hits


def test_erased_words_are_found_no_more(store: Store, search: Searching) -> None:
    """What was taken out of the index is no hit, even while its fact stands."""
    store.commit([put("a", "fog"), put("b", "fog")])
    search("fog")
    with apsw.Connection(str(store.path)) as db:
        TextIndex(db, TYPES).remove([1])

    assert ["b"] == keys(search("fog"))
