"""The core's API as a child uses it: at, hold, events, listening, diary; and the letters nobody took."""

from __future__ import annotations

from typing import Any

import pytest

from core.schedule.plan import AHEAD_S_MAX, PATH_CHARS_MAX
from core.web.api.schedules import HOLD_MAX_S
from tests.web.conftest import Answer, Site
from tests.web.samples import letter


@pytest.fixture
def child(site: Site) -> Any:
    """Asks as the child of the service mail."""
    site.world.install("feeds")
    site.world.install("mail")
    token = site.world.child("mail")

    def ask(method: str, path: str, content: Any = None, **fields: str) -> Answer:
        return site.owner(method, f"/core/mail/{path}", content, token=token, **fields)

    return ask


def test_at_is_kept_and_listed(site: Site, child: Any) -> None:
    """same_uri_dedupes: one entry for each path, the later time counts; a missing slash is added."""
    child("POST", "at", {"at": 1_710_000_000.5, "path": "sync/message"})
    answer = child("POST", "at", {"at": 1_710_000_001.5, "cb": "/sync/message"})
    child("POST", "at", at="1710000002", cb="/sync/contact")
    listed = child("GET", "at").json

    assert 200 == answer.status
    assert [("/sync/message", 1_710_000_001.5), ("/sync/contact", 1_710_000_002.0)] == [
        (p["path"], p["at"]) for p in listed
    ]


def test_a_child_tells_its_account(site: Site, child: Any) -> None:
    """The first is remembered and shown to the owner, the same may come again, another is a conflict."""
    answers = [child("POST", "account", {"account": name}).status for name in ("ann", "ann", "bob", "", "x" * 301)]

    assert [200, 200, 409, 400, 400] == answers
    assert "ann" == site.owner("GET", "/map?id=mail").json["account"]
    token = site.world.child("feeds")
    assert 403 == site.owner("POST", "/core/mail/account", {"account": "ann"}, token=token).status


def test_at_in_the_past_is_taken(child: Any) -> None:
    """It is due at once."""
    assert 200 == child("POST", "at", {"at": 0, "cb": "/sync"}).status


def test_at_can_be_cancelled(child: Any) -> None:
    """Once; then there is none."""
    ways = [
        ("at", {"path": "/sync?a=1"}),
        ("at", {"cb": "/sync?a=1"}),
        ("at?path=/sync?a=1", None),
        ("at?cb=/sync?a=1", None),
    ]
    for path, body in ways:
        child("POST", "at", {"at": 1, "path": "/sync?a=1"})

        assert [200, 404] == [child("DELETE", path, body).status for _ in range(2)]
    assert 400 == child("DELETE", "at").status


@pytest.mark.parametrize("at", ["abc", None, True, [], "1e400", 1_700_000_000.0 + AHEAD_S_MAX + 60])
def test_at_rejects_non_number(site: Site, child: Any, at: Any) -> None:
    """What is no time, or one that nobody will see, is refused."""
    assert 400 == child("POST", "at", {"at": at, "cb": "/sync"}).status
    assert {} == site.world.schedule.entries


@pytest.mark.parametrize(
    "cb",
    [
        "",
        "http://evil.example/", "//evil.example/", "/../feeds/sync", "/a/../../b", "/%2e%2e/feeds", "/a\\..\\b", "/a b",
        "/a\nb", "/a#b", "/" + "x" * PATH_CHARS_MAX, None, 7, "https:/evil.example", "/x://y",
    ],
)  # fmt: skip
def test_a_callback_stays_under_its_own_service(site: Site, child: Any, cb: Any) -> None:
    """Never absolute, never upwards."""
    if cb == "https:/evil.example":
        assert 200 == child("POST", "at", {"at": 1, "cb": cb}).status
        assert [("mail", "/https:/evil.example")] == list(site.world.schedule.entries)
        return
    assert 400 == child("POST", "at", {"at": 1, "cb": cb}).status
    assert {} == site.world.schedule.entries


def test_a_path_of_the_longest_length_is_taken(child: Any) -> None:
    """The bound itself is allowed."""
    assert 200 == child("POST", "at", {"at": 1, "cb": "/" + "x" * (PATH_CHARS_MAX - 1)}).status


def test_hold_is_for_a_day_at_most(site: Site, child: Any) -> None:
    """More is cut, and the answer says to when; release ends it."""
    now = site.world.clock.now()
    answer = child("POST", "hold", {"reason": "sync message", "until": now + 10 * HOLD_MAX_S})
    held = dict(site.world.children.held)
    child("DELETE", "hold", {"reason": "sync message"})

    assert now + HOLD_MAX_S == answer.json["until"]
    assert {("mail", "sync message"): now + HOLD_MAX_S} == held
    assert {} == site.world.children.held


def test_committed_is_passed_on(site: Site, child: Any) -> None:
    """A position, nothing else."""
    statuses = [child("POST", "committed", {"seq": seq}).status for seq in (4711, -1, "x", 2**63)]

    assert [200, 400, 400, 400] == statuses
    assert {"mail": 4711} == site.world.events.heads


def test_event_in_its_three_forms(site: Site, child: Any) -> None:
    """E1 type and object, E2 with an action, E3 with an address; by JSON and by form. The id is answered."""
    answers = [
        child("POST", "event", {"type": "message", "obj": {"id": "a/1", "x": 1}}),
        child("POST", "event", {"type": "message", "obj": {"id": 7}, "action": "delete"}),
        child("POST", "event", {"idr": "message://mail/inbox?id=me#k", "data": {"y": 2}, "action": "update"}),
        child("POST", "event", type="message", obj="%7B%22id%22%3A%22form%22%7D"),
    ]
    seen = [(e.idr, e.action, e.value) for e in site.world.events.published]

    assert [200] * 4 == [answer.status for answer in answers]
    assert [
        ("message://mail/#a%2F1", "new", {"id": "a/1", "x": 1}),
        ("message://mail/#7", "delete", {"id": 7}),
        ("message://mail/inbox?id=me#k", "update", {"y": 2}),
        ("message://mail/#form", "new", {"id": "form"}),
    ] == seen
    assert ["e1", "e2", "e3", "e4"] == [answer.json["id"] for answer in answers]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400), ({"type": "message"}, 400), ({"obj": {}}, 400), ({"type": "message", "obj": [1]}, 400),
        ({"type": "message", "obj": {}, "action": "same"}, 400), ({"idr": "message://mail/", "action": "new"}, 400),
        ({"idr": "nonsense", "data": {}}, 400), ({"idr": "contact://twitter/#1", "data": {}}, 403),
        ({"idr": "message://feeds/#1", "data": {}}, 403),
    ],
)  # fmt: skip
def test_event_refuses(site: Site, child: Any, body: dict[str, Any], status: int) -> None:
    """Half an event is none, and nobody speaks in another's name."""
    assert status == child("POST", "event", body).status
    assert [] == site.world.events.published


def test_listen_and_deafen(site: Site, child: Any) -> None:
    """two_callbacks_one_type: a type may be heard at two paths; deafen ends one of them."""
    for cb in ("one", "/two"):
        child("POST", "listen", {"type": "entry/feeds", "cb": cb})
    ended = child("POST", "deafen", type="entry/feeds", cb="/one")
    again = child("POST", "deafen", type="entry/feeds", cb="/one")

    assert (200, 404) == (ended.status, again.status)
    assert [{"service": "mail", "type": "entry/feeds", "path": "/two", "source": "call"}] == child(
        "GET", "listeners"
    ).json


@pytest.mark.parametrize("wanted", ["entry", "message", "feed/feeds", "entry/other", "timeline", "entry://other"])
def test_a_child_listens_only_to_what_it_uses(site: Site, child: Any, wanted: str) -> None:
    """The owner saw at install what it hears."""
    answer = child("POST", "listen", {"type": wanted, "cb": "/hear"})

    assert (403, "forbidden") == (answer.status, answer.json["type"])
    assert [] == site.world.events.registered


def test_the_owner_may_have_a_service_listen_to_anything(site: Site, child: Any) -> None:
    """It is the owner's data."""
    assert 200 == site.owner("POST", "/core/mail/listen", {"type": "anything", "cb": "/hear"}).status


def test_diary_is_written_and_read(site: Site, child: Any) -> None:
    """With its level, its service and its time; newest first."""
    child("POST", "diary", {"message": "12 new", "level": 2})
    child("POST", "diary", message="by+form")
    entries = site.owner("GET", "/diary").json["entries"]

    assert [("by form", 0), ("12 new", 2)] == [(e["message"], e["level"]) for e in entries]
    assert {"mail"} == {e["service"] for e in entries}
    assert "2023-11-14T23:13:20+01:00" == entries[0]["timestamp"]
    assert ["12 new"] == [e["message"] for e in site.owner("GET", "/diary?level=1&service=mail").json["entries"]]


@pytest.mark.parametrize(
    "body", [{}, {"message": ""}, {"message": 7}, {"message": "x" * 4001}, {"message": "x", "level": -1}]
)
def test_diary_needs_a_message(site: Site, child: Any, body: dict[str, Any]) -> None:
    """Nothing is written of what says nothing."""
    assert 400 == child("POST", "diary", body).status
    assert [] == site.owner("GET", "/diary").json["entries"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=x", "limit=0", "limit=1001", "level=10", "since=yesterday", "until=2026-13-01", "before=-1",
        "until=9999-12-31", "until=9998-12-31", "since=nan", "until=inf",
    ],
)  # fmt: skip
def test_diary_refuses_what_it_cannot_read(site: Site, query: str) -> None:
    """By name, not by silence, and not by breaking."""
    answer = site.owner("GET", f"/diary?{query}")

    assert (400, "bad_request") == (answer.status, answer.json["type"])


def test_dead_letters(site: Site) -> None:
    """Listed, tried again, given up; a letter that is none is 404."""
    site.world.install()
    site.world.events.letters = {number: letter(number) for number in (7, 8)}
    listed = site.owner("GET", "/dead-letters").json
    statuses = [
        site.owner("POST", "/dead-letters/7/retry").status,
        site.owner("DELETE", "/dead-letters/8").status,
        site.owner("DELETE", "/dead-letters/8").status,
        site.owner("POST", "/dead-letters/x/retry").status,
        site.owner("POST", f"/dead-letters/{'9' * 30}/retry").status,
    ]

    assert [(7, "/hear"), (8, "/hear")] == [(one["id"], one["path"]) for one in listed]
    assert [200, 200, 404, 404, 404] == statuses
    assert ([7], [7]) == (site.world.events.retried, list(site.world.events.letters))
