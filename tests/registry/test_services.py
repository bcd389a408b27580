"""Services: installed, set up, switched, uninstalled; what a person decided outlives every restart."""

from __future__ import annotations

import json
import shutil
import stat
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.model.errors import BadRequest, Conflict, ManifestInvalid, NotFound, RunMissing
from core.registry import begin_owner_log, provided
from core.registry.naming import SERVICES_MAX, TITLE_CHARS_MAX
from tests.registry.conftest import FEEDS, MAIL_SETTINGS, Registry, write_connector

Tree = Callable[[Path], set[str]]
NEW_ACCOUNTS: dict[str, Any] = {"accounts": [{"host": "b.example", "port": 2, "password": "SECRET-b"}]}


def test_install_makes_a_service(registry: Registry) -> None:
    """An install gives a record with an id, a uid for ever and defaults, and a private working directory."""
    service = registry.install_feeds()

    folder = registry.me / "feeds"
    assert (service.id, service.connector, service.title, service.enabled) == ("feeds", "feeds", "Feeds", True)
    assert uuid.UUID(service.uid).version == 7
    assert service.installed_at == registry.clock.now()
    assert registry.services.settings_of("feeds") == {"urls": ["https://a.example/feed"], "keep_html": True}
    assert {path.name for path in folder.iterdir()} == {"me.json", "tmp"}
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "tmp", folder / "me.json")] == [
        0o700,
        0o700,
        0o600,
    ]
    assert registry.changes == [("feeds", "installed")]


def test_double_install_two_records(registry: Registry) -> None:
    """Two services of one connector have ids, uids, folders and settings of their own."""
    first = registry.install_feeds()
    second = registry.services.install("feeds", settings={"urls": ["https://b.example/"]}, title="More")
    third = registry.install_feeds(service_id="feeds-work")

    assert [service.id for service in registry.services.list()] == ["feeds", "feeds-2", "feeds-work"]
    assert len({first.uid, second.uid, third.uid}) == 3
    assert registry.services.get("feeds").settings["urls"] == ["https://a.example/feed"]
    assert registry.services.get("feeds-2").settings["urls"] == ["https://b.example/"]
    assert (registry.services.get("feeds").title, registry.services.get("feeds-2").title) == ("Feeds", "More")
    assert all((registry.me / name / "me.json").is_file() for name in ("feeds", "feeds-2", "feeds-work"))


def test_a_log_whose_folder_is_gone_goes_on_in_another_epoch(registry: Registry) -> None:
    """What was stored there may come back; whoever finds the folder gone notes it before anything is stored anew."""
    registry.install_feeds()
    assert 1 == registry.services.get("feeds").origin_epoch

    epochs = []
    for find in (
        lambda: registry.services.working_directory("feeds"),
        lambda: registry.services.rename("feeds", "News"),
        lambda: registry.services.update_settings("feeds", {"urls": ["https://b.example/"]}),
    ):
        shutil.rmtree(registry.me / "feeds")
        find()
        registry.reopen()
        epochs.append(registry.services.get("feeds").origin_epoch)
        assert (registry.me / "feeds").is_dir()

    registry.services.uninstall("feeds", erase=False)
    shutil.rmtree(registry.me / "feeds")
    epochs.append(registry.install_feeds().origin_epoch)

    assert [1001, 2001, 3001, 4001] == epochs
    assert 4001 == registry.reopen().get("feeds").origin_epoch


def test_the_owner_s_own_log_goes_on_in_another_epoch_too(registry: Registry) -> None:
    """Its folder is not there at the first start, which is no loss."""
    own = registry.me / "owner"
    epochs = [begin_owner_log(registry.documents, own)]
    own.mkdir()
    epochs.append(begin_owner_log(registry.documents, own))
    own.rmdir()
    epochs.append(begin_owner_log(registry.documents, own))
    own.mkdir()
    epochs.append(begin_owner_log(registry.documents, own))

    assert [1, 1, 1001, 1001] == epochs


def test_default_titles_tell_services_apart(registry: Registry) -> None:
    """The second of a connector is numbered; a title that was chosen, or is free again, is nobody's concern."""
    titles = [registry.install_feeds(title=title).title for title in (None, None, "Feeds 3", None)]
    registry.services.rename("feeds", "News")

    assert ["Feeds", "Feeds 2", "Feeds 3", "Feeds 4"] == titles
    assert "Feeds" == registry.install_feeds().title


def test_ids_that_cannot_be_had(registry: Registry) -> None:
    """A taken id, a reserved or impossible one, and a folder of somebody else's are refused with a cure."""
    registry.install_feeds()
    (registry.me / "strange").mkdir()
    (registry.me / "strange" / "store.db").touch()

    for taken in ("feeds", "strange"):
        with pytest.raises(Conflict):
            registry.install_feeds(service_id=taken)
    for impossible in ("owner", "Feeds", "../x", "", "a" * 65, "key"):
        with pytest.raises(BadRequest):
            registry.install_feeds(service_id=impossible)
    assert [service.id for service in registry.services.list()] == ["feeds"]
    assert registry.install_feeds(service_id="a" * 64).id == "a" * 64


def test_a_long_name_is_numbered_within_its_length(registry: Registry) -> None:
    """The number of a second service fits into the longest id."""
    name = "x" * 64
    write_connector(registry.connectors, FEEDS.replace('"feeds"', f'"{name}"', 1))

    ids = [registry.services.install(name, settings={"urls": ["http://a/"]}).id for _ in range(2)]

    assert ids == [name, "x" * 62 + "-2"]


def test_unknown_connectors_and_titles(registry: Registry) -> None:
    """What is not there cannot be installed; a title has a length."""
    with pytest.raises(NotFound):
        registry.services.install("nothing", settings={})
    for title in ("", "  ", "x" * (TITLE_CHARS_MAX + 1)):
        with pytest.raises(BadRequest):
            registry.install_feeds(title=title)

    assert registry.install_feeds(title=" My \n feeds ").title == "My feeds"
    assert registry.install_feeds(title="x" * TITLE_CHARS_MAX).id == "feeds-2"


@pytest.mark.parametrize(
    "title",
    [
        "a\x00b",
        "a\x1b[31mb",
        "a\x7f",
        "a\u202eb",
        "a\u200bb",
        "\ufeffa",
        "a\u2066b",
        "a\U000e0041",
        "a\U000e0067\U000e0062\U000e0065\U000e007f",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065",
        "\U0001f3f4\U000e0067\U000e0062\U000e007f",
        "\U0001f3f4" + "\U000e0061" * 7 + "\U000e007f",
        "\U0001f3f4\U000e0041\U000e0042\U000e0043\U000e007f",
        "\ud800",
        "\u200d",
        "\u200c\u200d",
        "\u3164",
        "\u2800",
        "\u0301",
        "\ufe0f",
    ],
)
def test_a_title_that_cannot_be_seen_as_it_is(registry: Registry, title: str) -> None:
    """What steers a screen, turns the text around or shows nothing is refused, at the installation and later."""
    registry.install_feeds()
    with pytest.raises(BadRequest, match="a title"):
        registry.install_feeds(title=title)
    with pytest.raises(BadRequest, match="a title"):
        registry.services.rename("feeds", title)

    assert [service.title for service in registry.services.list()] == ["Feeds"]


ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    "title", [ENGLAND, f"Home {ENGLAND}", "می\u200cخواهم", "👩\u200d💻", "क्\u200dष", "❤\ufe0f", "e\u0301", "日記", "-"]
)
def test_titles_of_any_script(registry: Registry, title: str) -> None:
    """Joiners and marks belong to the writing of many people."""
    assert registry.install_feeds(title=title).title == title


def test_a_connector_added_while_running_can_be_installed(registry: Registry) -> None:
    """No restart is needed between writing a connector and using it."""
    write_connector(registry.connectors, FEEDS.replace('"feeds"', '"news"', 1))

    assert registry.services.install("news", settings={"urls": ["http://a/"]}).connector == "news"


def test_everything_survives_a_restart(registry: Registry) -> None:
    """What a person decided is there at the next start: switches, titles, doors, accounts, secrets."""
    registry.install_feeds()
    registry.install_mail()
    registry.services.disable("feeds")
    registry.services.pause("mail")
    registry.services.rename("mail", "Post")
    registry.services.open_doors("mail", ["/imap"])
    registry.services.sign_in("mail", "account-7")
    before = registry.services.list()

    after = registry.reopen().list()

    assert after == before
    assert (after[0].enabled, after[1].paused, after[1].title) == (False, True, "Post")
    assert (after[1].doors_open, after[1].account) == (("/imap",), "account-7")
    assert registry.services.settings_of("mail") == MAIL_SETTINGS


def test_switches_and_their_opposites(registry: Registry) -> None:
    """Each switch can be turned back, and every turn is told."""
    registry.install_feeds()

    assert registry.services.disable("feeds").enabled is False
    assert registry.services.enable("feeds").enabled is True
    assert registry.services.pause("feeds").paused is True
    assert registry.services.resume("feeds").paused is False
    assert [what for _id, what in registry.changes] == ["installed", "disabled", "enabled", "paused", "resumed"]


def test_nothing_of_that_name(registry: Registry) -> None:
    """Every call with an unknown id is NotFound."""
    services = registry.services
    calls: list[Callable[[str], object]] = [
        services.get, services.enable, services.disable, services.pause, services.resume, services.settings_of,
        services.checked_settings, services.secrets_of, services.folders_of, services.working_directory,
        lambda name: services.rename(name, "x"), lambda name: services.sign_in(name, "x"),
        lambda name: services.update_settings(name, {}), lambda name: services.open_doors(name, []),
        lambda name: services.uninstall(name, erase=True), lambda name: services.uninstall(name, erase=False),
    ]  # fmt: skip

    for call in calls:
        with pytest.raises(NotFound):
            call("nothing")


def test_doors_are_those_declared(registry: Registry) -> None:
    """Only a declared door can be opened; opening others shuts the first."""
    registry.install_mail()
    assert registry.services.get("mail").doors_open == ()

    assert registry.services.open_doors("mail", ["/imap", "/api"]).doors_open == ("/api", "/imap")
    assert registry.services.open_doors("mail", []).doors_open == ()
    with pytest.raises(BadRequest):
        registry.services.open_doors("mail", ["/admin"])


def test_another_account_is_refused(registry: Registry) -> None:
    """One service never mixes two people's data; the same account may come again."""
    registry.install_mail()
    registry.services.sign_in("mail", "a")
    registry.services.sign_in("mail", "a")

    with pytest.raises(Conflict) as caught:
        registry.services.sign_in("mail", "b")

    assert registry.services.get("mail").account == "a"
    assert "second time" in caught.value.remedy


def test_map_and_providers_leak_nothing(registry: Registry) -> None:
    """INV-08: the public view holds no setting, no account, nothing of the process."""
    registry.install_mail()
    registry.services.sign_in("mail", "account-7")
    service = registry.services.get("mail")

    public = service.public(registry.catalog.get("mail"))

    assert public["provides"] == ["message/mail", "contact"]
    assert public["uri"] == "/Me/mail/"
    told = json.dumps([public, service.public(None)])
    assert not [word for word in ("SECRET", "a.example", "account-7", "pid", "port", "sealed", "uid") if word in told]


def test_providers(registry: Registry) -> None:
    """With a slash a type matches exactly, without one by its primary part; disabled services are not listed."""
    registry.install_feeds()
    registry.install_mail()

    def ids(*types: str) -> list[str]:
        return [service.id for service in registry.services.providers(types)]

    assert ids("entry/feeds") == ["feeds"]
    assert ids("entry") == ["feeds"]
    assert ids("contact/mail") == []
    assert ids("contact", "message/mail", "entry") == ["feeds", "mail"]
    assert ids("nothing") == ids() == []
    registry.services.disable("mail")
    assert ids("contact") == []


def test_a_connector_that_declares_nothing_provides_its_types(registry: Registry) -> None:
    """Each of its types with its own network: for a search, for the child's copy and for everybody alike."""
    text = 'name = "notes"\ntitle = "Notes"\n[types.note]\nkey = "id"\n'
    write_connector(registry.connectors, text)
    service = registry.services.install("notes", settings={})
    manifest = registry.catalog.get("notes")

    assert provided(manifest) == ("note/notes",)
    assert service.public(manifest)["provides"] == ["note/notes"]
    for wanted in ("note", "note/notes"):
        assert [one.id for one in registry.services.providers([wanted])] == ["notes"]
    assert registry.services.providers(["note/other"]) == ()


def test_providers_empty_element(registry: Registry) -> None:
    """An empty element of the list matches nothing."""
    registry.install_mail()

    assert registry.services.providers(["", " ", "/"]) == ()
    assert [service.id for service in registry.services.providers(["message", ""])] == ["mail"]


def test_a_store_is_open_as_long_as_the_owner_says(registry: Registry) -> None:
    """Shut at first; the owner's word is kept."""
    registry.install_mail()
    before = registry.services.get("mail").store_open
    registry.services.open_store("mail", is_open=True)
    after = registry.reopen().get("mail").store_open

    assert (False, True) == (before, after)
    assert not registry.services.open_store("mail", is_open=False).store_open


def test_records_that_cannot_be_read_are_left_alone(registry: Registry) -> None:
    """INV-09: rubbish in locker.json is told and kept, its id stays taken, and the other services are there."""
    registry.install_feeds()
    registry.install_mail()
    path = registry.me / "locker.json"
    registry.documents.close()
    document = json.loads(path.read_text())
    rows = document["services"]
    numbers = list(rows)
    rows[numbers[1]]["enabled"] = "maybe"
    rows["97"] = {**rows[numbers[0]], "uid": "../../outside"}
    rows["98"] = {**rows[numbers[0]], "uid": str(uuid.uuid4())}
    rows["99"] = {**rows[numbers[0]], "uid": str(uuid.uuid4()), "id": "x", "state": "broken"}
    path.write_text(json.dumps(document))

    services = registry.reopen()

    assert [service.id for service in services.list()] == ["feeds"]
    assert len(services.notices) == 4
    assert registry.install_mail().id == "mail-2"
    services.disable("feeds")
    after = json.loads(path.read_text())["services"]
    assert {number: after[number] for number in (numbers[1], "97", "98", "99")} == {
        number: rows[number] for number in (numbers[1], "97", "98", "99")
    }


def test_fields_of_a_later_version_survive(registry: Registry) -> None:
    """What another Locker wrote beside our fields stays in the record when we change ours."""
    registry.install_feeds()
    path = registry.me / "locker.json"
    registry.documents.close()
    document = json.loads(path.read_text())
    next(iter(document["services"].values()))["colour"] = "red"
    path.write_text(json.dumps(document))

    registry.reopen().disable("feeds")

    row = next(iter(json.loads(path.read_text())["services"].values()))
    assert (row["colour"], row["enabled"]) == ("red", False)


def test_a_folder_taken_away_is_made_again(registry: Registry) -> None:
    """A service whose folder somebody removed starts afresh instead of failing for ever."""
    registry.install_feeds()
    folder = registry.services.working_directory("feeds")

    for name in (".", "tmp", "me.json"):
        shutil.rmtree(folder / name) if name != "me.json" else (folder / name).unlink()
        assert registry.services.working_directory("feeds") == folder
        assert {path.name for path in folder.iterdir()} == {"me.json", "tmp"}


def test_installing_from_many_threads(registry: Registry) -> None:
    """Installs at one moment get ids of their own and lose nothing."""
    threads = [threading.Thread(target=registry.install_feeds) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ids = [service.id for service in registry.reopen().list()]
    assert ids == sorted(["feeds", *(f"feeds-{number}" for number in range(2, 9))])


def test_callbacks_come_after_the_change_and_outside_any_lock(registry: Registry) -> None:
    """Whoever is told of a change sees it, also from another thread."""
    seen: list[Any] = []

    def look(service_id: str, _what: str) -> None:
        asker = threading.Thread(target=lambda: seen.append(registry.services.disable(service_id).enabled))
        if not seen:
            seen.append(registry.services.get(service_id).enabled)
            asker.start()
            asker.join(10)

    registry.services._on_change = look
    registry.install_feeds()

    assert seen == [True, False]


def test_the_number_of_services_is_bounded(registry: Registry) -> None:
    """At the bound no further service is made."""
    registry.install_feeds()
    row = json.loads((registry.me / "locker.json").read_text())["services"]
    first = next(iter(row.values()))
    rows = {str(n): {**first, "id": f"x{n}", "uid": str(uuid.uuid4())} for n in range(1, SERVICES_MAX)}
    registry.documents.close()
    (registry.me / "locker.json").write_text(json.dumps({"services": rows}))
    registry.reopen()
    registry.install_mail()

    with pytest.raises(Conflict, match=f"{SERVICES_MAX} services"):
        registry.install_mail()


def test_a_package_that_does_not_exist_is_no_trap(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service says what it lacks; correcting the manifest and switching on is enough, on or off before."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    registry.install_feeds()
    write_connector(registry.connectors, FEEDS.replace("[types", 'requires = ["nowhere==9.9"]\n[types', 1))
    registry.catalog.refresh()
    lacking = registry.services.obstacle("feeds")
    registry.services.disable("feeds")

    with pytest.raises(ManifestInvalid, match=r"nowhere 9\.9 does not exist"):
        registry.services.enable("feeds")
    write_connector(registry.connectors, FEEDS)

    assert isinstance(lacking, RunMissing) and "nowhere==9.9" in lacking.detail
    assert registry.services.enable("feeds").enabled
    assert registry.services.obstacle("feeds") is None


def test_a_connector_that_was_given_another_name_is_told_by_both(registry: Registry) -> None:
    """It is in the service's folder still: its manifest is where the name is put right."""
    registry.install_feeds()
    folder = write_connector(registry.connectors, FEEDS.replace('name = "feeds"', 'name = "news"'), folder="feeds")
    registry.catalog.refresh()

    told = registry.services.obstacle("feeds")

    assert isinstance(told, NotFound)
    assert f"there is no connector 'feeds': the one in {folder} is named 'news'" == told.detail
    assert str(folder / "connector.toml") in (told.remedy or "")


def test_a_faulty_connector_and_one_that_is_gone_are_told_apart(registry: Registry) -> None:
    """The one is corrected in its file, the other is put back."""
    registry.install_feeds()
    folder = write_connector(registry.connectors, FEEDS.replace("provides", "provdes"))
    registry.catalog.refresh()
    faulty = registry.services.obstacle("feeds")
    shutil.rmtree(folder)
    registry.catalog.refresh()
    gone = registry.services.obstacle("feeds")
    assert registry.services.obstacle("never-there") is None

    assert faulty is not None and "provdes" in faulty.detail
    assert str(folder / "connector.toml") in faulty.remedy
    assert gone is not None and "none of the folders" in gone.detail
