"""Stores of an earlier version at the start: brought up where they can be, told of where not, waited for by none."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from core.assembly import keepers as keepers_module
from core.assembly.keepers import BRING_UP, Keepers
from core.model.clock import ManualClock
from core.model.errors import NotFound
from core.store import Reader, Store

OLD = Path(__file__).parents[1] / "data" / "stores" / "version1.db"
NAMES = ("bad", "good")


class Care:
    """What the owner is told."""

    def __init__(self) -> None:
        self.troubles: dict[str, str] = {}

    def opening(self, service: Any) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def found(self, service: Any, found: Any) -> None:
        """Nothing is found in these."""

    def note(self, service: Any, deed: str, *, trouble: str = "") -> None:
        assert BRING_UP == deed
        self.troubles[service.id] = trouble

    def done(self, service: Any) -> dict[str, tuple[float, str]]:
        return {BRING_UP: (1.0, self.troubles[service.id])} if service.id in self.troubles else {}


class Unknown:
    """A catalog without any connector."""

    def get(self, name: str) -> Any:
        raise NotFound(name)


@pytest.fixture
def care() -> Care:
    """Nothing told yet."""
    return Care()


@pytest.fixture
def keepers(tmp_path: Path, care: Care) -> Iterator[Keepers]:
    """Those of two services with a store of version 1."""
    services = []
    for name in NAMES:
        (tmp_path / name).mkdir(mode=0o700)
        shutil.copy(OLD, tmp_path / name / "store.db")
        services.append(SimpleNamespace(id=name, uid=name, connector="none", origin_epoch=1, enabled=True))
    made: Any = Keepers(
        tmp_path,
        SimpleNamespace(list=lambda: services),  # type: ignore[arg-type]
        Unknown(),  # type: ignore[arg-type]
        device="device",
        clock=ManualClock(),
        timezone="UTC",
        pid_of=lambda _: None,
        is_asleep=lambda _: True,
        committed=lambda *_: None,
        care=care,  # type: ignore[arg-type]
    )
    yield made
    made.close()


def is_old(folder: Path) -> bool:
    """Whether the store still waits."""
    with Reader.open(folder, types={}) as reader:
        return reader.is_of_earlier_version


def test_a_store_that_cannot_be_brought_up_is_told(keepers: Keepers, care: Care, tmp_path: Path) -> None:
    """With its cure; the others are brought up beside it. Once it is in order, nothing is told any more."""
    db = apsw.Connection(str(tmp_path / "bad" / "store.db"))
    db.execute("CREATE TRIGGER z BEFORE UPDATE ON meta BEGIN SELECT 1; END")
    keepers.bring_up()
    told = dict(care.troubles)
    found = [is_old(tmp_path / name) for name in NAMES]
    db.execute("DROP TRIGGER z")
    db.close()
    keepers.bring_up()

    assert "a trigger" in told["bad"]
    assert "Restore a backup" in told["bad"]
    assert ([True, False], "") == (found, told["good"])
    assert not is_old(tmp_path / "bad")
    assert {"bad": "", "good": ""} == care.troubles


def test_the_start_waits_for_no_store(
    keepers: Keepers, care: Care, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that takes too long goes on by itself and is told meanwhile; the others do not wait for it."""
    monkeypatch.setattr(keepers_module, "BRING_UP_S", 1.0)
    free = threading.Event()
    open_store = Store.open

    def slow(folder: Path, **how: Any) -> Store:
        if folder.name == "bad":
            free.wait(60.0)
        return open_store(folder, **how)

    monkeypatch.setattr(Store, "open", slow)
    keepers.bring_up()
    told = dict(care.troubles)
    good = is_old(tmp_path / "good")
    free.set()
    deadline = time.monotonic() + 20.0
    while care.troubles["bad"] and time.monotonic() < deadline:
        time.sleep(0.01)

    assert "takes long" in told["bad"]
    assert not good
    assert "" == care.troubles["bad"]
