"""A connector without a core, as its author runs it."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.sdk.alone import NoCore
from connectors.sdk.core_client import Core, CoreClient
from connectors.sdk.testing import ROOT

ADDRESS = re.compile(r"(http://127\.0\.0\.1:\d+/)\?token=(\S+)")


class Alone:
    """A process started with --alone, and its address."""

    def __init__(self, connector: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "connector.py", "--alone", *arguments],
            cwd=connector,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        match = ADDRESS.search(self.process.stdout.readline())
        assert match is not None, self.process.stderr and self.process.stderr.read()
        self.url, self.token = match[1], match[2]

    def get(self, path: str) -> Any:
        """The JSON at a path, asked as a browser with the printed address would."""
        mark = "&" if "?" in path else "?"
        return requests.get(f"{self.url}{path}{mark}token={self.token}", timeout=5).json()

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C; the exit status and the log."""
        self.process.send_signal(signal.SIGINT)
        _, log = self.process.communicate(timeout=10)
        return self.process.returncode, log


@pytest.fixture
def alone(tmp_path: Path, connectors: Path) -> Iterator[Alone]:
    """The counter, counting to five."""
    settings = tmp_path / "settings.toml"
    settings.write_text("count = 5\n")
    started = Alone(connectors / "counter", "--dir", str(tmp_path / "data"), "--settings", str(settings))
    yield started
    if started.process.poll() is None:
        started.process.kill()
    started.process.communicate()


def _counted(alone: Alone) -> int:
    until = time.monotonic() + 10
    while alone.get("status")["status"] != "ok" and time.monotonic() < until:
        time.sleep(0.02)
    return int(alone.get("")["counts"]["number"])


def test_it_syncs_and_serves_by_itself(alone: Alone) -> None:
    """At once, and again by its own schedule; the log is the diary."""
    assert 5 == _counted(alone)
    assert alone.get("status")["streams"]["number"]["next_at"] > time.time()
    assert 2 == len(alone.get("records/number?limit=2")["records"])
    status, log = alone.interrupt()
    assert 0 == status
    assert "next run path=/sync/number" in log


def test_the_address_is_the_key(alone: Alone) -> None:
    """Another website or user of this machine has no token."""
    assert 403 == requests.get(alone.url, timeout=5).status_code
    assert 403 == requests.get(f"{alone.url}?token=wrong", timeout=5).status_code


def test_it_goes_on_where_it_was(alone: Alone, tmp_path: Path, connectors: Path) -> None:
    """The folder is kept, with a key of its own, readable by its owner only."""
    _counted(alone)
    alone.interrupt()
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"count": 8}))
    again = Alone(connectors / "counter", "--dir", str(tmp_path / "data"), "--settings", str(settings))
    try:
        until = time.monotonic() + 10
        while again.get("")["counts"]["number"] != 8 and time.monotonic() < until:
            time.sleep(0.02)
        keys = [record["key"] for record in again.get("records/number")["records"]]
    finally:
        again.interrupt()

    assert [str(n) for n in range(8)] == keys
    assert 0o600 == (tmp_path / "data" / "alone.json").stat().st_mode & 0o777


def test_whatever_the_core_can_be_asked_can_be_asked_alone() -> None:
    """With the same parameters, so that a connector which asks for it runs alone too."""
    asked = [name for name in vars(Core) if not name.startswith("_")]
    client, alone = ({name: _parameters(kind, name) for name in asked} for kind in (CoreClient, NoCore))
    public = {name for name in vars(CoreClient) if not name.startswith("_")}

    assert client == alone == {name: _parameters(Core, name) for name in asked}
    assert public == set(asked)


def _parameters(kind: type, name: str) -> list[tuple[str, object]]:
    found = inspect.signature(getattr(kind, name)).parameters.values()
    return [(one.name, one.kind) for one in found]


def _refused(connectors: Path, folder: Path, *arguments: str) -> str:
    """What is said where it cannot be started."""
    done = subprocess.run(
        [sys.executable, "connector.py", "--alone", "--dir", str(folder / "d"), *arguments],
        cwd=connectors / "counter",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert 0 != done.returncode
    assert "Traceback" not in done.stderr
    return done.stderr


def test_settings_that_cannot_be_read_are_told(tmp_path: Path, connectors: Path) -> None:
    """In one sentence, without a traceback of ours to read through."""
    settings = tmp_path / "settings.toml"
    settings.write_text("count = ")

    assert "neither TOML nor JSON" in _refused(connectors, tmp_path, "--settings", str(settings))
    assert "cannot be read" in _refused(connectors, tmp_path, "--settings", str(tmp_path / "none.toml"))


def test_a_port_that_is_taken_is_told(tmp_path: Path, connectors: Path) -> None:
    """As what it is, with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        said = _refused(connectors, tmp_path, "--port", str(other.getsockname()[1]))

    assert "cannot be listened at" in said and "--port" in said
