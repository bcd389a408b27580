"""Browsing what a service holds: lists, one record, its versions."""

from __future__ import annotations

import html
import re

import pytest

from core.model.ids import key_from_path
from tests.web.conftest import Site
from tests.web.dashboard.conftest import Browse, text_of
from tests.web.fake_reader import FakeReader
from tests.web.scenes import furnish


def test_tabs_begin_with_what_is_there(site: Site, browse: Browse) -> None:
    """Types without a record come last, and quietly."""
    furnish(site.world)
    site.world.readers["feeds-news"].facts.clear()
    site.world.readers["feeds-news"].put("feed", "1", {"title": "One"})
    tabs = re.findall(
        r'<a href="[^"]*/records/(\w+)"( class="bare")?', browse("/services/feeds-news/records/feed").text
    )

    assert [("feed", ""), ("entry", ' class="bare"')] == tabs


def test_records_are_listed_in_pages(site: Site, browse: Browse) -> None:
    """Newest first; the last page says there are no more."""
    furnish(site.world)
    first = browse("/services/feeds/records/entry")
    follow = re.search(r'href="(\?after=[^"]+)" rel="next"', first.text)
    assert follow is not None
    second = browse("/services/feeds/records/entry" + follow[1])
    last = browse("/services/feeds/records/entry?after=100")

    assert text_of(first).index("Second wording") < text_of(first).index("Entry 119")
    assert "Entry 40:" in text_of(second)
    assert 'rel="next"' not in last.text
    assert 404 == browse("/services/feeds/records/nothing").status


def test_a_record_and_its_history(site: Site, browse: Browse) -> None:
    """The value as it came, what changed when, and each version as it was."""
    furnish(site.world)
    page = browse("/services/feeds/records/entry/plain-key")
    versions = re.findall(r'href="\?version=(\d+)"', page.text)
    old = browse(f"/services/feeds/records/entry/plain-key?version={versions[1]}")

    assert "Second wording" in text_of(page)
    assert "changed as it was then title" in text_of(page)
    assert "title (shared) before: First wording after: Second wording" in text_of(page)
    assert "This is the version of" in text_of(old)
    assert "<bdi>First wording</bdi></h1>" in old.text
    assert "Second wording" not in text_of(old).partition("History")[0]
    assert [404, 400] == [browse(f"/services/feeds/records/entry/plain-key?version={n}").status for n in ("99999", "x")]


@pytest.mark.parametrize("name", ["a/b", "..", "%2f", "<b>x</b>", "number?x", "Ünï ☂"])
def test_a_type_of_any_name_has_its_pages(site: Site, browse: Browse, name: str) -> None:
    """Whatever a program called it: from the service's page to the list, the record, and what is asked there."""
    furnish(site.world)
    site.world.readers["feeds"].put(name, "k/1", {"title": "An odd one"})
    hrefs = {html.unescape(one) for one in re.findall(r'href="(/services/feeds/records/[^"]+)"', page_of(browse))}
    (listed,) = [one for one in hrefs if name == key_from_path(one.rsplit("/", 1)[1])]
    page = browse(listed)
    (shown,) = set(re.findall(rf'href="({re.escape(listed)}/[^"?]+)"', page.text))

    assert f'action="{listed}"' in page.text
    assert "An odd one" in text_of(browse(shown))


def page_of(browse: Browse) -> str:
    """The service's page."""
    return browse("/services/feeds").text


def test_a_deleted_record_shows_its_last_version(site: Site, browse: Browse) -> None:
    """Nothing vanishes: the page says it was deleted and shows what it was."""
    site.world.install()
    reader = site.world.readers["feeds"] = FakeReader()
    reader.put("entry", "k", {"title": "Gone"}, common={"title": "Gone title"})
    reader.record = lambda *_: None  # type: ignore[method-assign,assignment]
    text = text_of(browse("/services/feeds/records/entry/k"))

    assert "was deleted at the source" in text
    assert "Gone title" in text


@pytest.mark.parametrize("key", ["nothing", "~bm90aGluZw", "~%%%", "a%20b"])
def test_a_record_that_is_none(site: Site, browse: Browse, key: str) -> None:
    """A page with the way back, never a fault of ours."""
    site.world.install()

    assert browse(f"/services/feeds/records/entry/{key}").status in (400, 404)


def test_a_record_without_title_begins_with_its_words(site: Site, browse: Browse) -> None:
    """Not with the hash that is its key; its text has its paragraphs, and a day has no midnight."""
    site.world.install()
    site.world.readers["feeds"] = reader = FakeReader()
    text = "The keepers kept time. " * 8 + "\n\nAnd then they slept."
    reader.put("entry", "0f1e2d", {}, common={"text": text, "at": 1_763_596_800})
    listing, page = browse("/services/feeds/records/entry"), browse("/services/feeds/records/entry/0f1e2d")

    assert "<bdi>The keepers kept time." in listing.text
    assert "0f1e2d" not in text_of(listing)
    assert f'<div class="box prose long" dir="auto">{text}</div>' in page.text
    assert "20 Nov 2025 " in text_of(page)
    assert "Text" not in re.findall(r"<dt>(\w+)</dt>", page.text)


def test_an_old_version_has_no_link_to_the_current_json(site: Site, browse: Browse) -> None:
    """The link beside a version would open another."""
    furnish(site.world)
    current = browse("/services/feeds/records/entry/plain-key")
    versions = re.findall(r'href="(\?version=\d+)"', current.text)
    old = browse(f"/services/feeds/records/entry/plain-key{versions[-1]}")

    assert (True, False) == (">JSON</a>" in current.text, ">JSON</a>" in old.text)
