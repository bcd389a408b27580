"""The working directory: private, and erased without following a link or stumbling over a depth."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from core.model.errors import FolderUnusable
from core.registry.folders import erase, is_unclaimed, make_folder, write_record


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_is_made_private(tmp_path: Path) -> None:
    """Folder and scratch folder are the owner's alone; one that stood open is shut, its content stays."""
    folder = tmp_path / "feeds"
    folder.mkdir(mode=0o755)
    (folder / "store.db").write_text("data")

    make_folder(folder)
    make_folder(folder)

    assert (mode_of(folder), mode_of(folder / "tmp")) == (0o700, 0o700)
    assert (folder / "store.db").read_text() == "data"


@pytest.mark.parametrize("name", ["feeds", "feeds/tmp"])
def test_a_link_is_no_folder(tmp_path: Path, name: str) -> None:
    """A link where a folder should be is refused: the child would write somewhere else."""
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    if name != "feeds":
        (tmp_path / "feeds").mkdir()
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FolderUnusable, match="is no folder"):
        make_folder(tmp_path / "feeds")

    assert mode_of(tmp_path / "elsewhere") == 0o755


def test_record_is_readable_json(tmp_path: Path) -> None:
    """me.json is sorted, indented, private."""
    write_record(tmp_path, {"b": 1, "a": ["ü"]})

    assert (tmp_path / "me.json").read_text() == '{\n  "a": [\n    "ü"\n  ],\n  "b": 1\n}\n'
    assert mode_of(tmp_path / "me.json") == 0o600
    assert json.loads((tmp_path / "me.json").read_bytes()) == {"a": ["ü"], "b": 1}


def test_a_record_is_written_only_where_it_differs(tmp_path: Path) -> None:
    """The same content is left as it is; another, a wider mode, a link or a pipe in its place is replaced at once."""
    path = tmp_path / "me.json"

    def number() -> int:
        write_record(tmp_path, {"a": 1})
        return path.lstat().st_ino

    first = number()
    assert first == number()
    for spoil in (lambda: path.write_text("{}"), lambda: path.chmod(0o644), lambda: path.write_text('{"a": 2}')):
        before = number()
        spoil()
        assert before != number()
    for make in (lambda: os.mkfifo(path), lambda: path.symlink_to(tmp_path / "elsewhere")):
        path.unlink()
        make()
        number()
        assert {"a": 1} == json.loads(path.read_bytes())
        assert not path.is_symlink()


def test_unclaimed_folders(tmp_path: Path) -> None:
    """Nothing or an empty folder may be taken; files and links may not."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")

    assert [is_unclaimed(tmp_path / name) for name in ("none", "empty", "full", "file", "link")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_erasing_removes_everything_and_follows_nothing(tmp_path: Path) -> None:
    """Files, pipes, sockets and nested folders go; what links lead to stays."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    folder = tmp_path / "feeds"
    (folder / "files" / "ab" / "cd").mkdir(parents=True)
    (folder / "files" / "ab" / "cd" / "photo").write_text("x")
    (folder / "files" / "to-outside").symlink_to(outside)
    (folder / "to-file").symlink_to(outside / "precious")
    (folder / "dangling").symlink_to("nowhere")
    os.link(outside / "precious", folder / "hard")
    os.mkfifo(folder / "pipe")

    erase(folder)

    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "precious").read_text() == "x"


def test_erasing_what_is_not_there(tmp_path: Path) -> None:
    """Nothing is nothing; a link goes by itself, a file too."""
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "file").touch()

    for name in ("none", "link", "file"):
        erase(tmp_path / name)

    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_hostile_depth_is_erased(tmp_path: Path) -> None:
    """A tree deeper than any path or stack allows goes too."""
    folder = tmp_path / "feeds"
    folder.mkdir()
    top = os.open(folder, os.O_RDONLY)
    here = os.dup(top)
    for _level in range(3000):
        os.mkdir("d" * 50, dir_fd=here)
        inner = os.open("d" * 50, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    os.close(top)

    erase(folder)

    assert not folder.exists()


def test_folders_that_were_shut_are_erased(tmp_path: Path) -> None:
    """A child that took all permissions from its folders cannot keep them."""
    program = """
import os, sys
from pathlib import Path
from core.registry.folders import erase
folder = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setuid(65534)
(folder / "a" / "b").mkdir(parents=True)
(folder / "a" / "b" / "file").touch()
for path in (folder / "a" / "b", folder / "a", folder):
    path.chmod(0)
erase(folder)
print(folder.exists())
"""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", program, str(Path(place) / "feeds")], capture_output=True, text=True, timeout=30
        )

    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_what_resists_is_told(tmp_path: Path) -> None:
    """A folder that is in use as a mount or cannot be written is named together with the cure."""
    with pytest.raises(FolderUnusable) as caught:
        erase(Path("/proc/self"))

    assert "/proc/self" in str(caught.value)
    assert caught.value.remedy
