"""kill -9 at any moment: what was acknowledged is there, and the cursor agrees with the facts."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from core.model.clock import SystemClock
from core.store import Store
from core.store.care.verify import verify
from tests.store.conftest import ORIGIN, TYPES

DEADLINE_S = 30.0
STARTED = "started"

# Commits batches for ever: batch n puts record n % 50 and deletes another now and then, with the cursor n. It says n
# once it was acknowledged. A second thread commits single writes beside it, numbered in the same way.
WRITER = """
import os, sys, threading
from pathlib import Path
from core.model.clock import SystemClock
from core.model.fact import Change
from core.store import Origin, Store

store = Store.open(Path(sys.argv[1]), types={}, origin=Origin(sys.argv[2], 1), clock=SystemClock())
os.write(1, b"started\\n")

def write(stream, bulk):
    number = store.cursor(stream) or 0
    while True:
        number += 1
        changes = [Change(type=stream, key=f"{number}-{n}", value={"n": number, "fill": "x" * 300}) for n in range(3)]
        changes.append(Change(type=stream, key="last", value={"n": number}))
        if number > 5:
            changes.append(Change(type=stream, key=f"{number - 5}-0", action="delete"))
        store.commit(changes, cursor=(stream, number), bulk=bulk)
        os.write(1, f"{stream} {number}\\n".encode())

threading.Thread(target=write, args=("single", False), daemon=True).start()
write("bulk", True)
"""


def _run_and_kill(folder: Path, after_s: float) -> dict[str, int]:
    """Let a writer work on the store, kill it, and say what it acknowledged last in each stream."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), ORIGIN.log], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    # A thread reads, so that a full pipe never decides when the writer writes.
    lines: list[bytes] = []
    reading = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, b"")))  # type: ignore[union-attr]
    reading.start()
    deadline = time.monotonic() + DEADLINE_S
    while not lines and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.0005)
    time.sleep(after_s)  # The moment of death itself, chosen by chance.
    process.send_signal(signal.SIGKILL)
    reading.join(DEADLINE_S)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert b"" == errors
    return _last_acknowledged(lines)


def _last_acknowledged(lines: list[bytes]) -> dict[str, int]:
    last: dict[str, int] = {}
    for line in lines[1:]:
        if line.endswith(b"\n"):
            stream, number = line.split()
            last[stream.decode()] = int(number)
    return last


def _rows(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    db = apsw.Connection(str(folder / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.execute(statement).fetchall()
    finally:
        db.close()


def _check(folder: Path, acknowledged: dict[str, int]) -> dict[str, int]:
    """The promises, on the store as the killed writer left it; the cursors it left."""
    with Store.open(folder, types=TYPES, origin=ORIGIN, clock=SystemClock()) as store:
        assert not store.was_clean
        kept: dict[str, int] = {}
        facts = _rows(
            folder,
            """SELECT seq, (SELECT name FROM type WHERE id = type), key, deleted, coalesce(origin_seq, seq)
            FROM fact ORDER BY seq""",
        )
        assert list(range(1, len(facts) + 1)) == [row[0] for row in facts] == [row[4] for row in facts]
        assert len(facts) == store.head()
        for stream in ("bulk", "single"):
            cursor = store.cursor(stream) or 0
            assert acknowledged[stream] <= cursor <= acknowledged[stream] + 1
            kept[stream] = cursor
            put = {row[2] for row in facts if row[1] == stream and not row[3]} - {"last"}
            assert {f"{number}-{n}" for number in range(1, cursor + 1) for n in range(3)} == put
            gone = {row[2] for row in facts if row[1] == stream and row[3]}
            assert {f"{number}-0" for number in range(1, cursor - 4)} == gone
            last = store.record(stream, "last")
            assert cursor == (last.value["n"] if last is not None else 0)
        _check_derived(folder, store)
    return kept


def _check_derived(folder: Path, store: Store) -> None:
    """What is derived equals a rebuild, and SQLite finds nothing wrong."""
    derived = "SELECT type, key, seq, deleted, change_hash, at FROM current ORDER BY type, key"
    counted = "SELECT type, sum(deleted = 0) FROM current GROUP BY type ORDER BY type"
    before = _rows(folder, derived)
    assert verify(store.rows, wait=lambda _: None).is_whole
    assert _rows(folder, counted) == _rows(folder, "SELECT type, live FROM tally ORDER BY type")
    store.rebuild()
    assert before == _rows(folder, derived)
    assert [("ok",)] == _rows(folder, "PRAGMA quick_check")


def _kill_again_and_again(folder: Path, *, kills: int, seed: int) -> None:
    dice = random.Random(seed)
    kept = {"bulk": 0, "single": 0}
    for _ in range(kills):
        # Soon after the start, in the middle of work, and now and then late enough for the log to be folded in.
        after_s = dice.choice([0.002, 0.02, 0.1, 0.3]) * dice.random()
        kept |= _run_and_kill(folder, after_s)
        kept = _check(folder, kept)


def test_archive_and_current_agree_after_kill(folder: Path) -> None:
    """Thirty deaths in a row: every acknowledged commit is there, and each cursor is that of its facts. INV-02."""
    _kill_again_and_again(folder, kills=30, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25))
def test_kill_between_cursor_and_data(folder: Path, seed: int) -> None:
    """Five hundred deaths, twenty to a store. INV-02."""
    _kill_again_and_again(folder, kills=20, seed=100 + seed)
