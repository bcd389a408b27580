"""The catalog: every usable folder is there, every other is named, and none hides another."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from core.model.errors import NotFound
from core.model.manifest import MANIFEST_BYTES_MAX
from core.registry import Catalog
from core.registry.catalog import FOLDERS_MAX
from tests.fakes.powers import without_root_powers
from tests.registry.conftest import FEEDS, MAIL, write_connector


def faults_of(catalog: Catalog) -> dict[str, str]:
    return {fault.folder.name: "; ".join(fault.faults) for fault in catalog.faults()}


def test_connectors_are_found_by_name(tmp_path: Path) -> None:
    """Folders with a manifest count; others, hidden ones and files do not, and are no fault."""
    write_connector(tmp_path, FEEDS)
    write_connector(tmp_path, MAIL, folder="my-own-folder-name")
    write_connector(tmp_path, FEEDS, folder=".hidden")
    (tmp_path / "sdk").mkdir()
    (tmp_path / "README.md").write_text("connectors")

    catalog = Catalog([tmp_path])

    assert list(catalog.entries()) == ["feeds", "mail"]
    assert catalog.get("mail").folder == str(tmp_path / "my-own-folder-name")
    assert catalog.faults() == ()


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    """An unknown name is the caller's fault."""
    with pytest.raises(NotFound, match="there is no connector 'x'"):
        Catalog([tmp_path]).get("x")


def test_a_folder_added_while_running_appears(tmp_path: Path) -> None:
    """The next look finds new folders, changed manifests and what was taken away."""
    catalog = Catalog([tmp_path])
    assert dict(catalog.entries()) == {}

    folder = write_connector(tmp_path, FEEDS)
    catalog.refresh()
    assert catalog.get("feeds").title == "Feeds"

    write_connector(tmp_path, FEEDS.replace('title = "Feeds"', 'title = "All feeds"'))
    catalog.refresh()
    assert catalog.get("feeds").title == "All feeds"

    shutil.rmtree(folder)
    catalog.refresh()
    assert dict(catalog.entries()) == {}


def test_what_a_look_found_changed_is_told(tmp_path: Path) -> None:
    """New and changed connectors are named once; the first look, what stayed and what went away are not."""
    write_connector(tmp_path, FEEDS)
    told: list[frozenset[str]] = []
    catalog = Catalog([tmp_path], on_change=told.append)

    write_connector(tmp_path, MAIL)
    catalog.refresh()
    catalog.refresh()
    folder = write_connector(tmp_path, FEEDS.replace('title = "Feeds"', 'title = "All feeds"'))
    catalog.refresh()
    shutil.rmtree(folder)
    catalog.refresh()

    assert [{"mail"}, {"feeds"}] == told


def test_an_unchanged_manifest_is_not_read_again(tmp_path: Path) -> None:
    """A look at what did not change gives the very same manifest."""
    write_connector(tmp_path, FEEDS)
    catalog = Catalog([tmp_path])
    first = catalog.get("feeds")

    catalog.refresh()

    assert catalog.get("feeds") is first


def test_one_bad_folder_hides_nothing(tmp_path: Path) -> None:
    """INV-09: folders with every kind of fault are named, and the good ones are there."""
    write_connector(tmp_path, FEEDS)
    bad = {
        "not-toml": b"name = ",
        "many-faults": b'name = "many-faults"\nwriter = "both"\nspeed = 3',
        "not-utf8": b'name = "x"\ntitle = "\xff"',
        "too-large": b"#" * (MANIFEST_BYTES_MAX + 1),
        "too-deep": b"x = " + b"[" * 5000 + b"]" * 5000,
        "too-many-digits": b"x = " + b"9" * 5000,
        "bad-schema": b'name = "bad-schema"\ntitle = "t"\n[settings.token]\ntype = "string"\nsecert = true',
        "unpinned": b'name = "unpinned"\ntitle = "t"\nrequires = ["left-pad", "--index-url=http://x/", "ok==1.0"]',
        "unnamed-read": b'name = "unnamed-read"\ntitle = "t"\n[limits]\nreads = [{setting = "folder"}]',
    }
    for name, content in bad.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "connector.toml").write_bytes(content)

    catalog = Catalog([tmp_path])
    faults = faults_of(catalog)

    assert list(catalog.entries()) == ["feeds"]
    assert set(faults) == set(bad)
    assert "connector.toml: is not TOML" in faults["not-toml"]
    assert "title: is missing" in faults["many-faults"]
    assert "writer: " in faults["many-faults"]
    assert "speed: is not a key" in faults["many-faults"]
    assert "is not UTF-8 at byte 20" in faults["not-utf8"]
    assert f"is larger than {MANIFEST_BYTES_MAX} bytes" in faults["too-large"]
    assert "settings.token.secert: is no word" in faults["bad-schema"]
    assert faults["unpinned"].count("is not pinned as name==version") == 2
    assert "limits.reads: there is no setting 'folder'" in faults["unnamed-read"]


def test_all_faults_of_a_manifest_come_at_once(tmp_path: Path) -> None:
    """Its keys, the words of its settings, its packages and its folders: one look names everything there is to mend."""
    text = """
name = "many"
writer = "both"
speed = 3
requires = ["left-pad"]
[settings.token]
type = "string"
secert = true
[settings.list]
type = "list"
[settings.odd]
type = "array"
items = { type = ["string"] }
[settings.code]
type = "string"
pattern = "(a"
[limits]
reads = [{ setting = "folder" }]
"""
    write_connector(tmp_path, text)
    (fault,) = Catalog([tmp_path]).faults()

    assert [
        "title", "writer", "settings.list.type", "speed", "settings.token.secert", "settings.odd.items",
        "settings.code.pattern", "requires", "limits.reads",
    ] == [each.partition(":")[0] for each in fault.faults]  # fmt: skip


def test_a_manifest_of_exactly_the_bound_is_read(tmp_path: Path) -> None:
    """The largest allowed manifest counts."""
    write_connector(tmp_path, FEEDS.ljust(MANIFEST_BYTES_MAX - 1, "#") + "\n")

    assert list(Catalog([tmp_path]).entries()) == ["feeds"]


def test_a_broken_connector_says_why_it_is_not_found(tmp_path: Path) -> None:
    """Whoever asks for it is told the faults and the file to correct."""
    write_connector(tmp_path, FEEDS + "[limits]\nspeed = 1\n")

    with pytest.raises(NotFound, match=r"limits\.speed: is not a key") as caught:
        Catalog([tmp_path]).get("feeds")

    assert str(tmp_path / "feeds" / "connector.toml") in caught.value.remedy


def test_a_manifest_that_breaks_and_is_mended(tmp_path: Path) -> None:
    """While it is broken the connector is gone; mended, it is back."""
    write_connector(tmp_path, FEEDS)
    catalog = Catalog([tmp_path])

    write_connector(tmp_path, FEEDS + "oops", folder="feeds")
    catalog.refresh()
    assert (list(catalog.entries()), list(faults_of(catalog))) == ([], ["feeds"])

    write_connector(tmp_path, FEEDS)
    catalog.refresh()
    assert (list(catalog.entries()), list(faults_of(catalog))) == (["feeds"], [])


def test_a_shadowed_name_keeps_the_first_and_names_both(tmp_path: Path) -> None:
    """A person's copy never takes the place of the built-in connector, and is told of it."""
    built_in = write_connector(tmp_path / "checkout", FEEDS)
    copy = write_connector(tmp_path / "own", FEEDS.replace("Feeds", "My feeds"))

    catalog = Catalog([tmp_path / "checkout", tmp_path / "own"])

    assert catalog.get("feeds").folder == str(built_in)
    assert [fault.folder for fault in catalog.faults()] == [copy]
    assert str(built_in) in catalog.faults()[0].faults[0]
    assert str(copy) in catalog.faults()[0].faults[0]


def test_a_broken_copy_does_not_take_down_the_built_in(tmp_path: Path) -> None:
    """The copy has its faults, the original runs."""
    write_connector(tmp_path / "checkout", FEEDS)
    write_connector(tmp_path / "own", FEEDS + "oops", folder="feeds")

    catalog = Catalog([tmp_path / "checkout", tmp_path / "own"])

    assert catalog.get("feeds").title == "Feeds"
    assert len(catalog.faults()) == 1


def test_two_folders_with_one_name_in_one_path(tmp_path: Path) -> None:
    """The folder that bears the name is the original, whatever sorts first."""
    write_connector(tmp_path, FEEDS, folder="a-copy-of-feeds")
    original = write_connector(tmp_path, FEEDS)

    catalog = Catalog([tmp_path])

    assert catalog.get("feeds").folder == str(original)
    assert list(faults_of(catalog)) == ["a-copy-of-feeds"]


def test_links_and_pipes(tmp_path: Path) -> None:
    """A link to a folder counts, a loop of links and a manifest that is a pipe are named; nobody waits."""
    elsewhere = write_connector(tmp_path / "elsewhere", FEEDS)
    path = tmp_path / "connectors"
    path.mkdir()
    (path / "linked").symlink_to(elsewhere)
    (path / "loop").symlink_to(path / "loop")
    (path / "dangling").symlink_to(path / "nowhere")
    (path / "pipe").mkdir()
    os.mkfifo(path / "pipe" / "connector.toml")

    catalog = Catalog([path])

    assert catalog.get("feeds").folder == str(path / "linked")
    assert faults_of(catalog) == {
        "loop": "connector.toml: cannot be read: Too many levels of symbolic links",
        "pipe": "connector.toml: is not a plain file",
    }


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    """A missing connector path is named and the others count."""
    write_connector(tmp_path / "there", FEEDS)

    catalog = Catalog([tmp_path / "gone", tmp_path / "there", tmp_path / "there"])

    assert list(catalog.entries()) == ["feeds"]
    assert faults_of(catalog) == {
        "gone": f"connector_paths: {tmp_path / 'gone'} cannot be read: No such file or directory"
    }


def test_an_unreadable_folder_is_named(tmp_path: Path) -> None:
    """A folder without permission hides nothing."""
    write_connector(tmp_path, FEEDS)
    shut = write_connector(tmp_path, MAIL)
    shut.chmod(0)
    try:
        with without_root_powers():
            catalog = Catalog([tmp_path])
    finally:
        shut.chmod(0o700)

    assert list(catalog.entries()) == ["feeds"]
    assert faults_of(catalog) == {"mail": "connector.toml: cannot be read: Permission denied"}


def test_the_number_of_folders_is_bounded(tmp_path: Path) -> None:
    """At the bound all count; one more is reported and the first ones still count."""
    for number in range(FOLDERS_MAX - 1):
        (tmp_path / f"x{number:04}").mkdir()
    write_connector(tmp_path, FEEDS)
    assert (list(Catalog([tmp_path]).entries()), Catalog([tmp_path]).faults()) == (["feeds"], ())

    (tmp_path / "y").mkdir()

    assert list(Catalog([tmp_path]).entries()) == ["feeds"]
    assert f"holds more than {FOLDERS_MAX} folders" in faults_of(Catalog([tmp_path]))[tmp_path.name]


def test_a_folder_that_is_named_otherwise_than_its_connector(tmp_path: Path) -> None:
    """Who asks for the folder's name is told the connector's."""
    write_connector(tmp_path, FEEDS, folder="misname")

    with pytest.raises(NotFound, match="is named 'feeds'") as caught:
        Catalog([tmp_path]).get("misname")
    assert str(tmp_path / "misname" / "connector.toml") in caught.value.remedy


@pytest.mark.parametrize(
    ("line", "is_told"),
    [("", True), ('requires = ["icalendar==6.0.1"]', False), ('run = "ruby connector.rb"', False)],
)
def test_requirements_that_nobody_reads_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, is_told: bool
) -> None:
    """Once, of a connector in Python that names its packages in that file alone; it can be used all the same."""
    folder = write_connector(tmp_path, f"{line}\n{FEEDS}")
    (folder / "requirements.txt").write_text("icalendar\n")
    with caplog.at_level("INFO"):
        catalog = Catalog([tmp_path])
        catalog.refresh()
    told = [record.getMessage() for record in caplog.records if "requirements.txt" in record.getMessage()]

    assert ["feeds"] == list(catalog.entries())
    assert int(is_told) == len(told)
    assert all("requires = [" in line for line in told)
