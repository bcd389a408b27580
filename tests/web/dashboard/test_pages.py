"""The dashboard's pages over HTTP: what they show, what they do, and that nothing in the data is more than text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from core.model.errors import StorageFull
from core.model.ids import key_to_path
from core.web import ChildState
from core.web.dashboard import PAGES
from tests.web.conftest import Site
from tests.web.dashboard.conftest import Browse, text_of
from tests.web.fake_reader import FakeReader
from tests.web.samples import run
from tests.web.scenes import furnish

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>' {{7*7}}"


def test_pages_are_the_owners(site: Site) -> None:
    """No child, no reading app: the session, or a token for everything."""
    site.world.install()
    app = site.owner("POST", "/tokens", {"label": "x", "scopes": ["read", "sync"]}).json["token"]
    paths = [re.sub(r"<(\w+:)?\w+>", "feeds", page.path) for page in PAGES]
    refused = {site.owner(p.method, path, token=app).status for p, path in zip(PAGES, paths, strict=True)}

    assert refused <= {403, 404}
    assert 403 == site.owner("POST", "/services/feeds/disable", token=app).status
    assert site.world.services.get("feeds").enabled


def test_an_empty_locker_invites(browse: Browse) -> None:
    """One thing to do, and it is said."""
    answer = browse("/")

    assert 200 == answer.status
    assert "Add your first service" in text_of(answer)


def test_services_show_their_state(site: Site, browse: Browse) -> None:
    """Every kind of condition, what is held, when it syncs, and what the owner should know."""
    furnish(site.world)
    text = text_of(browse("/"))

    for part in (
        "Up to date", "Sync failed", "Switched off", "Failed", "New", "122 entries", "1 feed", "next in 25 min",
        "This kernel cannot sandbox connectors", "A connector folder has faults", "One event was refused",
        "Try again", "Restart", "Switch on",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/install",
        "/install/feeds",
        "/install/mail",
        "/services/feeds",
        "/services/feeds-news",
        "/services/feeds-old",
        "/services/mail",
        "/services/mail-work",
        "/services/mail/settings",
        "/services/feeds/log",
        "/services/feeds/log?follow=1",
        "/services/mail/log",
        "/services/feeds/uninstall",
        "/services/feeds/records/entry",
        "/services/feeds/records/feed",
        "/services/mail/records/message",
        "/services/feeds/records/entry/plain-key",
        "/services/feeds/records/entry/awkward",
        "/owner/diary",
        "/owner/diary?day=2020-01-01",
        "/owner/tokens",
        "/owner/letters",
        "/owner/about",
        "/owner/access",
        "/services/notes",
        "/services/notes/settings",
        "/install/kept/feeds-gone",
        "/install/kept/mail-gone/erase",
        "/install/mail?again=mail-gone",
    ],
)
def test_every_page_in_full_use(site: Site, browse: Browse, path: str) -> None:
    """It is there, it is one document with one heading, it loads nothing from elsewhere and carries no inline code."""
    furnish(site.world)
    answer = browse(path)

    assert 200 == answer.status
    assert 1 == answer.text.count("<h1")
    assert 1 == answer.text.count("<main")
    assert '<html lang="en">' in answer.text
    assert [] == re.findall(r"<script(?! src=\"/static/)|\son\w+=|\sstyle=|<style|javascript:", answer.text)
    assert all(src.startswith("/static/") for src in re.findall(r'(?:src|<link[^>]* href)="([^"]*)"', answer.text))


def test_a_card_has_its_deeds_and_the_way_in(site: Site, browse: Browse) -> None:
    """Every card alike: what mends it and "Sync now" where they make sense, then the link that opens the service."""
    furnish(site.world)
    rows = re.findall(r'<div class="deeds">(.*?)</div>', browse("/").text, flags=re.S)

    assert len(site.world.services.list()) == len(rows)
    for row in rows:
        *deeds, last = re.findall(r"<button|<a [^>]*>[^<]*", row)
        others = row.count("<a ") + row.count("<button") - row.count(">Sync now<") - 1
        assert (True, True, True) == (len(deeds) <= 2, others <= 1, last.endswith(">Open")), row


@pytest.mark.parametrize("kind", ["not_found", "offline"])
def test_a_card_in_trouble_keeps_its_sync(site: Site, browse: Browse, kind: str) -> None:
    """Beside the way to the log, or as the remedy itself: one button, never two of the same."""
    site.world.install()
    problem = {"type": kind, "detail": "It went wrong."}
    site.world.readers["feeds"] = FakeReader(all_runs=[run("entry", 10.0, 11.0, status="failed", problem=problem)])

    assert 1 == browse("/").text.count('action="/services/feeds/sync"')


def test_a_problem_is_told_once(site: Site, browse: Browse) -> None:
    """With each of its parts, not again in the list of runs; what an earlier run met otherwise stands there."""
    site.world.install()
    parts = [{"name": "https://a.example/feed", "detail": "a.example answered 500"}, {"name": "b"}, "nonsense"]
    problem = {"type": "retry", "detail": "2 of 2 feeds could not be read.", "remedy": "wait", "parts": parts}
    other = {"type": "retry", "detail": "something else"}
    reader = FakeReader(
        all_runs=[
            run("entry", 30.0, 31.0, status="failed", problem=problem),
            run("entry", 20.0, 21.0, status="failed", problem=problem),
            run("entry", 10.0, 11.0, status="failed", problem=other),
        ]
    )
    site.world.readers["feeds"] = reader
    page = text_of(browse("/services/feeds"))

    assert (1, 1) == (page.count("2 of 2 feeds"), page.count("something else"))
    assert "2 of 2 feeds could not be read. https://a.example/feed : a.example answered 500." in page
    assert "Wait." in page


def test_an_empty_store_holds_nothing_yet(site: Site, browse: Browse) -> None:
    """A collection without streams whose store is there has simply heard nothing so far."""
    furnish(site.world)
    site.world.readers["notes"].incarnation = "0a"

    assert "Notes Ready Nothing stored yet Open" in text_of(browse("/"))


def test_a_followed_log_needs_no_script(site: Site, browse: Browse) -> None:
    """The page holds the last lines, and looks again by itself where scripts are off."""
    furnish(site.world)
    text = browse("/services/feeds/log?follow=1").text

    assert "feed number=59" in text
    assert '<meta http-equiv="refresh" content="3; url=/services/feeds/log?follow=1">' in text
    assert "<script" not in text
    assert "refresh" not in browse("/services/feeds/log").text


@pytest.mark.parametrize("path", ["/", "/install/mail", "/services/feeds", "/services/mail/settings", "/owner/tokens"])
def test_every_input_has_a_label_and_every_id_is_one(site: Site, browse: Browse, path: str) -> None:
    """For those who listen to the page."""
    furnish(site.world)
    text = browse(path).text
    ids = re.findall(r'\sid="([^"]+)"', text)
    labelled = set(re.findall(r'<label[^>]* for="([^"]+)"', text))
    wanted = re.findall(r'<(?:input|select|textarea)(?![^>]*type="(?:hidden|checkbox|radio)")[^>]* id="([^"]+)"', text)

    assert len(set(ids)) == len(ids)
    assert set(wanted) <= labelled


def test_what_is_in_the_data_is_text(site: Site, browse: Browse) -> None:
    """Markup anywhere in a record is shown as letters; no link leads to this machine; links tell nobody where from."""
    site.world.install()
    reader = site.world.readers["feeds"] = FakeReader()
    value = {
        HOSTILE: HOSTILE,
        "evil": "http://localhost:8042/logout",
        "good": "https://example.org/x",
        "js": "javascript:alert(1)",
    }
    common = {
        "title": HOSTILE,
        "summary": HOSTILE,
        "link": "http://127.1/",
        "author": [{"name": HOSTILE}],
        "text": value,
    }
    reader.put("entry", HOSTILE, value, common=common)
    reader.all_runs = [run("entry", 1.0, 2.0, status="failed", problem={"detail": HOSTILE})]
    site.world.children.states["feeds"] = ChildState("failed", "broken", HOSTILE)
    site.world.children.logs["feeds"] = [HOSTILE]
    site.world.coredb.write(
        lambda c: c.execute("INSERT INTO diary VALUES (1, ?, 'feeds', 0, ?)", (site.world.clock.now(), HOSTILE))
    )
    record = f"/services/feeds/records/entry/{key_to_path(HOSTILE)}"
    paths = ["/", "/services/feeds", "/services/feeds/records/entry", record, "/services/feeds/log", "/owner/diary"]

    for path in paths:
        answer = browse(path)
        assert 200 == answer.status
        assert "alert(1)" in answer.text
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert "49" not in re.findall(r"onerror[^<]{0,40}", answer.text)
    links = re.findall(r'<a[^>]*href="(?!/|\?|#)([^"]*)"([^>]*)>', browse(record).text)
    assert {"https://example.org/x"} == {href for href, _ in links}
    assert all('rel="noreferrer noopener"' in rest for _, rest in links)


def test_a_store_that_cannot_be_read_spoils_nothing_else(site: Site, browse: Browse) -> None:
    """Its own card says why; the others' pages and figures are not touched by it."""
    site.world.install()
    site.world.install("mail")

    class Full(FakeReader):
        def counts(self) -> Any:
            raise StorageFull("the disk is full")

    site.world.readers["feeds"] = Full()

    texts = [text_of(browse(path)) for path in ("/", "/services/feeds", "/services/feeds/uninstall", "/services/mail")]

    assert ["The disk is full" in text for text in texts] == [True, True, False, False]
    assert "Cannot be read" in texts[0]
    assert 507 == browse("/services/feeds/records/entry").status
    assert 'service="mail"' in site.owner("GET", "/metrics").text


def test_a_service_without_its_connector_is_still_shown(site: Site, browse: Browse) -> None:
    """What it holds can be read, and the page says what is missing."""
    site.world.install()
    reader = site.world.readers["feeds"] = FakeReader()
    reader.put("entry", "k", {"title": "Kept"})
    del site.world.catalog.manifests["feeds"]

    assert "Connector missing" in text_of(browse("/"))
    assert "Its connector, feeds, is missing" in text_of(browse("/services/feeds"))
    assert 200 == browse("/services/feeds/records/entry/k").status
    assert 400 == browse("/services/feeds/settings").status


def test_an_unknown_service_is_explained_to_a_person(site: Site, browse: Browse) -> None:
    """Without the addresses that programs ask, by the dashboard's address or by the service's own."""
    paths = ("/services/nothing", "/services/nothing/settings", "/install/nothing", "/Me/nothing/")
    answers = [browse(path) for path in paths]
    program = site.owner("GET", "/Me/nothing/")

    assert 200 == program.status, "the door answers it, which is a fake here"
    assert [404] * 4 == [answer.status for answer in answers]
    assert all("There is no service of that name." in text_of(answer) for answer in (answers[0], answers[-1]))
    assert not any("GET /" in text_of(answer) for answer in answers)


def test_a_runs_problem_is_told_in_full(site: Site, browse: Browse) -> None:
    """On the service's page, however long; the card has its beginning."""
    furnish(site.world)
    detail = "feed.example.org has no address; " * 20 + "last.example.org is gone"
    site.world.readers["feeds-partial"].all_runs = [
        run("entry", 10.0, 11.0, status="partial", problem={"type": "offline", "detail": detail, "remedy": "Wait."})
    ]

    assert f" {detail}. Wait." in text_of(browse("/services/feeds-partial"))
    assert "last.example.org" not in text_of(browse("/"))


@pytest.mark.parametrize(("deed", "told"), [("pause", "when resumed"), ("disable", "when switched on")])
def test_what_does_not_sync_names_no_next_time(site: Site, browse: Browse, deed: str, told: str) -> None:
    """Neither a moment nor a frequency."""
    site.world.install()
    before = text_of(browse("/services/feeds"))
    getattr(site.world.services, deed)("feeds")
    after = text_of(browse("/services/feeds"))

    assert (True, False) == (" every " in before, " every " in after)
    assert told in after


def test_services_of_one_title_show_their_ids(site: Site, browse: Browse) -> None:
    """On the cards, and where one is chosen."""
    for service_id in ("feeds", "feeds-work"):
        site.world.install("feeds", service_id)
    site.world.install("mail")

    assert ["feeds", "feeds-work"] == re.findall(r'<p class="muted small long">([\w-]+)</p>', browse("/").text)
    assert "Feeds (feeds) Feeds (feeds-work) Mail (mail)" in text_of(browse("/owner/diary"))
