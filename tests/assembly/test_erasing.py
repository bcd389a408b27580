"""Retention and erasing through a whole core: done by the child that writes the store, woken for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.house import ROOT, House, open_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A core with a service of three records, whose child sleeps."""
    made = House(tmp_path)
    (made.config / "locker.toml").write_text(
        f'connector_paths = ["{ROOT}/tests/assembly/connectors"]\nspawn = "plain"\n'
    )
    with open_house(tmp_path) as started:
        started.install("tally")
        started.sync("tally")
        started.post("/core/tally/stop")
        yield started


def test_a_record_is_erased_by_the_child_that_is_woken(house: House) -> None:
    """It is gone from its addresses and the file; the receipt is read without the child, and counts leave it out."""
    key = next(iter(house.records("tally", "number")))
    house.post("/core/tally/stop")
    erased = house.post("/core/tally/erase", json={"type": "number", "key": key, "drop_hash": True})
    gone = house.get(f"/Me/tally/records/number/{key}")
    policies = {"policies": {"number": {"kind": "ephemeral"}}}
    put = house.ask("PUT", "/core/tally/retention", json=policies)
    house.post("/core/tally/stop")
    receipts = house.get("/core/tally/receipts").json()

    assert 200 == erased.status_code, erased.text
    assert (1, "owner") == (erased.json()["count"], erased.json()["actor"])
    assert 404 == gone.status_code
    assert policies == put.json() == house.get("/core/tally/retention").json()
    assert [("erase", "owner")] == [(one["verb"], one["actor"]) for one in receipts]
    assert {"number": 2, "note": 0} == house.get("/Me/tally/").json()["counts"]
    assert "__locker" not in house.get("/services/tally").text
    words = f'"number {key}"'.encode()
    assert not [path for path in (house.me / "tally").glob("store.db*") if words in path.read_bytes()]
