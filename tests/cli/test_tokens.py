"""token new, list and revoke."""

from __future__ import annotations

import json

from core.cli import exits
from tests.cli.conftest import Locker
from tests.cli.fake_core import FakeCore

MADE = {"id": "ab12", "label": "backup", "scopes": ["read"], "token": "lk_text"}


def test_a_new_token_stands_alone(locker: Locker, core: FakeCore) -> None:
    """Only the token is on standard output, so that a script can keep it."""
    core.answer("POST", "/tokens", MADE, status=201)
    done = locker("token", "new", "backup", "--scope", "read")

    assert (exits.DONE, "lk_text\n") == (done.code, done.out)
    assert {"label": "backup", "scopes": ["read"]} == core.asked[-1].body


def test_tokens_are_listed_without_their_text(locker: Locker, core: FakeCore) -> None:
    """Label, scopes, when it was made and last used."""
    rows = [{"id": "ab12", "label": "backup", "scopes": ["all"], "created_at": 0.0, "last_used": None}]
    core.answer("GET", "/tokens", rows)
    done = locker("token", "list")

    assert "never" in done.out
    assert rows == json.loads(locker("token", "list", "--json").out)


def test_a_revoked_token_is_told_and_one_that_is_none_refused(locker: Locker, core: FakeCore) -> None:
    """It is named, and an unknown one is refused."""
    core.answer("DELETE", "/tokens/ab12", {"id": "ab12"})

    assert (exits.DONE, "ab12 opens nothing any more.\n") == (
        locker("token", "revoke", "ab12").code,
        locker("token", "revoke", "ab12").out,
    )
    assert exits.REFUSED == locker("token", "revoke", "cd34").code
