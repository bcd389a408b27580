"""The disk whose flushes take their time."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import apsw

from tests.bench._slow_disk import FLUSH_S, slow_disk

COMMITS = 20


def _commits_s(path: Path) -> float:
    with contextlib.closing(apsw.Connection(str(path))) as db:
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE t (n)")
        begun = time.perf_counter()
        for number in range(COMMITS):
            db.execute("INSERT INTO t VALUES (?)", (number,))
        assert COMMITS == db.execute("SELECT count(*) FROM t").get
        return time.perf_counter() - begun


def test_each_commit_waits_for_its_flush(tmp_path: Path) -> None:
    """While it is there, and for those who open a database meanwhile; then the system's own is back."""
    before = apsw.vfs_names()
    with slow_disk():
        took_s = _commits_s(tmp_path / "slow.db")

    assert took_s >= COMMITS * FLUSH_S
    assert before == apsw.vfs_names()
