"""What the wire's tests start from: a store, a server of it on a Unix socket and on TCP, and bare connections."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from core.model.clock import ManualClock
from core.model.manifest import TypeSpec
from core.netstore import NetworkStore, ServerLimits, StoreServer
from core.store import Origin, Store
from tests.netstore.served import TOKEN, Bare, Served

ORIGIN = Origin("device/0190a3c4-0000-7000-8000-000000000000", 1)
TYPES = {"note": TypeSpec(name="note", time="written", title="title", text=("body",), common={"title": "title"})}


@pytest.fixture
def clock() -> ManualClock:
    """A clock at a fixed moment."""
    return ManualClock()


@pytest.fixture
def serve(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., Served]]:
    """Opens a store and serves it; the same folder again is the same store, after a restart."""
    opened: list[Served] = []

    def server(*, folder: str = "notes", limits: ServerLimits | None = None) -> Served:
        place = tmp_path / folder
        place.mkdir(mode=0o700, exist_ok=True)
        store = Store.open(place, types=TYPES, origin=ORIGIN, clock=clock)
        running = StoreServer(clock=clock, limits=limits)
        store.on_commit = lambda _: running.committed(store)
        store.on_removed = partial(running.forget, store)
        opened.append(Served(store, running, place))
        return opened[-1]

    yield server
    for served in opened:
        served.close()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    """A new store, served."""
    return serve()


@pytest.fixture
def bare(served: Served) -> Bare:
    """A bare connection to it."""
    return served.bare()


@pytest.fixture(params=["unix", "tcp"])
def client(request: pytest.FixtureRequest, served: Served) -> Iterator[NetworkStore]:
    """A client of it, over each transport."""
    if request.param == "unix":
        made = NetworkStore(str(served.path), transport="unix", patience_s=5)
    else:
        made = NetworkStore(served.tcp_address, token=TOKEN, patience_s=5)
    yield made
    with contextlib.suppress(Exception):
        made.close()
