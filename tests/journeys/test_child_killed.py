"""kill -9 of the connector at random moments: what it stored is what the feeds serve, each entry once."""

from __future__ import annotations

import random
from pathlib import Path

import psutil
import pytest

from tests.fakes.feed_source import FeedSource
from tests.fakes.house import House, open_house

FEEDS = 6
ENTRIES = 40
QUICK = {"LOCKER_LIMITS_BACKOFF_MAX_S": "0.05", "LOCKER_LIMITS_BACKOFF_FIRST_S": "0.01"}


def _kill_the_child(house: House) -> None:
    for process in house.children():
        try:
            # The zygote carries no service's name; a plain spawn would carry the script's.
            if process.ppid() != house.process.pid:  # type: ignore[union-attr]
                process.kill()
        except psutil.NoSuchProcess:
            continue


def _strike(house: House, source: FeedSource, *, strikes: int, seed: int) -> None:
    """Ask for a sync and kill the child a random moment later, again and again, while the feeds go on changing."""
    chance = random.Random(seed)
    for strike in range(strikes):
        name = f"f{chance.randrange(FEEDS)}"
        entries = dict(source.entries[name])
        entries[f"{name}-{chance.randrange(ENTRIES)}"] = f"{name} edited {strike}"
        entries[f"{name}-new-{strike}"] = f"{name} new {strike}"
        source.entries[name] = entries
        house.post("/Me/feeds/sync")
        source.pause(chance.uniform(0.0, 0.25))
        _kill_the_child(house)


@pytest.mark.parametrize(
    "strikes", [30, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=["30", "200"]
)
def test_killed_at_random_moments(tmp_path: Path, strikes: int) -> None:
    """INV-02: records and cursor commit together, so that no moment of death loses or doubles an entry."""
    with FeedSource() as source, open_house(tmp_path, environment=QUICK) as house:
        source.delay_s = 0.01
        for n in range(FEEDS):
            source.entries[f"f{n}"] = {f"f{n}-{k}": f"f{n} {k}" for k in range(ENTRIES)}
        house.install("feeds", settings={"urls": [source.url(f"f{n}") for n in range(FEEDS)]})
        _strike(house, source, strikes=strikes, seed=strikes)
        house.wait(lambda: house.post("/Me/feeds/sync?wait_s=30").status_code == 200, what="an undisturbed sync")
        house.sync("feeds")
        titles = sorted(record["common"]["title"] for record in house.records("feeds", "entry").values())

        assert sorted(title for feed in source.entries.values() for title in feed.values()) == titles
