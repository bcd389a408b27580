"""Lists of feeds, in and out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from connectors.feeds.opml import OPML_BYTES_MAX, OUTLINES_MAX, Outline, read_opml, write_opml
from connectors.feeds.subscriptions import FEEDS_MAX, clean_url, shown_url
from connectors.sdk.source import Source
from connectors.sdk.testing import ROOT, Child, FakeCore
from core.model.errors import BadRequest, BodyTooLarge
from tests.feeds.conftest import DATA
from tests.feeds.site import Reply, Site, item, rss


def test_sample_lists_are_read() -> None:
    """Titles in any script, addresses, and the folder they lie in."""
    india, japan = (read_opml((DATA / "opml" / name).read_bytes()) for name in ("India.opml", "Japan.opml"))

    assert (36, 8) == (len(india), len(japan))
    assert (
        Outline(
            url="http://feeds.bbci.co.uk/news/world/asia/india/rss.xml", title="BBC News - India", folders=("India",)
        )
        == (india[0])
    )
    assert any("\u0900" <= letter <= "\u097f" for outline in india for letter in outline.title)


def test_what_is_written_can_be_read() -> None:
    """Any title, any address."""
    outlines = [
        Outline(url="http://a/?x=1&y=<2>", title="\"Quotes\" & 'more' <b>"),
        Outline(url="https://b/", title="名前", site="https://b/blog"),
    ]

    assert outlines == read_opml(write_opml("A & B", outlines).encode())


def test_folders_are_written_as_they_were_read() -> None:
    """In folders of folders, whatever their titles; feeds of one folder stand together."""
    outlines = [
        Outline(url="http://a/", title="a"),
        Outline(url="http://b/", title="b", folders=('"News" & <more>',)),
        Outline(url="http://d/", title="d", folders=('"News" & <more>',)),
        Outline(url="http://c/", title="c", folders=('"News" & <more>', "名前")),
    ]
    mixed = [outlines[1], outlines[3], outlines[0], outlines[2]]

    assert outlines == read_opml(write_opml("F", outlines).encode())
    assert outlines == read_opml(write_opml("F", mixed).encode())
    assert (
        "http://deep/" == read_opml(write_opml("F", [Outline(url="http://deep/", folders=("x",) * 99)]).encode())[0].url
    )


def test_folders_of_an_imported_list_are_given_out(follow: Callable[..., Child]) -> None:
    """Also of a feed whose address is typed into the settings later."""
    body = (DATA / "opml" / "Japan.opml").read_bytes()
    before = {(outline.url, outline.folders) for outline in read_opml(body)}
    child = follow()
    child.post("/opml", data=body)
    imported = read_opml(child.get("/opml").content)
    child.stop()
    child = follow(imported[0].url)

    assert before == {(outline.url, outline.folders) for outline in imported}
    assert before == {(outline.url, outline.folders) for outline in read_opml(child.get("/opml").content)}


def test_as_many_as_are_taken_in_are_followed(follow: Callable[..., Child]) -> None:
    """Up to the bound every one; a list that goes over it is refused with the numbers, and nothing of it is kept."""
    child = follow()
    most = child.post("/opml", data=_list(range(FEEDS_MAX)))
    over = child.post("/opml", data=_list(range(FEEDS_MAX + 1)[1:]))
    listed = read_opml(child.get("/opml").content)

    assert FEEDS_MAX == most.json()["added"]
    assert FEEDS_MAX == len({outline.url for outline in listed})
    assert (409, True) == (
        over.status_code,
        f"{FEEDS_MAX} feeds are followed and the list has 1" in over.json()["detail"],
    )


def test_a_list_is_taken_as_a_file_comes(follow: Callable[..., Child]) -> None:
    """The file's bytes as the body, whatever the browser calls them."""
    child = follow()
    kinds = ("text/x-opml", "text/xml", "application/octet-stream", "application/x-www-form-urlencoded", "")
    added = [
        child.post("/opml", data=_list([n]), headers={"Content-Type": kind}).json()["added"]
        for n, kind in enumerate(kinds)
    ]

    assert [1] * len(kinds) == added


def test_the_manifest_offers_lists_in_and_out() -> None:
    """Where a dashboard finds them."""
    features = Source(ROOT / "connectors" / "feeds").manifest.features

    assert {"path": "/opml", "accept": ".opml,.xml", "title": "Import an OPML file"} == features["import"]
    assert {"path": "/opml", "title": "Export as OPML"} == features["export"]


def _list(numbers: Iterable[int]) -> bytes:
    return b"<opml>%b</opml>" % b"".join(b'<outline xmlUrl="http://e.test/%d"/>' % n for n in numbers)


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        (b'<opml><body><outline xmlUrl="http://a/?b=1&c=2"/></body></opml>', ["http://a/?b=1&c=2"]),
        (b'<OPML><BODY><OUTLINE XMLURL="http://a/"/></BODY></OPML>', ["http://a/"]),
        (b'\n\n<?xml version="1.0"?><opml><outline xmlUrl="http://a/"/></opml>', ["http://a/"]),
        (b'<opml><body><outline text="folder"><outline xmlurl="http://a/"/></outline></body></opml>', ["http://a/"]),
        ('<?xml version="1.0" encoding="utf-16"?><opml/>'.encode("utf-16"), []),
        (b'<?xml version="1.0" encoding="iso-8859-1"?><opml><outline text="\xfc" xmlUrl="http://a/"/></opml>', ["http://a/"]),
        (b"<opml/>", []),
    ],
)  # fmt: skip
def test_lists_of_every_make_are_read(body: bytes, urls: list[str]) -> None:
    """Bare ampersands, capitals, blank lines first, folders, encodings."""
    assert urls == [outline.url for outline in read_opml(body)]


LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><opml><body/></opml>'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "line 1"),
        (b"hello", "line 1"),
        (b"<html><body/></html>", "not an OPML"),
        (b"<opml><body>", "line 1"),
        (LAUGHS, "entities"),
        (b"<opml>" + b"<outline>" * 100, "deeper"),
        (b"<opml>" + b'<outline xmlUrl="http://a/"/>' * (OUTLINES_MAX + 1) + b"</opml>", "more than"),
    ],
)
def test_what_is_no_list_is_told(body: bytes, reason: str) -> None:
    """With the place, before anything of it is used."""
    with pytest.raises(BadRequest, match=reason):
        read_opml(body)


def test_a_list_has_a_size() -> None:
    """Just under the limit is read, just over is not."""
    empty = b"<opml></opml>"
    padding = b" " * (OPML_BYTES_MAX - len(empty))

    assert [] == read_opml(empty[:6] + padding + empty[6:])
    with pytest.raises(BodyTooLarge):
        read_opml(empty[:6] + padding + b" " + empty[6:])


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        (" http://Example.org ", "http://example.org/"),
        ("HTTPS://example.org/Feed#top", "https://example.org/Feed"),
        ("feed://example.org/rss", "http://example.org/rss"),
        ("feed:https://example.org/rss", "https://example.org/rss"),
        ("http://ann:Pw@Example.org/x", "http://ann:Pw@example.org/x"),
        ("ftp://example.org/", None),
        ("example.org/feed", None),
        ("http://", None),
        ("http://a:b:c/", None),
        ("http://[::1/", None),
        ("http://a/" + "x" * 2100, None),
        ("", None),
    ],
)
def test_an_address_is_compared_in_one_form(typed: str, url: str | None) -> None:
    """Two spellings of one feed are one feed; what is no address is none."""
    assert url == clean_url(typed)


def test_credentials_are_not_shown() -> None:
    """The address without them."""
    assert "http://example.org:81/x" == shown_url("http://ann:pw@example.org:81/x")
    assert "" == shown_url("http://[::1/")


def test_an_imported_list_is_followed(site: Site, follow: Callable[..., Child], core: FakeCore) -> None:
    """Kept beside the settings, asked for at once, fetched at the next run, given out again."""
    child = follow("http://127.0.0.1:1/typed")
    answer = child.post("/opml", data=(DATA / "opml" / "Japan.opml").read_bytes())
    again = child.post("/opml", data=(DATA / "opml" / "Japan.opml").read_bytes())
    listed = read_opml(child.get("/opml").content)

    assert (8, 0) == (answer.json()["added"], answer.json()["known"])
    assert (0, 8) == (again.json()["added"], again.json()["known"])
    assert {"/sync/feeds"} == {at["path"] for at in core.asked("at")}
    assert abs(core.asked("at")[0]["at"] - time.time()) < 10
    assert {"http://127.0.0.1:1/typed", *(o.url for o in read_opml((DATA / "opml" / "Japan.opml").read_bytes()))} == {
        outline.url for outline in listed
    }


def test_refused_addresses_are_named(follow: Callable[..., Child]) -> None:
    """The good ones of the same list are taken; credentials belong into the settings."""
    urls = ["http://example.test/ok", "mailto:x@y", "nonsense", "http://ann:pw@example.test/private"]
    body = "".join(f'<outline xmlUrl="{url}"/>' for url in urls)
    child = follow()
    answer = child.post("/opml", data=f"<opml>{body}</opml>".encode()).json()

    assert (1, 3) == (answer["added"], answer["refused_count"])
    assert "pw" not in str(answer)
    assert "pw" not in child.get("/facts").text


@pytest.mark.parametrize(("body", "status"), [(b"nonsense", 400), (b"x" * (OPML_BYTES_MAX + 1), 413), (LAUGHS, 400)])
def test_a_bad_list_changes_nothing(follow: Callable[..., Child], body: bytes, status: int) -> None:
    """Refused as a whole, with the reason."""
    child = follow()
    answer = child.post("/opml", data=body)

    assert (status, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])
    assert [] == child.facts()


def test_an_imported_feed_can_be_given_up(site: Site, follow: Callable[..., Child]) -> None:
    """It is followed no more; what it brought stays. A typed one is taken out of the settings instead."""
    site.pages["/feed"] = Reply(rss(item("1", "one")))
    child = follow(site.url("/feed"))
    child.post("/opml", data=b'<opml><outline xmlUrl="http://example.test/x" title="X"/></opml>')
    (key,) = child.records("subscription")
    first, second = child.ask("DELETE", f"/subscriptions/{key}"), child.ask("DELETE", f"/subscriptions/{key}")

    assert (200, 404) == (first.status_code, second.status_code)
    assert {} == child.records("subscription")
    assert "settings" in second.json()["remedy"]


def test_a_feed_that_moved_and_is_typed_anew_is_the_same_feed(site: Site, follow: Callable[..., Child]) -> None:
    """The owner follows the advice and types the new address: its entries are not there twice."""
    site.pages["/old"] = Reply(status=301, headers={"Location": "/new"})
    site.pages["/new"] = Reply(rss(item("1", "one")))
    child = follow(site.url("/old"))
    child.sync()
    child.stop()
    child = follow(site.url("/new"))
    run = child.sync()[0]
    feeds: dict[str, Any] = child.records("feed")

    assert (1, 1) == (len(child.records("entry")), len(feeds))
    assert 0 == run["new"]
