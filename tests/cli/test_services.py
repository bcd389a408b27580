"""status, list, install and uninstall against a core that answers as the real one does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from core.cli import exits
from core.cli.screen import moment
from core.cli.services import TITLE_LENGTH_MAX, settings_from
from core.model.clock import SystemClock
from core.model.errors import AuthRequired, BadRequest, ChildDied, NotFound, SettingsInvalid, UserActionNeeded
from core.model.fact import Change
from core.model.ids import ID_RULE, uuid7
from core.model.manifest import TypeSpec
from core.model.problem import problem_document
from core.registry import TITLE_CHARS_MAX
from core.store import Origin, Run, Store
from tests.cli.conftest import Locker
from tests.cli.fake_core import FakeCore

# After whatever this test asks for.
LATER = 9e9


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
        "work": service(
            "work", state="failed", reason="child_died", title="Wo\x1b[31mrk",
            trouble={"type": "child_died", "detail": "work ended with exit status 3", "remedy": ""},
        ),
    }  # fmt: skip
    core.answer("GET", "/map", {"available": [], "installed": installed})
    for name in installed:
        core.answer("GET", f"/core/{name}/at", [{"service": name, "path": "/sync/entry", "at": 1.8e9}])
    return core


def store_of(core: FakeCore, name: str, *runs: Run, entries: int = 0) -> None:
    """A store of the service, as its connector would leave it."""
    with Store.open(
        core.me / name,
        types={"entry": TypeSpec(name="entry")},
        origin=Origin(log="tests", epoch=1),
        clock=SystemClock(),
    ) as store:
        store.commit([Change(type="entry", key=str(n), value={"n": n}) for n in range(entries)])
        for run in runs:
            store.note_run(run)


def run_of(status: str, **changed: Any) -> Run:
    """A run of a stream as the store keeps it."""
    known = {"id": str(uuid7(1.0)), "stream": "entry", "started_at": 1.7e9, "ended_at": 1.7e9 + 5, "status": status}
    return Run(**(known | changed))


def test_status_without_a_core_has_a_code_of_its_own(locker: Locker, me: Path) -> None:
    """A script can tell by the code that nothing runs; that is an answer, not an error."""
    assert (exits.NOT_RUNNING, "") == (locker("status").code, locker("status").err)
    assert {"running": False, "me": str(me), "notices": []} == json.loads(locker("status", "--json").out)


def test_status_names_the_way_to_a_core(locker: Locker, me: Path) -> None:
    """The cure names the folder that this command would use."""
    assert f"Start it with: python3 locker.py --me {me}" in locker("status").out


def test_status_tells_each_service(locker: Locker, services: FakeCore) -> None:
    """Where it answers, and how each service is, in words."""
    done = locker("status")

    assert exits.DONE == done.code
    assert services.url in done.out
    assert 1 == services.logins
    assert services.login_url in done.out
    *_, row, problem, cure = done.out.splitlines()
    assert ["work", "failed", moment(1.8e9)] == re.split(r"\s{2,}", row.strip())
    assert "work: work ended with exit status 3" == problem
    assert cure.startswith("  Look at the service's log")


def test_status_and_list_tell_syncs_and_records(locker: Locker, services: FakeCore) -> None:
    """The last sync and how it went, the next one, the records, and why it failed: without asking the connector."""
    problem = {"type": "offline", "detail": "The source is away.", "remedy": "Wait."}
    store_of(services, "feeds", run_of("ok"), run_of("failed", started_at=1.7e9 + 60, problem=problem), entries=3)
    shown = [locker(command).out for command in ("status", "list")]
    told = json.loads(locker("status", "--json").out)["services"]["feeds"]

    for out in shown:
        assert all(words in out for words in (f"failed, {moment(1.7e9 + 5)}", moment(1.8e9), "3 entry"))
    assert "The source is away." in shown[0]
    assert ({"entry": 3}, 1.8e9, "The source is away.") == (told["counts"], told["next_at"], told["problem"])
    assert ["failed"] == [run["status"] for run in told["last_runs"]]
    assert not [asked.path for asked in services.asked if asked.path.startswith("/Me/")]


def test_a_service_that_cannot_start_says_why(locker: Locker, services: FakeCore) -> None:
    """No next sync is promised, and the cure is the core's own."""
    trouble = {"type": "not_found", "detail": "provdes: is not a key", "remedy": "Correct /c/feeds/connector.toml."}
    services.answer("GET", "/map", {"installed": {"feeds": service("feeds", trouble=trouble)}})
    *_, row, problem, cure = locker("status").out.splitlines()

    assert ["feeds", "cannot start"] == re.split(r"\s{2,}", row.strip())
    assert ("feeds: provdes: is not a key", "  Correct /c/feeds/connector.toml.") == (problem, cure)


def test_a_cure_of_the_core_s_own_is_kept(locker: Locker, core: FakeCore) -> None:
    """The file to correct says more than a list of all there is."""
    problem = problem_document(NotFound("it cannot be used: name: is missing", remedy="Correct /c/x/connector.toml."))
    core.answer("POST", "/core/x/install", problem, status=404)

    assert "Correct /c/x/connector.toml." == locker("install", "x").err.splitlines()[1]


@pytest.mark.parametrize(("command", "said"), [("enable", "feeds is on."), ("disable", "feeds is off.")])
def test_a_service_is_switched(locker: Locker, core: FakeCore, command: str, said: str) -> None:
    """On and off, as its page does; what is wrong with it all the same is told."""
    trouble = {"type": "not_found", "detail": "its connector is gone", "remedy": "Put it back."}
    core.answer("POST", f"/core/feeds/{command}", service("feeds"))
    done = locker(command, "feeds")
    core.answer("POST", f"/core/feeds/{command}", service("feeds", trouble=trouble))
    troubled = locker(command, "feeds")

    assert (exits.DONE, True) == (done.code, done.out.startswith(said))
    assert "feeds: its connector is gone" in troubled.out
    assert {"enable": exits.FAILED, "disable": exits.DONE}[command] == troubled.code
    assert "trouble" in json.loads(locker(command, "feeds", "--json").out)


@pytest.mark.parametrize(("changed", "state"), [({"enabled": False}, "off"), ({"paused": True}, "paused")])
def test_a_service_that_does_not_sync_has_no_next_time(
    locker: Locker, services: FakeCore, changed: dict[str, bool], state: str
) -> None:
    """What stands in the schedule is not done while it is off or paused."""
    services.answer("GET", "/map", {"installed": {"feeds": service("feeds", **changed)}})
    told = locker("status")

    assert ["feeds", state] == told.out.splitlines()[-1].split()
    assert json.loads(locker("status", "--json").out)["services"]["feeds"]["next_at"] is None


def test_a_store_that_is_none_is_told_of(locker: Locker, services: FakeCore) -> None:
    """A damaged file is that service's problem, and the others are shown."""
    (services.me / "feeds").mkdir()
    (services.me / "feeds" / "store.db").write_bytes(b"no database" * 100)
    done = locker("status")

    assert exits.DONE == done.code
    assert "store.db" in done.out
    assert "work" in done.out


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


def test_list_available_needs_no_core(locker: Locker) -> None:
    """What could be installed stands in folders, which can be read at any time."""
    done = locker("list", "--available")

    assert (exits.DONE, "") == (done.code, done.err)
    assert any(line.startswith("feeds ") for line in done.out.splitlines())
    assert "feeds" in [c["name"] for c in json.loads(locker("list", "--available", "--json").out)["connectors"]]


def test_install_sends_settings(locker: Locker, core: FakeCore, tmp_path: Path) -> None:
    """Text, JSON and a file come together; the answer names the service's page."""
    core.answer("POST", "/core/news/install", service("news"), status=201)
    (tmp_path / "settings.json").write_text('{"depth": 1, "token": "s3cret"}')
    done = locker(
        "install", "feeds", "--id", "news", "--title", "News", "--setting", "url=http://127.0.0.1/a=b",
        "--setting", "depth:=3", "--settings-json", str(tmp_path / "settings.json"), "--no-wait",
    )  # fmt: skip

    page = core.url.replace("127.0.0.1", "locker.localhost") + "/services/news"
    assert (exits.DONE, f"Installed news. Its page: {page}\n") == (done.code, done.out)
    assert {
        "connector": "feeds",
        "title": "News",
        "settings": {"depth": 3, "token": "s3cret", "url": "http://127.0.0.1/a=b"},
    } == core.asked[-1].body


def test_install_waits_for_the_first_sync(locker: Locker, core: FakeCore) -> None:
    """What came is shown, of the core's own first run too, when that was over before this command could join it."""
    counts = {"new": 0, "updated": 0, "same": 3, "deleted": 0, "quarantined": 0}
    core.answer("POST", "/core/feeds/install", service("feeds", installed_at=1.6e9), status=201)
    core.answer("POST", "/Me/feeds/sync?wait_s=60", {"runs": [{"stream": "entry", "status": "ok", **counts}]})
    store_of(core, "feeds", run_of("ok", new=3, started_at=LATER), run_of("ok", id="b", new=0, started_at=LATER))
    done = locker("install", "feeds")

    assert exits.DONE == done.code
    assert ["entry", "ok", "3", "0", "0", "3", "0"] == done.out.splitlines()[-1].split()
    assert 3 == json.loads(locker("install", "feeds", "--json").out)["runs"][0]["new"]


def test_a_name_that_no_connector_may_have_is_answered_with_those_that_may(locker: Locker, core: FakeCore) -> None:
    """The core says what is wrong with the folder of that name; for an id that is none one is proposed."""
    problem = problem_document(
        NotFound(
            "the connector My_Notes cannot be used: name: must be lower case letters, for example 'my-notes'",
            remedy="Correct /c/My_Notes/connector.toml.",
        )
    )
    core.answer("POST", "/core/my-notes/install", problem, status=404)
    faulty = locker("install", "My_Notes")

    assert "My_Notes" == core.asked[0].body["connector"]
    assert (exits.REFUSED, "Correct /c/My_Notes/connector.toml.") == (faulty.code, faulty.err.splitlines()[1])
    assert "for example 'b-d'" in locker("install", "feeds", "--id", "B_d").err


def test_installing_again_tells_what_this_sync_brought(locker: Locker, core: FakeCore) -> None:
    """What its earlier life brought stands in the same book, and is no news."""
    counts = {"new": 0, "updated": 0, "same": 3, "deleted": 0, "quarantined": 0}
    core.answer("POST", "/core/feeds/install", service("feeds", installed_at=1.0), status=201)
    core.answer("POST", "/Me/feeds/sync?wait_s=60", {"runs": [{"stream": "entry", "status": "ok", **counts}]})
    store_of(core, "feeds", run_of("ok", id="a", new=21), run_of("ok", id="b", new=9, started_at=1.71e9))
    done = locker("install", "feeds")

    assert ["entry", "ok", "0", "0", "0", "3", "0"] == done.out.splitlines()[-1].split()


def test_the_wait_for_a_long_first_sync_is_bounded(locker: Locker, core: FakeCore) -> None:
    """The wait is bounded, and the way to hear of the end is named."""
    core.answer("POST", "/core/feeds/install", service("feeds"), status=201)
    core.answer("POST", "/Me/feeds/sync?wait_s=60", {"runs": [{"stream": "entry", "status": "running"}]}, status=202)
    done = locker("install", "feeds")

    assert exits.DONE == done.code
    assert "python3 locker.py status" in done.out.splitlines()[-1]


@pytest.mark.parametrize("status", ["failed", "partial", "held"])
def test_a_first_sync_that_went_wrong_fails_the_install(locker: Locker, core: FakeCore, status: str) -> None:
    """It is installed, and a script hears that the sync failed."""
    core.answer("POST", "/core/feeds/install", service("feeds"), status=201)
    problem = {"detail": "The source is away."}
    core.answer("POST", "/Me/feeds/sync?wait_s=60", {"runs": [{"stream": "e", "status": status, "problem": problem}]})
    done = locker("install", "feeds")

    assert exits.FAILED == done.code
    assert "Installed feeds." in done.out
    assert "The source is away." in done.out
    assert exits.FAILED == locker("install", "feeds", "--json").code
    assert exits.DONE == locker("install", "feeds", "--no-wait").code


def test_an_install_that_waits_for_its_owner_went_well(locker: Locker, core: FakeCore) -> None:
    """What is to be done first is told, and the installation went well."""
    core.answer("POST", "/core/feeds/install", service("feeds"), status=201)
    problem = problem_document(UserActionNeeded("No feed is followed yet.", remedy="Add an address."))
    held = {"stream": "feeds", "status": "held", "problem": problem}
    core.answer("POST", "/Me/feeds/sync?wait_s=60", {"runs": [held]})
    done = locker("install", "feeds")

    assert exits.DONE == done.code
    assert ["feeds: No feed is followed yet.", "  Add an address."] == done.out.splitlines()[-2:]


def test_a_service_that_dies_is_installed_and_told(locker: Locker, core: FakeCore) -> None:
    """A connector that ends before it synced has failed at it too."""
    core.answer("POST", "/core/feeds/install", service("feeds"), status=201)
    core.answer("POST", "/Me/feeds/sync?wait_s=60", problem_document(ChildDied("feeds ended")), status=502)
    done = locker("install", "feeds")

    assert (exits.FAILED, "feeds ended") == (done.code, done.err.splitlines()[0])


def test_a_service_that_cannot_sync_yet_is_installed_and_told(locker: Locker, core: FakeCore) -> None:
    """It is installed; what is to be done first stands beside."""
    core.answer("POST", "/core/mail/install", service("mail"), status=201)
    core.answer("POST", "/Me/mail/sync?wait_s=60", problem_document(AuthRequired()), status=401)
    done = locker("install", "mail")

    assert exits.DONE == done.code
    assert "Installed mail." in done.out
    assert "press Connect" in done.err


def test_install_of_what_has_no_streams_waits_for_nothing(locker: Locker, core: FakeCore) -> None:
    """No run is asked for."""
    core.answer("POST", "/core/notes/install", service("notes", streams=[]), status=201)

    assert exits.DONE == locker("install", "notes").code
    assert ["/core/notes/install"] == [asked.path for asked in core.asked]


def test_a_refused_install_has_the_core_s_words_and_cure(locker: Locker, core: FakeCore) -> None:
    """The core's words and cure reach the owner, and the code says who must act."""
    problem = problem_document(SettingsInvalid("feeds: is missing", remedy="Name at least one feed."))
    core.answer("POST", "/core/feeds/install", problem, status=422)
    done = locker("install", "feeds")

    assert (exits.OWNER_MUST_ACT, "feeds: is missing.\nName at least one feed.\n") == (done.code, done.err)


def test_settings_that_do_not_fit_lead_to_the_form(locker: Locker, core: FakeCore) -> None:
    """Nothing was installed, so the cure is the command line or the form, not the page of a service."""
    core.answer("POST", "/core/feeds/install", problem_document(SettingsInvalid("urls.0 is no address")), status=422)
    done = locker("install", "feeds", "--setting", 'urls:=["nonsense"]')
    said, cure = done.err.splitlines()

    assert (exits.OWNER_MUST_ACT, "urls.0 is no address.") == (done.code, said)
    assert cure.startswith("Nothing was installed. Correct --setting, or fill in the form at ")
    assert cure.endswith("/install/feeds")


@pytest.mark.parametrize(
    ("name", "path", "cure"),
    [
        ("nosuch", "nosuch", "See: "),
        ("No Such", "no-such", f"A connector's name is {ID_RULE}. See: "),
        ("../x", "x", f"A connector's name is {ID_RULE}. See: "),
        ("9_9", "unnamed", f"A connector's name is {ID_RULE}. See: "),
    ],
)
def test_an_install_of_what_there_is_not_names_the_list(
    locker: Locker, core: FakeCore, name: str, path: str, cure: str
) -> None:
    """The cure is the command that lists what there is, after the rule where no connector may be called so."""
    problem = problem_document(NotFound("there is no connector", remedy="GET /available lists those there are."))
    core.answer("POST", f"/core/{path}/install", problem, status=404)
    done = locker("install", name)

    assert (exits.REFUSED, f"{cure}python3 locker.py list --available") == (done.code, done.err.splitlines()[1])


def test_a_title_longer_than_the_core_takes_is_refused(locker: Locker, core: FakeCore) -> None:
    """As many characters as the core takes, told in words; nothing is sent for one more."""
    core.answer("POST", "/core/feeds/install", service("feeds", streams=[]), status=201)
    refused = locker("install", "feeds", "--title", "x" * (TITLE_LENGTH_MAX + 1))
    assert [] == core.asked

    assert (exits.REFUSED, "Give it 1 to 80 characters.") == (refused.code, refused.err.splitlines()[1])
    assert exits.DONE == locker("install", "feeds", "--title", "x" * TITLE_LENGTH_MAX).code
    assert TITLE_CHARS_MAX == TITLE_LENGTH_MAX


@pytest.mark.parametrize("command", [["uninstall", "nothing"], ["uninstall", "../tokens"]])
def test_a_service_that_is_not_there_is_refused(locker: Locker, core: FakeCore, command: list[str]) -> None:
    """The cure is the command that lists the services."""
    problem = problem_document(NotFound("there is no service 'nothing'", remedy="GET /map lists those there are."))
    core.answer("POST", "/core/nothing/uninstall", problem, status=404)
    done = locker(*command)

    assert (exits.REFUSED, "See: python3 locker.py list") == (done.code, done.err.splitlines()[1])


def test_a_setting_without_value_is_shown_how(locker: Locker) -> None:
    """Both forms, with the name that was given."""
    said, cure = locker("install", "feeds", "--setting", "urls").err.splitlines()

    assert "The setting 'urls' has no value." == said
    assert "urls=text" in cure
    assert "urls:=[…]" in cure


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
