"""What a service may read outside its own folder: what the owner agreed to, and never Locker's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.model.manifest import Limits, Manifest
from core.registry import Reads
from core.registry.reads import READS_MAX


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("home/photos", "home/locker/Me/feeds", "home/locker/config", "config"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def reads(home: Path) -> Reads:
    return Reads(home=home, protected=[home / "locker" / "Me", home / "locker", home.parent / "config"])


def asking(*reads: object) -> Manifest:
    return Manifest(name="x", title="x", folder="/x", limits=Limits(reads=reads))  # type: ignore[arg-type]


def test_fixed_and_set_folders(reads: Reads, home: Path) -> None:
    """Folders come from the manifest and from settings, `~` being the owner's home; each once."""
    manifest = asking(
        "/proc", "~/photos", "/not/yet/there", {"setting": "one"}, {"setting": "many"}, {"setting": "unset"}
    )
    settings = {"one": str(home / "photos"), "many": ["~/photos", "/sys", ""], "unset": ""}

    folders, faults = reads.agreed(manifest, settings)

    assert faults == []
    assert folders == ("/proc", str(home / "photos"), "/not/yet/there", "/sys")


@pytest.mark.parametrize(
    "folder",
    ["/", "~/", "~/locker", "~/locker/Me", "~/locker/Me/feeds", "~/locker/core", "~/../config", "~/x/../locker"],
)
def test_lockers_own_files_stay_shut(reads: Reads, folder: str) -> None:
    """INV-11: neither Me nor the configuration nor the checkout can be asked for, nor what holds or lies in them."""
    folders, faults = reads.agreed(asking(folder, {"setting": "folder"}), {"folder": folder})

    assert folders == ()
    assert [key for key, _what in faults] == ["limits.reads", "folder"]


def test_links_to_lockers_own_files(reads: Reads, home: Path) -> None:
    """A link is judged by where it leads, when it is agreed to and again when it is opened."""
    (home / "link").symlink_to(home / "locker" / "Me")
    (home / "loop").symlink_to(home / "loop")
    assert len(reads.agreed(asking("~/link", "~/loop"), {})[1]) == 2

    (home / "later").mkdir()
    agreed = reads.agreed(asking("~/later"), {})[0]
    assert reads.present(agreed) == (home / "later",)
    (home / "later").rmdir()
    (home / "later").symlink_to(home / "locker" / "Me")

    assert reads.present(agreed) == ()


def test_a_set_folder_must_be_there(reads: Reads, home: Path) -> None:
    """A folder that the owner types is checked at once, each entry of a list by its own path."""
    (home / "file").write_text("x")
    settings = {"one": str(home / "gone"), "many": [str(home / "photos"), str(home / "file"), "relative"]}

    _folders, faults = reads.agreed(asking({"setting": "one"}, {"setting": "many"}), settings)

    assert [key for key, _what in faults] == ["one", "many.1", "many.2"]


def test_only_what_is_there_is_opened(reads: Reads, home: Path) -> None:
    """A drive that is not mounted is left out, and counts again when it is back."""
    agreed = reads.agreed(asking("~/photos", "~/drive"), {})[0]
    assert reads.present(agreed) == (home / "photos",)

    (home / "drive").mkdir()

    assert reads.present(agreed) == (home / "photos", home / "drive")


def test_without_a_home(home: Path) -> None:
    """Where no home is known, `~` leads nowhere."""
    faults = Reads(home=None, protected=[]).agreed(asking("~/photos"), {})[1]

    assert faults == [("limits.reads", "must be a folder's whole path")]


def test_the_number_of_folders_is_bounded(reads: Reads) -> None:
    """At the bound all are agreed to, beyond it none."""
    assert reads.agreed(asking(*(f"/none/{n}" for n in range(READS_MAX))), {})[1] == []

    assert reads.agreed(asking(*(f"/none/{n}" for n in range(READS_MAX + 1))), {})[1] != []
