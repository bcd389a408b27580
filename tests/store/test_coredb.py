"""core.db: each write is one transaction, durable and whole, from any thread."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from core.model.errors import Broken, FileDamaged, FolderUnusable, FormatTooNew
from core.store import CoreDb, coredb
from tests.store.disks import watched_disk

PENDING = "INSERT INTO pending_at (service, path, at, kind) VALUES (?, ?, ?, 'asked')"
ALL_PENDING = "SELECT service, path, at, kind, tries, last_problem FROM pending_at ORDER BY service, path"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database lies."""
    return tmp_path / "core.db"


@pytest.fixture
def core(path: Path) -> Iterator[CoreDb]:
    """A new core.db."""
    with CoreDb.open(path) as opened:
        yield opened


def test_write_is_read_at_once_and_after_a_restart(path: Path) -> None:
    """What `write` returned from is there."""
    with CoreDb.open(path) as core:
        assert 7 == core.write(lambda db: (db.execute(PENDING, ("feeds", "/sync/entry", 5.5)), 7)[1])
        assert [("feeds", "/sync/entry", 5.5, "asked", 0, None)] == core.read(ALL_PENDING)
    with CoreDb.open(path) as core:
        assert [("feeds", "/sync/entry", 5.5, "asked", 0, None)] == core.read(ALL_PENDING)


def test_write_that_raises_changes_nothing(core: CoreDb) -> None:
    """All statements of a write or none; the caller's own error comes through as it is."""

    def half(db: apsw.Connection) -> None:
        db.execute(PENDING, ("feeds", "/sync/entry", 5.5))
        raise KeyError("the caller's own")

    with pytest.raises(KeyError):
        core.write(half)
    with pytest.raises(Broken):
        core.write(lambda db: [db.execute(PENDING, ("feeds", "/x", 1.0)) for _ in range(2)])

    assert [] == core.read(ALL_PENDING)
    core.write(lambda db: db.execute(PENDING, ("feeds", "/x", 1.0)))
    assert 1 == len(core.read(ALL_PENDING))


def test_write_is_flushed_before_it_returns(path: Path) -> None:
    """An answer means that it outlives a power cut."""
    with watched_disk() as disk:
        core = CoreDb.open(path)
        disk.done.clear()
        core.write(lambda db: db.execute(PENDING, ("feeds", "/x", 1.0)))
        assert ("wal", "flush") == disk.done[-1]
        disk.failing_flushes = 1
        with pytest.raises(Broken):
            core.write(lambda db: db.execute(PENDING, ("feeds", "/y", 1.0)))
        assert 1 == len(core.read(ALL_PENDING))
        core.write(lambda db: db.execute(PENDING, ("feeds", "/y", 1.0)))
        assert 2 == len(core.read(ALL_PENDING))
        core.close()


def test_a_file_that_cannot_be_opened_is_let_go(path: Path) -> None:
    """Whoever sets the damaged file aside must find no connection to it in this process."""
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(FileDamaged) as raised:
        CoreDb.open(path)

    assert raised.value.__traceback__ is not None
    assert [] == [db for db in apsw.connections() if db.filename == str(path)]


def test_write_within_a_write_is_refused(core: CoreDb) -> None:
    """It could only wait for itself; the outer write is undone."""
    with pytest.raises(Broken, match="within a write"):
        core.write(lambda db: core.write(lambda inner: None))

    core.write(lambda db: db.execute(PENDING, ("feeds", "/x", 1.0)))


def test_threads_write_and_read_at_the_same_time(core: CoreDb) -> None:
    """Each write sees the one before it."""
    core.write(lambda db: db.execute("INSERT INTO token_use (token_id, last_used) VALUES ('a', 0)"))

    def work() -> None:
        for _ in range(25):
            core.write(lambda db: db.execute("UPDATE token_use SET last_used = last_used + 1"))
            core.read("SELECT last_used FROM token_use")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [(100.0,)] == core.read("SELECT last_used FROM token_use")


def test_read_cannot_write(core: CoreDb) -> None:
    """Writing goes through `write`, whatever statement is sent."""
    with pytest.raises((FolderUnusable, Broken)):
        core.read("DELETE FROM diary")


def test_read_is_bounded(core: CoreDb, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many rows as allowed are answered, one more is a fault of the room that asked."""
    monkeypatch.setattr(coredb, "ROWS_MAX", 3)
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n"

    assert 3 == len(core.read(numbers, (3,)))
    with pytest.raises(Broken):
        core.read(numbers, (4,))


def test_closed_database_is_refused(core: CoreDb) -> None:
    """Closing twice is closing once, and nothing goes on behind it."""
    core.close()
    core.close()

    with pytest.raises(Broken):
        core.write(lambda db: None)
    with pytest.raises(Broken):
        core.read("SELECT 1")


def test_file_is_the_owners_alone(core: CoreDb, path: Path) -> None:
    """Mode 0600 for the database and its log."""
    core.write(lambda db: db.execute(PENDING, ("feeds", "/x", 1.0)))

    assert {0o600} == {found.stat().st_mode & 0o777 for found in path.parent.iterdir()}


def test_newer_foreign_damaged_or_linked_file_is_refused(path: Path, tmp_path: Path) -> None:
    """Each with its own error, and left as it is."""
    CoreDb.open(path).close()
    db = apsw.Connection(str(path))
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(FormatTooNew):
        CoreDb.open(path)
    path.write_bytes(b"no database " * 400)
    with pytest.raises(FileDamaged):
        CoreDb.open(path)
    path.unlink()
    (tmp_path / "elsewhere.db").touch()
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(FileDamaged):
        CoreDb.open(path)

    assert 0 == (tmp_path / "elsewhere.db").stat().st_size


def test_killed_core_keeps_what_was_answered(path: Path) -> None:
    """After kill -9 every answered write is there, and none of them by halves."""
    program = (
        "import os, sys; from pathlib import Path; from core.store import CoreDb\n"
        "core = CoreDb.open(Path(sys.argv[1]))\n"
        "insert = \"INSERT INTO diary (at, service, level, message) VALUES (1.0, 'x', 0, ?)\"\n"
        "for number in range(100000):\n"
        "    core.write(lambda db: [db.execute(insert, (f'{number}-{half}',)) for half in 'ab'])\n"
        "    os.write(1, b'%d\\n' % number)\n"
        "    if number == 60: os.kill(os.getpid(), 9)\n"
    )
    process = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, check=False)
    assert b"" == process.stderr

    with CoreDb.open(path) as core:
        expected: list[tuple[Any, ...]] = [(f"{number}-{half}",) for number in range(61) for half in "ab"]
        assert expected == core.read("SELECT message FROM diary ORDER BY id")


def test_each_table_says_what_one_row_means() -> None:
    """In the statement itself, where the owner's own tools show it."""
    tables = re.findall(r"^(.*)\nCREATE TABLE (\w+)", "".join(coredb.MIGRATIONS), flags=re.MULTILINE)

    assert 9 == len(tables)
    assert all(comment.startswith("-- One row: ") for comment, _ in tables)
