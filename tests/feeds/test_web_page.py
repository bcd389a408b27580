"""A site's address where a feed's was expected."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors.feeds.web_page import ALTERNATES_MAX, alternates
from connectors.sdk.testing import Child
from tests.feeds.site import Reply, Site, item, rss

LINK = '<link rel="alternate" type="application/rss+xml" href="{}">'


def test_the_feed_of_a_site_is_found(site: Site, follow: Callable[..., Child]) -> None:
    """People type the address of the site: the feed it names is followed, and asked directly from then on."""
    site.pages["/"] = Reply(b"<!doctype html><html><head>" + LINK.format("blog/feed.xml").encode() + b"</head></html>")
    site.pages["/blog/feed.xml"] = Reply(rss(item("1", "one"), title="The blog"))
    child = follow(site.url("/"))
    runs = [child.sync()[0]["status"] for _ in range(2)]
    (feed,) = child.records("feed").values()

    assert ["ok", "ok"] == runs
    assert ("ok", "The blog", site.url("/blog/feed.xml")) == tuple(
        feed["value"][name] for name in ("status", "title", "moved_to")
    )
    assert (1, 2) == (site.count("/"), site.count("/blog/feed.xml"))


def test_a_page_that_names_a_page_is_no_feed(site: Site, follow: Callable[..., Child]) -> None:
    """One step, not a walk."""
    page = Reply(b"<html><head>" + LINK.format("/").encode() + b"</head></html>")
    site.pages["/"] = page
    child = follow(site.url("/"))
    run = child.sync()[0]

    assert ("failed", "user_action_needed") == (run["status"], run["problem"]["type"])
    assert 2 == site.count("/")


def test_a_page_leads_nobody_into_the_house(site: Site, follow: Callable[..., Child]) -> None:
    """What a page names is checked like any redirect."""
    inside = Site()
    try:
        site.pages["/"] = Reply(b"<html><head>" + LINK.format(inside.url("/feed")).encode() + b"</head></html>")
        child = follow(site.url("/"))
        child.sync()
    finally:
        inside.close()

    assert [] == inside.asked


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (LINK.format("/feed"), ["/feed"]),
        ("<LINK REL='home ALTERNATE' TYPE='application/atom+xml; charset=utf-8' HREF='a'>", ["a"]),
        ('<link rel="alternate" type="application/feed+json" href="j">', ["j"]),
        ('<link rel="stylesheet" type="text/css" href="s">', []),
        ('<link rel="alternate" type="text/html" href="fr">', []),
        ('<link rel="alternate" type="application/rss+xml">', []),
        ("<p>words</p>", []),
        ("", []),
        ("<link", []),
    ],
)
def test_what_a_page_names(page: str, found: list[str]) -> None:
    """Feeds among its alternates, and nothing else."""
    assert found == alternates(page.encode(), content_type="text/html; charset=utf-8")


def test_what_a_page_names_is_bounded() -> None:
    """The first ten."""
    assert ALTERNATES_MAX == len(alternates((LINK.format("x") * 50).encode(), content_type=""))
