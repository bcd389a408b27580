"""A store in memory: the same store, of which nothing is left. What every store does is in `tests/contracts`."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from core.model.clock import ManualClock
from core.model.errors import BadRequest, Broken
from core.model.fact import Change
from core.store import Store
from tests.store.conftest import ORIGIN, TYPES


@pytest.fixture
def memory(clock: ManualClock) -> Iterator[Store]:
    """A store in memory."""
    with Store.in_memory(types=TYPES, origin=ORIGIN, clock=clock) as store:
        yield store


def test_closed_it_is_gone(memory: Store) -> None:
    """Neither a record nor a file of it is left, and nobody can write it."""
    memory.commit([Change(type="note", key="a", value={"n": 1})])
    memory.files.put_file(io.BytesIO(b"content"))
    folder = memory.path.parent
    assert 1 == memory.head()
    assert ["files"] == [path.name for path in folder.iterdir()]

    memory.close()
    memory.close()

    assert not folder.exists()
    with pytest.raises(Broken):
        memory.commit([Change(type="note", key="b", value={})])


def test_two_in_memory_keep_apart(memory: Store, clock: ManualClock) -> None:
    """Each has a database of its own."""
    with Store.in_memory(types=TYPES, origin=ORIGIN, clock=clock) as other:
        other.commit([Change(type="note", key="a", value={})])

        assert (0, 1) == (memory.head(), other.head())
        assert memory.epoch() != other.epoch()


def test_what_failed_leaves_everything_before_it(memory: Store) -> None:
    """The writer's connection is dropped then; the database is not."""
    memory.commit([Change(type="note", key="a", value={"n": 1})])

    def fail(_: object) -> None:
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        memory._submit(fail, bulk=False)

    memory.commit([Change(type="note", key="b", value={"n": 2})])
    assert ["a", "b"] == [record.key for record in memory.records("note", limit=9).records]


def test_reading_waits_for_a_transaction_and_sees_none_half_done(memory: Store) -> None:
    """While others write without a pause, every list holds whole commits."""
    done = threading.Event()
    seen: list[set[int]] = []

    def read() -> None:
        while not done.is_set():
            seen.append({record.value["n"] for record in memory.records("note", limit=9).records})

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(200):
        memory.commit([Change(type="note", key=key, value={"n": n}) for key in "abc"])
    done.set()
    reader.join()

    assert seen
    assert all(len(numbers) <= 1 for numbers in seen)
