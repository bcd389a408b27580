"""backup and restore: what the owner types, sees, and is asked."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import pytest

from core.backup import restored_in
from core.cli import exits
from core.cli.passphrases import known_passphrase, read_passphrase
from core.model.clock import ManualClock
from core.model.errors import KeyMissing
from core.store import Documents
from tests.backup.conftest import PHRASE, furnish
from tests.cli.conftest import Locker
from tests.cli.fake_core import running


@pytest.fixture
def full(me: Path) -> Path:
    """A Me with everything in it."""
    return furnish(me, ManualClock())


@pytest.fixture
def phrase(tmp_path: Path) -> Path:
    """A file with the passphrase, as an editor leaves it."""
    (tmp_path / "phrase").write_text(f"{PHRASE}\n")
    return tmp_path / "phrase"


@pytest.fixture
def saved(full: Path, locker: Locker, phrase: Path, tmp_path: Path) -> Path:
    """A backup with secrets."""
    assert exits.DONE == locker("backup", str(tmp_path / "b.tar"), "--passphrase-file", str(phrase)).code
    return tmp_path / "b.tar"


def test_a_backup_says_what_it_holds(full: Path, locker: Locker, tmp_path: Path) -> None:
    """Where it is, how large, that it was read back, and what is not in it."""
    done = locker("backup", str(tmp_path / "b.tar.gz"), "--without-secrets")

    assert exits.DONE == done.code
    assert f"Saved {full} to {tmp_path / 'b.tar.gz'}" in done.out
    assert "read back and whole" in done.out
    assert "sign-ins are not in it" in done.out
    assert "feeds/link is not in it: it is a link." in done.err


def test_a_backup_has_a_name_of_its_own_when_none_is_given(
    full: Path, locker: Locker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the day, in the folder where one stands."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)

    document = json.loads(locker("backup", "--without-secrets", "--json").out)

    assert [document["path"]] == os.listdir(place)
    assert document["path"].startswith("locker-backup-20")
    assert document["inventory"]["databases"]["feeds/store.db"]["facts"] == 22


def test_a_damaged_store_is_saved_and_told(full: Path, locker: Locker, tmp_path: Path) -> None:
    """The exit code says that something is wrong, the sentence which, and where to look; so does the restore."""
    (full / "feeds" / "store.db").write_bytes(b"SQLite format 3\0" + b"x" * 9000)

    done = locker("backup", str(tmp_path / "b.tar"), "--without-secrets")

    assert exits.FAILED == done.code
    assert "feeds/store.db is damaged" in done.err

    done = locker("restore", str(tmp_path / "b.tar"), "--me", str(tmp_path / "Back"))
    assert exits.FAILED == done.code
    assert f"feeds/store.db was damaged when it was saved. See: python3 locker.py doctor --me {tmp_path / 'Back'}" in (
        done.err
    )


def test_nobody_is_asked_where_nobody_is(full: Path, locker: Locker, tmp_path: Path) -> None:
    """Without a terminal the passphrase must come from somewhere else."""
    done = locker("backup", str(tmp_path / "b.tar"))

    assert exits.REFUSED == done.code
    assert "--passphrase-file" in done.err
    assert not (tmp_path / "b.tar").exists()


def test_a_passphrase_is_never_an_argument(full: Path, locker: Locker, tmp_path: Path) -> None:
    """It would stand in the list of processes and in the shell's history."""
    assert exits.USAGE == locker("backup", str(tmp_path / "b.tar"), "--passphrase", PHRASE).code


def test_restoring_puts_everything_at_rest_until_the_owner_decides(
    saved: Path, locker: Locker, phrase: Path, tmp_path: Path
) -> None:
    """The restore says what to do next, for this folder, and doing it wakes the services, once."""
    back = tmp_path / "Come back"
    command = f"restore --take-over --me '{back}'"
    done = locker("restore", str(saved), "--passphrase-file", str(phrase), "--me", str(back))

    assert exits.DONE == done.code, done.err
    assert "Nothing syncs yet" in done.out
    assert f"{command}\n" in done.out
    assert "sign-in" not in done.out
    assert restored_in(back) is not None

    findings = json.loads(locker("doctor", "--json", "--me", str(back)).out)
    assert [command] == [f["sentence"][-len(command) :] for f in findings if f["subject"] == "restore"]

    told = locker("status", "--me", str(back))
    assert exits.NOT_RUNNING == told.code
    assert "restored from a backup" in told.out
    assert command in told.out

    taken = locker("restore", "--take-over", "--me", str(back))
    assert (exits.DONE, "This device has taken over: feeds, notes.\n") == (taken.code, taken.out)
    rows = Documents(back / "locker.json", ManualClock()).table("services").all()
    assert [False, False] == [row["paused"] for row in rows]
    assert exits.REFUSED == locker("restore", "--take-over", "--me", str(back)).code


def test_a_running_core_is_asked_to_take_over(saved: Path, locker: Locker, phrase: Path, tmp_path: Path) -> None:
    """What it has in memory would be written over any change of ours."""
    back = tmp_path / "Back"
    locker("restore", str(saved), "--passphrase-file", str(phrase), "--me", str(back))
    with running(back) as core:
        core.answer("POST", "/take-over", {"taken_over": ["notes"]})
        done = locker("restore", "--take-over", "--json", "--me", str(back))

    assert {"taken_over": ["notes"]} == json.loads(done.out)
    assert [("POST", "/take-over")] == [(asked.method, asked.path) for asked in core.asked]


def test_a_lost_passphrase_opens_the_data(saved: Path, locker: Locker, tmp_path: Path) -> None:
    """And says what is missing."""
    done = locker("restore", str(saved), "--without-secrets", "--me", str(tmp_path / "Back"))

    assert exits.DONE == done.code
    assert "each account needs a sign-in" in done.out


def test_a_wrong_passphrase_restores_nothing(saved: Path, locker: Locker, phrase: Path, tmp_path: Path) -> None:
    """From a file it is tried once."""
    phrase.write_text("not the right one")

    done = locker("restore", str(saved), "--passphrase-file", str(phrase), "--me", str(tmp_path / "Back"))

    assert exits.OWNER_MUST_ACT == done.code
    assert "passphrase" in done.err
    assert not (tmp_path / "Back").exists()


def test_a_cut_backup_is_told_as_such_and_leaves_nothing(saved: Path, locker: Locker, tmp_path: Path) -> None:
    """Packed or not: the backup is named, with what helps, and no folder is left; one that was there stays."""
    whole = saved.read_bytes()
    packed = gzip.compress(whole)
    (tmp_path / "there").mkdir()
    for place, content in (("a/b/Back", whole[: len(whole) // 2]), ("there", packed[: len(packed) // 2])):
        (tmp_path / "cut").write_bytes(content)
        done = locker("restore", str(tmp_path / "cut"), "--without-secrets", "--me", str(tmp_path / place))

        assert exits.OWNER_MUST_ACT == done.code
        told = f"{tmp_path / 'cut'} cannot be restored: the archive breaks off, or is none."
        assert [told, "Nothing was restored. Use another backup."] == done.err.splitlines()
    assert not (tmp_path / "a").exists()
    assert [] == os.listdir(tmp_path / "there")


@pytest.mark.parametrize("words", [(), ("x.tar", "--take-over")])
def test_a_restore_needs_one_thing_to_do(locker: Locker, words: tuple[str, ...]) -> None:
    """A backup to restore, or a take-over."""
    assert exits.REFUSED == locker("restore", *words).code


def test_a_me_that_is_used_is_not_restored_into(full: Path, saved: Path, locker: Locker) -> None:
    """Nor one that is not there saved, nor a file that is none restored."""
    assert exits.REFUSED == locker("restore", str(saved), "--without-secrets").code
    assert exits.REFUSED == locker("restore", str(full / "none.tar"), "--me", str(full.parent / "B")).code
    assert exits.REFUSED == locker("backup", "b.tar", "--without-secrets", "--me", str(full.parent / "None")).code


def test_an_unfinished_restore_keeps_the_core_from_starting(locker: Locker, me: Path) -> None:
    """What stands there is not whole, and the cure is named."""
    (me / ".restore").mkdir(parents=True)
    (me / ".restore" / "ready").write_text("")

    done = locker("run", "--port", "0", "--no-browser")

    assert exits.OWNER_MUST_ACT == done.code
    assert "run the same restore again" in done.err
    assert "was broken off" in locker("doctor").out


def test_the_first_line_of_a_file_is_the_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file or from standard input, without the line's end and with its spaces."""
    (tmp_path / "p").write_bytes(b" two words \r\nand more")
    assert " two words " == read_passphrase(str(tmp_path / "p"))

    class Stdin:
        """A pipe with a passphrase in it."""

        buffer = io.BytesIO(b"from a pipe\n")

    monkeypatch.setattr("sys.stdin", Stdin)
    assert "from a pipe" == read_passphrase("-")
    with pytest.raises(KeyMissing):
        known_passphrase("-", 1)
