"""Series over HTTP: points, ranges, rollups, the last number, what is added and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, LockerError, NotFound, TooBusy
from core.records import DataApi, Request
from core.store import Origin, Reader, Store
from tests.records.test_upkeep import MANIFEST, ask

NOW = 1_700_000_040.0  # A minute begins.


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with two points."""
    with Store.open(
        tmp_path / "git", types={}, origin=Origin("d/x", 1), clock=ManualClock(), timezone="Europe/Vienna"
    ) as store:
        store.series.append([("wind/north", NOW, 1.0), *[("heat", NOW + 30 * n, float(n)) for n in range(6)]])
        yield store


def test_points_are_listed_with_where_they_are(store: Store) -> None:
    """By name, in pages; any name fits into a path."""
    first = ask(store, "GET", "/series", limit="1")
    second = ask(store, "GET", "/series", limit="1", after=first["next"])
    whole = ask(store, "GET", "/series")

    assert [{"point": "heat", "href": "/Me/git/series/heat"}] == first["points"]
    assert [*first["points"], *second["points"]] == whole["points"]
    assert None is whole["next"]
    path = whole["points"][1]["href"].removeprefix("/Me/git")
    assert [[NOW, 1.0]] == ask(store, "GET", path)["samples"]


def test_range_is_answered_in_pages(store: Store) -> None:
    """From its beginning up to and without its end; moments are numbers or times."""
    first = ask(store, "GET", "/series/heat", since=str(NOW + 30), until=str(NOW + 120), limit="2")
    second = ask(store, "GET", "/series/heat", since=str(first["next"]), until="2023-11-14T22:16:00Z")

    assert {"point": "heat", "samples": [[NOW + 30, 1.0], [NOW + 60, 2.0]], "next": NOW + 90} == first
    assert [[NOW + 90, 3.0]] == second["samples"]


def test_rollups_are_answered_by_width(store: Store) -> None:
    """Each with its beginning, bounds, mean, sum and count, and the zone that days are of."""
    found = ask(store, "GET", "/series/heat", by="minute")
    [day] = ask(store, "GET", "/series/heat", by="day")["rollups"]

    minute = {"start": NOW, "least": 0.0, "greatest": 1.0, "average": 0.5, "total": 1.0, "count": 2}
    assert ("minute", "Europe/Vienna", minute, 3) == (
        found["by"],
        found["timezone"],
        found["rollups"][0],
        len(found["rollups"]),
    )
    assert (1_699_916_400.0, 2.5, 6) == (day["start"], day["average"], day["count"])


def test_last_is_what_showed_at_a_moment(store: Store) -> None:
    """Now, or at any time before."""
    assert {"point": "heat", "at": NOW + 150, "value": 5.0} == ask(store, "GET", "/series/heat/last")
    assert 1.0 == ask(store, "GET", "/series/heat/last", at=str(NOW + 59.9))["value"]


def test_numbers_are_added_and_deleted(store: Store) -> None:
    """What is no good goes to quarantine; what is deleted leaves a receipt."""
    sent = {"samples": [["heat", NOW + 1, 9], ["", NOW, 1.0]]}

    assert {"kept": 1, "quarantined": 1} == ask(store, "POST", "/series", body=sent)
    assert {"deleted": 2} == ask(store, "DELETE", "/series/heat", since=str(NOW), until=str(NOW + 30))

    assert NOW + 30 == ask(store, "GET", "/series/heat")["samples"][0][0]
    assert [("delete_samples", "owner")] == [(receipt.verb, receipt.actor) for receipt in store.receipts(10)]


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "error"),
    [
        ("GET", "/series/heat", {"by": "week"}, None, BadRequest),
        ("GET", "/series/heat", {"since": "nan"}, None, BadRequest),
        ("GET", "/series/heat", {"since": "2023-11-14T22:16:00"}, None, BadRequest),
        ("GET", "/series/heat", {"until": "soon"}, None, BadRequest),
        ("GET", "/series/heat", {"limit": "10001"}, None, BadRequest),
        ("GET", "/series/heat", {"from": "1"}, None, BadRequest),
        ("GET", "/series/heat/first", {}, None, NotFound),
        ("GET", "/series/cold/last", {}, None, NotFound),
        ("DELETE", "/series/heat", {"since": "1"}, None, BadRequest),
        ("DELETE", "/series", {}, None, NotFound),
        ("POST", "/series", {}, {"samples": [["heat", "x", 1]]}, BadRequest),
        ("POST", "/series", {}, {"numbers": []}, BadRequest),
        ("POST", "/series/heat", {}, {"samples": []}, NotFound),
    ],
)
def test_what_makes_no_sense_is_refused(
    store: Store, method: str, path: str, query: dict[str, str], body: Any, error: type[LockerError]
) -> None:
    """The caller's fault is told as such, and nothing is done."""
    with pytest.raises(error):
        ask(store, method, path, body=body, **query)

    assert 6 == len(store.series.samples("heat", limit=10).moments)


def test_a_writer_that_is_being_opened_is_waited_for(store: Store) -> None:
    """A child that was woken for it reads at once, and keeps numbers as soon as it can."""
    with Reader.open(store.path.parent, types={}) as reader:
        api = DataApi(lambda: reader, manifest=MANIFEST, base="/Me/git/", writes=lambda: store)
        route = next(route for route in api.routes if route.name == "series")
        body = b'{"samples": [["rain", 1.0, 2.0]]}'
        answer = route.handler(Request(method="POST", path=("series",), query={}, headers={}, body=body))

    assert not hasattr(answer, "__await__") and 200 == answer.status
    assert 1 == len(store.series.samples("rain", limit=10).moments)


def test_who_only_reads_changes_nothing(store: Store) -> None:
    """While the writer is being opened, changes wait for it."""
    with Reader.open(store.path.parent, types={}) as reader, pytest.raises(TooBusy):
        ask(reader, "POST", "/series", body={"samples": [["heat", 1.0, 1.0]]})
