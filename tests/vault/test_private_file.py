"""The private file: whole or not at all, for the owner only, and never through a link."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core.model.errors import BadRequest, FileDamaged, FolderUnusable, StorageFull, TooBusy
from core.vault.private_file import PrivateFile, unwritable

BYTES_MAX = 64


@pytest.fixture
def file(tmp_path: Path) -> PrivateFile:
    return PrivateFile(tmp_path / "note", bytes_max=BYTES_MAX, lock_wait_s=0.05)


def test_absent_file_reads_as_none(file: PrivateFile) -> None:
    """No file is told apart from an empty one."""
    assert file.read() is None

    file.replace(b"")

    assert file.read() == b""


def test_replace_puts_the_new_content_in_place(file: PrivateFile, tmp_path: Path) -> None:
    """The second content stands alone afterwards: mode 0600, nothing left beside it."""
    file.replace(b"one")
    file.replace(b"two")

    assert file.read() == b"two"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_the_size_bound_is_exact(file: PrivateFile) -> None:
    """The greatest allowed size passes, one byte more is refused on writing and on reading."""
    file.replace(b"x" * BYTES_MAX)
    assert file.read() == b"x" * BYTES_MAX

    with pytest.raises(BadRequest):
        file.replace(b"x" * (BYTES_MAX + 1))
    assert file.read() == b"x" * BYTES_MAX

    file.path.write_bytes(b"x" * (BYTES_MAX + 1))
    with pytest.raises(FileDamaged, match="larger than 64 bytes"):
        file.read()


def test_a_link_is_never_read_through(file: PrivateFile, tmp_path: Path) -> None:
    """A child that puts a link where its file should be shows the core nothing of the target."""
    (tmp_path / "elsewhere").write_bytes(b"private")
    file.path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileDamaged):
        file.read()


def test_a_link_is_replaced_not_written_through(file: PrivateFile, tmp_path: Path) -> None:
    """Writing takes the link's place and leaves its target as it is."""
    (tmp_path / "elsewhere").write_bytes(b"private")
    file.path.symlink_to(tmp_path / "elsewhere")

    file.replace(b"new")

    assert (tmp_path / "elsewhere").read_bytes() == b"private"
    assert not file.path.is_symlink()
    assert file.read() == b"new"


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["pipe", "folder"])
def test_what_is_no_plain_file_is_refused_without_waiting(file: PrivateFile, make: object) -> None:
    """A pipe would keep its reader waiting for ever; it is refused like a folder."""
    make(file.path)  # type: ignore[operator]

    with pytest.raises(FileDamaged):
        file.read()


def test_create_never_replaces(file: PrivateFile) -> None:
    """The first creation wins and the second is told so."""
    assert file.create(b"first") is True
    assert file.create(b"second") is False

    assert file.read() == b"first"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """A folder that is not there is the owner's to mend, and the error says which."""
    file = PrivateFile(tmp_path / "gone" / "note", bytes_max=BYTES_MAX)

    with pytest.raises(FolderUnusable, match="gone"):
        file.replace(b"x")


def test_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    """With no room for the new content the old one stays, and nothing half-written remains."""
    program = """
import resource, signal, sys
from pathlib import Path
from core.model.errors import LockerError
from core.vault.private_file import PrivateFile, unwritable
file = PrivateFile(Path(sys.argv[1]), bytes_max=100_000)
file.replace(b"old")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    file.replace(b"n" * 5000)
except LockerError as err:
    print(type(err).__name__, file.read() == b"old", len(list(Path(sys.argv[1]).parent.iterdir())))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "note")], capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout.split() == ["FolderUnusable", "True", "1"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_is_told_as_storage_full(file: PrivateFile, number: int) -> None:
    """A full disk or a used-up quota waits for room; every other failure asks for another folder."""
    assert isinstance(unwritable(file.path, OSError(number, "no room")), StorageFull)
    assert isinstance(unwritable(file.path, OSError(errno.EROFS, "read-only")), FolderUnusable)


def test_a_held_lock_ends_in_too_busy(file: PrivateFile) -> None:
    """A child that never lets go of the lock cannot stop the core."""
    with file.path.with_name("note.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(TooBusy), file.locked():
            pass

    with file.locked():
        file.replace(b"free again")
    assert file.read() == b"free again"
