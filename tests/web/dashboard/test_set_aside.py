"""What could not be stored, on the service's page: tried again, or let go of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from core.model.clock import ManualClock
from core.model.fact import Change
from core.store import Origin, Store
from core.web.dashboard.set_aside import CALLS_MAX
from tests.web.conftest import Answer, Site
from tests.web.dashboard.conftest import Browse
from tests.web.scenes import furnish


@pytest.fixture(autouse=True)
def furnished(site: Site) -> None:
    """A house in full use."""
    furnish(site.world)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that the core writes, and that refused two records."""
    with Store.open(tmp_path / "feeds", types={}, origin=Origin("d/x", 1), clock=ManualClock()) as store:
        store.commit([Change(type="entry", key=key, value={}, order_key=2**70) for key in ("a", "b")])
        yield store


def sent(site: Site) -> list[tuple[str, ...]]:
    """What was asked of the child."""
    return [asked for asked in site.world.children.asked if "quarantine" in asked[-1]]


def told(browse: Browse, answer: Answer) -> str:
    """What the page says after a deed."""
    assert 303 == answer.status
    return browse(answer.headers["location"]).text


def test_list_has_what_can_be_done(site: Site, browse: Browse) -> None:
    """Each can be let go of; all are tried again where one is kept whole."""
    page = browse("/services/feeds").text
    assert 1 == page.count('action="/services/feeds/set-aside/drop"')
    assert 'name="position" value="1"' in page
    assert "set-aside/retry" not in page

    feeds = site.world.readers["feeds"]
    feeds.aside = [msgspec.structs.replace(one, can_retry=True) for one in feeds.aside]

    assert 1 == browse("/services/feeds").text.count('action="/services/feeds/set-aside/retry"')


def test_list_says_what_came_and_that_there_may_be_more(site: Site, browse: Browse) -> None:
    """The beginning of each record stands there as text; ten of many are shown."""
    feeds = site.world.readers["feeds"]
    feeds.aside = [msgspec.structs.replace(feeds.aside[0], position=n, sample="<b>7</b>") for n in range(12)]

    page = browse("/services/feeds").text

    assert 10 == page.count("&lt;b&gt;7&lt;/b&gt;")
    assert "The latest 10 are shown." in page


def test_child_tries_them_again(site: Site, browse: Browse) -> None:
    """The page tells how many are stored, and how many are not."""
    site.world.children.answers["/quarantine/retry"] = 200, json.dumps({"new": 1, "updated": 2, "refused": 1}).encode()

    page = told(browse, browse("/services/feeds/set-aside/retry", {}))

    assert "3 records stored, 1 still set aside." in page
    assert [("POST", "feeds", "/quarantine/retry")] == sent(site)


def test_many_are_tried_in_parts_and_not_for_ever(site: Site, browse: Browse) -> None:
    """A child that always has more is asked so often and no more."""
    site.world.children.answers["/quarantine/retry"] = 200, json.dumps({"new": 1, "next": 7}).encode()

    said = told(browse, browse("/services/feeds/set-aside/retry", {}))

    assert f"{CALLS_MAX} records stored. There are more: try again." in said
    assert CALLS_MAX == len(sent(site))
    assert b'{"after":7}' == site.world.children.sent[-1][1]


def test_child_lets_go_of_one(site: Site, browse: Browse) -> None:
    """By its position."""
    site.world.children.answers["/quarantine/4"] = 200, b"{}"

    assert "let go" in told(browse, browse("/services/feeds/set-aside/drop", {"position": "4"}))

    assert [("DELETE", "feeds", "/quarantine/4")] == sent(site)


@pytest.mark.parametrize(
    ("deed", "fields", "answer", "status", "words"),
    [
        (
            "drop",
            {"position": "4"},
            (404, b'{"detail": "no record has that", "remedy": "Look again."}'),
            404,
            "no record",
        ),
        ("drop", {"position": "4"}, (500, b"oh no"), 409, "The connector refused."),
        ("drop", {"position": "x"}, (200, b"{}"), 400, "position must be a whole number"),
        ("drop", {}, (200, b"{}"), 400, "position must be a whole number"),
        ("retry", {}, (200, b"oh no"), 502, "does not tell"),
    ],
)
def test_refusal_is_told(
    site: Site, browse: Browse, deed: str, fields: dict[str, str], answer: tuple[int, bytes], status: int, words: str
) -> None:
    """In the connector's own words where it has some."""
    site.world.children.answer = answer

    page = browse(f"/services/feeds/set-aside/{deed}", fields)

    assert status == page.status
    assert words in page.text


def test_store_that_the_core_writes_is_asked_itself(site: Site, browse: Browse, store: Store) -> None:
    """No child is started for what the core can do."""
    site.world.kept_stores["feeds"] = store
    first = store.quarantined(10)[0]

    assert "0 records stored, 2 still set aside." in told(browse, browse("/services/feeds/set-aside/retry", {}))
    told(browse, browse("/services/feeds/set-aside/drop", {"position": str(first.position)}))

    assert [2] == [one.times for one in store.quarantined(10)]
    assert [] == sent(site)
