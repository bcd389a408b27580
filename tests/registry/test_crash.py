"""Whenever the core dies in the middle of a change, the next start finds the old state or the new one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        ("install", "absent", "old"),
        ("update", "old data", "new data"),
        ("keep", "old data", "absent kept data folder"),
        ("erase", "old data", "absent"),
    ],
)
def test_killed_at_every_step(tmp_path: Path, change: str, before: str, after: str) -> None:
    """At no step is a service half there, are settings paired with other accounts' secrets, or is an id lost."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.registry.crash", change, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    found = [line.split(" ", 1) for line in done.stdout.splitlines()]

    assert done.returncode == 0, done.stderr
    assert {state for _code, state in found} == {before, after}
    assert found[0] == ["9", before]
    assert found[-1] == ["0", after]
    assert len(found) > 5
