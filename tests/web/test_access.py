"""Who gets in, and who does not."""

from __future__ import annotations

from tests.web.conftest import OWNER_TOKEN, Site


def test_health_needs_nothing(site: Site) -> None:
    """A stranger learns that the core is up, no more."""
    answer = site.ask("GET", "/health")

    assert (200, {"status": "up"}) == (answer.status, answer.json)


def test_map_needs_a_token(site: Site) -> None:
    """A read without token or session is refused with a problem that says the cure."""
    answer = site.ask("GET", "/map")

    assert 401 == answer.status
    assert "token_required" == answer.json["type"]
    assert "Bearer" == answer.headers["www-authenticate"]


def test_owner_token_opens_everything(site: Site) -> None:
    """The token given at start is the owner's."""
    site.world.install()

    answer = site.owner("GET", "/map")

    assert 200 == answer.status
    assert ["feeds"] == list(answer.json["installed"])


def test_login_gives_a_session(site: Site) -> None:
    """The one-time address sets the cookie by which the dashboard's host knows the owner."""
    cookie = site.login()

    assert 200 == site.browse("/map", cookie).status


def test_wrong_token_is_refused(site: Site) -> None:
    """Almost right is wrong."""
    assert 401 == site.owner("GET", "/map", token=OWNER_TOKEN[:-1]).status
