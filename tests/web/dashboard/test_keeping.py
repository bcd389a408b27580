"""How long versions are kept, on the service's page: chosen, shown what goes by it, set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.model.fact import Change
from core.store import Origin, Policy, Store
from tests.web.conftest import Site
from tests.web.dashboard.conftest import Browse, text_of
from tests.web.scenes import furnish

KEEPING = "/services/feeds/keeping"


@pytest.fixture(autouse=True)
def furnished(site: Site) -> None:
    """A house in full use."""
    furnish(site.world)


@pytest.fixture
def store(site: Site, tmp_path: Path) -> Iterator[Store]:
    """A store that the core writes, with a record of three versions."""
    with Store.open(tmp_path / "feeds", types={}, origin=Origin("d/x", 1), clock=ManualClock(1.0)) as store:
        for number in range(3):
            store.commit([Change(type="entry", key="a", value={"n": number})])
        site.world.kept_stores["feeds"] = store
        site.world.readers["feeds"] = store
        yield store


def chosen(kind: str, days: str = "30") -> dict[str, str]:
    """The form, filled in for one type."""
    return {"kind/entry": kind, "days/entry": days}


def test_the_page_tells_what_is_kept(site: Site, browse: Browse) -> None:
    """Of every type that it holds, with the way to change it; where it is off, there is none."""
    site.world.readers["feeds"].kept_policies = {"entry": Policy(kind="rolling_window", duration_s=86_400.0)}
    page = browse("/services/feeds")

    assert "entry earlier versions for 1 day" in text_of(page)
    assert f'href="{KEEPING}"' in page.text


def test_less_is_kept_only_after_it_was_shown(store: Store, browse: Browse) -> None:
    """How many versions would go, by type; nothing is set before the owner says so."""
    asked = browse(KEEPING, chosen("ephemeral"))

    assert "entry : from now on the current version only. 2 versions would go within a day." in text_of(asked)
    assert {} == store.policies()

    done = browse(KEEPING, {**chosen("ephemeral"), "confirm": "yes"})

    assert (303, "/services/feeds?done=keeping") == (done.status, done.headers["location"])
    assert {"entry": Policy(kind="ephemeral")} == store.policies()


def test_what_keeps_more_is_set_at_once(store: Store, browse: Browse) -> None:
    """A window that is longer, and all versions again."""
    store.set_policy("entry", Policy(kind="rolling_window", duration_s=3600.0), actor="owner")

    longer = browse(KEEPING, chosen("rolling_window", "2"))
    assert ("/services/feeds?done=keeping-more", 172_800.0) == (
        longer.headers["location"],
        store.policies()["entry"].duration_s,
    )
    assert 303 == browse(KEEPING, chosen("permanent")).status
    assert {} == store.policies()


def test_a_window_that_is_left_as_it_stands_keeps_its_exact_time(store: Store, browse: Browse) -> None:
    """In days it is shown shorter than it is; what the form does not name stays too."""
    exact = Policy(kind="rolling_window", duration_s=100_000.125)
    for name in ("entry", "gone"):
        store.set_policy(name, exact, actor="owner")
    page = browse(KEEPING).text
    assert page.count('value="1.15741"') == 2

    assert 303 == browse(KEEPING, chosen("rolling_window", "1.15741")).status
    assert {"entry": exact, "gone": exact} == store.policies()


@pytest.mark.parametrize("duration_s", [0.0, 50_000 * 86_400.0])
def test_a_window_that_the_form_could_not_set_keeps_no_other_from_being_set(
    store: Store, browse: Browse, duration_s: float
) -> None:
    """One that a program set, of no time or of more than a century: it stays, unless its own days are changed."""
    odd = Policy(kind="rolling_window", duration_s=duration_s)
    store.set_policy("other", odd, actor="owner")
    value = re.search(r'name="days/other"[^>]*value="([^"]*)"', browse(KEEPING).text)
    assert value is not None
    fields = {**chosen("rolling_window", "400"), "kind/other": "rolling_window", "days/other": value[1]}

    assert 303 == browse(KEEPING, {**fields, "confirm": "yes"}).status
    assert {"entry": 400 * 86_400.0, "other": duration_s} == {
        name: policy.duration_s for name, policy in store.policies().items()
    }
    assert 422 == browse(KEEPING, {**fields, "days/other": "40000", "confirm": "yes"}).status


@pytest.mark.parametrize("days", ["", "many", "0", "-1", "nan", "inf", "1e9"])
def test_days_that_are_none_are_told_beside_the_input(store: Store, browse: Browse, days: str) -> None:
    """And nothing is set."""
    page = browse(KEEPING, {**chosen("rolling_window", days), "confirm": "yes"})

    assert 422 == page.status
    assert "Give a number of days, up to 36,500." in page.text
    assert {} == store.policies()


def test_a_kind_that_there_is_not_is_refused(store: Store, browse: Browse) -> None:
    """The form offers three."""
    assert 400 == browse(KEEPING, chosen("some")).status


def test_the_child_is_asked_where_it_writes(site: Site, browse: Browse) -> None:
    """All policies at once; its refusal stands on the form."""
    site.world.children.answers["/retention"] = 200, b'{"policies": {}}'
    assert 303 == browse(KEEPING, {**chosen("ephemeral"), "confirm": "yes"}).status
    problem: dict[str, Any] = {"type": "retry", "title": "Not right now", "status": 503, "detail": "It starts."}
    site.world.children.answers["/retention"] = 503, json.dumps(problem).encode()
    refused = browse(KEEPING, {**chosen("ephemeral"), "confirm": "yes"})

    assert [("PUT", "feeds", "/retention")] * 2 == [one for one in site.world.children.asked if "retention" in one[-1]]
    assert (503, True) == (refused.status, "It starts." in refused.text)
