"""What the store's tests start from: a folder, a clock that is moved by hand, a store that is closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.model.clock import ManualClock
from core.model.manifest import TypeSpec
from core.store import Origin, Store

ORIGIN = Origin("device/0190a3c4-0000-7000-8000-000000000000", 1)
TYPES = {
    "note": TypeSpec(
        name="note",
        time="written",
        volatile=("views", "stats.likes"),
        common={"title": "title", "author": "by.name", "at": "written"},
    )
}

OpenStore = Callable[..., Store]


@pytest.fixture
def clock() -> ManualClock:
    """A clock at a fixed moment."""
    return ManualClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A service's working directory, before its first store."""
    made = tmp_path / "Me" / "notes"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def open_store(folder: Path, clock: ManualClock) -> Iterator[OpenStore]:
    """Opens the store of `folder`; what is still open after the test is closed."""
    opened: list[Store] = []

    def opener(*, types: dict[str, TypeSpec] = TYPES, origin: Origin = ORIGIN) -> Store:
        opened.append(Store.open(folder, types=types, origin=origin, clock=clock))
        return opened[-1]

    yield opener
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    """A new store."""
    return open_store()
