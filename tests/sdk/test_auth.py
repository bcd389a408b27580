"""Signing in by a form: the token is checked, sealed, used, refused, replaced."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.testing import Child, FakeCore
from core.model.errors import Conflict, TooBusy
from core.vault.cipher import SealedFile, key_from_text


@pytest.fixture
def child(core: FakeCore, connectors: Path) -> Child:
    """A service that is not signed in."""
    return core.start(connectors / "gate")


def _sign_in(child: Child, token: str = "good-ann") -> dict[str, Any]:
    answer = child.post("/auth/token", json={"token": token})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_the_form_is_described(child: Child) -> None:
    """State, kind, step and the fields, from which the core renders a form."""
    form = child.get("/auth").json()

    assert ("required", "token", "token") == (form["state"], form["kind"], form["step"])
    assert {"token", "server"} == set(form["fields"])


def test_a_service_without_sign_in_says_so(core: FakeCore, connectors: Path) -> None:
    """Nothing is to be done, and there is no step to take."""
    child = core.start(connectors / "counter")

    assert {"state": "authorised", "kind": "none", "step": None} == child.get("/auth").json()
    assert 404 == child.post("/auth/token", json={}).status_code


def test_signing_in_opens_the_sync(child: Child) -> None:
    """The account is the provider's own id; the session is signed as auth.py says."""
    document = _sign_in(child)
    run = child.sync()[0]
    record = child.records("thing")["header"]["value"]

    assert ("authorised", "ann") == (document["state"], document["account"])
    assert ("ok", "ann", len("Bearer good-ann")) == (run["status"], record["account"], record["length"])


def test_the_token_is_sealed_before_it_is_used(child: Child) -> None:
    """no_plain_secret_on_disk: 0600, opened by the service's key only, and nowhere else in clear."""
    _sign_in(child, "good-ann+secret-part")
    child.sync()
    child.stop()
    sealed = child.folder / "auth.sealed"
    greeting = child.greeting
    kept = SealedFile(sealed, key_from_text(greeting.key), context=f"auth:{greeting.uid}").read()
    files = [p for p in child.folder.rglob("*") if p.is_file()]

    assert "good-ann+secret-part" == kept["auth"]["credentials"]["token"]
    assert [] == [p for p in files if b"secret-part" in p.read_bytes()]
    assert "secret-part" not in "\n".join(child.log)
    if os.name == "posix":
        assert 0o600 == stat.S_IMODE(sealed.stat().st_mode)


def test_a_sign_in_survives_a_kill(core: FakeCore, connectors: Path, child: Child) -> None:
    """Durable when the answer comes: kill -9 right after it loses nothing."""
    _sign_in(child)
    child.kill()
    child = core.start(connectors / "gate")

    assert ("authorised", "ann") == (child.get("/auth").json()["state"], child.get("/").json()["account"])
    assert "ok" == child.sync()[0]["status"]


def test_other_sealed_parts_are_left_alone(core: FakeCore, connectors: Path) -> None:
    """The core keeps secret settings in the same file."""
    greeting = core.greeting(connectors / "gate")
    sealed = SealedFile(
        Path(greeting.working_directory, "auth.sealed"),
        key_from_text(greeting.key),
        context=f"auth:{greeting.uid}",
    )
    sealed.write({"settings": {"password": "kept"}})
    child = core.start(connectors / "gate")
    _sign_in(child)
    child.post("/auth/sign-out")

    assert {"password": "kept"} == sealed.read()["settings"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 400, "bad_request"),
        ({"token": ""}, 400, "bad_request"),
        ({"token": 7}, 400, "bad_request"),
        ({"token": "x" * 9000}, 400, "bad_request"),
        ({"token": "good-a", "other": "x"}, 400, "bad_request"),
        ({"token": "bad"}, 409, "user_action_needed"),
        ({"token": "away"}, 503, "offline"),
        ({"token": "good-"}, 409, "user_action_needed"),
    ],
)
def test_what_does_not_sign_in_is_told(child: Child, fields: dict[str, Any], status: int, code: str) -> None:
    """The reason is the provider's or the form's; nothing is kept and the sync stays shut."""
    answer = child.post("/auth/token", json=fields)

    assert (status, code) == (answer.status_code, answer.json()["type"])
    assert "required" == child.get("/auth").json()["state"]
    assert 401 == child.post("/sync").status_code
    assert not (child.folder / "auth.sealed").exists()


@pytest.mark.parametrize("body", [b"[]", b"nope", b'{"token": "x"', b"\xff"])
def test_a_body_that_is_no_object_is_refused(child: Child, body: bytes) -> None:
    """400, as everywhere."""
    assert 400 == child.post("/auth/token", data=body).status_code


def test_steps_are_posts_and_have_names(child: Child) -> None:
    """Reading changes nothing; an unknown step is told."""
    assert 405 == child.get("/auth/token").status_code
    assert 404 == child.post("/auth", json={"token": "good-a"}).status_code
    assert 404 == child.post("/auth/password", json={}).status_code


def test_another_account_is_refused(core: FakeCore, connectors: Path) -> None:
    """A service belongs to one account for ever; a second one gets a service of its own."""
    child = core.start(connectors / "gate", account="ann")
    answer = child.post("/auth/token", json={"token": "good-bob"})

    assert (409, "conflict") == (answer.status_code, answer.json()["type"])
    assert "second time" in answer.json()["remedy"]
    assert "authorised" == _sign_in(child, "good-ann")["state"]


def test_the_core_is_told_whose_account_it_is(core: FakeCore, connectors: Path, child: Child) -> None:
    """When the owner signs in, and at a start where the core does not know it: the tell may have been lost."""
    _sign_in(child, "good-ann")
    child.stop()
    told = core.asked("account")
    core.start(connectors / "gate")

    core.wait_for(lambda: len(core.asked("account")) == 2)
    assert [{"account": "ann"}] == told
    assert {"account": "ann"} == core.asked("account")[1]


def test_an_account_that_the_core_refuses_is_not_kept(core: FakeCore, child: Child) -> None:
    """After a sign-out only the core remembers whose data this is."""
    core.refuse("account", Conflict("gate holds the data of another account", remedy="Install it a second time."))
    answer = child.post("/auth/token", json={"token": "good-bob"})

    assert (409, "conflict") == (answer.status_code, answer.json()["type"])
    assert ("required", None) == (child.get("/auth").json()["state"], child.get("/").json()["account"])


def test_a_core_that_does_not_answer_keeps_nobody_from_signing_in(core: FakeCore, child: Child) -> None:
    """It is told at the next start."""
    core.refuse("account", TooBusy("too much at once"))

    assert "authorised" == _sign_in(child)["state"]


def test_signing_out_shuts_the_sync(child: Child) -> None:
    """The stored data stays readable; signing in again opens it."""
    _sign_in(child)
    child.sync()
    child.post("/auth/sign-out")

    assert 401 == child.post("/sync").status_code
    assert {"header"} == set(child.records("thing"))
    _sign_in(child)
    assert "ok" == child.sync()[0]["status"]


def test_a_refused_token_asks_the_owner(core: FakeCore, connectors: Path, child: Child) -> None:
    """When the source refuses, runs pause, over restarts too, until somebody signs in again."""
    _sign_in(child)
    (child.folder / "refused").touch()
    run = child.sync()[0]
    after = child.post("/sync")
    child.stop()
    child = core.start(connectors / "gate")
    form = child.get("/auth").json()
    (child.folder / "refused").unlink()

    assert ("held", "reauthorise", 401) == (run["status"], run["problem"]["type"], after.status_code)
    assert ("lapsed", "token") == (form["state"], form["step"])
    assert "did not accept" in form["detail"]
    assert "authorised" == _sign_in(child)["state"]
    assert "ok" == child.sync()[0]["status"]


def test_a_refusal_of_the_old_token_does_not_touch_the_new_one(core: FakeCore, child: Child) -> None:
    """Who signs in anew while a run still goes on with what was there before is signed in, and synced at once."""
    _sign_in(child, "good-ann+old")
    (child.folder / "slow").touch()
    child.post("/sync")
    core.wait_for(lambda: child.get("/status").json()["streams"]["thing"]["state"] == "running")
    _sign_in(child, "good-ann+new")
    (child.folder / "slow").unlink()
    run = core.wait_for(lambda: child.get("/status").json()["streams"]["thing"]["run"])
    core.wait_for(lambda: child.get("/status").json()["streams"]["thing"]["state"] == "idle")
    due = core.asked("at")[-1]

    assert ("held", "authorised") == (run["status"], child.get("/auth").json()["state"])
    assert ("/sync/thing", True) == (due["path"], due["at"] < time.time() + 60)
    assert "ok" == child.sync()[0]["status"]


def test_a_renewed_token_that_is_refused_too_asks_the_owner(child: Child) -> None:
    """Renewing is no sign-in: the run is not begun at once again, which would go on for ever."""
    _sign_in(child)
    (child.folder / "renews").touch()
    (child.folder / "refused").touch()
    run = child.sync()[0]
    form = child.get("/auth").json()

    assert ("held", "lapsed", 401) == (run["status"], form["state"], child.post("/sync").status_code)


def test_a_sealed_file_under_another_key_is_not_lost(core: FakeCore, connectors: Path, child: Child) -> None:
    """The data stays readable, the owner is asked to sign in, and the file is kept for when the key comes back."""
    _sign_in(child)
    child.sync()
    child.stop()
    core.identity("gate").key = core.identity("other").key
    child = core.start(connectors / "gate")

    assert "required" == child.get("/auth").json()["state"]
    assert {"header"} == set(child.records("thing"))
    _sign_in(child)
    assert 1 == len(list(child.folder.glob("auth.sealed.unreadable-*")))
