"""The store keeps up with a first load and an unchanged rerun."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.model.clock import SystemClock
from core.model.fact import Change
from core.store import Store
from tests.store.conftest import ORIGIN, TYPES

RECORDS = 50_000
BATCH = 500
# In processor seconds, so that a busy neighbour is no fault, and at half of what a machine of two cores does.
FIRST_LOAD_PER_S_MIN = 20_000
RERUN_PER_S_MIN = 75_000
BYTES_PER_FACT_MAX = 560


def record(number: int) -> Change:
    """A record of about 220 bytes."""
    return Change(
        type="repo",
        key=f"r{number}",
        value={
            "id": f"r{number}",
            "title": f"A record number {number} of the load",
            "url": f"https://example.org/records/{number}",
            "author": {"name": "Ada Lovelace", "id": 77},
            "stars": 1234 + number,
            "tags": ["one", "two"],
            "updated": "2026-11-20T08:22:49Z",
            "ok": True,
        },
    )


def per_second(work: Callable[[], None]) -> float:
    """How many of the records a processor second's work gets done, all threads counted."""
    started = time.process_time()
    work()
    return RECORDS / (time.process_time() - started)


@pytest.mark.slow
def test_first_load_and_unchanged_rerun_keep_their_pace(tmp_path: Path) -> None:
    """Batches of 500, each with its cursor, each flushed."""
    changes = [record(number) for number in range(RECORDS)]
    with Store.open(tmp_path / "notes", types=TYPES, origin=ORIGIN, clock=SystemClock()) as store:

        def commit_all() -> None:
            for start in range(0, RECORDS, BATCH):
                store.commit(changes[start : start + BATCH], cursor=("repo", start))

        first, rerun = per_second(commit_all), per_second(commit_all)
    size = store.path.stat().st_size / RECORDS
    print(f"load {first:.0f}/s, rerun {rerun:.0f}/s, {size:.0f} B/fact")

    assert first >= FIRST_LOAD_PER_S_MIN
    assert rerun >= RERUN_PER_S_MIN
    assert size <= BYTES_PER_FACT_MAX
