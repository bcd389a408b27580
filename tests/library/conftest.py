"""What the library's tests start from: some services' stores in a folder, and a library over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import apsw
import pytest

from core.library import Library, Shelf
from core.model.clock import ManualClock
from core.model.fact import Change
from core.model.manifest import TypeSpec
from core.store import Origin, Reader, Store
from core.store.words.text import TextIndex

TYPES = {
    "note": TypeSpec(name="note", title="title", text=("text",), time="at", common={"link": "url"}),
    "mail": TypeSpec(name="mail", title="title", text=("text",), time="at"),
    "thing": TypeSpec(name="thing", title="title"),
}
TIMEZONE = "Europe/Berlin"


class Shelves:
    """Stores of services, written by a test and read by a library."""

    def __init__(self, me: Path, clock: ManualClock) -> None:
        self.me = me
        self.clock = clock
        self.types: Mapping[str, TypeSpec] = TYPES
        self._stores: dict[str, Store] = {}
        self._readers: dict[str, Reader] = {}

    def put(self, service: str, *values: Mapping[str, object], type_name: str = "note") -> None:
        """Commit a record for each value, keyed by its `id`, and index it; a `thing` may be given its time."""
        store = self._stores.get(service)
        if store is None:
            folder = self.me / service
            folder.mkdir()
            store = Store.open(folder, types=self.types, origin=Origin(f"device/{service}", 1), clock=self.clock)
            self._stores[service] = store
            self._readers[service] = Reader.open(folder, types=self.types)
        store.commit([_change(type_name, value) for value in values])
        with apsw.Connection(str(store.path)) as db:
            TextIndex(db, self.types).catch_up(100_000)

    def break_one(self, service: str) -> None:
        """Let a service have a store that cannot be read."""
        folder = self.me / service
        folder.mkdir()
        (folder / "store.db").write_bytes(b"This is no database. " * 1000)
        self._readers[service] = Reader.open(folder, types=self.types)

    def find(self) -> Sequence[Shelf]:
        """The shelves, by name."""
        return [Shelf(name, name.title(), self._readers[name], self.types) for name in sorted(self._readers)]

    def close(self) -> None:
        """Close everything."""
        for reader in self._readers.values():
            reader.close()
        for store in self._stores.values():
            store.close()


def _change(type_name: str, value: Mapping[str, object]) -> Change:
    time = value.get("at") if TYPES[type_name].time is None else None
    return Change(
        type=type_name,
        key=str(value["id"]),
        value=dict(value),
        valid_time=time if isinstance(time, float) else None,
    )


@pytest.fixture
def clock() -> ManualClock:
    """A clock at a fixed moment."""
    return ManualClock()


@pytest.fixture
def shelves(tmp_path: Path, clock: ManualClock) -> Iterator[Shelves]:
    """No store yet."""
    made = Shelves(tmp_path, clock)
    yield made
    made.close()


@pytest.fixture
def open_library(shelves: Shelves) -> Iterator[Callable[..., Library]]:
    """Opens a library over the shelves; it is closed after the test."""
    opened: list[Library] = []

    def opener(*, timezone: str = TIMEZONE, find: Callable[[], Sequence[Shelf]] | None = None) -> Library:
        opened.append(Library(find or shelves.find, timezone=timezone, clock=shelves.clock, answer_s_max=1.0))
        return opened[-1]

    yield opener
    for library in opened:
        library.close()


@pytest.fixture
def library(open_library: Callable[..., Library]) -> Library:
    """A library in Berlin."""
    return open_library()
