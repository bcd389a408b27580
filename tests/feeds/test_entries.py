"""What makes an entry itself, and what happens to it over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.feeds.entries import enclosures_of, html_of, place_of, puts
from connectors.feeds.identity import feed_key
from connectors.feeds.reading import Document
from connectors.sdk.testing import Child
from tests.feeds.site import Reply, Site, item, rss


def _keys(*entries: dict[str, Any], feed: str = "f") -> list[str]:
    document = Document(format="x", entries=entries, moments=(None,) * len(entries))
    return [str(put.key) for put in puts(document, feed=feed, url="http://example.test/feed")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"id": "a", "title": "x"}, {"id": "a", "title": "y", "link": "http://b/"}),
        ({"link": "http://a/1", "title": "x"}, {"link": "http://a/1", "title": "y"}),
        ({"title": "x", "published": "today", "summary": "a"}, {"title": "x", "published": "today", "summary": "b"}),
        ({"id": 7, "title": "x"}, {"id": "7", "title": "y"}),
    ],
)
def test_an_edited_entry_keeps_its_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Its guid, else its link, else its title and date."""
    assert _keys(one) == _keys(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"id": "a"}, {"id": "b"}),
        ({"link": "http://a/1"}, {"link": "http://a/2"}),
        ({"title": "x", "published": "today"}, {"title": "x", "published": "tomorrow"}),
        ({"summary": "only text"}, {"summary": "other text"}),
    ],
)
def test_different_entries_have_different_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    """However little they say of themselves."""
    assert _keys(one) != _keys(other)
    assert 2 == len(set(_keys(one, other)))


def test_a_guid_that_all_claim_identifies_none() -> None:
    """Broken generators give every item the same guid: the link tells them apart."""
    entries = [{"id": "same", "link": f"http://a/{n}"} for n in range(3)]

    assert 3 == len(set(_keys(*entries)))
    assert _keys(*entries) == list(reversed(_keys(*reversed(entries))))


def test_an_entry_that_is_there_twice_is_one() -> None:
    """The same guid and link: one record."""
    assert 1 == len(_keys({"id": "a", "link": "http://a/"}, {"id": "a", "link": "http://a/"}))


def test_the_same_guid_in_two_feeds_is_two_entries(site: Site, follow: Callable[..., Child]) -> None:
    """Keys belong to their feed."""
    site.pages["/a"] = site.pages["/b"] = Reply(rss(item("1", "one")))
    child = follow(site.url("/a"), site.url("/b"))
    child.sync()

    assert 2 == len(child.records("entry"))
    assert {feed_key(site.url("/a")), feed_key(site.url("/b"))} == {
        record["value"]["feed"] for record in child.records("entry").values()
    }


def test_keys_stand_plainly_in_a_path() -> None:
    """Whatever the guid is."""
    assert all(key.replace(".", "").isalnum() and len(key) < 60 for key in _keys({"id": "http://ä b/?#%"}))


def test_an_edit_is_a_new_version(site: Site, follow: Callable[..., Child]) -> None:
    """Both are kept; the current one is the later."""
    site.pages["/feed"] = Reply(rss(item("1", "first title")))
    child = follow(site.url("/feed"))
    child.sync()
    site.pages["/feed"] = Reply(rss(item("1", "second title")))
    run = child.sync()[0]
    (record,) = child.records("entry").values()
    history = child.get(record["href"].removeprefix("/Me/feeds") + "/history").json()["facts"]

    assert (0, 1) == (run["new"], run["updated"] - _feed_updates(child))
    assert ["second title", "first title"] == [fact["value"]["title"] for fact in history]


def test_counters_make_no_version(site: Site, follow: Callable[..., Child]) -> None:
    """The number of comments changes with every visit: it is kept and is no edit."""
    head = '<rss version="2.0" xmlns:slash="http://purl.org/rss/1.0/modules/slash/"><channel><title>t</title>'

    def feed(comments: int) -> Reply:
        body = f"{head}{item('1', 'one', extra=f'<slash:comments>{comments}</slash:comments>')}</channel></rss>"
        return Reply(body.encode())

    site.pages["/feed"] = feed(1)
    child = follow(site.url("/feed"))
    child.sync()
    site.pages["/feed"] = feed(2)
    run = child.sync()[0]

    assert (0, 0) == (run["new"], run["updated"])
    assert "1" == next(iter(child.records("entry").values()))["value"]["slash_comments"]


def test_an_entry_that_rolls_out_of_the_feed_stays(site: Site, follow: Callable[..., Child]) -> None:
    """Feeds show the newest few: what they have stopped listing is not deleted."""
    site.pages["/feed"] = Reply(rss(item("1", "one"), item("2", "two")))
    child = follow(site.url("/feed"))
    child.sync()
    site.pages["/feed"] = Reply(rss(item("2", "two"), item("3", "three")))
    run = child.sync()[0]

    assert (1, 0) == (run["new"], run["deleted"])
    assert 3 == len(child.records("entry"))


def test_an_entry_says_when_it_was_published(site: Site, follow: Callable[..., Child]) -> None:
    """Its moment orders it; the newest come first when asked for."""
    date = "<pubDate>Thu, 0{n} Jan 2026 12:00:00 +0100</pubDate>"
    items = [item(str(n), f"entry {n}", extra=date.format(n=n)) for n in (1, 8)]
    site.pages["/feed"] = Reply(rss(*items, item("x", "undated")))
    child = follow(site.url("/feed"))
    child.sync()
    newest = child.get("/records/entry?order=newest").json()["records"]

    assert ["undated", "entry 8", "entry 1"] == [record["common"]["title"] for record in newest]
    assert 1767870000.0 - 4 * 86400 > newest[2]["at"]


def test_shared_fields_are_plain_and_absolute(site: Site, follow: Callable[..., Child]) -> None:
    """Title and text without markup, the link absolute, the value as the source wrote it."""
    site.pages["/blog/feed"] = Reply(
        rss(
            item("1", "Tom & <b>Jerry</b>", "../post/1", "<p>One</p><p>two &amp; three</p><script>x()</script>"),
            link="http://www.example.test/blog/",
        )
    )
    child = follow(site.url("/blog/feed"))
    child.sync()
    (record,) = child.records("entry").values()

    assert "One\ntwo & three" == record["common"]["text"]
    assert "Tom & Jerry" == record["common"]["title"]
    assert record["common"]["link"].endswith("/post/1")
    assert "<script>" in record["value"]["summary"]


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "http://127.0.0.1:8042/", "http://locker.localhost/", "data:,x"]
)
def test_a_link_that_may_not_be_followed_is_no_link(link: str) -> None:
    """Not to this machine, not to a script; the value keeps what was written."""
    document = Document(format="x", entries=({"id": "1", "link": link},), moments=(None,))
    (put,) = puts(document, feed="f", url="http://example.test/feed")

    assert "link" not in put.common
    assert link == put.value["link"]


def test_a_feed_at_home_may_lead_home() -> None:
    """The owner's own server in the house: entries link to it, and to no other machine there."""
    entries = ({"id": "1", "link": "http://nas.local/1"}, {"id": "2", "link": "http://router.local/reboot"})
    document = Document(format="x", entries=entries, moments=(None, None))
    links = [put.common.get("link") for put in puts(document, feed="f", url="http://nas.local/feed")]

    assert ["http://nas.local/1", None] == links


@pytest.mark.parametrize(
    ("value", "html"),
    [
        ({"content": [{"type": "text/html", "value": "<p>a</p>"}], "summary": "b"}, "<p>a</p>"),
        ({"content": [{"type": "text/plain", "value": "a < b\nc"}]}, "a &lt; b<br>\nc"),
        ({"content_html": "<p>a</p>", "content_text": "b"}, "<p>a</p>"),
        ({"content_text": "a & b"}, "a &amp; b"),
        ({"summary": "<i>s</i>", "summary_detail": {"type": "text/html"}}, "<i>s</i>"),
        ({"content": "wrong", "summary": 7}, ""),
        ({}, ""),
    ],
)
def test_the_richest_text_is_shown(value: dict[str, Any], html: str) -> None:
    """Content before summary, markup as markup, plain text escaped."""
    assert html == html_of(value)


def test_enclosures_of_either_format() -> None:
    """RSS and Atom links, JSON Feed attachments; what has no address is none."""
    value = {
        "links": [{"rel": "enclosure", "href": "http://a/1.mp3", "type": "audio/mpeg", "length": "5"}, {"rel": "self"}],
        "attachments": [{"url": "http://a/2.mp3", "mime_type": "audio/mpeg"}, {"url": 7}, "x"],
    }

    assert ["http://a/1.mp3", "http://a/2.mp3"] == [found["url"] for found in enclosures_of(value)]
    assert [] == enclosures_of({"links": "x", "attachments": None})


def test_relative_links_start_where_the_entry_says() -> None:
    """The content's own base, else the feed's link, else its address."""
    value = {"content": [{"base": "http://b.test/x/"}]}

    assert "http://b.test/x/" == place_of(value, link="http://c.test/", url="http://d.test/f").base
    assert "http://c.test/" == place_of({}, link="http://c.test/", url="http://d.test/f").base
    assert "http://d.test/blog/" == place_of({}, link="/blog/", url="http://d.test/f").base


def _feed_updates(child: Child) -> int:
    return sum(fact["type"] == "feed" for fact in child.facts()) - 1
