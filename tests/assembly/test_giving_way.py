"""The core's own writer of a shared store: opened when somebody comes, let go when it must be or nobody is there."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.assembly import shared_store
from core.assembly.shared_store import Child, SharedStore
from core.model.clock import SystemClock
from core.model.errors import Retry, TooBusy, WriterBusy
from core.netstore import NetworkStore
from core.store import Appended, Entry, Origin, Store


class Shared:
    """A shared store whose child is what the test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_asleep = True
        self.heads: list[int] = []
        self.store = SharedStore(
            folder,
            service_id="s",
            open_store=self.open,
            child=Child(is_asleep=lambda: self.is_asleep, is_own=lambda _: True),
            is_allowed=lambda _: True,
            committed=self.heads.append,
            clock=SystemClock(),
            idle_s=0.2,
        )

    def open(self) -> Store:
        """Its store, as whoever writes it opens it."""
        return Store.open(self.folder, types={}, origin=Origin(log="d/u", epoch=1), clock=SystemClock())

    def client(self, *, patience_s: float = 10.0) -> NetworkStore:
        """A program of the owner."""
        return NetworkStore(str(self.store.socket), transport="unix", patience_s=patience_s)

    def is_free(self) -> bool:
        """Whether nobody holds the writer's lock."""
        with contextlib.suppress(WriterBusy), self.open():
            return True
        return False


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    """One whose child sleeps."""
    folder = tmp_path / "s"
    folder.mkdir(mode=0o700)
    made = Shared(folder)
    yield made
    made.store.close()
    assert not (folder / "store.sock").exists()


def wait(condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
    """Until it is so."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_is_written_here_only_while_somebody_is_there(shared: Shared) -> None:
    """Not before the first comes; some time after the last has left it is let go."""
    before = shared.store.is_written_here, shared.is_free()
    with shared.client() as client:
        client.append([Entry(type="note", key="a", value={})])
        time.sleep(1.5)
        meanwhile = shared.store.is_written_here, shared.is_free()
    wait(lambda: not shared.store.is_written_here)

    assert ((False, True), (True, False)) == (before, meanwhile)
    assert shared.is_free() and shared.heads == [1]


def test_it_gives_way_under_writers(shared: Shared) -> None:
    """Within seconds the lock is free for the child; what was acknowledged is in the store."""
    stop, acknowledged = threading.Event(), []

    def write() -> None:
        with shared.client(patience_s=0.5) as client, contextlib.suppress(Retry):
            while not stop.is_set():
                entry = Entry(type="note", key=str(len(acknowledged)), value={})
                acknowledged.extend(one for one in client.append([entry]) if isinstance(one, Appended))

    writer = threading.Thread(target=write)
    writer.start()
    wait(lambda: len(acknowledged) > 20)
    shared.is_asleep = False
    began = time.monotonic()
    shared.store.give_way()
    took_s = time.monotonic() - began
    with shared.open() as store:
        kept = store.head()
    stop.set()
    writer.join(30)

    assert took_s < 4 and not writer.is_alive()
    assert len(acknowledged) <= kept <= len(acknowledged) + 1


def test_nobody_is_served_behind_the_childs_back(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the moment the child is to start, new ones wait; where none serves them in time they are told."""
    monkeypatch.setattr(shared_store, "LEAD_S", 0.3)
    shared.is_asleep = False
    with shared.client(patience_s=0.1) as client, pytest.raises(TooBusy):
        client.head()

    assert not shared.store.is_written_here and shared.is_free()


def test_it_waits_for_another_who_writes(shared: Shared) -> None:
    """A command that holds the lock for a while; then it is opened."""
    with shared.client() as client, shared.open() as other:
        threading.Timer(0.5, other.close).start()
        head = client.head()

    assert 0 == head


def test_a_store_that_cannot_be_opened_is_told_of(shared: Shared) -> None:
    """A typed error to each who comes; the next try may do better."""
    shared.open().close()
    (shared.folder / "store.db").write_bytes(b"no database at all" * 1000)
    with shared.client(patience_s=0.2) as client, pytest.raises(Exception) as refused:
        client.head()

    assert refused.value.code in ("file_damaged", "broken")  # type: ignore[attr-defined]
    assert not shared.store.is_written_here
