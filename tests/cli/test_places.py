"""Where Me may be."""

from __future__ import annotations

import pytest

from core.cli.places import Mount, Weight, doubts_about, kind_of

MOUNTS = (
    Mount("/", "ext4"),
    Mount("/home", "ext4"),
    Mount("/home/ada/nas", "nfs4"),
    Mount("/home/ada/nas/local", "xfs"),
    Mount("/media/stick", "vfat"),
    Mount("/mnt/later", "cifs"),
    Mount("/mnt/later", "ext4"),
)


def weights(me: str, kind: str = "ext4") -> list[Weight]:
    """What weighs against a path on one file system of a kind."""
    return [doubt.weight for doubt in doubts_about(me, mounts=[Mount("/", kind)], checkout="/opt/locker")]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ada/Me", "ext4"),
        ("/home/ada/nas/Me", "nfs4"),
        ("/home/ada/nas", "nfs4"),
        ("/home/ada/nasty/Me", "ext4"),
        ("/home/ada/nas/local/Me", "xfs"),
        ("/mnt/later/Me", "ext4"),
    ],
)
def test_the_innermost_mount_counts(path: str, kind: str) -> None:
    """The longest mount point that holds the path, by whole names; of two on one point, the later."""
    assert kind == kind_of(path, MOUNTS)


def test_without_mounts_nothing_is_known() -> None:
    """A system that does not tell its mounts gives no doubt about kinds."""
    assert "" == kind_of("/home/ada/Me", ())
    assert () == doubts_about("/home/ada/Me", mounts=(), checkout="/opt/locker")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.rclone", "NFS"])
def test_a_network_file_system_is_refused(kind: str) -> None:
    """Databases are not safe there, so Locker does not start."""
    assert [Weight.REFUSED] == weights("/data/Me", kind)


@pytest.mark.parametrize("kind", ["fuse.something", "fuse", "vfat", "exfat"])
def test_a_doubtful_file_system_is_warned_of(kind: str) -> None:
    """A program's file system may reach anywhere, and FAT keeps no permissions."""
    assert [Weight.WARNED] == weights("/data/Me", kind)


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "xfs", "zfs", "apfs", "ntfs", "fuseblk", "tmpfs", "overlay"])
def test_a_local_file_system_is_fine(kind: str) -> None:
    """Nothing is said of what works."""
    assert [] == weights("/data/Me", kind)


@pytest.mark.parametrize(
    "path",
    [
        "/home/ada/Dropbox/Me",
        "/home/ada/Dropbox (Personal)/Me",
        "/Users/ada/Library/Mobile Documents/com~apple~CloudDocs/Me",
        "/Users/ada/Library/CloudStorage/OneDrive-Personal/Me",
        "/home/ada/Nextcloud/Me",
        "/home/ada/Google Drive/Me",
        "C:\\Users\\Ada\\OneDrive - Example\\Me",
    ],
)
def test_a_synchronised_folder_is_warned_of(path: str) -> None:
    """Its program would copy open databases, and secrets, elsewhere."""
    assert [Weight.WARNED] == weights(path)


@pytest.mark.parametrize("path", ["/home/ada/dropboxes/Me", "/home/onedriver/Me", "/home/ada/Boxes/Me"])
def test_a_name_that_only_resembles_one_is_fine(path: str) -> None:
    """Whole names decide."""
    assert [] == weights(path)


@pytest.mark.parametrize("inside", ["core", "connectors/feeds", ".git", "tests/x/y"])
def test_among_lockers_own_files_is_refused(inside: str) -> None:
    """With a folder that will do, which is not below the one that was named."""
    holds = ("__init__.py", "config.py")
    first, *_ = doubts_about(f"/opt/locker/{inside}", mounts=(), checkout="/opt/locker", holds=holds)

    assert (Weight.REFUSED, True) == (first.weight, "/opt/locker/Me" in first.cure)


def test_inside_the_checkout_is_noted() -> None:
    """One careless git command would delete it."""
    assert [Weight.NOTED] == weights("/opt/locker/Me")
    assert [] == weights("/opt/locker-data/Me")


def test_the_weightiest_comes_first() -> None:
    """A refusal is not buried under notes."""
    assert [Weight.REFUSED, Weight.WARNED, Weight.NOTED] == weights("/opt/locker/Dropbox/Me", "nfs")


@pytest.mark.parametrize(
    "holds",
    [
        [],
        ["README.md", ".gitignore"],
        ["run", "logs", "owner"],
        ["lost+found"],
        ["letters", "key"],
        ["letters", "locker.json"],
        ["letters", "core.db", "feeds"],
        ["letters", "core.lock"],
    ],
)
def test_an_empty_folder_and_one_of_locker_s_will_do(holds: list[str]) -> None:
    """Whatever else its owner put into a Me, and what stands in an empty folder of any system."""
    assert () == doubts_about("/home/ada/Me", mounts=(), checkout="/opt/locker", holds=holds)


@pytest.mark.parametrize("holds", [["letters"], ["run", "photos"], [".bashrc", "logs"]])
def test_a_folder_of_other_things_is_refused(holds: list[str]) -> None:
    """One's own files are not put among Locker's, nor closed to others; a folder inside is the cure."""
    (doubt,) = doubts_about("/home/ada", mounts=(), checkout="/opt/locker", holds=holds)

    assert Weight.REFUSED == doubt.weight
    assert doubt.cure.endswith("--me /home/ada/Locker")
