"""Settings of services: checked, sealed where they are secret, and copied for the child without secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.model.errors import KeyMissing, SettingsInvalid
from core.vault import SealedFile, open_master_key
from tests.registry.conftest import FEEDS, MAIL, MAIL_SETTINGS, Registry, everything_in, write_connector

NEW_ACCOUNTS: dict[str, Any] = {"accounts": [{"host": "b.example", "port": 2, "password": "SECRET-b"}]}


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
