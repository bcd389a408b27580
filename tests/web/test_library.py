"""Search and timeline over HTTP, and their pages."""

from __future__ import annotations

import html
import re

import pytest

from core.library import Counts, Day, Match, Matches, Moment, Skipped
from core.store import Marked
from tests.web.conftest import Site

MATCH = Match(
    service="feeds",
    type="entry",
    key="a/b",
    seq=7,
    at=1_700_000_000.0,
    rank=1.5,
    title=Marked("Fog & <mist>", ((0, 3),)),
    snippet=Marked("thick fog", ((6, 9),)),
    link="https://example.org/a",
)
MATCHES = Matches(
    matches=[MATCH],
    next="onward",
    counts={"feeds": {"entry": 2, "feed": 1}, "mail": {"message": 4}},
    is_capped=True,
    is_cut=True,
    skipped=[Skipped("notes", "its store is damaged")],
)
DAY = Day(
    day="2026-03-10",
    moments=[
        Moment(service="feeds", type="entry", key="k", seq=1, at=1_773_100_800.0, is_whole_day=True, title="Birthday",
               text="", link=None),
        Moment(service="mail", type="message", key="m", seq=2, at=1_773_140_000.0, is_whole_day=False,
               title="Fog & <mist>", text="thick", link="https://example.org/m"),
    ],
    next="later",
    older="2026-03-01",
    newer="2026-03-12",
    skipped=[Skipped("notes", "its store is damaged")],
)  # fmt: skip


def text_of(page: str) -> str:
    """What a person reads of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


@pytest.fixture(autouse=True)
def services(site: Site) -> None:
    """Two services, and something on the library's tables."""
    site.world.install("feeds", "feeds")
    site.world.install("mail", "mail")
    site.world.library.found = MATCHES
    site.world.library.days["2026-03-10"] = DAY


def test_search_answers_hits_with_marks_and_addresses(site: Site) -> None:
    """Everything that the library found, and where to read it."""
    answer = site.owner("GET", "/search?q=fog&services=feeds,mail&types=entry&limit=7&after=x&as_of=100")

    assert 200 == answer.status
    assert {
        "service": "feeds", "type": "entry", "key": "a/b", "seq": 7, "at": 1_700_000_000.0, "rank": 1.5,
        "title": {"text": "Fog & <mist>", "marks": [[0, 3]]}, "snippet": {"text": "thick fog", "marks": [[6, 9]]},
        "link": "https://example.org/a", "href": "/Me/feeds/records/entry/~YS9i",
    } == answer.json["hits"][0]  # fmt: skip
    assert ("onward", 7, True, True) == tuple(answer.json[name] for name in ("next", "count", "is_capped", "is_cut"))
    assert [{"service": "notes", "reason": "its store is damaged"}] == answer.json["skipped"]
    assert {
        "text": "fog", "services": ["feeds", "mail"], "types": ["entry"], "as_of": 100.0, "limit": 7, "after": "x",
    } == site.world.library.asked[-1]  # fmt: skip


def test_the_timeline_answers_a_day(site: Site) -> None:
    """Its moments in order, and the days beside it."""
    answer = site.owner("GET", "/timeline?day=2026-03-10&services=feeds")

    assert ["Birthday", "Fog & <mist>"] == [moment["title"] for moment in answer.json["moments"]]
    assert "/Me/mail/records/message/m" == answer.json["moments"][1]["href"]
    assert ("later", "2026-03-01", "2026-03-12") == tuple(answer.json[name] for name in ("next", "older", "newer"))
    assert {"day": "2026-03-10", "services": ["feeds"], "types": [], "limit": 100, "after": None} == (
        site.world.library.asked[-1]
    )


@pytest.mark.parametrize(
    "path",
    [
        "/search", "/search?q=x&limit=0", "/search?q=x&limit=201", "/search?q=x&limit=a", "/search?q=x&as_of=soon",
        "/timeline?day=soon", "/timeline?limit=501", "/timeline?limit=",
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(site: Site, path: str) -> None:
    """400, with words."""
    answer = site.owner("GET", path)

    assert (400, "application/problem+json") == (answer.status, answer.headers["content-type"])


@pytest.mark.parametrize("path", ["/search?q=fog", "/timeline"])
def test_a_child_may_not_look_through_everything(site: Site, path: str) -> None:
    """It reads what its manifest uses, at the services themselves; nobody reads without a token."""
    site.world.child_tokens["child-token"] = "mail"

    assert 403 == site.owner("GET", path, token="child-token").status
    assert 401 == site.ask("GET", path).status


def test_the_search_page_shows_hits_marked(site: Site) -> None:
    """Escaped, with ways to narrow, what could not be searched, and the way to more."""
    page = site.browse("/owner/search?q=fog+bank", site.login()).text

    assert "<mark>Fog</mark> &amp; &lt;mist&gt;" in page
    assert "thick <mark>fog</mark>" in page
    assert 'href="/services/feeds/records/entry/~YS9i"' in page
    assert 'href="?q=fog+bank&amp;after=onward"' in page
    assert 'href="?q=fog+bank&amp;service=mail"' in page
    assert 'href="?q=fog+bank&amp;type=entry"' in page
    read = text_of(page)
    assert "More than 7 records, the best first" in read
    assert "notes could not be searched: its store is damaged." in read
    assert "only its beginning was looked for" in read


def test_the_search_page_without_words_asks_for_them(site: Site) -> None:
    """And searches nothing; it tells what there is."""
    site.world.library.counted = Counts(counts={"feeds": {"entry": 1200, "feed": 34}, "mail": {}}, skipped=[])
    page = site.browse("/owner/search", site.login()).text

    assert 'name="q" value=""' in page
    assert [] == site.world.library.asked
    assert '<a href="/services/feeds"><strong>1,234</strong>' in page


def test_the_search_page_keeps_what_was_chosen(site: Site) -> None:
    """The service, the type and the date; each can be taken back."""
    page = site.browse("/owner/search?q=fog&service=feeds&type=entry&as_of=2026-03-01", site.login()).text

    assert (["feeds"], ["entry"]) == tuple(site.world.library.asked[-1][name] for name in ("services", "types"))
    assert '<input type="hidden" name="service" value="feeds">' in page
    assert 'href="?q=fog&amp;type=entry&amp;as_of=2026-03-01" aria-current="true"' in page
    assert "as known on 2026-03-01" in page
    assert 'href="/services/feeds/records/entry/~YS9i?as_of=2026-03-01"' in page


def test_the_search_page_says_that_nothing_was_found(site: Site) -> None:
    """With advice."""
    site.world.library.found = Matches(matches=[], next=None, counts={}, is_capped=False, is_cut=False, skipped=[])

    assert "Nothing found" in site.browse("/owner/search?q=x", site.login()).text


def test_a_date_that_is_none_is_told_on_the_page(site: Site) -> None:
    """The words stay as they were typed."""
    answer = site.browse("/owner/search?q=fog&as_of=soon", site.login())

    assert 400 == answer.status
    assert 'value="fog"' in answer.text and "neither a day" in answer.text


def test_the_timeline_page_shows_a_day(site: Site) -> None:
    """Whole days first, times on the owner's clock, the way to the days beside it and to the rest."""
    page = site.browse("/owner/timeline?day=2026-03-10&service=mail", site.login()).text
    read = text_of(page)

    assert "Tuesday, 10 March 2026" in read
    assert "all day Birthday feeds · entry" in read.replace("Feeds", "feeds")
    assert re.search(r"\d\d:\d\d Fog & <mist>", read)
    assert 'href="?day=2026-03-01&service=mail"' in html.unescape(page)
    assert 'href="?day=2026-03-10&after=later&service=mail"' in html.unescape(page)
    assert "notes could not be looked at: its store is damaged." in read


def test_an_empty_day_says_so(site: Site) -> None:
    """Without an error."""
    assert "Nothing on this day" in site.browse("/owner/timeline?day=2020-01-01", site.login()).text


def test_the_pages_are_the_owners(site: Site) -> None:
    """Nobody else sees them."""
    for path in ("/owner/search?q=x", "/owner/timeline"):
        assert 401 == site.ask("GET", path).status
