"""A shared store against a model of a few lines, while it changes hands: after every step both say the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.netstore import NetworkStore
from core.store import Appended, AtSeq, Entry
from tests.assembly.test_shared_store import install, kill_child, opened
from tests.fakes.house import House

KEYS = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.integers(0, 3)),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.sampled_from(["wake", "stop", "kill", "sync", "shut"])),
)
_types = itertools.count()


class Model:
    """What the store holds of one type: every fact in order."""

    def __init__(self) -> None:
        self.log: list[tuple[int, str, dict[str, Any] | None]] = []

    def state(self, at: int | None = None) -> dict[str, Any]:
        """The records as of a position."""
        found = {key: value for seq, key, value in self.log if at is None or seq <= at}
        return {key: value for key, value in found.items() if value is not None}

    def history(self, key: str) -> list[int]:
        """The versions of one record, newest first."""
        return [seq for seq, name, _ in reversed(self.log) if name == key]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, str]]:
    """One core for all examples, and where the store is reached."""
    with opened(tmp_path_factory.mktemp("house")) as house:
        yield house, install(house, count=1_000_000, pause_s=0.05)


def do(house: House, store: NetworkStore, model: Model, kind: str, step: tuple[Any, ...]) -> None:
    """One step, in the store and in the model."""
    name, *rest = step
    if name in ("put", "delete"):
        value = {"n": rest[1]} if name == "put" else {}
        entry = Entry(type=kind, key=rest[0], value=value, action=name)
        (done,) = store.append([entry])
        assert isinstance(done, Appended)
        model.log.append((done.seq, rest[0], value if name == "put" else None))
    elif name == "kill":
        kill_child(house)
    elif name == "shut":
        for is_open in (False, True):
            assert house.ask("PUT", "/core/tally/store", json={"open": is_open}).ok
    else:
        how = {"wake": ("GET", "/Me/tally/"), "stop": ("POST", "/core/tally/stop"), "sync": ("POST", "/Me/tally/sync")}
        house.wait(lambda: house.ask(*how[name]).ok, what=name)


def compare(store: NetworkStore, model: Model, kind: str) -> None:
    """Records now and at every earlier position, histories, and the log itself."""
    assert model.state() == {one.key: one.value for one in store.records(kind, limit=100).records}
    for seq, _, _ in model.log:
        page = store.records(kind, limit=100, as_of=AtSeq(seq))
        assert model.state(seq) == {one.key: one.value for one in page.records}
    for key in {key for _, key, _ in model.log}:
        assert model.history(key) == [fact.seq for fact in store.history(kind, key, limit=100).facts]


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=1, max_size=12))
def test_the_store_says_what_the_model_says(running: tuple[House, str], steps: list[tuple[Any, ...]]) -> None:
    """Whoever serves, and whatever happened to who served before."""
    house, path = running
    kind, model = f"kind{next(_types)}", Model()
    with NetworkStore(path, transport="unix", patience_s=30) as store:
        for step in steps:
            do(house, store, model, kind, step)
            compare(store, model, kind)
        facts = [(fact.seq, fact.key) for fact in store.replay() if fact.type == kind]

    assert [(seq, key) for seq, key, _ in model.log] == facts
