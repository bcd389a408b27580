"""kill -9 in the middle of a run over many feeds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from connectors.sdk.testing import Child
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
