"""The dashboard's pages over HTTP: what they show, what they do, and that nothing in the data is more than text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from core.model.errors import BadRequest, ChildSilent, StorageFull
from core.model.ids import key_to_path
from core.web import ChildState, Notice
from core.web.dashboard import PAGES
from core.web.dashboard.visit import Trouble
from core.web.mount import FILE_BYTES_MAX
from tests.web.conftest import Answer, Site
from tests.web.fakes import FakeReader, pending, run
from tests.web.scenes import furnish

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>' {{7*7}}"
Browse = Callable[..., Answer]


@pytest.fixture
def browse(site: Site) -> Browse:
    """Asks as the logged-in owner's browser; fields make it a POST."""
    cookie = site.login()

    def ask(path: str, fields: dict[str, str] | None = None, *, post: bool = False) -> Answer:
        if fields is None and not post:
            return site.browse(path, cookie)
        return site.browse(path, cookie, method="POST", body=urlencode(fields or {}).encode())

    return ask


def text_of(answer: Answer) -> str:
    """What a person reads: without tags, blanks made one."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


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


def test_a_service_that_keeps_its_data_itself_says_so(site: Site, browse: Browse) -> None:
    """It declares no types and has no store: that is not the same as having stored nothing."""
    furnish(site.world)
    card, page = text_of(browse("/")), text_of(browse("/services/notes"))

    assert "Notes Ready It keeps its data by itself; open it to see. Wake it Open" in card
    assert "It keeps its data by itself" in page
    assert "Nothing yet" not in page


def test_an_empty_store_holds_nothing_yet(site: Site, browse: Browse) -> None:
    """A collection without streams whose store is there has simply heard nothing so far."""
    furnish(site.world)
    site.world.readers["notes"].incarnation = "0a"

    assert "Notes Ready Nothing stored yet Open" in text_of(browse("/"))


def test_notices_are_put_away_for_good(site: Site, browse: Browse) -> None:
    """Advice never stands at the front; what was put away stands on the page about this Locker alone."""
    site.world.notices = [Notice("The sandbox is missing."), Notice("Mind the key.", is_advice=True)]
    before = browse("/")
    (address,) = re.findall(r'action="(/owner/notices/\w+)"', before.text)
    answer = browse(address, post=True)
    after, about = text_of(browse("/")), text_of(browse("/owner/about"))

    assert ("The sandbox is missing." in text_of(before), "Mind the key." in text_of(before)) == (True, False)
    assert (303, "/?done=away") == (answer.status, answer.headers["location"])
    assert ("sandbox" in after, "notice" in browse("/").text) == (False, False)
    assert "The sandbox is missing." in about and "Mind the key." in about
    assert 404 == browse(address, post=True).status


def test_changes_are_listed_by_who_made_them(site: Site, browse: Browse) -> None:
    """The owner, an app by its label, and one whose token is gone."""
    site.world.install()
    made = [site.owner("POST", "/tokens", {"label": f"script {n}"}).json for n in (1, 2)]
    for one in made:
        site.owner("POST", "/core/feeds/stop", token=one["token"])
    browse(f"/owner/tokens/{made[1]['id']}/delete", post=True)
    text = text_of(browse("/owner/access"))

    assert "you POST /tokens 201" in text
    assert "script 1 POST /core/feeds/stop 200" in text
    assert "a deleted token POST /core/feeds/stop 200" in text
    assert "There are no older ones." in text_of(browse("/owner/access?before=1"))
    assert 400 == browse("/owner/access?before=x").status


def test_a_followed_log_needs_no_script(site: Site, browse: Browse) -> None:
    """The page holds the last lines, and looks again by itself where scripts are off."""
    furnish(site.world)
    text = browse("/services/feeds/log?follow=1").text

    assert "feed number=59" in text
    assert '<meta http-equiv="refresh" content="3; url=/services/feeds/log?follow=1">' in text
    assert "<script" not in text
    assert "refresh" not in browse("/services/feeds/log").text


def test_tabs_begin_with_what_is_there(site: Site, browse: Browse) -> None:
    """Types without a record come last, and quietly."""
    furnish(site.world)
    site.world.readers["feeds-news"].facts.clear()
    site.world.readers["feeds-news"].put("feed", "1", {"title": "One"})
    tabs = re.findall(
        r'<a href="[^"]*/records/(\w+)"( class="bare")?', browse("/services/feeds-news/records/feed").text
    )

    assert [("feed", ""), ("entry", ' class="bare"')] == tabs


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


def test_install_by_form(site: Site, browse: Browse) -> None:
    """The form's inputs sent back make a service, and its page says so."""
    answer = browse(
        "/install/feeds", {"/feeds/0": "https://example.org/feed", "/keep_html": "on", "@title": "My feeds"}
    )
    page = browse(answer.headers["location"])

    assert (303, "/services/feeds?done=installed") == (answer.status, answer.headers["location"])
    assert {"feeds": ["https://example.org/feed"], "keep_html": True} == site.world.services.settings["feeds"]
    assert "My feeds" in text_of(page)
    assert "Installed." in text_of(page)


def test_install_shows_what_does_not_fit(site: Site, browse: Browse) -> None:
    """Beside its input, with everything that was typed; nothing is installed."""
    answer = browse("/install/feeds", {"/feeds/0": HOSTILE, "@id": "Not An Id", "@title": "T"})

    assert 422 == answer.status
    assert "2 settings need correcting" in text_of(answer)
    assert "is not an address" in text_of(answer)
    assert (
        f'value="{html.escape(HOSTILE, quote=True)}"'.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
        in answer.text
    )
    assert 'value="Not An Id"' in answer.text
    assert [] == list(site.world.services.list())


def test_rows_are_added_and_removed_without_a_script(browse: Browse) -> None:
    """Buttons of the form itself; what was typed stays, passwords too, and nothing is installed by it."""
    typed = {"/accounts/0/@row": "", "/accounts/0/host": "a.example", "/accounts/0/password": "typed-secret"}
    added = browse("/install/mail", {**typed, "@add": "/accounts"})
    removed = browse(
        "/install/mail", {**typed, "/accounts/1/@row": "", "/accounts/1/host": "b.example", "@remove": "/accounts/0"}
    )

    assert (200, 200) == (added.status, removed.status)
    assert 'name="/accounts/1/host"' in added.text
    assert 'value="a.example"' in added.text
    assert 'value="typed-secret"' in added.text
    assert 'name="/accounts/0/host" value="b.example"' in removed.text
    assert "a.example" not in removed.text


def test_a_second_service_of_an_id_is_explained(site: Site, browse: Browse) -> None:
    """On the form, with what was typed."""
    site.world.install()
    answer = browse("/install/feeds", {"/feeds/0": "https://example.org/feed", "@id": "feeds"})

    assert 409 == answer.status
    assert "There is a service feeds already" in text_of(answer)
    assert 'value="https://example.org/feed"' in answer.text


def test_settings_keep_secrets_unseen(site: Site, browse: Browse) -> None:
    """A form sent back as it came changes nothing; a secret is never in it."""
    furnish(site.world)
    page = browse("/services/mail/settings")
    fields = dict(re.findall(r'<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"', page.text))
    before = dict(site.world.services.settings["mail"])
    answer = browse("/services/mail/settings", {**fields, "/since": "year"})

    assert "secret-" not in page.text
    assert (303, "/services/mail?done=settings-sync") == (answer.status, answer.headers["location"])
    assert before == site.world.services.settings["mail"]


def test_saved_settings_are_synced_with(site: Site, browse: Browse) -> None:
    """And it is said; a paused service, one without streams, and a sync that cannot begin are saved all the same."""
    furnish(site.world)
    fields = {"/feeds/0": "https://example.org/new"}
    begun = browse("/services/feeds/settings", fields)
    site.world.children.answer = (503, b"{}")
    unsynced = browse("/services/feeds/settings", fields)
    site.world.services.pause("feeds")
    paused = browse("/services/feeds/settings", fields)
    page = browse(begun.headers["location"])

    assert ["settings-sync", "settings-unsynced", "settings"] == [
        answer.headers["location"].rpartition("=")[2] for answer in (begun, unsynced, paused)
    ]
    assert [("POST", "feeds", "/sync")] * 2 == site.world.children.asked
    assert "The settings are saved; a sync has begun." in text_of(page)
    assert 'data-watch="sync"' in page.text


def test_many_lines_are_kept_when_one_is_wrong(site: Site, browse: Browse) -> None:
    """The box stands open with all that was typed, and the line is named."""
    answer = browse("/install/feeds", {"/feeds/@lines": "https://a.example\nnonsense\nhttps://a.example"})

    assert 422 == answer.status
    assert "<details open>" in answer.text
    assert "https://a.example\nnonsense\nhttps://a.example</textarea>" in answer.text
    assert "Feeds Line 2, nonsense: is not an address" in text_of(answer)


def test_the_first_sync_is_watched(site: Site, browse: Browse) -> None:
    """From the install on, while it starts and runs; when it next runs is told once it has run."""
    furnish(site.world)
    # As the schedule has it while a call is under way: tried once, and the fallback is what is due next.
    in_29_min = site.world.clock.now() + 29 * 60
    site.world.schedule.entries["mail", "/sync/message"] = pending("mail", "/sync/message", in_29_min, tries=1)
    seen = {"sleeping": browse("/services/mail").text, "installed": browse("/services/mail?done=installed").text}
    for state in ("starting", "running"):
        site.world.children.states["mail"] = ChildState(state)
        seen[state] = browse("/services/mail").text

    assert {"sleeping": False, "installed": True, "starting": True, "running": True} == {
        name: 'data-watch="first"' in text for name, text in seen.items()
    }
    site.world.children.states["feeds"] = ChildState("starting")
    assert 'data-watch="sync"' in browse("/services/feeds").text
    assert not any("in 29 min" in text for text in (*seen.values(), browse("/").text))


@pytest.mark.parametrize(
    ("deed", "done", "asked"),
    [
        ("stop", "stopped", ("stop", "feeds")), ("restart", "restarted", ("restart", "feeds")),
        ("sync", "sync", ("POST", "feeds", "/sync")),
    ],
)  # fmt: skip
def test_deeds_lead_back_to_the_page(site: Site, browse: Browse, deed: str, done: str, asked: tuple[str, ...]) -> None:
    """So that loading it again repeats nothing."""
    site.world.install()
    answer = browse(f"/services/feeds/{deed}", post=True)

    assert (303, f"/services/feeds?done={done}") == (answer.status, answer.headers["location"])
    assert [asked] == site.world.children.asked


def test_switching_off_and_on(site: Site, browse: Browse) -> None:
    """The page says which it is, and offers the other."""
    site.world.install()
    browse("/services/feeds/disable", post=True)
    off = browse("/services/feeds")
    browse("/services/feeds/enable", post=True)

    assert "Switched off" in text_of(off)
    assert "Sync now" not in text_of(off)
    assert site.world.services.get("feeds").enabled


def test_pausing_and_resuming(site: Site, browse: Browse) -> None:
    """While it is paused no sync is offered, and the one thing to do is to go on."""
    site.world.install()
    site.world.schedule.at("feeds", "/sync/entry", site.world.clock.now() + 60)
    browse("/services/feeds/pause", post=True)
    card, page = text_of(browse("/")), text_of(browse("/services/feeds"))
    browse("/services/feeds/resume", post=True)

    assert "Paused" in card and "Resume Open" in card and "next in" not in card
    assert "Sync now" not in page and "Pause syncing" not in page
    assert "Pause syncing" in text_of(browse("/services/feeds"))


def test_a_door_is_opened_and_shut(site: Site, browse: Browse) -> None:
    """One at a time: the others stay as they are."""
    furnish(site.world)
    before = text_of(browse("/services/notes"))
    opened = browse("/services/notes/doors", {"path": "/api", "door": "open"})
    both = site.world.services.get("notes").doors_open
    browse("/services/notes/doors", {"path": "/dav", "door": "shut"})

    assert "/Me/notes/api shut Open" in before and "/Me/notes/dav open Shut" in before
    assert "without a token of Locker's" in before
    assert (303, ("/api", "/dav")) == (opened.status, both)
    assert ("/api",) == site.world.services.get("notes").doors_open
    assert 400 == browse("/services/notes/doors", {"path": "/secret", "door": "open"}).status
    assert 400 == browse("/services/notes/doors", {"path": "/api"}).status


def test_a_store_is_opened_and_shut(site: Site, browse: Browse) -> None:
    """Shut until the owner says otherwise; open, the page says where it is reached."""
    site.world.install()
    site.world.store_sockets["feeds"] = Path("/srv/Me/feeds/store.sock")
    before = text_of(browse("/services/feeds"))
    opened = browse("/services/feeds/store", {"store": "open"})
    after, is_open = text_of(browse("/services/feeds")), site.world.services.get("feeds").store_open
    browse("/services/feeds/store", {"store": "shut"})

    assert "/store.sock shut Open" in before and "/srv/Me/feeds/store.sock open Shut" in after
    assert (303, True) == (opened.status, is_open)
    assert not site.world.services.get("feeds").store_open
    assert 400 == browse("/services/feeds/store", {"store": "ajar"}).status


def test_a_service_without_doors_has_no_section(site: Site, browse: Browse) -> None:
    """Most have none."""
    site.world.install()

    assert "Doors" not in text_of(browse("/services/feeds"))


def test_a_title_is_changed(site: Site, browse: Browse) -> None:
    """Beside the settings; an empty one is refused and the page stays."""
    site.world.install()
    changed = browse("/services/feeds/title", {"title": "News <b>"})
    refused = browse("/services/feeds/title", {"title": " "})

    assert (303, 400) == (changed.status, refused.status)
    assert "News <b>" in text_of(browse("/"))
    assert "https://example.org/feed" in refused.text


def test_kept_data_is_taken_up_again(site: Site, browse: Browse) -> None:
    """With the settings it had, secrets included."""
    furnish(site.world)
    listed = text_of(browse("/install"))
    shown = text_of(browse("/install/kept/feeds-gone"))
    answer = browse("/install/kept/feeds-gone", post=True)

    assert "Kept from before" in listed and "feeds-gone" in listed
    assert "with its data and the settings it had" in shown
    assert (303, "/services/feeds-gone?done=again") == (answer.status, answer.headers["location"])
    assert {"feeds": ["https://example.org/feed"]} == site.world.services.settings["feeds-gone"]
    assert 404 == browse("/install/kept/feeds-gone", post=True).status


def test_kept_settings_can_be_changed_first(site: Site, browse: Browse) -> None:
    """What does not fit any more is said, and the form is filled with what was kept but for the secrets."""
    site.world.install("mail", "mail-gone")
    site.world.services.settings["mail-gone"] = {"accounts": [{"host": "imap.example.org", "password": "secret-one"}]}
    site.world.services.uninstall("mail-gone", erase=False)
    site.world.services.settings["mail-gone"] = {"accounts": [{"host": "imap.example.org"}]}
    refused = browse("/install/kept/mail-gone", post=True)
    form = browse("/install/mail?again=mail-gone").text

    assert 422 == refused.status
    assert "accounts.0.password is missing" in text_of(refused)
    assert 'value="imap.example.org"' in form and 'value="mail-gone"' in form
    assert "secret-one" not in form


def test_kept_data_of_a_missing_connector_can_be_erased_only(site: Site, browse: Browse) -> None:
    """Installing again needs the connector."""
    furnish(site.world)
    del site.world.catalog.manifests["mail"]
    listed = browse("/install").text

    assert "Its connector, mail, is missing" in html.unescape(listed)
    assert "/install/kept/mail-gone/erase" in listed and '/install/kept/mail-gone"' not in listed
    assert 404 == browse("/install/kept/mail-gone").status


def test_erasing_what_was_kept_wants_its_id(site: Site, browse: Browse) -> None:
    """Typed, and nothing less; an installed service cannot be erased there."""
    furnish(site.world)
    wrong = [browse("/install/kept/feeds-gone/erase", {"confirm": text}).status for text in ("", "feeds", "FEEDS-GONE")]
    other = browse("/install/kept/feeds/erase", {"confirm": "feeds"}).status
    right = browse("/install/kept/feeds-gone/erase", {"confirm": " feeds-gone "})

    assert ([422] * 3, 404, 303) == (wrong, other, right.status)
    assert ["feeds-gone"] == site.world.services.erased
    assert "feeds-gone" not in text_of(browse("/install"))


def test_one_stream_can_be_synced(site: Site, browse: Browse) -> None:
    """By its name only: no path can be put there."""
    site.world.install()
    good = browse("/services/feeds/sync", {"stream": "entry"})
    bad = browse("/services/feeds/sync", {"stream": "../stop"})

    assert (303, 400) == (good.status, bad.status)
    assert [("POST", "feeds", "/sync/entry")] == site.world.children.asked


def test_a_deed_that_fails_says_why(site: Site, browse: Browse) -> None:
    """On the same page, with the cure; whether the core or the child refused."""
    site.world.install()

    def silent(service_id: str, **_: Any) -> tuple[int, bytes]:
        raise ChildSilent("feeds wrote nothing within 15 s")

    site.world.children.answer = (
        401,
        b'{"type": "auth_required", "title": "Not signed in", "detail": "No <b>token</b>."}',
    )
    refused = browse("/services/feeds/sync", post=True)
    site.world.children.answer = (500, b"<html>oops")
    broken = browse("/services/feeds/sync", post=True)
    site.world.children.call = silent  # type: ignore[method-assign]
    failed = browse("/services/feeds/sync", post=True)

    assert (401, 500, 504) == (refused.status, broken.status, failed.status)
    assert "Not signed in. No <b>token</b>." in text_of(refused)
    assert "<b>token" not in refused.text
    assert "The connector answered 500." in text_of(broken)
    assert "Feeds wrote nothing within 15 s" in text_of(failed)


def test_progress_is_watched_after_a_sync_only(site: Site, browse: Browse) -> None:
    """Watching keeps a child awake, so a plain look at the page does not."""
    site.world.install()

    assert [False, True] == [
        "data-watch" in browse(path).text for path in ("/services/feeds", "/services/feeds?done=sync")
    ]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 422), ({"data": "erase"}, 422), ({"data": "erase", "confirm": "Feeds"}, 422), ({"data": "all"}, 422),
        ({"data": "keep"}, 303), ({"data": "erase", "confirm": " feeds "}, 303),
    ],
)  # fmt: skip
def test_uninstall_asks_first(site: Site, browse: Browse, fields: dict[str, str], status: int) -> None:
    """Erasing wants the id typed; keeping does not; nothing is chosen in advance."""
    site.world.install()
    form = browse("/services/feeds/uninstall")
    answer = browse("/services/feeds/uninstall", fields, post=True)

    assert "checked" not in form.text
    assert status == answer.status
    assert (status == 422) == ("feeds" in site.world.services.services)
    assert (["feeds"] if fields.get("confirm") == " feeds " else []) == site.world.services.erased


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


def test_the_diary_by_day_and_service(site: Site, browse: Browse) -> None:
    """Today unless asked; no day beyond it is offered."""
    site.world.install()
    site.owner("POST", "/core/feeds/diary", {"message": "Read 12 new entries", "level": 2})
    today, before = browse("/owner/diary"), browse("/owner/diary?day=2020-02-03&service=feeds")

    assert "Read 12 new entries" in text_of(today)
    assert "error" in text_of(today)
    assert 'rel="next"' not in today.text
    assert "Nothing written that day" in text_of(before)
    assert 'href="?day=2020-02-04&service=feeds"' in html.unescape(before.text)
    assert [400, 400] == [browse(f"/owner/diary?day={day}").status for day in ("yesterday", "9999-12-31")]


def test_a_token_is_shown_once(browse: Browse) -> None:
    """On the page that is led to; loading that again neither shows it nor makes a second one."""
    answer = browse("/owner/tokens", {"label": "My script", "scope-read": "on"})
    made = browse(answer.headers["location"])
    again = browse(answer.headers["location"])
    token = re.search(r"lk_[\w-]{43}", made.text)
    later = browse("/owner/tokens")
    deletion = re.search(r'action="(/owner/tokens/\w+/delete)"', later.text)
    assert token is not None
    assert deletion is not None

    assert (303, 200) == (answer.status, made.status)
    assert "My script" in text_of(later)
    assert token[0] not in again.text
    assert 1 == again.text.count("Delete it for good")
    assert token[0] not in later.text
    assert 303 == browse(deletion[1], post=True).status
    assert "There is none yet" in text_of(browse("/owner/tokens"))


def test_a_token_without_scope_is_explained(browse: Browse) -> None:
    """With what was typed."""
    answer = browse("/owner/tokens", {"label": "My script"})

    assert 400 == answer.status
    assert "scopes are some of" in text_of(answer)
    assert 'value="My script"' in answer.text


def test_letters_can_be_tried_again_or_given_up(site: Site, browse: Browse) -> None:
    """Each by its own button."""
    furnish(site.world)
    page = browse("/owner/letters")
    answers = [browse(f"/owner/letters/7/{deed}", post=True).headers["location"] for deed in ("retry", "drop")]

    assert "mail" in text_of(page)
    assert ["/owner/letters?done=retried", "/owner/letters?done=dropped"] == answers
    assert ([7], {}) == (site.world.events.retried, site.world.events.letters)
    assert "Every event has reached its listeners" in text_of(browse("/owner/letters"))


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


def test_a_sleeping_child_is_not_woken_by_a_look(site: Site, browse: Browse) -> None:
    """What it keeps itself is seen once its owner wakes it, from its page or from the list of a type."""
    furnish(site.world)
    page = text_of(browse("/services/notes"))
    listing = text_of(browse("/services/notes/records/note"))
    looked = list(site.world.children.asked)
    woken = browse("/services/notes/wake", {"type": "note"})

    assert "It keeps its data by itself; open it to see. Wake it" in page
    assert "Notes keeps its data by itself; open it to see. Wake it" in listing
    assert [] == looked
    assert (303, "/services/notes/records/note?done=woken") == (woken.status, woken.headers["location"])
    assert [("GET", "notes", "/")] == site.world.children.asked


def test_a_running_child_tells_what_it_keeps_itself(site: Site, browse: Browse) -> None:
    """Counts, records, one record and its history, as its own answers say."""
    furnish(site.world)
    site.world.children.states["notes"] = ChildState("running")
    note = {"key": "n1", "value": {"id": "n1", "text": "Buy milk"}, "common": {"title": "Buy milk"}, "at": 86400.5}
    site.world.children.answers = {
        path: (200, json.dumps(answer).encode())
        for path, answer in {
            "/": {"counts": {"note": 1}},
            "/records/note": {"records": [{**note, "seq": 2, "href": "records/note/n1"}], "next": None},
            "/records/note/n1": {**note, "seq": 2},
            "/records/note/n1/history": {
                "facts": [
                    {"seq": 2, "action": "put", "value": {"text": "Buy milk"}, "at": 86400.5},
                    {"seq": 1, "action": "put", "value": {"text": "Buy"}, "at": 86400},
                ],
                "next": None,
            },
        }.items()
    }

    site.world.children.answer = (404, b"{}")

    assert "1 note" in text_of(browse("/services/notes"))
    assert "Buy milk" in text_of(browse("/services/notes/records/note"))
    assert "text before: Buy after: Buy milk" in text_of(browse("/services/notes/records/note/n1"))
    assert 404 == browse("/services/notes/records/note/n2").status


def test_the_first_page_asks_no_child(site: Site, browse: Browse) -> None:
    """However many keep their data themselves: a look at all of them waits for none of them."""
    for number in range(12):
        site.world.install("feeds", f"notes-{number}")
        site.world.readers[f"notes-{number}"] = FakeReader(incarnation="")
        site.world.children.states[f"notes-{number}"] = ChildState("running")
    furnish(site.world)
    site.world.children.states["notes"] = ChildState("running")
    text = text_of(browse("/"))

    assert "Notes Ready It keeps its data by itself. Open" in text
    assert [] == site.world.children.asked


def test_a_child_has_one_bound_for_all_it_is_asked(site: Site, browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for the service's page; two for a list, the first answer's time taken from the next one's."""
    furnish(site.world)
    clock, children = site.world.clock, site.world.children
    children.states["notes"] = ChildState("running")
    waits: list[float] = []

    def slow(_service_id: str, *, timeout_s: float, **_how: Any) -> tuple[int, bytes]:
        waits.append(round(timeout_s, 3))
        clock.advance(0.75)
        return 200, b'{"records": []}'

    monkeypatch.setattr(children, "call", slow)
    browse("/services/notes")
    browse("/services/notes/records/note")

    assert [1.0, 2.0, 1.25] == waits


def test_a_child_that_used_up_its_time_is_asked_no_more(
    site: Site, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list says that it took too long."""
    furnish(site.world)
    site.world.children.states["notes"] = ChildState("running")
    asked: list[str] = []

    def slow(_service_id: str, *, path: str, **_how: Any) -> tuple[int, bytes]:
        asked.append(path)
        site.world.clock.advance(2.0)
        return 200, b"{}"

    monkeypatch.setattr(site.world.children, "call", slow)
    answer = browse("/services/notes/records/note")

    assert (504, ["/"]) == (answer.status, asked)


@pytest.mark.parametrize("answer", [(200, b"<p>"), (500, b"{}"), (200, b'{"counts": {"note": "many"}}'), (200, b"[]")])
def test_a_child_that_tells_nonsense_spoils_nothing(site: Site, browse: Browse, answer: tuple[int, bytes]) -> None:
    """The pages of all services stand; the list of its type says that it went wrong."""
    furnish(site.world)
    site.world.children.states["notes"] = ChildState("running")
    site.world.children.answer = answer
    site.world.children.answers = {"/records/note": answer}

    assert "It keeps its data by itself" in text_of(browse("/"))
    assert 200 == browse("/services/notes").status
    assert 502 == browse("/services/notes/records/note").status


def send_file(site: Site, content: bytes, *, file_name: str = "list.opml") -> Answer:
    """The answer to a file sent by the service page's form."""
    head = f'--xx\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\n'
    body = head.encode() + b"Content-Type: text/x-opml\r\n\r\n" + content + b"\r\n--xx--\r\n"
    more = {"Content-Type": "multipart/form-data; boundary=xx"}
    return site.browse("/services/notes/import", site.login(), method="POST", body=body, **more)


def test_a_file_is_handed_to_the_child(site: Site, browse: Browse) -> None:
    """Its bytes as they are, with its content type, at the path that the manifest names; the answer is told, once."""
    furnish(site.world)
    content = b"\x00\xff<opml>" + b"x" * (2 * 2**20)
    site.world.children.answers["/list"] = (200, b'{"added": 2, "known": 1, "refused": [], "refused_count": 0}')
    page = browse("/services/notes").text
    answer = send_file(site, content)

    assert 'enctype="multipart/form-data"' in page
    assert 'accept=".opml,.xml"' in page
    assert '<a class="button" href="/Me/notes/list" download>Export the list</a>' in page
    assert (303, [("POST", "notes", "/list")]) == (answer.status, site.world.children.asked)
    assert [("text/x-opml", content)] == site.world.children.sent
    assert "2 added, 1 known, 0 refused." in text_of(browse(answer.headers["location"]))
    assert "2 added" not in text_of(browse(answer.headers["location"]))


def test_a_file_that_cannot_be_taken_is_explained(site: Site) -> None:
    """Empty, refused by the child, larger than sixteen mebibytes; a connector without the feature takes none."""
    furnish(site.world)
    site.world.children.answers["/list"] = (422, b'{"title": "No list", "detail": "It is no OPML."}')
    refused, empty = send_file(site, b"x"), send_file(site, b"")
    large = send_file(site, b"x" * (FILE_BYTES_MAX + 1))
    site.world.children.answers["/list"] = (200, b"{}")
    fits = send_file(site, b"x" * FILE_BYTES_MAX)

    assert (422, "No list. It is no OPML." in text_of(refused)) == (refused.status, True)
    assert (400, True) == (empty.status, "No file was chosen" in text_of(empty))
    assert (413, True) == (large.status, "larger than 16 MiB" in text_of(large))
    assert 303 == fits.status
    assert 2 == len(site.world.children.sent)


def test_an_unknown_service_is_explained_to_a_person(site: Site, browse: Browse) -> None:
    """Without the addresses that programs ask, by the dashboard's address or by the service's own."""
    paths = ("/services/nothing", "/services/nothing/settings", "/install/nothing", "/Me/nothing/")
    answers = [browse(path) for path in paths]
    program = site.owner("GET", "/Me/nothing/")

    assert 200 == program.status, "the door answers it, which is a fake here"
    assert [404] * 4 == [answer.status for answer in answers]
    assert all("There is no service of that name." in text_of(answer) for answer in (answers[0], answers[-1]))
    assert not any("GET /" in text_of(answer) for answer in answers)


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


@pytest.mark.parametrize("path", ["/owner/tokens", "/install/feeds"])
def test_a_name_that_is_too_long_is_refused_and_not_cut(site: Site, browse: Browse, path: str) -> None:
    """Neither by the browser nor here: what was typed stands there again."""
    name = "n" * 81
    fields = {"label": name, "scope-read": "on", "@title": name, "@id": "two", "/feeds/0": "https://a.example"}
    answer = browse(path, fields)

    assert 400 <= answer.status < 500
    assert f'value="{name}"' in answer.text
    assert " maxlength" not in answer.text
    assert [] == list(site.world.services.list())


def test_a_refused_file_is_told_in_a_sentence(site: Site, browse: Browse) -> None:
    """What is wrong with it, without a frame that speaks of requests."""
    told = Trouble.of(BadRequest("the list is not XML at line 3", remedy="export it again"))
    other = Trouble.of(StorageFull("the disk is full"))

    assert ("", "The list is not XML at line 3.", "Export it again.") == (told.title, told.detail, told.remedy)
    assert "" != other.title
    label = text_of(browse("/owner/tokens", {"label": "n" * 81, "scope-read": "on"}))
    assert "A token needs a label of 1 to 80 letters" in label
    assert "cannot be understood" not in label


@pytest.mark.parametrize("done", ["installed", HOSTILE, ""])
def test_a_message_is_chosen_from_a_list(site: Site, browse: Browse, done: str) -> None:
    """No link can put words into the page."""
    site.world.install()
    answer = browse(f"/services/feeds?{urlencode({'done': done})}")

    assert (done == "installed") == ('role="status"' in answer.text)
    assert "alert(1)" not in answer.text
