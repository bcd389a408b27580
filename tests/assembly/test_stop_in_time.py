"""An orderly end within its time, whoever follows a store and stands still meanwhile."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import psutil
import pytest

from core.model.fact import Change
from core.netstore import NetworkStore
from core.store import Entry
from tests.assembly.test_keepers import CHILD, NOTES
from tests.fakes.house import ROOT, House, open_house
from tests.netstore.served import Bare, connected

MUCH = "x" * 50_000


def _prepare(tmp_path: Path) -> str:
    """A core that serves what it writes at a port, with connectors of every kind; the port's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [f"{ROOT}/connectors", f"{ROOT}/tests/fakes/programs", f"{ROOT}/tests/assembly/connectors"]
    made = House(tmp_path)
    (made.config / "locker.toml").write_text(
        f"connector_paths = {[*paths, f'{tmp_path}/connectors']}\nstore_port = {port}\n".replace("'", '"')
    )
    connector = tmp_path / "connectors" / "kept"
    connector.mkdir(parents=True)
    (connector / "connector.toml").write_text(NOTES)
    (connector / "connector.py").write_text(CHILD)
    return f"127.0.0.1:{port}"


@pytest.mark.parametrize("is_awake", [False, True])
def test_followers_that_stand_still_and_a_deaf_child(tmp_path: Path, is_awake: bool) -> None:
    """One at the port, one at a store that is shared, served by the core or its child: all end side by side."""
    address = _prepare(tmp_path)
    with open_house(tmp_path) as house:
        house.install("kept")
        house.install("tally", settings={"count": 1})
        house.install("deaf-to-sigterm")
        token = house.post("/tokens", json={"label": "follower", "scopes": ["all"]}).json()["token"]
        shared = str(house.ask("PUT", "/core/tally/store", json={"open": True}).json()["socket"])
        house.wait(lambda: len(house.records("tally", "number")) == 1, what="the first sync")
        if not is_awake:
            assert house.post("/core/tally/stop").ok
        with (
            socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as at_port,
            connected(Path(shared)) as at_store,
            NetworkStore(address=address, transport="tcp", token=token, service="kept") as kept,
            NetworkStore(address=shared, transport="unix") as tally,
        ):
            Bare(at_port).ask(op="subscribe", token=token, service="kept")
            Bare(at_store).ask(op="subscribe")
            for number in range(100):
                kept.commit([Change(type="note", key=str(number), value={"text": MUCH})])
                tally.append([Entry(type="note", key=str(number), value={"text": MUCH})])
            assert house.get("/Me/deaf-to-sigterm/").ok
            below = house.children()
            began = time.monotonic()
            status = house.stop()
            took_s = time.monotonic() - began
        _, alive = psutil.wait_procs(below, timeout=1)
    said = (house.me / "logs" / "core.log").read_text()

    assert (0, []) == (status, alive), took_s
    assert "ended by force" not in said
    assert took_s < 5.0, took_s
