"""Services are installed, set up, named and uninstalled by forms that need no script."""

from __future__ import annotations

import html
import re

import pytest

from core.web import ChildState
from tests.web.conftest import Site
from tests.web.dashboard.conftest import Browse, text_of
from tests.web.samples import pending
from tests.web.scenes import furnish

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>' {{7*7}}"


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
