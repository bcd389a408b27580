"""kill -9 in the middle of a run over many feeds."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.sdk.testing import Child, FakeCore
from tests.feeds.site import Asked, Reply, Site, item, rss

FEEDS, ENTRIES = 12, 40


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_run_loses_and_doubles_nothing(site: Site, follow: Callable[..., Child], seed: int) -> None:
    """Every entry of every feed is there once, with one version, whenever the process died. INV-02."""
    dice = random.Random(seed)

    def slow(asked: Asked) -> Reply:
        time.sleep(0.02)
        tag = f'"{asked.path}"'
        return Reply(rss(*(item(f"{n}", f"{asked.path} {n}") for n in range(ENTRIES))), headers={"ETag": tag})

    site.pages.update({f"/{n}": slow for n in range(FEEDS)})
    urls = [site.url(f"/{n}") for n in range(FEEDS)]
    for _ in range(3):
        child = follow(*urls)
        child.post("/sync")
        time.sleep(dice.uniform(0.2, 1.2))
        child.kill()
    child = follow(*urls)
    child.sync()
    facts = [fact["key"] for fact in child.facts() if fact["type"] == "entry"]

    assert FEEDS * ENTRIES == len(facts) == len(set(facts)) == len(child.records("entry"))


@pytest.mark.parametrize("damage", ['"text"', "[1]", '{"failures": "many"}', "7"])
def test_corrupt_cursor_is_reported(
    site: Site, core: FakeCore, follow: Callable[..., Child], tmp_path: Path, damage: str
) -> None:
    """What was remembered of a feed and cannot be read is told, once; the feed is asked anew and doubles nothing."""
    site.pages["/feed"] = Reply(rss(item("1", "one")), headers={"ETag": '"one"'})
    child = follow(site.url("/feed"), keep_enclosures=True)
    child.sync()
    child.stop()
    _damage(tmp_path, damage)
    child = follow(site.url("/feed"), keep_enclosures=True)
    runs = [child.sync()[0] for _ in range(2)]

    assert ["ok", "ok"] == [run["status"] for run in runs]
    assert [None, '"one"'] == [asked.headers.get("If-None-Match") for asked in site.asked[-2:]]
    assert 1 == len([fact for fact in child.facts() if fact["type"] == "entry"])
    told = sorted(str(note["message"]) for note in core.asked("diary"))
    assert [True, True] == ["cannot be read" in each for each in told]
    assert [False, True] == [each.startswith(("https://", "http://")) for each in told]


def _damage(folder: Path, text: str) -> None:
    """Spoil what every part of the stream remembers."""
    [store] = folder.rglob("store.db")
    with contextlib.closing(sqlite3.connect(store)) as db:
        changed = db.execute("UPDATE cursor SET value = ? WHERE stream LIKE 'feeds/%'", (text,))
        db.commit()
        assert changed.rowcount == 2
