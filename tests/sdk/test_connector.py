"""A child from its greeting to its end: real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from connectors.sdk.testing import ROOT, FakeCore
from core.model.handshake import EXIT_STORE_BUSY, LINE_BYTES_MAX


def test_it_announces_a_port_where_it_already_answers(core: FakeCore, connectors: Path) -> None:
    """The line on stdout is the readiness signal: the first request after it is answered."""
    child = core.start(connectors / "counter")

    assert 200 == child.get("/").status_code
    assert "counter" == child.get("/").json()["connector"]


def test_it_listens_on_loopback_only(core: FakeCore, connectors: Path) -> None:
    """binds_loopback_only, for a child as for the core."""
    child = core.start(connectors / "counter")
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("/proc/net/tcp tells who listens; it exists on Linux only")
    entries = [line.split() for line in table.read_text().splitlines()[1:]]
    listening = {e[1] for e in entries if e[3] == "0A" and e[1].endswith(f":{child.port:04X}")}

    assert {f"0100007F:{child.port:04X}"} == listening


@pytest.mark.parametrize("token", [None, "", "wrong", "Bearer x"])
def test_requests_without_the_token_are_refused(core: FakeCore, connectors: Path, token: str | None) -> None:
    """Only the core may ask this port: every route, the data included, is 403 for others."""
    child = core.start(connectors / "puppet")
    headers = {} if token is None else {"X-Locker-Token": token}
    for path in ("/", "/records/thing", "/auth", "/sync", "/echo/x", "/nothing"):
        answer = requests.get(f"http://127.0.0.1:{child.port}{path}", headers=headers, timeout=5)

        assert 403 == answer.status_code
        assert "application/problem+json" == answer.headers["Content-Type"]


def test_end_of_stdin_means_the_core_is_gone(core: FakeCore, connectors: Path) -> None:
    """The child ends by itself within two seconds, its store closed properly."""
    child = core.start(connectors / "counter")
    child.sync()
    started = time.monotonic()

    assert 0 == child.stop()
    assert time.monotonic() - started < 2
    assert not (child.folder / "store.db-wal").exists()


def test_sigterm_ends_it_in_order(core: FakeCore, connectors: Path) -> None:
    """A service accepts being stopped at any time."""
    child = core.start(connectors / "counter")

    assert 0 == child.terminate()


def test_stdin_that_ends_before_the_greeting_ends_the_child() -> None:
    """No core, no child: nothing is printed and nothing is made."""
    process = subprocess.run(
        [sys.executable, "connector.py"],
        cwd=Path(__file__).parent / "connectors" / "counter",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
    )

    assert (0, b"") == (process.returncode, process.stdout)


@pytest.mark.parametrize("line", [b"{}\n", b"not json\n", b"[1]\n", b"x" * (LINE_BYTES_MAX + 1) + b"\n"])
def test_a_greeting_that_is_none_ends_the_child_without_quoting_it(line: bytes) -> None:
    """handshake_never_logged: whatever came may hold a secret."""
    process = subprocess.run(
        [sys.executable, "connector.py"],
        cwd=Path(__file__).parent / "connectors" / "counter",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=line,
        capture_output=True,
        timeout=20,
    )

    assert 0 != process.returncode
    assert b"" == process.stdout
    assert b"xxxxxx" not in process.stderr
    assert b"not json" not in process.stderr


def test_handshake_never_logged(core: FakeCore, connectors: Path) -> None:
    """Token, key and secret settings stay out of the log, even when the author logs them."""
    child = core.start(connectors / "puppet", settings={"password": "hunter2-and-more"})
    child.sync("first")
    child.stop()
    log = "\n".join(child.log)

    assert "password=" in log
    for secret in ("hunter2-and-more", child.greeting.token, child.greeting.key):
        assert secret not in log


def test_me_json_may_be_missing_or_broken(core: FakeCore, connectors: Path) -> None:
    """It is a courtesy of the core: without it the child lives all the same."""
    greeting = core.greeting(connectors / "counter")
    Path(greeting.working_directory, "me.json").write_text("{broken")
    child = core.start(connectors / "counter")

    assert 200 == child.get("/").status_code


def test_a_second_writer_of_the_same_folder_is_refused(core: FakeCore, connectors: Path) -> None:
    """One writer per store: a second child over the same folder ends, saying why, instead of writing."""
    first = core.start(connectors / "counter")
    with contextlib.suppress(AssertionError):  # It may end before it announces itself, or just after.
        core.start(connectors / "counter")
    second = core.children[-1]

    assert EXIT_STORE_BUSY == second.process.wait(10)
    second.end()
    assert "writes this store" in second.log[-1]
    assert "Traceback" not in "\n".join(second.log)
    assert "ok" == first.sync()[0]["status"]


def test_two_services_of_one_connector_live_side_by_side(core: FakeCore, connectors: Path) -> None:
    """Each has its own folder, token and records."""
    one = core.start(connectors / "counter", settings={"count": 2})
    two = core.start(connectors / "counter", service_id="counter-2", settings={"count": 5})
    one.sync()
    two.sync()

    assert (2, 5) == (len(one.records("number")), len(two.records("number")))


def test_unauthorised_serves_auth_and_data(core: FakeCore, connectors: Path) -> None:
    """Before sign-in the child listens, and answers `/`, its data and its sign-in."""
    child = core.start(connectors / "gate")

    assert "auth_required" == child.get("/").json()["status"]
    assert {"records": [], "next": None} == child.get("/records/thing").json()
    assert "required" == child.get("/auth").json()["state"]


def test_sync_before_auth_is_401_json(core: FakeCore, connectors: Path) -> None:
    """A scheduler can tell a service that is not signed in from a wrong path."""
    child = core.start(connectors / "gate")
    answer = child.post("/sync/thing")

    assert (401, "auth_required") == (answer.status_code, answer.json()["type"])
    assert "/Me/gate/auth" in answer.json()["remedy"]


def test_auth_completes_while_running(core: FakeCore, connectors: Path) -> None:
    """The sync routes appear in the server that already listens; it does not announce itself again."""
    child = core.start(connectors / "gate")
    child.post("/auth/token", json={"token": "good-ann"})

    assert "ok" == child.sync()[0]["status"]
    core.wait_for(lambda: [at["path"] for at in core.asked("at")] and True)
    assert "/sync/thing" in [at["path"] for at in core.asked("at")]
    child.stop()
    assert [] == [line for line in child.log if line.startswith("{")]


def test_a_stopped_core_does_not_hang_the_child(core: FakeCore, connectors: Path) -> None:
    """A child whose core has died without closing stdin still ends when told, in time."""
    child = core.start(connectors / "counter")
    core._server.server_close()
    started = time.monotonic()
    child.process.send_signal(signal.SIGTERM)

    assert 0 == child.process.wait(5)
    assert time.monotonic() - started < 3


def test_half_a_request_does_not_keep_it_from_ending(core: FakeCore, connectors: Path) -> None:
    """An open connection is given a moment, not for ever."""
    child = core.start(connectors / "counter")
    with socket.create_connection(("127.0.0.1", child.port)) as connection:
        connection.sendall(b"POST /sync HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

        assert 0 == child.stop()
