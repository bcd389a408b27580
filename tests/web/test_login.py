"""The owner's way in: one-time addresses and the session they give."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.model.clock import ManualClock
from core.process import Holder
from core.web.kin import WAITING_MAX
from core.web.login import SESSION_IDLE_S, SESSIONS_MAX, TICKET_LIFETIME_S
from tests.web.conftest import Site, wait_until


def path_of(site: Site) -> str:
    """A new login address, without its host."""
    return site.on_loop(site.web.login_url).removeprefix(site.origin)


def advance(site: Site, seconds: float) -> None:
    """Let time pass for the server."""
    assert isinstance(site.world.clock, ManualClock)
    site.world.clock.advance(seconds)


def test_a_login_address_works_once(site: Site) -> None:
    """ticket_reuse: the second use, by whoever read it over a shoulder, gives nothing."""
    path = path_of(site)
    first = site.ask("GET", path, host=site.dashboard)
    second = site.ask("GET", path, host=site.dashboard)

    assert (200, 403) == (first.status, second.status)
    assert "set-cookie" not in second.headers
    assert f"python3 locker.py status --me {site.world.folder}</code>" in second.text


def test_a_login_address_expires(site: Site) -> None:
    """After an hour it is worthless."""
    path = path_of(site)
    advance(site, TICKET_LIFETIME_S + 1)

    assert 403 == site.ask("GET", path, host=site.dashboard).status


def test_the_cookie_is_kept_to_its_host_and_from_scripts(site: Site) -> None:
    """HttpOnly, Strict, for the whole host and no other."""
    answer = site.ask("GET", path_of(site), host=site.dashboard)
    attributes = {part.strip() for part in answer.headers["set-cookie"].split(";")[1:]}

    assert {"HttpOnly", "SameSite=Strict", "Path=/"} == attributes
    assert 'content="0; url=/"' in answer.text


def test_looking_ahead_does_not_spend_the_ticket(site: Site) -> None:
    """A prefetching browser, a link preview by HEAD, a form that posts: the person's own look still works."""
    path = path_of(site)
    looks = [
        site.ask("HEAD", path, host=site.dashboard),
        site.ask("GET", path, host=site.dashboard, headers={"Sec-Purpose": "prefetch;prerender"}),
        site.ask("GET", path, host=site.dashboard, headers={"Purpose": "prefetch"}),
        site.ask("POST", path, host=site.dashboard, body=b""),
    ]

    assert all("set-cookie" not in look.headers for look in looks)
    assert 200 == site.ask("GET", path, host=site.dashboard).status


def test_no_login_on_127_0_0_1(site: Site) -> None:
    """There no cookie is set, and the ticket stays good for the dashboard's host."""
    path = path_of(site)
    answer = site.ask("GET", path)

    assert 403 == answer.status
    assert "set-cookie" not in answer.headers
    assert 200 == site.ask("GET", path, host=site.dashboard).status


def test_an_old_address_in_a_logged_in_browser_leads_on(site: Site) -> None:
    """Going back to it, or opening it again, shows the dashboard."""
    cookie = site.login()
    answer = site.browse("/login?ticket=used-up", cookie)

    assert (303, "/") == (answer.status, answer.headers["location"])


def test_a_connector_learns_nothing_of_a_session_and_does_not_renew_it(site: Site) -> None:
    """A good cookie and a guessed one are answered alike, and the good one's time goes on running out."""
    good, guessed = site.login(), "locker_session=guess"
    advance(site, SESSION_IDLE_S / 2)
    site.world.holder = Holder.BELOW
    answers = [[site.browse(path, cookie) for path in ("/login", "/map")] for cookie in (good, guessed)]
    site.world.holder = Holder.OUTSIDE
    advance(site, SESSION_IDLE_S / 2 + 1)

    of_good, of_guessed = ([(one.status, one.body) for one in each] for each in answers)
    assert [200, 401] == [status for status, _ in of_good]
    assert of_good == of_guessed
    assert 401 == site.browse("/map", good).status


@pytest.mark.parametrize(("began", "uses"), [("OUTSIDE", (200, 401)), ("UNSEEN", (200, 200))])
def test_a_session_that_began_seen_must_stay_seen(site: Site, began: str, uses: tuple[int, int]) -> None:
    """Only a browser that hid its connections from the first may go on hiding them."""
    site.world.holder = Holder[began]
    cookie = site.login()
    answers = []
    for holder in (Holder.OUTSIDE, Holder.UNSEEN):
        site.world.holder = holder
        answers.append(site.browse("/map", cookie).status)
    site.world.holder = Holder.OUTSIDE

    assert uses == tuple(answers)
    assert 200 == site.browse("/map", cookie).status


@pytest.mark.parametrize("holder", [Holder.BELOW, Holder.STRANGER])
def test_a_ticket_is_not_spent_by_whom_it_would_not_help(site: Site, holder: Holder) -> None:
    """It begins no session there, says why, and is good for the owner's browser afterwards."""
    path = path_of(site)
    site.world.holder = holder
    refused = site.ask("GET", path, host=site.dashboard)
    site.world.holder = Holder.OUTSIDE

    assert (403, "forbidden") == (refused.status, refused.json["type"])
    assert "127.0.0.1" in refused.json["remedy"]
    assert "set-cookie" not in refused.headers
    assert 200 == site.ask("GET", path, host=site.dashboard).status


def test_another_users_program_is_told_the_truth(site: Site) -> None:
    """With a good session it hears whose connection it is and what helps; with any other it is asked to log in."""
    good = site.login()
    site.world.holder = Holder.STRANGER
    answers = [site.browse("/map", cookie, Accept="application/json") for cookie in (good, "locker_session=old")]

    assert [403, 401] == [answer.status for answer in answers]
    assert "another user's" in answers[0].json["detail"]
    assert "Bearer" in answers[0].json["remedy"]


@pytest.mark.parametrize("holder", list(Holder))
def test_a_cookie_closes_nothing_that_is_open(site: Site, holder: Holder) -> None:
    """Good or worn out, from whomever: what needs no session is answered."""
    cookies = [site.login(), "locker_session=old"]
    site.world.install()
    site.world.open_doors.add(b"/Me/feeds/hook")
    site.world.holder = holder
    paths = ("/health", "/static/locker.css", "/Me/feeds/hook")

    assert {200} == {site.browse(path, cookie).status for cookie in cookies for path in paths}
    assert 200 == site.browse("/login", "locker_session=old").status


def test_the_system_is_asked_for_a_good_session_only(site: Site) -> None:
    """A flood of worthless cookies costs no look at every process of the machine."""
    site.login()
    before = site.world.looks
    for path in ("/map", "/", "/health", "/login", "/static/locker.css", "/login?ticket=x"):
        site.browse(path, "locker_session=old")

    assert before == site.world.looks


def test_looks_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as fit wait; the next is told to come again, and who needs no look is served."""
    cookie, until = site.login(), threading.Event()

    def slow(*_ends: object) -> Holder:
        site.world.looks += 1
        assert until.wait(20)
        return Holder.OUTSIDE

    kin = site.web._access._kin
    monkeypatch.setattr(kin, "_holder_of", slow)
    with ThreadPoolExecutor(WAITING_MAX) as pool:
        waiting = [pool.submit(site.browse, "/map", cookie) for _ in range(WAITING_MAX)]
        try:
            wait_until(lambda: kin._inside == WAITING_MAX)
            over = site.browse("/map", cookie)
            others = [site.owner("GET", "/map").status, site.browse("/health", cookie).status]
        finally:
            until.set()

    assert 503 == over.status
    assert [200, 200] == others
    assert {200} == {one.result().status for one in waiting}


def test_log_out_ends_the_session(site: Site) -> None:
    """In the browser and in the core; another browser's session stays."""
    mine, other = site.login(), site.login()
    answer = site.browse("/logout", mine, method="POST", body=b"")

    assert (303, "/login") == (answer.status, answer.headers["location"])
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert [401, 200] == [site.browse("/map", cookie).status for cookie in (mine, other)]


def test_log_out_ends_the_sessions_streams(site: Site) -> None:
    """Those of that browser alone; the cookie itself is in no caller."""
    mine, other = site.login(), site.login()
    for cookie in (mine, other):
        site.browse("/events", cookie)
    site.owner("GET", "/events")
    site.browse("/logout", mine, method="POST", body=b"")
    callers = [scope["locker.caller"] for scope in site.world.stream.seen]
    (ends,) = site.world.ends

    assert [True, False, False] == [ends(caller) for caller in callers]
    assert mine.partition("=")[2] not in repr(callers)


def test_another_site_cannot_log_the_owner_out(site: Site) -> None:
    """It is a change like any other."""
    cookie = site.login()
    answer = site.browse("/logout", cookie, method="POST", body=b"", Origin="http://evil.example")

    assert 403 == answer.status
    assert 200 == site.browse("/map", cookie).status


def test_logging_out_is_a_post(site: Site) -> None:
    """A link cannot do it."""
    cookie = site.login()
    answer = site.browse("/logout", cookie)

    assert (405, "POST") == (answer.status, answer.headers["allow"])


def test_an_idle_session_ends_and_one_in_use_does_not(site: Site) -> None:
    """Two weeks without a request."""
    used, idle = site.login(), site.login()
    for _ in range(3):
        advance(site, SESSION_IDLE_S / 2)
        assert 200 == site.browse("/map", used).status

    assert 401 == site.browse("/map", idle).status


def test_sessions_are_bounded(site: Site) -> None:
    """One more than fits ends the one used longest ago."""
    cookies = [site.login() for _ in range(SESSIONS_MAX + 1)]

    assert [401, 200, 200] == [site.browse("/map", c).status for c in (cookies[0], cookies[1], cookies[-1])]


def test_a_cookie_that_is_none_is_no_session(site: Site) -> None:
    """Guesses, empty values, damaged and huge headers."""
    cookies = [
        "locker_session=", "locker_session=guess", "locker_session", "a=b; locker_session=x; locker_session=y",
        "=;;;=", "locker_session=" + "x" * 7000, "\x80\xff=1", 'locker_session="\\377"',
    ]  # fmt: skip

    assert {401} == {site.browse("/map", cookie).status for cookie in cookies}


def test_a_short_token_is_the_owners_for_ten_minutes(site: Site) -> None:
    """What a command in the terminal is given."""
    token = site.on_loop(site.web.short_token)
    before = site.owner("GET", "/tokens", token=token).status
    advance(site, 601)

    assert (200, 401) == (before, site.owner("GET", "/tokens", token=token).status)
