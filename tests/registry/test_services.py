"""Services: installed, set up, switched, uninstalled; what a person decided outlives every restart."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.model.errors import BadRequest, Conflict, KeyMissing, NotFound, SettingsInvalid
from core.registry import provided
from core.registry.naming import SERVICES_MAX
from core.registry.services import TITLE_CHARS_MAX
from core.vault import SealedFile, open_master_key
from tests.registry.conftest import FEEDS, MAIL, MAIL_SETTINGS, Registry, write_connector

Tree = Callable[[Path], set[str]]
NEW_ACCOUNTS: dict[str, Any] = {"accounts": [{"host": "b.example", "port": 2, "password": "SECRET-b"}]}


def everything_in(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


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


def test_wrong_settings_are_refused_before_anything_is_made(registry: Registry) -> None:
    """Every fault is told by its field, and neither folder nor record remains."""
    with pytest.raises(SettingsInvalid) as caught:
        registry.services.install("mail", settings={"token": 3, "accounts": [{}], "folder": "/nowhere", "x": 1})

    for part in ("token must be text", "accounts.0.host is missing", "folder must be", "x is no setting"):
        assert part in str(caught.value)
    assert registry.services.list() == ()
    assert not (registry.me / "mail").exists()
    assert dict(registry.services.faults_in("mail", {"accounts": [{}]})) == {"accounts.0.host": "is missing"}
    assert registry.services.faults_in("mail", MAIL_SETTINGS) == ()


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


def test_no_plain_secret_on_disk(registry: Registry) -> None:
    """INV-08: after install, change and restart no secret stands in any file of Me; all come back."""
    registry.install_mail()
    registry.services.update_settings("mail", {**MAIL_SETTINGS, "token": "SECRET-new"})
    registry.reopen()

    assert b"SECRET" not in everything_in(registry.me)
    assert registry.services.settings_of("mail") == {**MAIL_SETTINGS, "token": "SECRET-new"}
    assert set(registry.services.secrets_of("mail")) == {"SECRET-new", "SECRET-a", "SECRET-b"}
    assert "SECRET" not in repr([registry.services.get("mail"), registry.services])


def test_the_sealed_file_is_shared_with_the_child(registry: Registry) -> None:
    """The child's own part of auth.sealed survives the core's changes, and the key of the greeting opens it."""
    service = registry.install_mail()
    key = open_master_key(registry.me).service_key(service.uid)
    file = SealedFile(registry.me / "mail" / "auth.sealed", key, context=f"auth:{service.uid}")
    file.update(lambda content: {**content, "auth": {"token": "of the child"}})

    registry.services.update_settings("mail", NEW_ACCOUNTS)
    assert file.read()["auth"] == {"token": "of the child"}

    registry.services.update_settings("mail", {})
    assert file.read() == {"auth": {"token": "of the child"}}


def test_settings_are_replaced_as_a_whole(registry: Registry) -> None:
    """An update says all there is; what it leaves out is gone, and the replaced secrets are forgotten."""
    registry.install_mail()

    registry.services.update_settings("mail", NEW_ACCOUNTS)

    assert registry.services.settings_of("mail") == NEW_ACCOUNTS
    assert registry.services.secrets_of("mail") == ("SECRET-b",)
    assert registry.changes[-1] == ("mail", "settings")


def test_a_refused_update_changes_nothing(registry: Registry) -> None:
    """After a fault the settings are what they were."""
    registry.install_mail()

    with pytest.raises(SettingsInvalid):
        registry.services.update_settings("mail", {"accounts": [{"password": "SECRET-x"}]})

    assert registry.services.settings_of("mail") == MAIL_SETTINGS


def test_settings_of_a_connector_that_changed(registry: Registry) -> None:
    """A connector that asks for more than was set gets no child until the owner filled it in."""
    registry.install_feeds()
    write_connector(registry.connectors, FEEDS + '[settings.region]\ntype = "string"\nrequired = true\n')
    registry.catalog.refresh()

    with pytest.raises(SettingsInvalid, match="region is missing"):
        registry.services.checked_settings("feeds")
    registry.services.update_settings("feeds", {**registry.services.settings_of("feeds"), "region": "north"})

    assert registry.services.checked_settings("feeds")["region"] == "north"


def test_secrets_left_open_are_sealed_at_the_start(registry: Registry) -> None:
    """A password typed into locker.json by hand, or called secret only by a newer connector, does not stay there."""
    registry.install_feeds(title="x")
    write_connector(registry.connectors, FEEDS.replace('format = "url"', 'format = "url", secret = true'))
    assert b"a.example" in (registry.me / "locker.json").read_bytes()

    registry.reopen()

    assert b"a.example" not in everything_in(registry.me)
    assert registry.services.settings_of("feeds")["urls"] == ["https://a.example/feed"]


def test_an_edit_by_hand_keeps_secrets_with_their_entries(registry: Registry) -> None:
    """After the owner deleted an account from locker.json, the other one still has its own password."""
    registry.install_mail()
    path = registry.me / "locker.json"
    registry.documents.close()
    document = json.loads(path.read_text())
    row = next(iter(document["services"].values()))
    del row["settings"]["accounts"][0]
    path.write_text(json.dumps(document))

    registry.reopen()

    assert registry.services.settings_of("mail")["accounts"] == [MAIL_SETTINGS["accounts"][1]]


def test_without_the_key_secrets_are_reported_missing(registry: Registry) -> None:
    """With another key neither settings nor data are lost, and the cure is told; setting anew works."""
    registry.install_mail()
    (registry.me / "key").write_bytes(b"k" * 32)
    registry.reopen()

    with pytest.raises(KeyMissing) as caught:
        registry.services.settings_of("mail")
    assert "Restore Me/key" in caught.value.remedy

    registry.services.update_settings("mail", NEW_ACCOUNTS)
    assert registry.services.settings_of("mail") == NEW_ACCOUNTS
    assert len(list((registry.me / "mail").glob("auth.sealed.unreadable-*"))) == 1


@pytest.mark.parametrize("part", [{"settings": 7}, {"settings": [{"open_part": 1}]}, {"settings": [[]]}, {}], ids=str)
def test_a_child_that_rewrites_the_sealed_settings(registry: Registry, part: dict[str, Any]) -> None:
    """Whatever a child seals in the core's part, the settings are merely incomplete and the core stands."""
    service = registry.install_mail()
    key = open_master_key(registry.me).service_key(service.uid)
    SealedFile(registry.me / "mail" / "auth.sealed", key, context=f"auth:{service.uid}").write(part)

    assert registry.services.settings_of("mail") == {
        "accounts": [{"host": "a.example", "port": 1}, {"host": "b.example", "port": 2}]
    }


def test_me_json_is_never_read_back(registry: Registry) -> None:
    """broken_me_json_set_aside: a child that rewrites its copy, or breaks it, changes nothing at any start."""
    service = registry.install_mail()
    copy = registry.me / "mail" / "me.json"
    told = json.loads(copy.read_text())
    assert (told["id"], told["uid"], told["is"]) == ("mail", service.uid, "connector")
    assert told["settings"] == {"accounts": [{"host": "a.example", "port": 1}, {"host": "b.example", "port": 2}]}

    for text in (json.dumps({**told, "uid": "x", "run": "evil", "enabled": False, "id": "other"}), "{broken", ""):
        copy.write_text(text)
        assert registry.reopen().list() == (service,)
        registry.services.working_directory("mail")
        assert json.loads(copy.read_text()) == told

    registry.services.rename("mail", "Post")
    assert json.loads(copy.read_text())["title"] == "Post"


def test_a_link_in_place_of_me_json(registry: Registry) -> None:
    """A child cannot make the core write elsewhere."""
    registry.install_feeds()
    (registry.folder / "victim").write_text("precious")
    (registry.me / "feeds" / "me.json").unlink()
    (registry.me / "feeds" / "me.json").symlink_to(registry.folder / "victim")

    registry.services.rename("feeds", "News")

    assert (registry.folder / "victim").read_text() == "precious"


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


def test_reinstall_keeps_data(registry: Registry) -> None:
    """What was kept comes back under its id: uid, account, data, settings and secrets."""
    before = registry.install_mail()
    registry.services.sign_in("mail", "account-7")
    (registry.me / "mail" / "store.db").write_text("data")

    registry.services.uninstall("mail", erase=False)
    with pytest.raises(NotFound):
        registry.services.get("mail")
    assert [service.id for service in registry.reopen().kept()] == ["mail"]

    after = registry.services.install("mail", settings={"token": "SECRET-2"})

    assert (after.id, after.uid, after.account) == ("mail", before.uid, "account-7")
    assert (registry.me / "mail" / "store.db").read_text() == "data"
    assert registry.services.settings_of("mail") == {**MAIL_SETTINGS, "token": "SECRET-2"}
    assert registry.services.kept() == ()


def test_a_store_is_open_as_long_as_the_owner_says(registry: Registry) -> None:
    """Shut at first; the owner's word is kept."""
    registry.install_mail()
    before = registry.services.get("mail").store_open
    registry.services.open_store("mail", is_open=True)
    after = registry.reopen().get("mail").store_open

    assert (False, True) == (before, after)
    assert not registry.services.open_store("mail", is_open=False).store_open


def test_reinstall_starts_with_every_door_shut(registry: Registry) -> None:
    """A door, or the store, that was open before an uninstallation that keeps the data is to be opened again."""
    registry.install_mail()
    registry.services.open_doors("mail", ["/imap"])
    registry.services.open_store("mail", is_open=True)
    registry.services.uninstall("mail", erase=False)
    again = registry.install_mail()

    assert (again.doors_open, again.store_open) == ((), False)
    assert registry.reopen().get("mail").doors_open == ()


def test_kept_data_is_not_given_to_another_connector(registry: Registry) -> None:
    """Another connector gets neither the id nor the data; a second service of the same one gets another id."""
    registry.install_mail(service_id="post")
    registry.services.uninstall("post", erase=False)

    with pytest.raises(Conflict):
        registry.install_feeds(service_id="post")
    assert registry.install_mail().id == "mail"
    assert [service.id for service in registry.services.kept()] == ["post"]


def test_uninstall_erases_everything_it_should(registry: Registry, tree: Tree) -> None:
    """After erasing nothing of the service is left: no folder, no secret, no record, nothing behind links."""
    before = tree(registry.me)
    registry.install_mail()
    registry.services.sign_in("mail", "account-7")
    outside = registry.folder / "outside"
    outside.mkdir()
    (registry.me / "mail" / "link").symlink_to(outside)
    (registry.me / "mail" / "files" / "ab").mkdir(parents=True)

    registry.services.uninstall("mail", erase=True)

    assert tree(registry.me) - {"locker.json.bak", "locker.json.last"} == before | {"locker.json"}
    assert outside.is_dir()
    assert not [word for word in (b"a.example", b"account-7", b"SECRET") if word in everything_in(registry.me)]
    assert json.loads((registry.me / "locker.json").read_text()).get("services", {}) == {}
    assert registry.changes[-1] == ("mail", "erased")
    assert registry.install_mail().id == "mail"


def test_kept_data_can_be_erased_later(registry: Registry) -> None:
    """Erasing after keeping removes what was kept."""
    registry.install_mail()
    registry.services.uninstall("mail", erase=False)

    registry.services.uninstall("mail", erase=True)

    assert not (registry.me / "mail").exists()
    assert registry.services.kept() == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that its own user cannot erase")
def test_erasing_that_resists_is_finished_later() -> None:
    """A folder that cannot be erased is told to the owner, leaves its id free, and goes at a later start."""
    program = """
import os, sys, sysconfig
from pathlib import Path
from core.model.errors import FolderUnusable
from tests.registry.conftest import Registry
sysconfig.get_config_vars()
place = Path(sys.argv[1])
(place / "registry").mkdir()
os.chown(place / "registry", 65534, 65534)
os.seteuid(65534)
registry = Registry(place / "registry")
service = registry.install_mail()
grave = registry.me / f".erasing-{service.uid}"
os.seteuid(0)
(registry.me / "mail" / "theirs").mkdir(mode=0o755)
(registry.me / "mail" / "theirs" / "file").touch()
os.seteuid(65534)
try:
    registry.services.uninstall("mail", erase=True)
except FolderUnusable as err:
    print("told", "Mail is uninstalled" in registry.services.notices[0], err.remedy != "")
print("free", registry.install_mail().uid != service.uid, grave.exists())
services = registry.reopen()
print("again", len(services.notices), grave.exists(), [one.id for one in services.list()])
os.seteuid(0)
os.chown(grave / "theirs", 65534, 65534)
os.seteuid(65534)
services = registry.reopen()
print("gone", len(services.notices), grave.exists(), [one.id for one in services.list()])
os.seteuid(0)
"""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        done = subprocess.run([sys.executable, "-c", program, place], capture_output=True, text=True, timeout=60)

    assert done.stdout.splitlines() == [
        "told True True",
        "free True True",
        "again 1 True ['mail']",
        "gone 0 False ['mail']",
    ], done.stderr


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


def test_folders_agreed_to_stay_so(registry: Registry) -> None:
    """A connector that asks for another folder in its next version gets it only after the owner saved again."""
    photos = registry.folder / "photos"
    music = registry.folder / "music"
    for folder in (photos, music):
        folder.mkdir()
    registry.services.install("mail", settings={"folder": str(photos)})
    assert registry.services.folders_of("mail") == (photos,)

    write_connector(registry.connectors, MAIL.replace("reads = [", f'reads = ["{music}", '))
    registry.reopen()
    assert registry.services.folders_of("mail") == (photos,)

    registry.services.update_settings("mail", {"folder": str(photos)})
    assert registry.services.folders_of("mail") == (music, photos)


def test_a_folder_of_lockers_own_is_refused(registry: Registry) -> None:
    """INV-11: no setting opens Me to a connector."""
    with pytest.raises(SettingsInvalid, match="folder may not be"):
        registry.services.install("mail", settings={"folder": str(registry.me)})


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
