"""status, list, install and uninstall against a core that answers as the real one does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.cli import exits
from core.cli.services import settings_from
from core.model.errors import BadRequest, SettingsInvalid
from core.model.problem import problem_document
from tests.cli.conftest import Locker
from tests.cli.fake_core import FakeCore


def service(id: str, **changed: Any) -> dict[str, Any]:
    """A service as the core's API tells it."""
    record = {
        "id": id, "title": id.title(), "connector": "feeds", "is": "connector", "provides": ["entry/feeds"],
        "uses": [], "types": ["entry"], "streams": ["entry"], "enabled": True, "state": "stopped", "reason": "",
        "installed_at": 1.0, "href": f"/Me/{id}/", "account": None,
    }  # fmt: skip
    return record | changed


@pytest.fixture
def services(core: FakeCore) -> FakeCore:
    """A core with two services."""
    installed = {
        "feeds": service("feeds"),
        "work": service("work", state="failed", reason="child_died", title="Wo\x1b[31mrk"),
    }
    core.answer("GET", "/map", {"available": [], "installed": installed})
    return core


def test_status_without_a_core(locker: Locker, me: Path) -> None:
    """A script can tell by the code that nothing runs; that is an answer, not an error."""
    assert (exits.NOT_RUNNING, "") == (locker("status").code, locker("status").err)
    assert {"running": False, "me": str(me)} == json.loads(locker("status", "--json").out)


def test_status_tells_each_service(locker: Locker, services: FakeCore) -> None:
    """Where it answers, and how each service is, with the reason."""
    done = locker("status")

    assert exits.DONE == done.code
    assert services.url in done.out
    assert 1 == services.logins
    assert services.login_url in done.out
    assert ["work", "failed", "child_died"] == done.out.splitlines()[-1].split()


def test_status_as_json(locker: Locker, services: FakeCore) -> None:
    """The same, for a script."""
    told = json.loads(locker("status", "--json").out)

    assert (True, services.url, "failed") == (told["running"], told["url"], told["services"]["work"]["state"])
    assert services.login_url == told["login_url"]


def test_list_shows_titles_without_their_tricks(locker: Locker, services: FakeCore) -> None:
    """What a connector calls itself cannot colour the terminal."""
    done = locker("list")

    assert exits.DONE == done.code
    assert "\x1b" not in done.out
    assert ["feeds", "work"] == [line.split()[0] for line in done.out.splitlines()[1:]]
    assert ["feeds", "work"] == [s["id"] for s in json.loads(locker("list", "--json").out)]


def test_list_available_names_faulty_folders(locker: Locker, core: FakeCore) -> None:
    """One bad folder is told of beside the good ones."""
    connectors = [{"name": "feeds", "title": "Feeds", "description": "News"}]
    faults = [{"name": "bad", "folder": "/c/bad", "faults": ["name: is missing"]}]
    core.answer("GET", "/available", {"connectors": connectors, "faults": faults})
    done = locker("list", "--available")

    assert "Feeds" in done.out
    assert "name: is missing" in done.out


def test_install_sends_settings(locker: Locker, core: FakeCore, tmp_path: Path) -> None:
    """Text, JSON and a file come together; the answer names the service's page."""
    core.answer("POST", "/core/news/install", service("news"), status=201)
    (tmp_path / "settings.json").write_text('{"depth": 1, "token": "s3cret"}')
    done = locker(
        "install", "feeds", "--id", "news", "--title", "News", "--setting", "url=http://127.0.0.1/a=b",
        "--setting", "depth:=3", "--settings-json", str(tmp_path / "settings.json"),
    )  # fmt: skip

    page = core.url.replace("127.0.0.1", "locker.localhost") + "/services/news"
    assert (exits.DONE, f"Installed news. Its page: {page}\n") == (done.code, done.out)
    assert {
        "connector": "feeds",
        "title": "News",
        "settings": {"depth": 3, "token": "s3cret", "url": "http://127.0.0.1/a=b"},
    } == core.asked[-1].body


def test_install_refused(locker: Locker, core: FakeCore) -> None:
    """The core's words and cure reach the owner, and the code says who must act."""
    problem = problem_document(SettingsInvalid("feeds: is missing", remedy="Name at least one feed."))
    core.answer("POST", "/core/feeds/install", problem, status=422)
    done = locker("install", "feeds")

    assert (exits.OWNER_MUST_ACT, "feeds: is missing\nName at least one feed.\n") == (done.code, done.err)


@pytest.mark.parametrize("pair", ["depth", "=3", ":=3", "depth:=", "depth:={"])
def test_a_setting_that_is_none_is_refused(pair: str) -> None:
    """A slip is named before anything is sent."""
    with pytest.raises(BadRequest):
        settings_from("{}", [pair])


def test_a_secret_is_not_repeated() -> None:
    """A value that fails to parse may be a password."""
    with pytest.raises(BadRequest) as caught:
        settings_from("{}", ["password:=hunter2"])

    assert "hunter2" not in caught.value.detail


@pytest.mark.parametrize("document", ["", "[]", "{", "null"])
def test_a_document_that_is_no_object_is_refused(document: str) -> None:
    """Settings are an object."""
    with pytest.raises(BadRequest):
        settings_from(document, [])


def test_uninstall_keeps_by_default(locker: Locker, core: FakeCore) -> None:
    """Data goes only when that was said."""
    core.answer("POST", "/core/feeds/uninstall", {"id": "feeds", "data": "keep"})
    done = locker("uninstall", "feeds")

    assert (exits.DONE, "feeds is uninstalled; its data is kept.\n") == (done.code, done.out)
    assert {"data": "keep"} == core.asked[-1].body


def test_uninstall_everything_asks_first(locker: Locker, core: FakeCore) -> None:
    """Without a terminal to confirm on, --yes is needed; then all goes."""
    core.answer("POST", "/core/feeds/uninstall", {"id": "feeds", "data": "erase"})
    refused = locker("uninstall", "feeds", "--everything")
    assert [] == core.asked
    done = locker("uninstall", "feeds", "--everything", "--yes", "--json")

    assert exits.REFUSED == refused.code
    assert {"id": "feeds", "data": "erase"} == json.loads(done.out)
    assert {"data": "erase"} == core.asked[-1].body
