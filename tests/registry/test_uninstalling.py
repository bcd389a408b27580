"""Uninstalled services: their data is kept for a later install, or erased whatever resists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core.model.errors import Conflict, NotFound
from tests.registry.conftest import MAIL_SETTINGS, Registry, everything_in

Tree = Callable[[Path], set[str]]


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


def test_reinstall_starts_with_every_door_shut(registry: Registry) -> None:
    """A door, or the store, that was open before an uninstallation that keeps the data is to be opened again."""
    registry.install_mail()
    registry.services.open_doors("mail", ["/imap"])
    registry.services.open_store("mail", is_open=True)
    registry.services.uninstall("mail", erase=False)
    again = registry.install_mail()

    assert (again.doors_open, again.store_open) == ((), False)
    assert registry.reopen().get("mail").doors_open == ()


def test_a_service_that_was_paused_syncs_once_it_is_installed_again(registry: Registry) -> None:
    """Whoever installs wants it to sync; a pause from before would keep it from that without a word."""
    registry.install_mail()
    registry.services.pause("mail")
    registry.services.uninstall("mail", erase=False)

    assert not registry.install_mail().paused


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
