"""A backup holds everything, at one moment, without its secrets in the open; and it is whole or not there."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import apsw
import msgspec
import pytest

from core.backup import back_up, restore
from core.backup.saving import HEADER, SECRETS, Backup
from core.backup.unpacking import check_archive, items, text_of
from core.model.clock import ManualClock
from core.model.errors import BadRequest, Conflict, NotFound, StorageFull
from tests.backup.conftest import FILE, PHRASE, SECRET, fill, open_store
from tests.store.disks import small_disk


def save(me: Path, target: Path, *, passphrase: str | None = PHRASE) -> Backup:
    """A backup of `me`."""
    return back_up(me, target, passphrase=passphrase, clock=ManualClock(), version="0.1.0")


def held(archive: Path) -> dict[str, bytes]:
    """Every entry of an archive."""
    return {item.name: text_of(item) for item in items(archive)}


def test_everything_is_in_it(me: Path, tmp_path: Path) -> None:
    """Databases, documents, files, logs and what connectors keep; nothing of the running core, and no link."""
    made = save(me, tmp_path / "b.tar")

    found = held(tmp_path / "b.tar")
    names = set(found)
    assert {
        "me/locker.json", "me/core.db", "me/feeds/store.db", "me/notes/store.db", "me/feeds/me.json",
        "me/feeds/own/state", "me/logs/core.log", HEADER, SECRETS, "inventory.json", "contents.jsonl",
    } <= names  # fmt: skip
    assert FILE in found.values()
    assert not [
        name for name in names if name.endswith(("-wal", ".lock", "core.lock")) or "/tmp/" in name or "run" in name
    ]
    assert ["feeds/link", "feeds/pipe"] == [left.name for left in made.inventory.left]
    assert {"core.db", "feeds/store.db", "notes/store.db"} == set(made.inventory.databases)
    assert 22 == made.inventory.databases["feeds/store.db"].facts
    assert [] == check_archive(tmp_path / "b.tar")
    assert 0o600 == (tmp_path / "b.tar").stat().st_mode & 0o777


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz"])
@pytest.mark.parametrize("passphrase", [PHRASE, None])
def test_no_secret_lies_open_in_it(me: Path, tmp_path: Path, name: str, passphrase: str | None) -> None:
    """Neither the key nor a sealed file nor the device's identity: sealed once more, or left out. INV-08."""
    secrets = [(me / name).read_bytes() for name in ("key", "device.sealed", "feeds/auth.sealed")]
    save(me, tmp_path / name, passphrase=passphrase)

    whole = b"".join(held(tmp_path / name).values())

    assert [] == [secret for secret in secrets if secret in whole]
    assert SECRET.encode() not in whole
    assert PHRASE.encode() not in whole
    assert (passphrase is not None) == (SECRETS in held(tmp_path / name))


def test_documents_that_were_set_aside_go_under_the_passphrase(me: Path, tmp_path: Path) -> None:
    """Somebody may have typed a password into them by hand."""
    (me / "locker.json.edited-2024").write_text('{"password": "typed"}')
    (me / "locker.json.bak").write_text("{}")

    save(me, tmp_path / "b.tar")
    save(me, tmp_path / "bare.tar", passphrase=None)

    assert b"typed" not in b"".join([*held(tmp_path / "b.tar").values(), *held(tmp_path / "bare.tar").values()])
    assert "me/locker.json.bak" in held(tmp_path / "bare.tar")
    restore(tmp_path / "b.tar", tmp_path / "Back", passphrase=lambda _attempt: PHRASE, clock=ManualClock())
    assert '{"password": "typed"}' == (tmp_path / "Back" / "locker.json.edited-2024").read_text()


def test_a_store_of_an_earlier_version_is_saved_as_it_is(me: Path, tmp_path: Path) -> None:
    """And brought up when it is opened after the restore."""
    old = Path(__file__).parents[1] / "data" / "stores" / "version1.db"
    (me / "feeds" / "store.db").write_bytes(old.read_bytes())

    made = save(me, tmp_path / "b.tar")
    restore(tmp_path / "b.tar", tmp_path / "Back", passphrase=lambda _attempt: None, clock=ManualClock())

    assert 1 == made.inventory.databases["feeds/store.db"].version
    with open_store(tmp_path / "Back", "feeds", ManualClock(1.9e9), epoch=2) as store:
        assert store.head() == made.inventory.databases["feeds/store.db"].facts


def test_a_store_is_saved_as_it_is_at_one_moment_while_it_is_written(me: Path, tmp_path: Path) -> None:
    """Writers never stop for it; the copy is a prefix of the log, and folds to its own current."""
    clock = ManualClock()
    stop = threading.Event()
    with open_store(me, "feeds", clock) as store:

        def write() -> None:
            number = 1000
            while not stop.is_set():
                fill(store, facts=5, start=number)
                number += 5

        writing = threading.Thread(target=write)
        writing.start()
        try:
            before = store.head()
            made = [save(me, tmp_path / f"{number}.tar") for number in range(3)]
            after = store.head()
        finally:
            stop.set()
            writing.join()

    heads = [one.inventory.databases["feeds/store.db"].head or 0 for one in made]
    assert before <= heads[0] < heads[1] < heads[2] <= after
    assert heads == [one.inventory.databases["feeds/store.db"].facts for one in made]
    restore(tmp_path / "1.tar", tmp_path / "Back", passphrase=lambda _attempt: PHRASE, clock=clock)
    with open_store(tmp_path / "Back", "feeds", clock, epoch=2) as back:
        present = [record.key for record in back.records("entry", limit=1000).records]
        counts = back.counts()
        back.rebuild()
        assert present == [record.key for record in back.records("entry", limit=1000).records]
        assert counts == back.counts()
        assert heads[1] == back.head()


def test_a_damaged_store_is_saved_as_it_is_and_named(me: Path, tmp_path: Path) -> None:
    """Its bytes are better than nothing; the others are not held up by it."""
    path = me / "feeds" / "store.db"
    whole = bytearray(path.read_bytes())
    whole[4096:8192] = os.urandom(4096)
    path.write_bytes(whole)

    made = save(me, tmp_path / "b.tar")

    assert ("feeds/store.db",) == made.inventory.damaged
    assert bytes(whole) == held(tmp_path / "b.tar")["me/feeds/store.db"]
    restored = restore(tmp_path / "b.tar", tmp_path / "Back", passphrase=lambda _attempt: PHRASE, clock=ManualClock())
    assert ("feeds/store.db",) == restored.damaged
    assert bytes(whole) == (tmp_path / "Back" / "feeds" / "store.db").read_bytes()


def test_a_damaged_fact_is_counted_and_saved_with_the_others(me: Path, tmp_path: Path) -> None:
    """SQLite finds nothing wrong with a changed letter; each fact's own digest does, and the restore says it again."""
    path = me / "feeds" / "store.db"
    whole = bytearray(path.read_bytes())
    at = whole.index(b'"n":7')
    whole[at : at + 5] = b'"n":8'
    path.write_bytes(whole)

    made = save(me, tmp_path / "b.tar")
    restored = restore(tmp_path / "b.tar", tmp_path / "Back", passphrase=lambda _attempt: None, clock=ManualClock())

    assert (1, 0) == tuple(made.inventory.databases[f"{name}/store.db"].bad_facts for name in ("feeds", "notes"))
    assert ("feeds/store.db",) == made.inventory.unsound == restored.damaged


def test_what_is_swapped_under_a_backup_is_left_out_and_named(me: Path, tmp_path: Path) -> None:
    """A child may put a link or a pipe in a file's place at any moment: that costs this file, never the backup."""

    def swap(step: str) -> None:
        if step == "files":
            (me / "feeds" / "own" / "state").unlink()
            (me / "feeds" / "own" / "state").symlink_to("/etc/passwd")
            (me / "feeds" / "me.json").unlink()
            os.mkfifo(me / "feeds" / "me.json")
            (me / "feeds" / "auth.sealed").unlink()
            (me / "feeds" / "auth.sealed").symlink_to("/etc/passwd")
            (me / "notes" / "auth.sealed").unlink()

    made = back_up(
        me, tmp_path / "b.tar", passphrase=PHRASE, clock=ManualClock(), version="0.1.0", on_step=swap
    )  # fmt: skip

    left = {one.name: one.reason for one in made.inventory.left}
    assert "it is no file any more" == left["feeds/me.json"]
    assert "it went away meanwhile" == left["notes/auth.sealed"]
    assert left["feeds/own/state"].startswith("it cannot be read")
    assert left["feeds/auth.sealed"].startswith("it cannot be read")
    assert "me/feeds/store.db" in held(tmp_path / "b.tar")


def test_a_folder_that_cannot_be_looked_into_is_named(
    me: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in it is missing from the backup: its owner has to know."""
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path) == str(me / "feeds" / "own"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refusing)
    made = save(me, tmp_path / "b.tar")

    assert {"feeds/own": "it cannot be read: Permission denied"}.items() <= {
        (one.name, one.reason) for one in made.inventory.left
    }


@pytest.mark.parametrize("name", ["feeds/own/state", "notes/store.db"])
def test_a_file_that_the_disk_does_not_give_is_left_out_and_named(me: Path, tmp_path: Path, name: str) -> None:
    """A failing disk is when a backup is wanted most: what can be read of it goes in."""
    place = me / name
    # The memory of a process stands for a bad sector: it is a regular file whose beginning cannot be read.
    bound = subprocess.run(
        ["mount", "--bind", f"/proc/{os.getpid()}/mem", str(place)], capture_output=True, check=False
    )
    if bound.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        made = save(me, tmp_path / "b.tar")
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)

    assert (name, "it cannot be read: Input/output error") in [(left.name, left.reason) for left in made.inventory.left]
    assert (name == "notes/store.db") == (name in made.inventory.unsound)
    assert "me/feeds/store.db" in held(tmp_path / "b.tar")


def test_a_database_of_a_connector_s_own_is_saved_as_one(me: Path, tmp_path: Path) -> None:
    """What it has only in its log is in the copy too."""
    db = apsw.Connection(str(me / "feeds" / "own" / "cache"))
    db.pragma("journal_mode", "wal")
    db.execute("CREATE TABLE t (x); INSERT INTO t VALUES ('kept')")
    (tmp_path / "copy").mkdir()
    save(me, tmp_path / "b.tar")
    db.close()

    (tmp_path / "copy" / "db").write_bytes(held(tmp_path / "b.tar")["me/feeds/own/cache"])

    assert [("kept",)] == apsw.Connection(str(tmp_path / "copy" / "db")).execute("SELECT x FROM t").fetchall()


def test_erasing_names_the_backups_that_still_hold_it(me: Path, tmp_path: Path) -> None:
    """Those that are still there, however often they were made: what is in them only their owner can remove."""
    save(me, tmp_path / "one.tar")
    save(me, tmp_path / "two.tar")
    (tmp_path / "one.tar").unlink()

    with open_store(me, "feeds", ManualClock()) as store:
        receipt = store.erase(record=("entry", "k5"), actor="owner")

    assert [str(tmp_path / "two.tar")] == receipt["unreachable"]


def test_a_backup_cannot_go_where_it_would_save_itself(me: Path, tmp_path: Path) -> None:
    """Nor under a name that says another form, nor over something, nor of nothing."""
    with pytest.raises(BadRequest):
        save(me, me / "b.tar")
    with pytest.raises(BadRequest):
        save(me, tmp_path / "b.zip")
    with pytest.raises(BadRequest):
        save(me, tmp_path / "b.tar", passphrase="short")
    with pytest.raises(NotFound):
        save(tmp_path / "nothing", tmp_path / "b.tar")
    (tmp_path / "b.tar").write_text("precious")
    with pytest.raises(Conflict):
        save(me, tmp_path / "b.tar")

    assert "precious" == (tmp_path / "b.tar").read_text()


def test_a_full_disk_leaves_neither_half_a_backup_nor_a_trace(me: Path, tmp_path: Path) -> None:
    """It is told, nothing of Me is touched, and with room the same call works."""
    with small_disk(tmp_path / "disk", size_bytes=256 * 1024) as disk:
        with pytest.raises(StorageFull):
            save(me, disk / "b.tar")
        assert [] == list(disk.iterdir())
    with small_disk(tmp_path / "larger", size_bytes=8 * 1024 * 1024) as disk:
        save(me, disk / "b.tar")
        assert [disk / "b.tar"] == list(disk.iterdir())


SAVER = """
import sys
from pathlib import Path
from core.backup import back_up
from core.model.clock import SystemClock
print("started", flush=True)
back_up(Path(sys.argv[1]), Path(sys.argv[2]), passphrase=None, clock=SystemClock(), version="0")
"""


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1])
def test_a_killed_backup_leaves_no_archive_and_the_next_sweeps(me: Path, tmp_path: Path, after_s: float) -> None:
    """kill -9 at any moment: whole or not there; what was begun goes with the next one. INV-16."""
    place = tmp_path / "backups"
    place.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", SAVER, str(me), str(place / "b.tar")], stdout=subprocess.PIPE
    ) as saver:
        assert saver.stdout is not None
        saver.stdout.readline()
        time.sleep(after_s)  # The moment of death itself.
        saver.send_signal(signal.SIGKILL)
    if (place / "b.tar").exists():
        assert [] == check_archive(place / "b.tar")
        (place / "b.tar").unlink()

    save(me, place / "b.tar")

    assert [place / "b.tar"] == list(place.iterdir())
    assert [] == check_archive(place / "b.tar")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_backups_killed_beside_a_writer(me: Path, tmp_path: Path, seed: int) -> None:
    """Forty deaths at random moments, while the store is written: no half archive, no trace, nothing lost."""
    dice = random.Random(seed)
    place = tmp_path / "backups"
    place.mkdir()
    with open_store(me, "feeds", ManualClock()) as store:
        fill(store, facts=400, start=100)
        command = [sys.executable, "-c", SAVER, str(me), str(place / "b.tar")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as saver:
            assert saver.stdout is not None
            saver.stdout.readline()
            until = time.monotonic() + dice.random() * 0.4  # The moment of death itself.
            number = 1000
            while time.monotonic() < until:
                fill(store, facts=5, start=number)
                number += 5
            saver.send_signal(signal.SIGKILL)
        head = store.head()
        if (place / "b.tar").exists():
            assert [] == check_archive(place / "b.tar")
            (place / "b.tar").unlink()
        made = save(me, place / "b.tar")

    assert head == made.inventory.databases["feeds/store.db"].head
    assert [place / "b.tar"] == list(place.iterdir())


def test_the_header_says_what_it_is(me: Path, tmp_path: Path) -> None:
    """Readable by anybody who unpacks it."""
    save(me, tmp_path / "b.tar", passphrase=None)

    header = msgspec.json.decode(held(tmp_path / "b.tar")[HEADER])

    assert {"format": 1, "made_at": ManualClock().now(), "locker": "0.1.0", "has_secrets": False} == header
