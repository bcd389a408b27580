"""A connector that hides behind its descendants to make itself the owner, at a whole core."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.house import ROOT, House, open_house


@pytest.fixture(scope="module", params=["auto", "plain"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A core with the connector that asks; its children forked, and started afresh."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "config").mkdir()
    paths = json.dumps([str(ROOT / "tests" / "fakes" / "programs")])
    (folder / "config" / "locker.toml").write_text(f'connector_paths = {paths}\nspawn = "{request.param}"\n')
    with open_house(folder) as started:
        started.install("asks-console")
        yield started


def console(house: House) -> Path:
    """The socket that the connector finds beside its folder."""
    return house.me / "core.sock"


def refusal(answer: Any) -> str:
    """The kind of problem it was answered with."""
    return str(answer["problem"]["type"])


def test_a_connector_is_refused(house: House) -> None:
    """INV-11: itself it gets nowhere, though the socket is its user's."""
    answer = house.get("/Me/asks-console/itself").json()

    assert stat.S_ISSOCK(console(house).stat().st_mode)
    assert "forbidden" == refusal(answer)


def test_a_double_forked_grandchild_is_refused(house: House) -> None:
    """INV-11: neither a new session nor a parent that ended hides whose descendant it is."""
    answers = [house.get("/Me/asks-console/grandchild").json() for _ in range(5)]

    assert ["forbidden"] * 5 == [refusal(answer) for answer in answers]


def test_a_grandchild_that_is_left_behind_is_refused(house: House) -> None:
    """INV-11: when the connector is gone, what it left comes to the warm parent or the core: ended, or refused."""
    place = house.me / "asks-console" / "orphan.json"
    house.get("/Me/asks-console/leave")
    orphan = int(place.with_suffix(".pid").read_text())
    house.wait(lambda: place.exists() or _is_gone(orphan), what="an answer to what was left behind, or its end")

    assert not place.exists() or "forbidden" == refusal(json.loads(place.read_text()))


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
