"""What a child and an app may do."""

from __future__ import annotations

import pytest

from core.web.caller import OWNER, Caller, app_may, child_may, hears

USES = ("contact", "photo/flickr")
NETWORKS = {("twitter", "contact"): "twitter", ("flickr", "photo"): "flickr", ("other", "photo"): "other",
            ("twitter", "message"): "twitter"}  # fmt: skip


def may(method: str, path: str, **query: str) -> bool:
    """Whether the child of `mine` may ask this."""
    return child_may(
        "mine", method=method, path=path, query=query, uses=USES, network_of=lambda s, t: NETWORKS.get((s, t))
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/map"), ("GET", "/providers"), ("POST", "/core/mine/at"), ("DELETE", "/core/mine/hold"),
        ("GET", "/Me/mine/records/anything"), ("POST", "/Me/mine/sync"),
        ("GET", "/Me/twitter/records/contact"), ("HEAD", "/Me/twitter/records/contact/~YWJj/history"),
        ("GET", "/Me/flickr/records/photo"),
    ],
)  # fmt: skip
def test_a_child_may(method: str, path: str) -> None:
    """Its own paths, the map, and records of the types it uses."""
    assert may(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/map"), ("GET", "/diary"), ("GET", "/tokens"), ("GET", "/dead-letters"), ("GET", "/"),
        ("POST", "/core/twitter/at"), ("POST", "/core/mine2/at"), ("GET", "/core/twitter/log"),
        ("GET", "/Me/twitter/"), ("GET", "/Me/twitter/facts"), ("GET", "/Me/twitter/files/ab"),
        ("GET", "/Me/twitter/status"),
        ("GET", "/Me/twitter/records"), ("GET", "/Me/twitter/records/"), ("GET", "/Me/twitter/records/message"),
        ("POST", "/Me/twitter/records/contact"), ("DELETE", "/Me/twitter/records/contact/1"),
        ("GET", "/Me/other/records/photo"), ("GET", "/Me/nobody/records/contact"),
        ("GET", "/Me/twitter/records/contact/%2e%2e/message"), ("GET", "/Me/twitter/records/contact//"),
        ("GET", "/services/twitter"), ("GET", "/openapi.json"), ("GET", "/metrics"),
    ],
)  # fmt: skip
def test_a_child_may_not(method: str, path: str) -> None:
    """Anything of another service that its manifest does not name, and everything of the owner's."""
    assert not may(method, path)


def test_a_child_hears_only_types_it_uses() -> None:
    """Every type that the stream is asked for counts; all types, or one too many, is refused."""
    answers = [
        may("GET", "/events", types="contact"),
        may("GET", "/events", types="contact,photo/flickr"),
        may("GET", "/events", services="mine"),
        may("GET", "/events", types="contact,message"),
        may("GET", "/events", types="photo"),
        may("GET", "/events"),
        may("GET", "/events", types=","),
        may("GET", "/events", services="twitter"),
    ]

    assert [True, True, True, False, False, False, False, False] == answers


@pytest.mark.parametrize(
    ("wanted", "heard"),
    [
        ("contact", True), ("contact/twitter", True), ("contact://twitter", True), ("contact://twitter/friends", True),
        ("photo", False), ("photo/flickr", True), ("photo://flickr", True), ("photo://other", False),
        ("message", False), ("contacts", False), ("", False), ("/", False), ("photo/", False),
    ],
)  # fmt: skip
def test_hears(wanted: str, heard: bool) -> None:
    """A type of any network covers each; one of a network covers that one."""
    assert heard is hears(USES, wanted)


@pytest.mark.parametrize(
    ("scopes", "method", "path", "allowed"),
    [
        (("all",), "DELETE", "/Me/feeds/anything", True),
        (("read",), "GET", "/Me/feeds/records/entry", True),
        (("read",), "GET", "/Me/feeds/", True),
        (("read",), "GET", "/events", True),
        (("read",), "GET", "/Me/feeds/auth", False),
        (("read",), "GET", "/Me/feeds", True),
        (("read",), "POST", "/Me/feeds/sync", False),
        (("sync",), "POST", "/Me/feeds/sync/entry", True),
        (("sync",), "GET", "/Me/feeds/records/entry", False),
        (("sync",), "POST", "/Me/feeds/records/entry", False),
        ((), "GET", "/events", False),
    ],
)
def test_an_app_may_what_its_scopes_say(scopes: tuple[str, ...], method: str, path: str, allowed: bool) -> None:
    """Reading reads data, syncing syncs, and neither does the other."""
    assert allowed is app_may(scopes, method=method, path=path)


def test_an_app_that_may_all_is_not_the_owner_by_name() -> None:
    """It may do what the owner may, and logs still say who it was."""
    app = Caller("app:1a2b", ("all",))

    assert app.is_owner
    assert app.actor != OWNER.actor
    assert app.service_id is None
