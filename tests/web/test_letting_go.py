"""What a store lets go, asked of the core: policies, erasing, receipts; by whoever writes the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from core.model.clock import ManualClock
from core.model.fact import Change
from core.model.ids import key_to_path
from core.store import Origin, Policy, Receipt, Store
from core.web.dashboard.given import receipt_words
from tests.web.conftest import Site
from tests.web.scenes import furnish

ERASED = {"verb": "erase", "count": 2, "unreachable": ["/backups/a.tar"]}


@pytest.fixture
def site_with_feeds(site: Site) -> Site:
    """A site with services that hold records."""
    furnish(site.world)
    return site


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that the core writes."""
    with Store.open(tmp_path / "feeds", types={}, origin=Origin("d/x", 1), clock=ManualClock()) as store:
        for number in range(2):
            store.commit([Change(type="entry", key="a", value={"n": number})])
        yield store


def receipt(verb: str, **document: object) -> Receipt:
    """One receipt."""
    return Receipt(seq=1, verb=verb, at=1.0, actor="owner", document=dict(document))


def test_the_child_that_writes_is_asked(site_with_feeds: Site) -> None:
    """By its own routes, with the body as it came; a child that sleeps is woken for it."""
    site = site_with_feeds
    site.world.children.answers["/retention"] = 200, b'{"policies": {}}'
    site.world.children.answers["/retention/erase"] = 200, json.dumps(ERASED).encode()
    put = site.owner("PUT", "/core/feeds/retention", {"policies": {"entry": {"kind": "ephemeral"}}})
    erased = site.owner("POST", "/core/feeds/erase", {"type": "entry", "key": "a"})

    assert (200, 200, ERASED) == (put.status, erased.status, erased.json)
    assert [("feeds", ("entry", "a"), ())] == site.world.events.erased
    assert [("PUT", "feeds", "/retention"), ("POST", "feeds", "/retention/erase")] == site.world.children.asked[-2:]
    assert {"type": "entry", "key": "a", "ids": [], "drop_hash": False} == json.loads(site.world.children.sent[-1][1])


def test_the_core_lets_go_itself_where_it_writes(site_with_feeds: Site, store: Store) -> None:
    """No child is started for that."""
    site = site_with_feeds
    site.world.kept_stores["feeds"] = store
    site.owner("PUT", "/core/feeds/retention", {"policies": {"entry": {"kind": "ephemeral"}}})
    erased = site.owner("POST", "/core/feeds/erase", {"type": "entry", "key": "a"})

    assert {"entry": Policy(kind="ephemeral")} == store.policies()
    assert ("erase", 2, "owner") == (erased.json["verb"], erased.json["count"], erased.json["actor"])
    assert [] == site.world.children.asked


def test_what_is_kept_and_what_went_is_read_from_the_store(site_with_feeds: Site) -> None:
    """Without waking anybody; a reading app may see it."""
    site = site_with_feeds
    reader = site.world.readers["feeds"]
    reader.kept_policies = {"entry": Policy(kind="ephemeral")}
    reader.given = [receipt("compact", count=3)]
    token = site.owner("POST", "/tokens", {"label": "x", "scopes": ["read"]}).json["token"]

    assert {"policies": {"entry": {"kind": "ephemeral"}}} == site.owner(
        "GET", "/core/feeds/retention", token=token
    ).json
    assert ["compact"] == [one["verb"] for one in site.owner("GET", "/core/feeds/receipts", token=token).json]
    assert [] == site.owner("GET", "/core/feeds/receipts?before=1").json
    assert [] == site.world.children.asked


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "erase", {}), ("POST", "erase", {"type": "entry"}),
        ("POST", "erase", {"ids": ["x"], "type": "entry", "key": "a"}),
        ("PUT", "retention", {}), ("PUT", "retention", {"policies": {"entry": {"kind": "rolling_window"}}}),
        ("GET", "receipts?limit=0", None), ("GET", "receipts?limit=1001", None), ("GET", "receipts?before=x", None),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_wakes_nobody(site_with_feeds: Site, method: str, path: str, body: object) -> None:
    """It is refused before anybody is asked."""
    answer = site_with_feeds.owner(method, f"/core/feeds/{path}", body)

    assert 400 == answer.status
    assert [] == site_with_feeds.world.children.asked


@pytest.mark.parametrize(("status", "seen"), [(404, 404), (400, 400), (503, 503), (405, 409), (500, 409)])
def test_the_childs_refusal_is_passed_on(site_with_feeds: Site, status: int, seen: int) -> None:
    """In its own words."""
    site_with_feeds.world.children.answers["/retention/erase"] = status, b'{"detail": "there is no such fact"}'
    answer = site_with_feeds.owner("POST", "/core/feeds/erase", {"type": "entry", "key": "none"})

    assert (seen, "there is no such fact") == (answer.status, answer.json["detail"])


def test_only_the_owner_erases(site_with_feeds: Site) -> None:
    """Neither a child nor an app that reads."""
    site = site_with_feeds
    read = site.owner("POST", "/tokens", {"label": "x", "scopes": ["read"]}).json["token"]
    body = {"type": "entry", "key": "a"}

    assert [403, 403] == [
        site.owner("POST", "/core/feeds/erase", body, token=token).status for token in (read, site.world.child("feeds"))
    ]


def test_a_record_is_erased_on_its_page(site_with_feeds: Site) -> None:
    """Asked about first; what could not be reached is told."""
    site, cookie = site_with_feeds, site_with_feeds.login()
    site.world.children.answers["/retention/erase"] = 200, json.dumps(ERASED).encode()
    fact = site.world.readers["feeds"].facts[0]
    address = f"/services/feeds/erase/{fact.type}/{key_to_path(fact.key)}"
    record = site.browse(f"/services/feeds/records/{fact.type}/{key_to_path(fact.key)}", cookie)
    asked = site.browse(address, cookie)
    unsure = site.browse(address, cookie, method="POST", body=b"")
    done = site.browse(address, cookie, method="POST", body=urlencode({"confirm": "yes"}).encode())

    assert f'href="{address}"' in record.text
    assert 200 == asked.status and "cannot be undone" in asked.text
    assert 400 == unsure.status
    assert 303 == done.status
    assert (
        "2 versions erased. These backups still hold it: /backups/a.tar."
        in site.browse(done.headers["location"], cookie).text
    )


def test_a_refused_erasing_is_told_where_it_was_asked(site_with_feeds: Site) -> None:
    """Nothing was erased, and the page says why."""
    site, cookie = site_with_feeds, site_with_feeds.login()
    site.world.children.answers["/retention/erase"] = 503, b'{"detail": "The store is being opened."}'
    fact = site.world.readers["feeds"].facts[0]
    body = urlencode({"confirm": "yes"}).encode()
    page = site.browse(f"/services/feeds/erase/{fact.type}/{key_to_path(fact.key)}", cookie, method="POST", body=body)

    assert 503 == page.status
    assert "The store is being opened." in page.text


def test_receipts_stand_on_the_services_page(site_with_feeds: Site) -> None:
    """The latest of them, in words."""
    site = site_with_feeds
    site.world.readers["feeds"].given = [receipt("erase", count=1)]

    assert "Erased: 1 version" in site.browse("/services/feeds", site.login()).text


def test_the_services_page_tells_when_its_store_was_looked_through(site_with_feeds: Site) -> None:
    """And what was wrong."""
    site = site_with_feeds
    site.world.cared_for["feeds"] = {"verify": (1.0, "2 facts are not what was written.")}
    page = site.browse("/services/feeds", site.login()).text

    assert "Records looked through" in page and "2 facts are not what was written." in page
    assert "Files looked through" not in page


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (receipt("compact", count=1200), "Let go by policy: 1,200 versions"),
        (receipt("prune", count=1), "Removed: 1 version"),
        (receipt("salvage", salvaged=7), "Taken over after damage: 7 facts salvaged"),
        (receipt("collect", count=2), "Files that nothing named: 2 files removed"),
        (receipt("delete_samples", point="heat", count=3), "Numbers of heat deleted: 3"),
        (receipt("drop", type="entry", key="a"), "Let go of what was set aside: entry a"),
        (receipt("import", added=3), "Imported: 3 facts"),
        (receipt("erase", count="many", unreachable=4), "Erased: 0 versions"),
        (receipt("<b>" * 30), ("<b>" * 30)[:39] + "…"),
    ],
)
def test_a_receipt_in_words(one: Receipt, words: str) -> None:
    """Whatever stands in it: the file is its child's."""
    assert words == receipt_words(one)
