"""What is acknowledged is flushed: seen from outside, in the system calls of a writer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WRITES = 40

# Commits one after the other, and says so on a handle of its own after each.
WRITER = """
import os, sys
from pathlib import Path
from core.model.clock import SystemClock
from core.model.fact import Change
from core.store import Origin, Store

with Store.open(Path(sys.argv[1]), types={}, origin=Origin("device/uid", 1), clock=SystemClock()) as store:
    for number in range(int(sys.argv[2])):
        store.commit([Change(type="note", key=str(number), value={"n": number})], bulk=bool(number % 2))
        os.write(1, b"acknowledged\\n")
"""

CALL = re.compile(r"(?P<call>\w+)\((?P<file>\d+)<(?P<path>[^>]*)>")


def _traced(folder: Path, log: Path) -> list[tuple[str, str]]:
    """The writes and flushes of the writer in order, each with the path it went to."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    calls = "trace=pwrite64,pwritev,write,fsync,fdatasync,sync_file_range"
    done = subprocess.run(
        [
            strace,
            "-f",
            "-y",
            "-qq",
            "-o",
            str(log),
            "-e",
            calls,
            sys.executable,
            "-c",
            WRITER,
            str(folder),
            str(WRITES),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    assert 0 == done.returncode, done.stderr
    return [(found["call"], found["path"]) for line in log.read_text().splitlines() if (found := CALL.search(line))]


def test_a_flush_lies_between_the_last_write_and_each_acknowledgement(folder: Path, tmp_path: Path) -> None:
    """Before an acknowledgement, the last call on the log is a flush of what was written. INV-02, S11."""
    acknowledged = 0
    last, wrote = "", 0
    for call, path in _traced(folder, tmp_path / "calls"):
        if path.endswith("-wal"):
            last = call
            wrote += call.startswith("pwrite")
        elif call == "write" and "pipe" in path:
            assert last in ("fsync", "fdatasync")
            assert wrote > 0
            acknowledged, wrote = acknowledged + 1, 0

    assert WRITES == acknowledged
