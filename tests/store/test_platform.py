"""What the store leans on outside itself: the right SQLite, files that only SQLite opens, a lean start."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

WAL_RESET_FIXED = (3, 51, 3)

# Everything the room does with a database, in a process where Python's own opening of one is a fault.
AUDITED = """
import io, sys
from pathlib import Path
import apsw
from core.model.clock import SystemClock
from core.model.fact import Change
from core.store import CoreDb, Origin, Reader, Store

new = set()

def watch(event, arguments):
    if event != "open" or not isinstance(arguments[0], (str, bytes)):
        return
    path = arguments[0] if isinstance(arguments[0], str) else arguments[0].decode()
    if path.endswith((".db", "-wal", "-shm")):
        if path in new or Path(path).exists():
            print("opened", path)
        new.add(path)

sys.addaudithook(watch)
folder = Path(sys.argv[1])
for _ in range(2):
    with Store.open(folder / "notes", types={}, origin=Origin("d", 1), clock=SystemClock()) as store:
        with Reader.open(folder / "notes", types={}) as reader:
            store.commit([Change(type="note", key="a", value={})])
            reader.head(), store.head(), store.rebuild()
            store.files.put_file(io.BytesIO(b"x"))
    with CoreDb.open(folder / "core.db") as core:
        core.write(lambda db: None)
        core.read("SELECT 1")
print("done")
"""


def test_sqlite_has_the_wal_reset_fix() -> None:
    """Earlier versions can corrupt a WAL when two connections checkpoint at once."""
    assert WAL_RESET_FIXED <= tuple(int(part) for part in apsw.sqlite_lib_version().split("."))


def test_python_opens_no_database_file(tmp_path: Path) -> None:
    """Closing such a handle would drop SQLite's locks in this process, and a later commit be lost."""
    done = subprocess.run([sys.executable, "-c", AUDITED, str(tmp_path)], capture_output=True, text=True, check=False)

    assert ("done\n", "") == (done.stdout, done.stderr)


def test_importing_starts_nothing(tmp_path: Path) -> None:
    """No thread, no file, no connection."""
    program = "import threading, os; import core.store; print(threading.active_count(), len(os.listdir(os.getcwd())))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
    )

    assert ("1 0\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize("name", ["core.store.moments", "core.store.paths"])
def test_examples_in_docstrings_run(name: str) -> None:
    """What a docstring shows is what happens."""
    results = doctest.testmod(importlib.import_module(name))

    assert (0, True) == (results.failed, results.attempted > 0)
