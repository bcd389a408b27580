"""The core's API: what is installed, what could be, and a service's life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.model.errors import RunMissing
from core.model.manifest import parse_manifest
from core.registry import FolderFault
from core.web import ChildDetails, ChildState
from tests.web.conftest import Site
from tests.web.samples import NOTES

SECRETS = {
    "accounts": [{"host": "h", "password": "secret-one"}, {"host": "i", "password": "secret-two"}],
    "token": "secret-three",
}


def install(site: Site, service_id: str = "feeds", connector: str = "feeds", **settings: Any) -> Any:
    """The answer to an install by the owner."""
    settings = settings or {"feeds": ["https://example.org/feed"]}
    return site.owner("POST", f"/core/{service_id}/install", {"connector": connector, "settings": settings})


def test_install_answers_the_record(site: Site) -> None:
    """201 and what may be known of the new service."""
    answer = install(site)

    assert 201 == answer.status
    assert {
        "id": "feeds", "title": "Feeds", "connector": "feeds", "is": "connector",
        "provides": ["entry/feeds", "feed/feeds"], "uses": [], "types": ["entry", "feed"], "streams": ["entry"],
        "enabled": True, "paused": False, "state": "stopped", "reason": "", "installed_at": 1_700_000_000.0,
        "href": "/Me/feeds/", "account": None, "trouble": None,
    } == answer.json  # fmt: skip


@pytest.mark.parametrize(
    ("service_id", "body", "status", "kind"),
    [
        ("feeds", {"connector": "nothing"}, 404, "not_found"),
        ("feeds", {"connector": "feeds", "settings": {"feeds": ["not an address"]}}, 422, "settings_invalid"),
        ("feeds", {}, 400, "bad_request"),
        ("feeds", {"connector": 7}, 400, "bad_request"),
        ("feeds", {"connector": "feeds", "settings": "x"}, 400, "bad_request"),
        ("Feeds", {"connector": "feeds"}, 400, "bad_request"),
        ("core", {"connector": "feeds"}, 400, "bad_request"),
        ("..%2f..", {"connector": "feeds"}, 400, "bad_request"),
    ],
)
def test_install_refuses(site: Site, service_id: str, body: dict[str, Any], status: int, kind: str) -> None:
    """Each fault by its name, and nothing is installed."""
    answer = site.owner("POST", f"/core/{service_id}/install", body)

    assert (status, kind) == (answer.status, answer.json["type"])
    assert [] == list(site.world.services.list())


def test_a_second_install_of_an_id_is_a_conflict(site: Site) -> None:
    """The first one is left as it is."""
    install(site)

    assert 409 == install(site).status


def test_map_tells_available_and_installed(site: Site) -> None:
    """Both, each by name; with an id that service alone."""
    install(site)
    answer = site.owner("GET", "/map").json

    assert ["feeds", "mail"] == [one["name"] for one in answer["available"]]
    assert ["feeds"] == list(answer["installed"])
    assert answer["installed"]["feeds"] == site.owner("GET", "/map?id=feeds").json
    assert 404 == site.owner("GET", "/map?id=nothing").status


def test_map_and_providers_leak_nothing(site: Site) -> None:
    """No secret, no setting, no pid and no port reaches another child, an app, or even the owner's map."""
    install(site, "mail", "mail", **SECRETS)
    install(site, "feeds")
    site.world.children.states["mail"] = ChildState("running")
    site.world.children.figures["mail"] = ChildDetails(pid=471100, memory_bytes=1)
    reader = site.owner("POST", "/tokens", {"label": "x", "scopes": ["read"]}).json["token"]
    tokens = [site.world.child("feeds"), reader]
    texts = [
        site.owner("GET", path, token=t).text
        for t in tokens
        for path in ("/map", "/map?id=mail", "/providers?types=message")
    ]
    texts += [site.owner("GET", path).text for path in ("/map", "/providers?types=message", "/available")]

    for text in texts:
        assert "secret-" not in text
        assert "471100" not in text
        assert "child-token" not in text
        assert "uid-" not in text
    assert all("/c/mail" not in text for text in texts)


@pytest.mark.parametrize(
    ("types", "found"),
    [
        ("entry/feeds", ["feeds"]), ("entry", ["feeds"]), ("entry/other", []), ("message,entry", ["feeds", "mail"]),
        ("contact,", ["mail"]), (",", []), ("", []), ("entries", []), ("entry,entry/feeds,feed", ["feeds"]),
    ],
)  # fmt: skip
def test_providers(site: Site, types: str, found: list[str]) -> None:
    """providers_empty_element: exact and primary names match, blanks do not, and each service comes once."""
    install(site)
    install(site, "mail", "mail", accounts=[])
    answer = site.owner("GET", f"/providers?types={types}")

    assert (200, found) == (answer.status, [one["id"] for one in answer.json])


def test_providers_lists_enabled_services_only(site: Site) -> None:
    """A service that is switched off provides nothing."""
    install(site)
    site.owner("POST", "/core/feeds/disable")

    assert [] == site.owner("GET", "/providers?types=entry").json


def test_what_is_provided_is_told_alike(site: Site) -> None:
    """A connector that declares nothing provides its types, whether it is installed or could be."""
    site.world.catalog.manifests["notes"] = parse_manifest(NOTES, "/c/notes")
    install(site, "notes", "notes")

    available = {one["name"]: one["provides"] for one in site.owner("GET", "/available").json["connectors"]}
    [found] = site.owner("GET", "/providers?types=note/notes").json

    assert ["note/notes"] == available["notes"] == found["provides"]


def test_providers_needs_types(site: Site) -> None:
    """Missing is a fault, empty is not."""
    assert 400 == site.owner("GET", "/providers").status


def test_available_shows_folders_with_faults_to_the_owner(site: Site) -> None:
    """A bad folder hides nothing else, and a reading app does not learn the owner's folders."""
    site.world.catalog.folder_faults = [FolderFault(Path("/home/ada/birds"), "birds", ("name: is missing",))]
    reader = site.owner("POST", "/tokens", {"label": "x", "scopes": ["read"]}).json["token"]
    mine, apps = site.owner("GET", "/available").json, site.owner("GET", "/available", token=reader).json

    assert 2 == len(mine["connectors"]) == len(apps["connectors"])
    assert [{"name": "birds", "folder": "/home/ada/birds", "faults": ["name: is missing"]}] == mine["faults"]
    assert [] == apps["faults"]


def test_enable_disable_stop_restart(site: Site) -> None:
    """Each answers the record as it is afterwards."""
    install(site)
    answers = [site.owner("POST", f"/core/feeds/{deed}") for deed in ("disable", "enable", "restart", "stop")]

    assert [(False, "stopped"), (True, "stopped"), (True, "running"), (True, "stopped")] == [
        (answer.json["enabled"], answer.json["state"]) for answer in answers
    ]


def test_pause_resume_and_title(site: Site) -> None:
    """Each answers the record; the id stays whatever the title is."""
    install(site)
    paused, resumed = (site.owner("POST", f"/core/feeds/{deed}").json for deed in ("pause", "resume"))
    named = site.owner("PUT", "/core/feeds/title", {"title": "News"}).json

    assert (True, False) == (paused["paused"], resumed["paused"])
    assert ("feeds", "News") == (named["id"], named["title"])


@pytest.mark.parametrize("body", [{}, {"title": ""}, {"title": "x" * 81}, {"title": 7}, {"title": "  "}])
def test_a_title_has_letters_and_a_bound(site: Site, body: dict[str, Any]) -> None:
    """80 pass, 81 do not."""
    install(site)

    assert 400 == site.owner("PUT", "/core/feeds/title", body).status
    assert 200 == site.owner("PUT", "/core/feeds/title", {"title": "x" * 80}).status


def test_doors_are_opened_by_their_owner(site: Site) -> None:
    """The list that is sent is the list that is open; nothing that is not declared can be."""
    site.world.catalog.manifests["notes"] = parse_manifest(NOTES, "/c/notes")
    site.world.install("notes")
    before = site.owner("GET", "/core/notes/doors").json
    opened = site.owner("PUT", "/core/notes/doors", {"open": ["/dav"]})
    moved = site.owner("PUT", "/core/notes/doors", {"open": ["/api"]}).json
    refused = [
        site.owner("PUT", "/core/notes/doors", body) for body in ({"open": ["/"]}, {"open": "/api"}, {}, {"open": [""]})
    ]
    shut = site.owner("PUT", "/core/notes/doors", {"open": []}).json

    assert {"declared": ["/api", "/dav"], "open": []} == before == shut
    assert (200, ["/dav"], ["/api"]) == (opened.status, opened.json["open"], moved["open"])
    assert [400] * 4 == [answer.status for answer in refused]


def test_a_service_without_its_connector_has_no_doors(site: Site) -> None:
    """Whatever was open."""
    site.world.catalog.manifests["notes"] = parse_manifest(NOTES, "/c/notes")
    site.world.install("notes")
    site.world.services.open_doors("notes", ["/api"])
    del site.world.catalog.manifests["notes"]

    assert {"declared": [], "open": []} == site.owner("GET", "/core/notes/doors").json


def test_a_store_is_opened_by_its_owner(site: Site) -> None:
    """And by nobody else; the answer says where it is reached."""
    site.world.install("feeds")
    before = site.owner("GET", "/core/feeds/store").json
    site.world.store_sockets["feeds"] = Path("/srv/Me/feeds/store.sock")
    answer = site.owner("PUT", "/core/feeds/store", {"open": True})
    opened = {"open": True, "writer": "child", "socket": "/srv/Me/feeds/store.sock"}
    refused = [site.owner("PUT", "/core/feeds/store", body).status for body in ({}, {"open": "yes"}, {"shut": True})]

    assert {"open": False, "writer": "child", "socket": None} == before
    assert (200, opened) == (answer.status, answer.json)
    assert [400] * 3 == refused
    assert site.world.services.get("feeds").store_open


def test_what_was_kept_is_taken_up_or_erased(site: Site) -> None:
    """Listed without its settings; installing under the id goes on with it, erasing removes it for good."""
    install(site, "feeds")
    install(site, "mail", "mail", **SECRETS)
    for service_id in ("feeds", "mail"):
        site.owner("POST", f"/core/{service_id}/uninstall", data="keep")
    kept = site.owner("GET", "/kept")
    again = site.owner("POST", "/core/feeds/install", {"connector": "feeds"})
    erased = site.owner("DELETE", "/kept/mail")

    assert [("feeds", "Feeds", "feeds"), ("mail", "Mail", "mail")] == [
        (one["id"], one["title"], one["connector"]) for one in kept.json
    ]
    assert "secret-" not in kept.text
    assert (201, {"id": "mail"}, ["mail"]) == (again.status, erased.json, site.world.services.erased)
    assert [] == site.owner("GET", "/kept").json


def test_only_what_is_kept_can_be_erased_there(site: Site) -> None:
    """An installed service is not erased by that path, whatever its name."""
    install(site)
    answers = [site.owner("DELETE", f"/kept/{name}") for name in ("feeds", "nothing", "core")]

    assert {404} == {answer.status for answer in answers}
    assert ["feeds"] == [s.id for s in site.world.services.list()]


def test_what_is_kept_is_the_owners(site: Site) -> None:
    """Neither a child nor a reading app sees or erases it."""
    install(site, "feeds-old")
    site.owner("POST", "/core/feeds-old/uninstall", data="keep")
    install(site)
    tokens = [
        site.world.child("feeds"),
        site.owner("POST", "/tokens", {"label": "x", "scopes": ["read"]}).json["token"],
    ]
    asked = [
        site.owner(m, p, token=t).status for t in tokens for m, p in (("GET", "/kept"), ("DELETE", "/kept/feeds-old"))
    ]

    assert [403] * 4 == asked
    assert [] == site.world.services.erased


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/core/nobody/enable"), ("POST", "/core/nobody/uninstall"), ("GET", "/core/nobody/settings"),
        ("GET", "/core/nobody/log"), ("POST", "/core/nobody/at"), ("POST", "/core/nobody/diary"),
        ("POST", "/core/nobody/event"), ("POST", "/core/nobody/stop"), ("PUT", "/core/nobody/doors"),
        ("PUT", "/core/nobody/store"),
        ("POST", "/core/nobody/pause"), ("PUT", "/core/nobody/title"),
    ],
)  # fmt: skip
def test_unknown_service_is_404(site: Site, method: str, path: str) -> None:
    """Named in a problem, whatever the body."""
    answer = site.owner(method, path, {} if method != "GET" else None)

    assert (404, "not_found") == (answer.status, answer.json["type"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": {"sealed": "/tokken"}},
        {"token": {"sealed": "/accounts/0/password"}},
        {"token": {"sealed": "token"}},
        {"accounts": [{"host": "h", "password": {"sealed": "/token"}}]},
        {"accounts": [{"host": "h", "password": {"sealed": "/accounts/password"}}]},
        {"accounts": [{"host": "h", "password": {"sealed": "/accounts/7/password"}}]},
    ],
)
def test_a_mark_keeps_its_own_fields_secret_only(site: Site, wrong: dict[str, Any]) -> None:
    """Mistyped, another field's, of an entry that is not there: 422, and every secret stays where it is."""
    install(site, "mail", "mail", **SECRETS)
    marks = site.owner("GET", "/core/mail/settings").json["settings"]
    answer = site.owner("PUT", "/core/mail/settings", {"settings": {**marks, **wrong}})

    assert (422, "settings_invalid") == (answer.status, answer.json["type"])
    assert next(iter(wrong)) in answer.json["detail"]
    assert SECRETS == site.world.services.settings["mail"]


def test_a_mark_moves_with_its_entry(site: Site) -> None:
    """Places in a list are not compared: the first account is deleted, the second one's password stays its own."""
    install(site, "mail", "mail", **SECRETS)
    marks = site.owner("GET", "/core/mail/settings").json["settings"]
    answer = site.owner("PUT", "/core/mail/settings", {"settings": {**marks, "accounts": marks["accounts"][1:]}})

    assert 200 == answer.status
    assert [{"host": "i", "password": "secret-two"}] == site.world.services.settings["mail"]["accounts"]


@pytest.mark.parametrize("body", [{}, {"data": "all"}, {"data": None}, {"keep": True}])
def test_uninstall_asks_about_the_data(site: Site, body: dict[str, Any]) -> None:
    """There is no default: without a clear word nothing happens."""
    install(site)
    answer = site.owner("POST", "/core/feeds/uninstall", body)

    assert 400 == answer.status
    assert ["feeds"] == [s.id for s in site.world.services.list()]


@pytest.mark.parametrize(("choice", "erased"), [("keep", []), ("erase", ["feeds"])])
def test_uninstall_does_as_told(site: Site, choice: str, erased: list[str]) -> None:
    """Keep keeps, erase erases; by form as by JSON."""
    install(site)
    answer = site.owner("POST", "/core/feeds/uninstall", data=choice)

    assert {"id": "feeds", "data": choice} == answer.json
    assert erased == site.world.services.erased


def test_settings_show_marks_for_secrets(site: Site) -> None:
    """What is read can be sent back: the marks keep the secrets, wherever they moved."""
    install(site, "mail", "mail", **SECRETS)
    shown = site.owner("GET", "/core/mail/settings")
    settings = shown.json["settings"]
    settings["accounts"] = [{**settings["accounts"][1], "host": "moved"}]
    written = site.owner("PUT", "/core/mail/settings", {"settings": settings})

    assert "secret-" not in shown.text
    assert 200 == written.status
    assert {"accounts": [{"host": "moved", "password": "secret-two"}], "token": "secret-three"} == (
        site.world.services.settings["mail"]
    )


def test_a_mark_counts_only_where_a_secret_stands(site: Site) -> None:
    """It cannot carry a secret into a field that is shown."""
    install(site, "mail", "mail", **SECRETS)
    settings = {"accounts": [], "since": {"sealed": "/token"}}
    site.owner("PUT", "/core/mail/settings", {"settings": settings})

    assert "secret-three" not in site.owner("GET", "/core/mail/settings").text


def test_wrong_settings_change_nothing(site: Site) -> None:
    """422 names the field."""
    install(site)
    answer = site.owner("PUT", "/core/feeds/settings", {"settings": {"feeds": ["nonsense"]}})

    assert (422, "settings_invalid") == (answer.status, answer.json["type"])
    assert "feeds.0" in answer.json["detail"]
    assert ["https://example.org/feed"] == site.world.services.settings["feeds"]["feeds"]


def test_log_tells_the_last_lines(site: Site) -> None:
    """As many as asked, oldest first, within bounds."""
    install(site)
    site.world.children.logs["feeds"] = [f"line {number}" for number in range(300)]

    assert ["line 298", "line 299"] == site.owner("GET", "/core/feeds/log?lines=2").json["lines"]
    assert 200 == len(site.owner("GET", "/core/feeds/log").json["lines"])
    assert [400] * 4 == [site.owner("GET", f"/core/feeds/log?lines={n}").status for n in ("0", "5001", "-1", "x")]


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/core/feeds/install", "POST"), ("/core/feeds/uninstall?data=erase", "POST"), ("/core/feeds/enable", "POST"),
        ("/core/feeds/disable", "POST"), ("/core/feeds/stop", "POST"), ("/core/feeds/restart", "POST"),
        ("/core/feeds/listen?type=entry&cb=/x", "POST"), ("/core/feeds/deafen?type=entry&cb=/x", "POST"),
        ("/core/feeds/event?type=entry", "POST"), ("/core/feeds/committed?seq=1", "POST"),
        ("/core/feeds/diary?message=hello", "POST"), ("/core/feeds/at?at=1&cb=/sync", "DELETE, POST"),
        ("/core/feeds/hold?reason=x", "DELETE, POST"), ("/dead-letters/7/retry", "POST"),
    ],
)  # fmt: skip
def test_get_cannot_change_state(site: Site, path: str, allow: str) -> None:
    """The old GET forms answer 405 and say what to use; nothing has happened."""
    install(site)
    answer = site.owner("GET", path)

    assert (405, "method_not_allowed") == (answer.status, answer.json["type"])
    assert set(allow.split(", ")) == set(
        answer.headers["allow"].replace("OPTIONS, ", "").replace(", OPTIONS", "").split(", ")
    )
    assert site.world.services.get("feeds").enabled
    assert ({}, [], []) == (site.world.schedule.entries, site.world.events.published, site.world.events.registered)


def test_wrong_service_token_403(site: Site) -> None:
    """A child acts for itself only; even the paths that only tell are closed."""
    install(site)
    install(site, "mail", "mail", accounts=[])
    child = site.world.child("mail")
    refused = [
        site.owner(method, f"/core/feeds/{path}", {} if method != "GET" else None, token=child).status
        for method, path in (
            ("POST", "at"), ("GET", "at"), ("POST", "event"), ("POST", "listen"), ("POST", "diary"),
            ("POST", "committed"), ("POST", "hold"), ("DELETE", "hold"), ("GET", "listeners"), ("POST", "restart"),
        )
    ]  # fmt: skip

    assert {403} == set(refused)
    assert 200 == site.owner("GET", "/core/mail/at", token=child).status


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "install"), ("POST", "uninstall"), ("POST", "enable"), ("POST", "disable"), ("POST", "stop"),
        ("POST", "restart"), ("GET", "settings"), ("PUT", "settings"), ("GET", "log"), ("GET", "doors"),
        ("PUT", "doors"), ("POST", "pause"), ("POST", "resume"), ("PUT", "title"),
    ],
)  # fmt: skip
def test_what_the_owner_decides_no_child_may(site: Site, method: str, path: str) -> None:
    """Not even about itself: its settings name the folders it may read."""
    install(site)
    body = None if method == "GET" else {"data": "erase", "settings": {"feeds": ["https://x.example/"]}}
    answer = site.owner(method, f"/core/feeds/{path}", body, token=site.world.child("feeds"))

    assert 403 == answer.status


def test_bodies_that_are_nonsense_are_400(site: Site) -> None:
    """Not JSON, not an object, too deep, a form with broken JSON: each a problem, none an incident."""
    install(site)
    deep = b"[" * 5000 + b"]" * 5000
    headers = {"Authorization": "Bearer owner-token-of-more-than-32-characters", "Content-Type": "application/json"}
    bodies = [
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"x"',
        deep,
        b"\xff\xfe",
        b'{"at": NaN, "cb": "/x"}',
        json.dumps({"at": "1"}).encode(),
    ]
    answers = [site.ask("POST", "/core/feeds/at", headers=headers, body=body) for body in bodies]
    form = site.owner("POST", "/core/feeds/event", type="entry", obj="{broken")

    assert {400} == {answer.status for answer in (*answers, form)}
    assert {"application/problem+json"} == {answer.headers["content-type"] for answer in (*answers, form)}


def test_what_keeps_a_service_from_working_is_told_to_its_owner(site: Site) -> None:
    """A connector with faults, packages it lacks, a start that failed: each with its own words; to nobody else."""
    for name in ("feeds", "mail"):
        site.world.install(name)
    site.world.services.obstacles["mail"] = RunMissing("packages are missing", remedy="Enable it.")
    lacking = site.owner("GET", "/map?id=mail").json["trouble"]
    site.world.services.disable("mail")
    off = site.owner("GET", "/map?id=mail").json["trouble"]
    site.world.children.states["feeds"] = ChildState("failed", "handshake_invalid", "feeds announced port 1")
    failed = site.owner("GET", "/map?id=feeds").json["trouble"]
    del site.world.catalog.manifests["feeds"]
    faulty = site.owner("GET", "/map?id=feeds").json["trouble"]
    child = site.owner("GET", "/map?id=feeds", token=site.world.child("mail")).json

    assert {"type": "run_missing", "detail": "packages are missing", "remedy": "Enable it."} == lacking
    assert off is None
    assert ("handshake_invalid", "feeds announced port 1") == (failed["type"], failed["detail"])
    assert ("not_found", "Correct /c/connector.toml.") == (faulty["type"], faulty["remedy"])
    assert child["trouble"] is None
