"""A store that its child's end left in disorder: settled before the next child, or kept from it and told of."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.store.care.walfile import FRAME_HEADER_BYTES, HEADER_BYTES
from tests.fakes.house import ROOT, House, open_house

PAGE_BYTES_AT = 8


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A core with a service that has records, whose child was killed."""
    made = House(tmp_path)
    (made.config / "locker.toml").write_text(
        f'connector_paths = ["{ROOT}/tests/assembly/connectors"]\nspawn = "plain"\n'
    )
    with open_house(tmp_path) as started:
        started.install("tally")
        started.sync("tally")
        kill_child(started)
        yield started


def kill_child(house: House) -> None:
    """End the service's child as a crash would: its store is not closed."""
    for child in house.children():
        if Path(child.cwd()) == house.me / "tally":
            child.kill()
            psutil.wait_procs([child], timeout=5)
    house.wait(lambda: state_of(house) in ("failed", "stopped"), what="the child's end")


def state_of(house: House) -> str:
    """The state of the service's child."""
    return str(house.get("/map").json()["installed"]["tally"]["state"])


def frame_bytes(wal: Path) -> int:
    """How long a frame of the log is."""
    header = wal.read_bytes()[:HEADER_BYTES]
    return FRAME_HEADER_BYTES + int.from_bytes(header[PAGE_BYTES_AT : PAGE_BYTES_AT + 4], "big")


def front(house: House) -> str:
    """The dashboard's first page."""
    return house.get("/").text


def test_a_torn_end_is_dropped_before_the_next_child_and_told(house: House) -> None:
    """The child starts on what was whole; the owner is told once what was set aside."""
    wal = house.me / "tally" / "store.db-wal"
    os.truncate(wal, wal.stat().st_size - 100)
    answer = house.get("/Me/tally/records/number")

    assert 200 == answer.status_code
    assert 3 == len(answer.json()["records"])
    assert "was unfinished after a crash" in front(house)
    assert list((house.me / "tally" / "quarantine").glob("*-wal"))


def test_a_whole_store_is_not_spoken_of(house: House) -> None:
    """A child that was killed between two commits lost nothing."""
    assert 200 == house.get("/Me/tally/records/number").status_code
    assert "after a crash" not in front(house)


def test_a_damaged_store_waits_for_its_owner(house: House) -> None:
    """No child gets it; the cure is told with each answer and at the front, and what it holds can be read."""
    wal = house.me / "tally" / "store.db-wal"
    with wal.open("r+b") as file:
        file.seek(HEADER_BYTES + frame_bytes(wal) + FRAME_HEADER_BYTES + 50)
        file.write(b"\xff" * 400)
    first, second = house.post("/Me/tally/sync"), house.get("/Me/tally/")

    assert ["file_damaged"] * 2 == [answer.json()["type"].rpartition("/")[2] for answer in (first, second)]
    assert "doctor --accept-salvage tally" in second.json()["remedy"]
    assert "The store of tally is damaged" in front(house)
    assert "failed" == state_of(house)
    assert 200 == house.get("/services/tally/records/number").status_code
    assert 200 == house.get("/Me/tally/records/number").status_code
    assert "file_damaged" == house.post("/Me/tally/retention/compact").json()["type"]


def test_a_salvaged_store_is_taken_while_the_core_runs(house: House) -> None:
    """At its owner's word; then the service goes on, and nothing more is told but the receipt."""
    wal = house.me / "tally" / "store.db-wal"
    with wal.open("r+b") as file:
        file.seek(HEADER_BYTES + frame_bytes(wal) + FRAME_HEADER_BYTES + 50)
        file.write(b"\xff" * 400)
    refused = house.get("/Me/tally/")
    command = [sys.executable, "-m", "core.cli", "doctor", "--accept-salvage", "tally", "--yes"]
    done = subprocess.run(
        [*command, "--me", str(house.me), "--config", str(house.config)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert 500 == refused.status_code
    assert 0 == done.returncode, done.stderr
    assert 200 == house.get("/Me/tally/").status_code
    assert "is damaged" not in front(house)
    assert ["salvage"] == [one["verb"] for one in house.get("/core/tally/receipts").json()]
