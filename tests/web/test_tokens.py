"""The owner's tokens: made, used, taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, Conflict, NotFound
from core.store import CoreDb, Documents
from core.web import Caller
from core.web.tokens import TOKENS_MAX, USE_NOTED_EVERY_S, AppTokens
from tests.web.conftest import Site, wait_until


class Office:
    """Tokens over the real files."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.path = folder / "locker.json"
        self.coredb = CoreDb.open(folder / "core.db")
        self.tokens = self.open()

    def open(self) -> AppTokens:
        """The tokens as they are after a start."""
        return AppTokens(Documents(self.path, self.clock), self.coredb, self.clock)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """An empty one."""
    return Office(tmp_path)


def test_a_token_is_known_after_a_restart_and_kept_as_a_hash(office: Office) -> None:
    """The file a person may read does not open anything."""
    made, token = office.tokens.create("backup", ["read", "sync"])
    caller = office.open().caller_of(token)

    assert caller is not None
    assert (f"app:{made.id}", ("read", "sync")) == (caller.actor, caller.scopes)
    assert token not in office.path.read_text()
    assert token.removeprefix("lk_") not in office.path.read_text()


def test_a_row_that_cannot_be_read_opens_nothing_and_stops_nobody(office: Office) -> None:
    """After an edit by hand: the other tokens work, and can be deleted."""
    made, token = office.tokens.create("backup", ["all"])
    content = json.loads(office.path.read_text())
    content["tokens"] |= {"8": {"label": "half"}, "9": {**content["tokens"]["1"], "id": "x", "hash": "no hash"}}
    office.path.write_text(json.dumps(content))
    tokens = office.open()
    known = tokens.caller_of(token)
    tokens.delete(made.id)

    assert (f"app:{made.id}", []) == (known.actor if known else None, list(tokens.list()))


def test_a_deleted_token_opens_nothing(office: Office) -> None:
    """At once, and after a restart."""
    made, token = office.tokens.create("backup", ["all"])
    _, kept = office.tokens.create("other", ["all"])
    office.tokens.delete(made.id)

    assert [None, None] == [tokens.caller_of(token) for tokens in (office.tokens, office.open())]
    assert office.tokens.caller_of(kept) is not None
    with pytest.raises(NotFound):
        office.tokens.delete(made.id)


def test_the_last_use_is_noted_once_a_minute(office: Office) -> None:
    """Often enough for a person, seldom enough for a disk."""
    _, token = office.tokens.create("backup", ["all"])
    caller = office.tokens.caller_of(token)
    assert caller is not None
    noted = []
    for _ in range(3):
        noted.append(office.tokens.should_note_use(caller))
        office.clock.advance(USE_NOTED_EVERY_S / 2)
    office.tokens.note_use(caller)

    assert [True, False, True] == noted
    assert office.clock.now() == office.tokens.list()[0].last_used


@pytest.mark.parametrize(
    ("label", "scopes"), [("", ["all"]), ("  ", ["all"]), ("x" * 81, ["all"]), ("x", []), ("x", ["root"])]
)
def test_a_token_needs_a_label_and_known_scopes(office: Office, label: str, scopes: list[str]) -> None:
    """Nothing is made of what the owner could not tell apart later."""
    with pytest.raises(BadRequest):
        office.tokens.create(label, scopes)

    assert [] == list(office.tokens.list())


def test_tokens_are_bounded(office: Office) -> None:
    """A hundred, then one must go first."""
    for number in range(TOKENS_MAX):
        office.tokens.create(f"script {number}", ["read"])

    with pytest.raises(Conflict):
        office.tokens.create("one more", ["read"])


def test_over_http(site: Site) -> None:
    """Made, listed without its text, used, noted, deleted."""
    made = site.owner("POST", "/tokens", {"label": "script", "scopes": ["read"]})
    token = made.json["token"]
    listed = site.owner("GET", "/tokens")
    site.world.install()
    used = site.owner("GET", "/map", token=token)
    wait_until(lambda: site.owner("GET", "/tokens").json[0]["last_used"] is not None)
    deleted = site.owner("DELETE", f"/tokens/{made.json['id']}")

    assert (201, 200, 200) == (made.status, used.status, deleted.status)
    assert token not in listed.text
    assert ["script"] == [one["label"] for one in listed.json]
    assert [401, 404] == [
        site.owner("GET", "/map", token=token).status, site.owner("DELETE", f"/tokens/{made.json['id']}").status
    ]  # fmt: skip


def test_the_streams_of_a_deleted_token_end(site: Site) -> None:
    """By the API as by the dashboard; the streams of others stay, and so do they when nothing was deleted."""
    first, second = (site.owner("POST", "/tokens", {"label": "x", "scopes": ["read"]}).json["id"] for _ in range(2))
    site.owner("DELETE", f"/tokens/{first}")
    site.browse(f"/owner/tokens/{second}/delete", site.login(), method="POST", body=b"")
    site.owner("DELETE", "/tokens/nothing")
    callers = [Caller(f"app:{first}", ("read",)), Caller(f"app:{second}", ("read",)), Caller("owner", ("all",))]

    assert [[True, False, False], [False, True, False]] == [[ends(c) for c in callers] for ends in site.world.ends]


def test_a_reading_app_reads_and_no_more(site: Site) -> None:
    """What it may not do is refused by the row of the table."""
    site.world.install()
    token = site.owner("POST", "/tokens", {"label": "script", "scopes": ["read"]}).json["token"]
    asked = {
        ("GET", "/map"): 200, ("GET", "/diary"): 200, ("GET", "/metrics"): 200, ("GET", "/openapi.json"): 200,
        ("GET", "/Me/feeds/records/entry"): 200, ("GET", "/events"): 200,
        ("GET", "/tokens"): 403, ("GET", "/core/feeds/settings"): 403, ("GET", "/core/feeds/log"): 403,
        ("GET", "/dead-letters"): 403, ("GET", "/"): 403, ("GET", "/services/feeds"): 403,
        ("POST", "/core/feeds/stop"): 403, ("POST", "/tokens"): 403, ("POST", "/Me/feeds/sync"): 403,
    }  # fmt: skip

    assert asked == {(m, p): site.owner(m, p, {} if m == "POST" else None, token=token).status for m, p in asked}


def test_an_app_that_may_all_may_make_tokens(site: Site) -> None:
    """Its scope says everything, and so it is."""
    token = site.owner("POST", "/tokens", {"label": "script"}).json["token"]

    assert 201 == site.owner("POST", "/tokens", {"label": "second"}, token=token).status
