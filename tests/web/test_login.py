"""The owner's way in: one-time addresses and the session they give."""

from __future__ import annotations

from core.model.clock import ManualClock
from core.web.login import SESSION_IDLE_S, SESSIONS_MAX, TICKET_LIFETIME_S
from tests.web.conftest import Site


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
    site.world.is_from_below = True
    answers = [[site.browse(path, cookie) for path in ("/login", "/map")] for cookie in (good, guessed)]
    site.world.is_from_below = False
    advance(site, SESSION_IDLE_S / 2 + 1)

    of_good, of_guessed = ([(one.status, one.body) for one in each] for each in answers)
    assert [200, 403] == [status for status, _ in of_good]
    assert of_good == of_guessed
    assert 401 == site.browse("/map", good).status


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
