"""Records that are asked for: filtered, in an order, as they stood on a day; and what changed between two days."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlencode

import pytest

from core.model.clock import ManualClock
from core.model.fact import Change
from core.model.manifest import parse_manifest
from core.store import Origin, Policy, Store
from tests.web.conftest import Answer, Site
from tests.web.dashboard.conftest import Browse
from tests.web.fake_reader import FakeReader
from tests.web.scenes import furnish

REPOS = """
name = "repos"
title = "Code"
description = "Repositories."
[types.repo]
title = "name"
index = ["stars"]
common = { place = "town" }
[types.issue]
title = "title"
[streams.repo]
title = "Repositories"
types = ["repo", "issue"]
"""
DAY = 86_400.0
LIST = "/services/repos/records/repo"


@pytest.fixture
def store(site: Site) -> Iterator[Store]:
    """Ten days of a service: eight repositories, changed, deleted and made on the way."""
    manifest = parse_manifest(REPOS, "/c/repos")
    site.world.catalog.manifests["repos"] = manifest
    site.world.install("repos", "repos")
    clock = ManualClock(site.world.clock.now() - 10 * DAY)
    with Store.in_memory(types=manifest.types, origin=Origin("d/u", 1), clock=clock) as made:
        made.commit([_repo(n, stars=n * 10) for n in range(8)])
        clock.advance(5 * DAY)
        made.commit([_repo(3, stars=500, name="The third"), Change(type="repo", key="5", action="delete")])
        made.commit([_repo(9, stars=1), Change(type="issue", key="i", value={"title": "It is dark"})])
        clock.advance(4 * DAY)
        made.commit([Change(type="repo", key="9", action="delete")])
        site.world.readers["repos"] = cast(FakeReader, made)
        yield made


def _repo(number: int, **more: object) -> Change:
    value = {"id": number, "name": f"Repository {number}", "town": "Bern", **more}
    return Change(type="repo", key=str(number), value=value)


def day(site: Site, days_ago: float) -> str:
    """The day so long ago, as a date field says it."""
    return str(datetime.fromtimestamp(site.world.clock.now() - days_ago * DAY, UTC).date())


def titles(page: Answer) -> list[str]:
    """What the list holds."""
    return [html.unescape(one) for one in re.findall(r'<a class="long" href="[^"]+"><bdi>([^<]*)</bdi>', page.text)]


def words(page: Answer) -> str:
    """The text of a page, its blanks made one."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def test_a_list_is_filtered_and_ordered(site: Site, browse: Browse, store: Store) -> None:
    """By the language of filters and a declared path; how many there are is said, and the question stays there."""
    query = urlencode({"filter": 'stars > 30 and name contains "e"', "order": "-stars"})
    page = browse(f"{LIST}?{query}")

    assert ["The third", "Repository 7", "Repository 6", "Repository 4"] == titles(page)
    assert "4 repos" in words(page)
    assert "stars: 500" in words(page)
    assert 'value="stars &gt; 30 and name contains &#34;e&#34;"' in page.text
    assert '<option value="-stars" selected>by stars, falling' in page.text
    assert ["newest", "key", "stars", "-stars"] == re.findall(r'<option value="([^"]+)"', page.text)


def test_the_examples_lead_to_what_they_say(browse: Browse, store: Store) -> None:
    """Each is a link, and finds something."""
    page = browse(LIST)
    links = re.findall(r'<a href="(\?filter=[^"]+)"><code>', page.text)

    assert links
    assert all(titles(browse(LIST + html.unescape(link))) for link in links)


def test_a_filter_that_cannot_be_read_is_told_beside_it(browse: Browse, store: Store) -> None:
    """With its position and its cure; what was typed stays, and the way back is there."""
    page = browse(f"{LIST}?{urlencode({'filter': 'stars = 5'})}")

    assert 400 == page.status
    assert "The filter cannot be read at position 7: '=' begins nothing here. Write == for equal." in words(page)
    assert re.search(r'value="stars = 5"[^>]* aria-describedby="fault hint" aria-invalid="true" autofocus', page.text)
    assert [] == titles(page)


@pytest.mark.parametrize("query", ["order=size", "as_of=yesterday", "after=x", "as_of=2026-02-30"])
def test_what_cannot_be_asked_is_told_on_the_page(browse: Browse, store: Store, query: str) -> None:
    """The list's own page, with the form."""
    page = browse(f"{LIST}?{query}")

    assert 400 == page.status
    assert 'id="filter"' in page.text
    assert "Show all of today" in words(page)


def test_a_list_as_it_stood(site: Site, browse: Browse, store: Store) -> None:
    """What was there at the end of that day; its links lead to records of that day, and there is a way back."""
    then = day(site, 8)
    page = browse(f"{LIST}?as_of={then}")
    first = re.search(r'<a class="long" href="([^"]+)"', page.text)

    assert 8 == len(titles(page))
    assert "The third" not in titles(page)
    assert "As it stood on" in words(page)
    assert '<a href="?">Back to today</a>' in page.text
    assert first is not None
    assert first[1].endswith(f"?as_of={then}")
    assert 7 == len(titles(browse(LIST)))
    assert "None on that day" in words(browse(f"{LIST}?as_of=2001-01-01"))
    assert "No repo on 1 Jan 2001 is as the filter says." in words(
        browse(f"{LIST}?{urlencode({'as_of': '2001-01-01', 'filter': 'stars'})}")
    )


def test_pages_keep_the_question(site: Site, browse: Browse, store: Store) -> None:
    """The next page is one of the same filter, order and day."""
    store.commit([_repo(n, stars=n) for n in range(100, 170)])
    query = urlencode({"filter": "stars >= 100", "order": "stars"})
    seen = []
    page = browse(f"{LIST}?{query}")
    while True:
        seen += titles(page)
        following = re.search(r'href="([^"]+)" rel="next"', page.text)
        if following is None:
            break
        assert "More" in words(page)
        page = browse(LIST + html.unescape(following[1]))

    assert [*(f"Repository {n}" for n in range(100, 170)), "The third"] == seen


def test_a_record_as_it_stood(site: Site, browse: Browse, store: Store) -> None:
    """On a day before it changed, before it was deleted, and before it was made; the history is whole each time."""
    then = day(site, 8)
    changed, deleted = browse(f"{LIST}/3?as_of={then}"), browse(f"{LIST}/5?as_of={then}")
    unborn = browse(f"{LIST}/9?as_of={then}")

    assert '<h1 class="long"><bdi>Repository 3</bdi></h1>' in changed.text
    assert f'/Me/repos/records/repo/3?as_of={then}"' in changed.text
    assert "As it stood on" in words(deleted)
    assert "deleted at the source" not in words(deleted)
    assert "It was not there on" in words(unborn)
    assert "As the source gave it" not in words(unborn)
    assert all("as it was then" in words(page) for page in (changed, deleted, unborn))
    assert [404, 400] == [browse(f"{LIST}/{key}").status for key in (f"nothing?as_of={then}", "3?as_of=then")]
    assert "500" in words(browse(f"{LIST}/3?as_of=then"))


def test_a_history_tells_before_and_after(browse: Browse, store: Store) -> None:
    """Of each field; a version that came back after a deletion is told as such."""
    store.commit([_repo(5, stars=7)])
    page, again = browse(f"{LIST}/3"), browse(f"{LIST}/5")

    assert "changed as it was then name, stars" in words(page)
    assert "name before: Repository 3 after: The third" in words(page)
    assert "stars before: 30 after: 500" in words(page)
    assert ["there again", "deleted", "new"] == re.findall(r'<span class="badge \w+">([^<]+)</span>', again.text)


def test_what_changed_between_two_days(site: Site, browse: Browse, store: Store) -> None:
    """Each record once, with what differs; what came and went is not told, and each link leads to its day."""
    first, last = day(site, 8), day(site, 0)
    page = browse(f"/services/repos/changes?from={first}&to={last}")

    rows = re.findall(r'<span class="badge \w+">(\w+)</span>\s*<a class="long" href="([^"]+)"><bdi>([^<]+)', page.text)
    assert [
        ("changed", f"{LIST}/3?as_of={last}", "The third"),
        ("deleted", f"{LIST}/5?as_of={first}", "Repository 5"),
        ("new", f"/services/repos/records/issue/i?as_of={last}", "It is dark"),
    ] == rows
    assert "stars before: 30 after: 500" in words(page)
    assert 1 == words(page).count("before: Repository 3")
    only = browse(f"/services/repos/changes?from={first}&to={last}&type=issue")
    assert ["It is dark"] == titles(only)


def test_days_on_which_nothing_changed(site: Site, browse: Browse, store: Store) -> None:
    """Said so; days in the wrong order and days that are none are told, and the page stands."""
    then = day(site, 8)

    assert "Nothing changed" in words(browse(f"/services/repos/changes?from={then}&to={then}"))
    wrong = browse(f"/services/repos/changes?from={day(site, 1)}&to={then}")
    assert (400, True) == (wrong.status, "Name the earlier day first." in words(wrong))
    assert 400 == browse("/services/repos/changes?from=never").status
    assert 404 == browse("/services/nothing/changes").status
    assert "What changed" in words(browse("/services/repos"))
    assert 'aria-current="true">Last 7 days' in browse("/services/repos/changes").text


def test_what_is_not_retained_is_told(site: Site, browse: Browse, store: Store) -> None:
    """A day from before the floor: the list, the record and the changes say so, and show the rest of the page."""
    store.set_policy("repo", Policy(kind="ephemeral"), actor="owner")
    assert store.compact(actor="owner")
    then = day(site, 8)
    pages = [
        browse(f"{address}{then}")
        for address in (f"{LIST}?as_of=", f"{LIST}/3?as_of=", "/services/repos/changes?from=")
    ]

    assert [410, 410, 410] == [page.status for page in pages]
    assert all("What was before that day is not retained here. Choose a later day." in words(page) for page in pages)
    assert "500" in words(pages[1])


def test_a_service_that_keeps_its_data_is_shown_as_it_is(site: Site, browse: Browse) -> None:
    """There is nothing to ask of the past: no form is offered, and an address that asks is told."""
    furnish(site.world)
    page = browse("/services/notes/records/note")

    assert 'id="filter"' not in page.text
    assert "Nothing to compare" in words(browse("/services/notes/changes"))
