"""A store that opens while the child starts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.sdk.opening import Opened, Opening
from core.model.clock import ManualClock
from core.model.errors import Broken, WriterBusy
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import Origin, Reader, Store

TYPES = {"thing": TypeSpec(name="thing")}


class Slow:
    """Opens the store of a folder when let."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.go = threading.Event()
        self.faults: list[Exception] = []

    def open(self) -> Store:
        """The store, after `go`."""
        assert self.go.wait(10)
        return Store.open(self.folder, types=TYPES, origin=Origin(log="d/s", epoch=1), clock=ManualClock())

    def opening(self) -> Opening:
        """The store, opening."""
        return Opening(self.open, Reader.open(self.folder, types=TYPES), failed=self.faults.append)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    """A folder whose store opens when let."""
    slow = Slow(tmp_path / "s")
    yield slow
    slow.go.set()


def _fill(folder: Path) -> None:
    with Store.open(folder, types=TYPES, origin=Origin(log="d/s", epoch=1), clock=ManualClock()) as store:
        store.commit([Change(type="thing", key="1", value={"id": 1})])


def test_what_is_there_is_read_before_the_writer_is_ready(slow: Slow) -> None:
    """Records, counts and positions are the same before and after."""
    _fill(slow.folder)
    opening = slow.opening()
    before = opening.reads
    seen = (before.head(), before.counts(), before.epoch())
    slow.go.set()
    after = opening.store

    assert isinstance(before, Reader)
    assert seen == (after.head(), after.counts(), after.epoch())
    assert after is opening.reads
    opening.close()


def test_where_nothing_is_there_yet_the_writer_is_waited_for(slow: Slow) -> None:
    """A cursor must not come from a store that does not exist."""
    opening = slow.opening()
    threading.Timer(0.05, slow.go.set).start()

    assert isinstance(opening.reads, Store)
    assert opening.reads.epoch()
    opening.close()


def test_what_keeps_it_from_opening_is_told_once(slow: Slow) -> None:
    """To whoever asked for it, and to everybody who waits for the store."""
    with Store.open(slow.folder, types=TYPES, origin=Origin(log="d/s", epoch=1), clock=ManualClock()):
        opening = slow.opening()
        slow.go.set()
        for _ in range(2):
            with pytest.raises(Broken) as caught:
                _ = opening.store

            assert isinstance(caught.value.__cause__, WriterBusy)
        opening.close()

    assert [WriterBusy] == [type(fault) for fault in slow.faults]


def test_closing_waits_for_the_opening(slow: Slow) -> None:
    """So that the lock is let go of properly."""
    opening = slow.opening()
    threading.Timer(0.05, slow.go.set).start()
    opening.close()

    with Store.open(slow.folder, types=TYPES, origin=Origin(log="d/s", epoch=1), clock=ManualClock()) as store:
        assert store.was_clean


def test_an_open_store_is_what_it_is(slow: Slow) -> None:
    """For whoever has one already."""
    _fill(slow.folder)
    with Store.open(slow.folder, types=TYPES, origin=Origin(log="d/s", epoch=1), clock=ManualClock()) as store:
        assert store is Opened(store).reads is Opened(store).store
