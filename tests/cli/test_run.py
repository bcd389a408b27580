"""run: what is checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from core.cli import exits
from core.cli.run import check_place
from core.model.errors import FolderUnusable
from tests.cli.conftest import Locker


class Partition(NamedTuple):
    """A file system as psutil tells it."""

    device: str
    mountpoint: str
    fstype: str
    opts: str


def mounted(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Let the machine have one file system of a kind."""
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [Partition("x", "/", kind, "rw")])


def test_me_on_a_network_is_refused(locker: Locker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locker does not start where a database can be damaged."""
    mounted(monkeypatch, "nfs4")
    done = locker("run")

    assert exits.OWNER_MUST_ACT == done.code
    assert "network file system (nfs4)" in done.err
    assert "--me DIR" in done.err.splitlines()[-1]


def test_me_behind_a_link_is_judged_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link into a synchronised folder leads there."""
    mounted(monkeypatch, "ext4")
    (tmp_path / "Dropbox").mkdir()
    (tmp_path / "Me").symlink_to(tmp_path / "Dropbox")
    warned: list[str] = []
    monkeypatch.setattr("core.cli.run.warn", warned.append)
    check_place(tmp_path / "Me")

    assert ["synchronised" in sentence for sentence in warned] == [True]


def test_me_on_the_owner_s_disk_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said, and nothing refused."""
    mounted(monkeypatch, "ext4")
    monkeypatch.setattr("core.cli.run.warn", lambda sentence: pytest.fail(sentence))
    check_place(tmp_path / "Me")


def test_refused_place_names_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the error that every unusable folder is."""
    mounted(monkeypatch, "fuse.sshfs")
    with pytest.raises(FolderUnusable):
        check_place(tmp_path / "Me")


def test_a_short_token_is_refused_first(locker: Locker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that could be guessed never becomes one; it is not repeated."""
    monkeypatch.setenv("LOCKER_TOKEN", "swordfish")
    done = locker("run")

    assert exits.OWNER_MUST_ACT == done.code
    assert "9 characters" in done.err
    assert "swordfish" not in done.err


def test_a_faulty_configuration_is_told_whole(locker: Locker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fault at once, before anything starts."""
    monkeypatch.setenv("LOCKER_PORT", "many")
    monkeypatch.setenv("LOCKER_COLOUR", "blue")
    done = locker("run")

    assert exits.OWNER_MUST_ACT == done.code
    assert "LOCKER_PORT" in done.err
    assert "LOCKER_COLOUR" in done.err


def test_a_folder_of_other_things_is_left_as_it_is(locker: Locker, me: Path) -> None:
    """Nothing is put into it, and its permissions stay."""
    me.mkdir(mode=0o755)
    (me / "letter.txt").write_text("Dear Ada")
    done = locker("run", "--port", "0", "--no-browser")

    assert exits.OWNER_MUST_ACT == done.code
    assert f"--me {me}/Locker" in done.err.splitlines()[-1]
    assert (["letter.txt"], 0o755) == ([path.name for path in me.iterdir()], me.stat().st_mode & 0o777)
