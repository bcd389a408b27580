"""A store served by its child to the core alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.sdk.wire import Wire
from core.model.clock import SystemClock
from core.model.errors import Forbidden
from core.model.handshake import Greeting
from core.netstore import Cursor, NetworkStore
from core.store import Entry, Origin, Store

KNOCK = """
import sys
from core.model.errors import LockerError
from core.netstore import NetworkStore
try:
    with NetworkStore(sys.argv[1], transport="unix", patience_s=0.2) as store:
        print(store.head())
except LockerError as error:
    print(error.code)
"""


def greeting(folder: Path, *, socket: str | None, core_pid: int) -> Greeting:
    """What the core tells the child."""
    return Greeting(
        port=0, working_directory=str(folder), locker_url="", id="s", uid="u", device="d", core_pid=core_pid,
        source_directory="", external_base="", token="t", key="k", writer_socket=socket,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path):
    """A store that this process writes."""
    folder = tmp_path / "s"
    folder.mkdir(mode=0o700)
    with Store.open(folder, types={}, origin=Origin(log="d/u", epoch=1), clock=SystemClock()) as opened:
        yield opened


def test_the_core_comes_in(store: Store, tmp_path: Path) -> None:
    """What it writes is committed by the child, which hears of it as of its own; afterwards the socket is gone."""
    path = tmp_path / "s" / "writer.sock"
    wire = Wire(greeting(tmp_path / "s", socket=str(path), core_pid=os.getpid()), clock=SystemClock())
    heads: list[int] = []

    def committed(head: int) -> None:
        heads.append(head)
        wire.committed()

    store.on_commit = committed
    wire.serve(store)
    heard: list[str] = []
    with NetworkStore(str(path), transport="unix") as client:
        client.subscribe(lambda fact: heard.append(fact.key))
        client.append([Entry(type="note", key="a", value={})])
        store.append([Entry(type="note", key="b", value={})])
        until = time.monotonic() + 10
        while len(heard) < 2 and time.monotonic() < until:
            time.sleep(0.01)
    wire.close()

    assert ([1, 2], ["a", "b"], 2) == (heads, heard, store.head())
    assert not path.exists()


def test_what_the_child_erases_is_not_told_from_memory(store: Store, tmp_path: Path) -> None:
    """Who comes by the core, and later, hears that it was, not what it said."""
    path = tmp_path / "s" / "writer.sock"
    wire = Wire(greeting(tmp_path / "s", socket=str(path), core_pid=os.getpid()), clock=SystemClock())
    store.on_commit, store.on_removed = lambda _: wire.committed(), wire.removed
    wire.serve(store)
    heard: list[object] = []
    with NetworkStore(str(path), transport="unix") as client:
        client.subscribe(lambda fact: heard.append(fact.value))
        store.append([Entry(type="note", key="a", value={"said": "in confidence"})])
        _wait_for(lambda: len(heard) == 1)
        store.erase(record=("note", "a"), actor="owner")
        client.subscribe(lambda fact: heard.append(fact.value), cursor=Cursor(store.epoch(), 0))
        _wait_for(lambda: len(heard) > 1)
    wire.close()

    assert 1 == heard.count({"said": "in confidence"})


def _wait_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


def test_nobody_else_comes_in(store: Store, tmp_path: Path) -> None:
    """Not even another process of the same user, and not this one where another is the core."""
    paths = []
    for name, core_pid in (("writer.sock", os.getpid()), ("other.sock", 1)):
        paths.append(str(tmp_path / "s" / name))
        wire = Wire(greeting(tmp_path / "s", socket=paths[-1], core_pid=core_pid), clock=SystemClock())
        wire.serve(store)
    done = subprocess.run([sys.executable, "-c", KNOCK, paths[0]], capture_output=True, text=True, timeout=60)
    with pytest.raises(Forbidden), NetworkStore(paths[1], transport="unix", patience_s=0.2) as client:
        client.head()

    assert "forbidden" == done.stdout.strip()


def test_it_is_served_only_where_the_greeting_says_so(store: Store, tmp_path: Path) -> None:
    """Neither without a word of it, nor once the child ends, nor where something is in the way."""
    folder = tmp_path / "s"
    (folder / "blocked.sock").write_text("mine")
    Wire(greeting(folder, socket=None, core_pid=os.getpid()), clock=SystemClock()).serve(store)
    ended = Wire(greeting(folder, socket=str(folder / "late.sock"), core_pid=os.getpid()), clock=SystemClock())
    ended.close()
    ended.serve(store)
    Wire(greeting(folder, socket=str(folder / "blocked.sock"), core_pid=os.getpid()), clock=SystemClock()).serve(store)

    assert {"blocked.sock"} == {one.name for one in folder.iterdir() if one.name.endswith(".sock")}
    assert "mine" == (folder / "blocked.sock").read_text()
