"""Migrations: numbered, each whole or not at all, backed up first, and never backwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from core.model.errors import FileDamaged, FormatTooNew
from core.store import schema
from core.store.migrate import migrate

ID = 0x4C4B0001
FIRST = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO note (text) VALUES ('kept')"
SECOND = "ALTER TABLE note ADD COLUMN colour TEXT; UPDATE note SET colour = 'red'"
BROKEN = "UPDATE note SET text = 'lost'; DROP TABLE nothing_of_that_name"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database lies."""
    return tmp_path / "some.db"


@pytest.fixture
def db(path: Path) -> Iterator[apsw.Connection]:
    """A new database in WAL mode."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    yield connection
    connection.close()


def test_new_database_gets_every_step_and_no_backup(db: apsw.Connection, path: Path) -> None:
    """There is nothing to back up yet; the file says whose and of which version it is."""
    migrate(db, path, application_id=ID, steps=(FIRST, SECOND))

    assert [("kept", "red")] == db.execute("SELECT text, colour FROM note").fetchall()
    assert (ID, 2) == (db.pragma("application_id"), db.pragma("user_version"))
    assert [] == [found for found in path.parent.iterdir() if "before" in found.name]


def test_older_database_is_backed_up_and_brought_up(db: apsw.Connection, path: Path) -> None:
    """The backup is the whole database as it was, for the owner alone."""
    migrate(db, path, application_id=ID, steps=(FIRST,))
    db.execute("INSERT INTO note (text) VALUES ('more')")
    migrate(db, path, application_id=ID, steps=(FIRST, SECOND))

    assert [("kept", "red"), ("more", "red")] == db.execute("SELECT text, colour FROM note").fetchall()
    backup = path.with_name("some.db.before-v2")
    assert 0o600 == backup.stat().st_mode & 0o777
    copy = apsw.Connection(str(backup), flags=apsw.SQLITE_OPEN_READWRITE)
    assert [("kept",), ("more",)] == copy.execute("SELECT text FROM note").fetchall()
    assert 1 == copy.pragma("user_version")
    copy.close()


def test_migration_twice_is_once(db: apsw.Connection, path: Path) -> None:
    """A database that is up to date is not touched."""
    migrate(db, path, application_id=ID, steps=(FIRST, SECOND))
    changes = db.total_changes()
    migrate(db, path, application_id=ID, steps=(FIRST, SECOND))

    assert changes == db.total_changes()
    assert [("kept",)] == db.execute("SELECT text FROM note").fetchall()


def test_migration_failure_rolls_back(db: apsw.Connection, path: Path) -> None:
    """A step is whole or not at all; those before it stay, and a mended step goes on from there."""
    migrate(db, path, application_id=ID, steps=(FIRST,))
    for _ in range(2):
        with pytest.raises(apsw.SQLError):
            migrate(db, path, application_id=ID, steps=(FIRST, SECOND, BROKEN))

        assert 2 == db.pragma("user_version")
        assert [("kept", "red")] == db.execute("SELECT text, colour FROM note").fetchall()
    migrate(db, path, application_id=ID, steps=(FIRST, SECOND, "UPDATE note SET text = 'mended'"))
    assert [("mended",)] == db.execute("SELECT text FROM note").fetchall()
    assert path.with_name("some.db.before-v3").exists()


def test_newer_database_is_left_alone(db: apsw.Connection, path: Path) -> None:
    """An older Locker refuses it and changes nothing."""
    migrate(db, path, application_id=ID, steps=(FIRST, SECOND))

    with pytest.raises(FormatTooNew, match="version 2; this Locker knows up to 1"):
        migrate(db, path, application_id=ID, steps=(FIRST,))
    assert 2 == db.pragma("user_version")


@pytest.mark.parametrize("foreign", ["CREATE TABLE note (x)", "PRAGMA application_id = 7", "PRAGMA user_version = 3"])
def test_foreign_database_is_left_alone(db: apsw.Connection, path: Path, foreign: str) -> None:
    """What another program made is neither read nor changed."""
    db.execute(foreign)

    with pytest.raises(FileDamaged, match="some other program"):
        migrate(db, path, application_id=ID, steps=(FIRST,))


def test_unfinished_backup_is_made_anew(db: apsw.Connection, path: Path) -> None:
    """What a killed migration left of its backup is no backup."""
    migrate(db, path, application_id=ID, steps=(FIRST,))
    path.with_name("some.db.before-v2.tmp").write_bytes(b"half")
    migrate(db, path, application_id=ID, steps=(FIRST, SECOND))

    assert not path.with_name("some.db.before-v2.tmp").exists()
    assert path.with_name("some.db.before-v2").read_bytes().startswith(b"SQLite format 3")


def test_each_table_says_what_one_row_means() -> None:
    """In the statement itself, where the owner's own tools show it."""
    lines = Path(schema.__file__).read_text().splitlines()
    tables = [number for number, line in enumerate(lines) if line.startswith("CREATE TABLE")]

    assert len(tables) > 10
    for number in tables:
        said = [line for line in lines[number - 2 : number] if line.startswith("-- ")]
        assert said and said[0].startswith("-- One row: "), lines[number]
