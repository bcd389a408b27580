"""Stores of an earlier version at the start: brought up where they can be, told of where not, waited for by none."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from core.assembly.bringing_up import BRING_UP, BringingUp
from core.model.clock import ManualClock
from core.model.manifest import TypeSpec
from core.store import Origin, Reader, Store
from tests.contracts.waiting import wait_until

OLD = Path(__file__).parents[1] / "data" / "stores" / "version1.db"
OF_2 = OLD.with_name("version2.db")
NOTES = {
    "note": TypeSpec(
        name="note", time="written", title="title", text=("body",), index=("tag", 'odd"name'), volatile=("views",)
    ),
    "bare": TypeSpec(name="bare"),
}
NAMES = ("bad", "good")

OpenStore = Callable[[Any], Store]


class Care:
    """What the owner is told."""

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}

    def note(self, service: Any, deed: str, *, trouble: str = "") -> None:
        assert BRING_UP == deed
        self.troubles[service.id] = trouble

    def done(self, service: Any) -> dict[str, tuple[float, str]]:
        return {BRING_UP: (1.0, self.troubles[service.id])} if service.id in self.troubles else {}


@pytest.fixture
def care() -> Care:
    """Nothing told yet."""
    return Care()


@pytest.fixture
def services(tmp_path: Path) -> Any:
    """Two services with a store of version 1."""
    for name in NAMES:
        (tmp_path / name).mkdir(mode=0o700)
        shutil.copy(OLD, tmp_path / name / "store.db")
    found = [SimpleNamespace(id=name, uid=name) for name in NAMES]
    return SimpleNamespace(list=lambda: found)


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    """Opens a service's store to be written."""
    return lambda service: Store.open(
        tmp_path / service.id, types={}, origin=Origin(f"device/{service.id}", 1), clock=ManualClock()
    )


def is_old(folder: Path) -> bool:
    """Whether the store still waits."""
    with Reader.open(folder, types={}) as reader:
        return reader.is_of_earlier_version


def test_a_store_that_cannot_be_brought_up_is_told(
    services: Any, care: Any, open_store: OpenStore, tmp_path: Path
) -> None:
    """With its cure; the others are brought up beside it. Once it is in order, nothing is told any more."""
    db = apsw.Connection(str(tmp_path / "bad" / "store.db"))
    db.execute("CREATE TRIGGER z BEFORE UPDATE ON meta BEGIN SELECT 1; END")
    bringing_up = BringingUp(tmp_path, services, care=care, open_store=open_store)
    bringing_up.bring_up()
    told = dict(care.troubles)
    found = [is_old(tmp_path / name) for name in NAMES]
    db.execute("DROP TRIGGER z")
    db.close()
    bringing_up.bring_up()

    assert "a trigger" in told["bad"]
    assert "Restore a backup" in told["bad"]
    assert ([True, False], "") == (found, told["good"])
    assert not is_old(tmp_path / "bad")
    assert {"bad": "", "good": ""} == care.troubles


def test_the_start_waits_for_no_store(services: Any, care: Any, open_store: OpenStore, tmp_path: Path) -> None:
    """One that takes too long goes on by itself and is told meanwhile; the others do not wait for it."""
    free = threading.Event()

    def slow(service: Any) -> Store:
        if service.id == "bad":
            free.wait(60.0)
        return open_store(service)

    BringingUp(tmp_path, services, care=care, open_store=slow, wait_s=1.0).bring_up()
    told = dict(care.troubles)
    good = is_old(tmp_path / "good")
    free.set()
    wait_until(lambda: not care.troubles["bad"])

    assert "takes long" in told["bad"]
    assert not good


def test_words_are_found_when_a_store_is_brought_up(services: Any, care: Any, tmp_path: Path) -> None:
    """Whether its connector ever runs again or not."""
    for name in NAMES:
        shutil.copy(OF_2, tmp_path / name / "store.db")

    def open_store(service: Any) -> Store:
        origin = Origin("device/service", 1)
        return Store.open(tmp_path / service.id, types=NOTES, origin=origin, clock=ManualClock())

    BringingUp(tmp_path, services, care=care, open_store=open_store).bring_up()

    for name in NAMES:
        with Reader.open(tmp_path / name, types=NOTES) as reader:
            assert ["a"] == [hit.key for hit in reader.search("lighthouse", limit=9).hits]
