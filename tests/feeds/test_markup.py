"""What strangers wrote in HTML: as text, and as something a browser may show."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.feeds.markup import DEPTH_MAX, TEXT_LETTERS_MAX, depth_of, safe_address, shown, text_of
from connectors.sdk.testing import Child
from tests.feeds.site import Reply, Site, item, rss

BASE = "http://blog.example.test/2026/post"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\nTwo"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>x<li>y</ul>", "x\ny"),
        ("<td>a</td><td>b</td>", "ab"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a\nb"),
        ("un<b>believ</b>able", "unbelievable"),
        ("&lt;b&gt; &amp;amp; &eacute;", "<b> &amp; é"),
        ("a &nbsp; b\n\n\n c", "a b\nc"),
        ("<script>alert(1)</script>x<style>y{}</style>", "x"),
        ("<!-- hidden -->shown", "shown"),
        ('<a href="x>y">link</a>', "link"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("", ""),
    ],
)
def test_markup_becomes_text(markup: str, text: str) -> None:
    """A line for each block, entities as letters, no script, no style, no comment."""
    assert text == text_of(markup)


def test_text_has_an_end() -> None:
    """It is for search and lists; the value keeps everything."""
    assert TEXT_LETTERS_MAX == len(text_of("x" * (TEXT_LETTERS_MAX + 10)))


ACTING = (
    "<script", "onerror", "onload", "onclick", "javascript:", "<iframe", "<object", "<embed", "<form", "<meta", "<base",
    "<link", "<style", "style=", "<svg", "<math", "data:text", "evil.example",
)  # fmt: skip


@pytest.mark.parametrize(
    "markup",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg onload=alert(1)><circle/></svg>",
        "<iframe src='http://evil.example/'></iframe>",
        "<object data='http://evil.example/'></object>",
        "<embed src='http://evil.example/'>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href='JaVaScRiPt:alert(1)'>x</a>",
        "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
        "<form action='http://evil.example/'><input name=p></form>",
        "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
        "<base href='http://evil.example/'>",
        "<link rel=stylesheet href='http://evil.example/'>",
        "<style>@import 'http://evil.example/'</style>",
        "<p style='background:url(http://evil.example/)'>x</p>",
        "<math><mi xlink:href='javascript:alert(1)'>x</mi></math>",
        "<video><source src='javascript:alert(1)'></video>",
        "<p onclick='alert(1)'>x</p>",
        "<scr<script>ipt>alert(1)</scr</script>ipt>",
        '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    ],
)
def test_nothing_that_acts_is_shown(markup: str) -> None:
    """No script, no frame, no form, no style, nothing that loads by itself but pictures and sound."""
    cleaned = shown(markup, base=BASE, home="blog.example.test").lower()

    assert [] == [bad for bad in ACTING if bad in cleaned]


def test_what_reads_well_stays() -> None:
    """Paragraphs, emphasis, lists, code, tables, pictures."""
    markup = '<h2>T</h2><p>a <em>b</em></p><pre><code>x</code></pre><img src="http://pics.example.test/a.png" alt="A">'

    assert markup == shown(markup, base=BASE, home="")


def test_links_are_made_absolute_and_harmless() -> None:
    """Relative to the entry's base; they tell nobody where they were clicked."""
    cleaned = shown('<a href="../up">x</a><img src="/pic.png">', base=BASE, home="")

    assert 'href="http://blog.example.test/up"' in cleaned
    assert 'src="http://blog.example.test/pic.png"' in cleaned
    assert 'rel="noopener noreferrer nofollow"' in cleaned


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8042/services/feeds", "http://localhost/", "http://locker.localhost:8042/", "http://[::1]/",
        "http://2130706433/", "http://0x7f.1/", "http://192.168.0.1/reboot", "http://router.lan/", "http://intranet/",
        "//127.0.0.1/", "http://user@127.0.0.1/", "http://127.0.0.1.:80/", "http://[::ffff:127.0.0.1]/",
        "file:///etc/passwd", "http://[broken/", "javascript:1", "vbscript:1", "about:blank", "",
    ],
)  # fmt: skip
def test_no_link_leads_into_the_house(address: str) -> None:
    """Neither to this machine nor to its network; a click or a picture would go there with the owner's cookies."""
    assert safe_address(address, base="", home="") is None
    assert "href" not in shown(f'<a href="{address}">x</a>', base=BASE, home="") or address == ""
    assert "127.0.0.1" not in shown(f'<img src="{address}">', base=BASE, home="")


def test_the_feeds_own_host_is_allowed_but_never_loopback() -> None:
    """A server in the owner's house may link to itself."""
    assert "http://nas.local/a" == safe_address("/a", base="http://nas.local/feed", home="nas.local")
    assert safe_address("/a", base="http://127.0.0.1/feed", home="127.0.0.1") is None


@pytest.mark.parametrize(
    "picture",
    [
        '<img src="http://t.example.test/p.gif" width="1" height="1">',
        '<img height=1 width=1 src="http://t.example.test/p.gif">',
        '<img src="http://t.example.test/p.gif" width="0" height="0" alt="a > b">',
        '<img src="http://feeds.feedburner.com/~r/blog/~4/x">',
        '<img src="https://pixel.wp.com/b.gif?x=1" width="20">',
        '<img src="https://ad.doubleclick.net/x">',
    ],
)
def test_counters_are_left_out(picture: str) -> None:
    """Pictures nobody sees, and the known counting hosts."""
    assert "http" not in shown(f"<p>text {picture}</p>", base=BASE, home="")
    assert "text" in shown(f"<p>text {picture}</p>", base=BASE, home="")


def test_a_small_picture_that_is_seen_stays() -> None:
    """Ten by one is a line, not a counter."""
    assert "img" in shown('<img src="http://a.example.test/l.png" width="10" height="1">', base=BASE, home="")


@pytest.mark.parametrize("tag", ["div", "b", "blockquote", "a href='x'", "font", "table"])
def test_depth_beyond_measure_costs_no_time(tag: str) -> None:
    """Cleaning takes time by the square of the depth: beyond a bound the tags are dropped."""
    started = time.monotonic()
    markup = f"<{tag}>" * 50_000 + "inside"

    assert "inside" in text_of(markup)
    assert "inside" in shown(markup, base=BASE, home="")
    assert time.monotonic() - started < 4


def test_ordinary_pages_are_not_too_deep() -> None:
    """A long article of paragraphs that nobody closes keeps its marks."""
    markup = "".join(f"<p>paragraph {n} <b>bold</b><br>" for n in range(5000)) + "<ul>" + "<li>x" * 5000 + "</ul>"

    assert depth_of(markup) < 10
    assert "<b>bold</b>" in shown(markup, base=BASE, home="")
    assert DEPTH_MAX > depth_of("<div>" * 100)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<>/abpdivscript=\"' &;!-x:", max_size=200))
def test_text_and_display_of_anything(markup: str) -> None:
    """Whatever is written, cleaning ends, leaves no script, and cleaning twice changes nothing more."""
    once = shown(markup, base=BASE, home="")

    assert "<script" not in once.lower()
    assert once == shown(once, base=BASE, home="")
    assert isinstance(text_of(markup), str)


def test_an_entry_is_shown_as_a_page(site: Site, follow: Callable[..., Child]) -> None:
    """Clean, with a policy that lets nothing run, and 404 for an entry that is not there."""
    site.pages["/feed"] = Reply(rss(item("1", "one", description="<p>hello</p><script>alert(1)</script>")))
    child = follow(site.url("/feed"))
    child.sync()
    (key,) = child.records("entry")
    page = child.get(f"/entries/{key}/html")

    assert "<p>hello</p>" in page.text
    assert "alert" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert ("text/html; charset=utf-8", "no-referrer", "nosniff") == tuple(
        page.headers[name] for name in ("Content-Type", "Referrer-Policy", "X-Content-Type-Options")
    )
    assert 404 == child.get("/entries/nothing/html").status_code
