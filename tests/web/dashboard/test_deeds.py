"""What an owner does on a service's page leads back to it, and says why where it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from core.model.errors import BadRequest, ChildSilent, StorageFull
from core.web.dashboard.visit import Trouble
from core.web.mount import FILE_BYTES_MAX
from tests.web.conftest import Answer, Site
from tests.web.dashboard.conftest import Browse, text_of
from tests.web.scenes import furnish

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>' {{7*7}}"


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
