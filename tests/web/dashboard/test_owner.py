"""The owner's own pages: notices, changes, the diary, tokens, undelivered events."""

from __future__ import annotations

import html
import re

from core.web import Notice
from tests.web.conftest import Site
from tests.web.dashboard.conftest import Browse, text_of
from tests.web.scenes import furnish


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
