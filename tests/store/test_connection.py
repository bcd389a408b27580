"""What an error of the disk or of SQLite means to the owner."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw
import pytest

from core.model.errors import Broken, FileDamaged, FolderUnusable, LockerError, StorageFull, TooBusy
from core.store.connection import fault_of

PATH = Path("/Me/notes/store.db")


@pytest.mark.parametrize(
    ("err", "expected"),
    [
        (OSError(errno.ENOSPC, "x"), StorageFull),
        (OSError(errno.EDQUOT, "x"), StorageFull),
        (apsw.FullError("x"), StorageFull),
        (apsw.BusyError("x"), TooBusy),
        (PermissionError(errno.EACCES, "x"), FolderUnusable),
        (OSError(errno.EROFS, "x"), FolderUnusable),
        (FileNotFoundError(errno.ENOENT, "x"), FolderUnusable),
        (apsw.CantOpenError("x"), FolderUnusable),
        (apsw.ReadOnlyError("x"), FolderUnusable),
        (apsw.CorruptError("x"), FileDamaged),
        (ValueError("x"), Broken),
    ],
)
def test_each_error_names_the_file_and_who_can_help(err: Exception, expected: type[LockerError]) -> None:
    """A read-only disk or a folder that is gone is for the owner to mend, no fault of ours."""
    fault = fault_of(err, PATH)

    assert expected is type(fault)
    assert str(PATH) in str(fault)


def test_what_an_error_quotes_is_not_told() -> None:
    """SQLite's text may hold what was to be written."""
    assert "hunter2" not in str(fault_of(apsw.SQLError("near hunter2"), PATH))


def test_what_the_system_says_of_a_folder_is_told() -> None:
    """It says what is wrong with it, and nothing of its content."""
    fault = fault_of(OSError(errno.EROFS, os.strerror(errno.EROFS)), PATH)

    assert os.strerror(errno.EROFS) in str(fault)
