"""Series keep up with many points, and a year is read in an instant."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from core.model.clock import SystemClock
from core.store import Store
from core.store.numbers.days import DAY_S
from core.store.numbers.samples import SAMPLES_MAX
from tests.store.conftest import ORIGIN

SAMPLES = 200_000
APPENDED_PER_S_MIN = 100_000
READ_MS_MAX = 10.0
START = 1_700_000_000.0


@pytest.mark.slow
@pytest.mark.parametrize("spacing_s", [1, 60, 600])
def test_numbers_are_appended_and_a_year_is_read_at_pace(tmp_path: Path, spacing_s: int) -> None:
    """In batches, each flushed, with rollups; in processor seconds, so that a busy neighbour is no fault."""
    dice = random.Random(1)
    samples = [("heat", START + spacing_s * n, dice.gauss(20, 5)) for n in range(SAMPLES)]
    with Store.open(
        tmp_path / "notes", types={}, origin=ORIGIN, clock=SystemClock(), timezone="Europe/Vienna"
    ) as store:
        started = time.process_time()
        for start in range(0, SAMPLES, SAMPLES_MAX):
            store.series.append(samples[start : start + SAMPLES_MAX])
        pace = SAMPLES / (time.process_time() - started)
        took_ms = []
        for _ in range(20):
            started = time.process_time()
            page = store.series.rollups("heat", by="hour", since=START, until=START + 365 * DAY_S, limit=10_000)
            took_ms.append((time.process_time() - started) * 1000)
    print(f"{spacing_s} s apart: {pace:.0f}/s, {len(page.rollups)} hours in {sorted(took_ms)[10]:.1f} ms")

    assert pace >= APPENDED_PER_S_MIN
    assert sorted(took_ms)[10] <= READ_MS_MAX
