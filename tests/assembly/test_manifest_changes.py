"""A connector that changes while the core runs: its new streams run and its new events are heard, without a word."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.house import ROOT, House, open_house

ADDED = """
uses = ["entry"]
[types.entry]
[streams.second]
types = ["entry"]
frequency = "1h"
[events]
entry = "/heard"
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A core with one service, whose connector's folder is this test's own."""
    shutil.copytree(ROOT / "tests" / "fakes" / "programs" / "obedient", tmp_path / "connectors" / "obedient")
    (tmp_path / "config").mkdir()
    paths = json.dumps([str(tmp_path / "connectors")])
    (tmp_path / "config" / "locker.toml").write_text(f"connector_paths = {paths}\n")
    with open_house(tmp_path) as started:
        started.install("obedient")
        assert started.get("/Me/obedient/").ok
        yield started


def _change(house: House) -> None:
    manifest = house.folder / "connectors" / "obedient" / "connector.toml"
    manifest.write_text(manifest.read_text() + ADDED)


def _follow(house: House) -> None:
    """Wait until the new stream is in the schedule, and the new event is listened to."""
    house.wait(
        lambda: "/sync/second" in [entry["path"] for entry in house.get("/core/obedient/at").json()],
        what="the new stream in the schedule",
    )
    house.wait(
        lambda: [("entry", "/heard")] == _heard(house),
        what="the new event",
    )


def _heard(house: House) -> list[tuple[str, str]]:
    return [(one["type"], one["path"]) for one in house.get("/core/obedient/listeners").json()]


def test_a_stream_added_while_running_is_scheduled_after_a_restart(house: House) -> None:
    """The new manifest counts from the restart on, for the schedule and for events too."""
    _change(house)
    assert house.post("/core/obedient/restart").ok

    _follow(house)
    assert "running" == house.get("/map").json()["installed"]["obedient"]["state"]


def test_a_stream_that_is_dropped_is_not_called_any_more(house: House) -> None:
    """Its pending call goes when the change is seen; what else the service asked for stays."""
    manifest = house.folder / "connectors" / "obedient" / "connector.toml"
    before = manifest.read_text()
    _change(house)
    assert house.get("/available").ok
    _follow(house)
    for path in ("/sync/second", "/hear"):
        assert house.post("/core/obedient/at", json={"path": path, "at": time.time() + 3600}).ok
    manifest.write_text(before)
    assert house.get("/available").ok

    house.wait(
        lambda: ["/hear"] == [entry["path"] for entry in house.get("/core/obedient/at").json()],
        what="the end of the dropped stream's call",
    )


def test_a_child_of_the_old_manifest_makes_room(house: House) -> None:
    """When a look at the folders finds the change, the child that knows nothing of the new stream is stopped."""
    stale = house.get("/Me/obedient/").json()["pid"]
    _change(house)
    assert house.get("/available").ok

    _follow(house)
    house.wait(lambda: stale not in [child.pid for child in house.children()], what="the end of the old child")
    assert stale != house.get("/Me/obedient/").json()["pid"]
