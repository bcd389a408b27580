"""Where a store is served: sockets that are the owner's alone, addresses of both kinds, ports."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.model.errors import (
    AlreadyRunning,
    BadRequest,
    FolderUnusable,
    NotFound,
    PortTaken,
)
from core.netstore import (
    Door,
    NetworkStore,
    StoreServer,
    one_store,
    parse_address,
    socket_path,
)
from tests.netstore.served import TOKEN, Served, grants

ROOT = Path(__file__).resolve().parents[2]
SERVE_AND_WAIT = """
import sys, time
from pathlib import Path
from core.model.clock import SystemClock
from core.netstore import Door, StoreServer
server = StoreServer(clock=SystemClock())
server.serve_unix(Path(sys.argv[1]), Door(store_of=lambda service: None))
print("ready", flush=True)
time.sleep(60)
"""


def test_s06_the_socket_is_the_owner_s_alone(served: Served) -> None:
    """0600 in 0700, and gone after the end."""
    mode = stat.S_IMODE(served.path.lstat().st_mode)
    served.server.stop()

    assert 0o600 == mode
    assert not served.path.exists()


def test_s06_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    """Somebody else could put a socket of their own there."""
    tmp_path.chmod(0o755)
    with StoreServer(clock=ManualClock()) as server, pytest.raises(FolderUnusable):
        server.serve_unix(tmp_path / "store.sock", Door(store_of=lambda _: _none()))


def test_s06_a_socket_left_by_a_killed_server_is_replaced(tmp_path: Path) -> None:
    """Killed without a word, its socket stays; the next server takes its place."""
    tmp_path.chmod(0o700)
    path = tmp_path / "store.sock"
    server = subprocess.Popen([sys.executable, "-c", SERVE_AND_WAIT, path], cwd=ROOT, stdout=subprocess.PIPE)
    assert server.stdout is not None
    with server.stdout:
        assert b"ready\n" == server.stdout.readline()
    server.send_signal(signal.SIGKILL)
    server.wait(10)
    assert path.exists()

    with StoreServer(clock=ManualClock()) as second:
        assert path == second.serve_unix(path, Door(store_of=lambda _: _none()))


def test_s06_beside_a_live_server_none_starts(served: Served) -> None:
    """Its socket is left as it is, and it goes on."""
    with StoreServer(clock=ManualClock()) as second, pytest.raises(AlreadyRunning):
        second.serve_unix(served.path, Door(store_of=one_store(served.store)))

    assert served.bare().ask(op="ping")["pong"]


def test_s06_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """A file of that name is somebody's."""
    tmp_path.chmod(0o700)
    path = tmp_path / "store.sock"
    path.write_text("mine")
    with StoreServer(clock=ManualClock()) as server, pytest.raises(FolderUnusable):
        server.serve_unix(path, Door(store_of=lambda _: _none()))

    assert "mine" == path.read_text()


def test_s06_a_path_too_long_has_a_short_name(served: Served, tmp_path: Path) -> None:
    """Server and client find the same one by the same rule; up to 100 bytes it is the path itself."""
    base = len(os.fsencode(tmp_path / "x"))
    folders = [tmp_path / ("d" * (100 - len("/store.sock") - base + 1)), tmp_path / ("e" * 120)]
    for folder in folders:
        folder.mkdir(mode=0o700)
    fits, long = (folder / "store.sock" for folder in folders)
    place = served.server.serve_unix(long, Door(store_of=one_store(served.store)))

    assert (100, fits) == (len(os.fsencode(fits)), socket_path(fits))
    assert place == socket_path(long) != long
    assert len(os.fsencode(place)) <= 100
    with NetworkStore(str(long), transport="unix") as client:
        assert served.store.epoch() == client.epoch()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:7400", ("127.0.0.1", 7400)),
        ("[::1]:7400", ("::1", 7400)),
        ("[::1]", ("::1", 7400)),
        ("::1", ("::1", 7400)),
        ("localhost", ("localhost", 7400)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_s20_addresses_of_both_kinds_are_read(text: str, expected: tuple[str, int]) -> None:
    """The port is behind the bracket, not behind the first colon."""
    assert expected == parse_address(text)


@pytest.mark.parametrize("text", ["", ":7400", "[::1", "[::1]7400", "127.0.0.1:x", "127.0.0.1:70000", "[]:1", "a:-1"])
def test_s20_what_is_no_address_is_refused(text: str) -> None:
    """With an example of one."""
    with pytest.raises(BadRequest):
        parse_address(text)


def test_s20_ipv6_is_served(served: Served) -> None:
    """The loopback address of the newer kind."""
    try:
        host, port = served.server.serve_tcp("[::1]:0", Door(store_of=one_store(served.store), grant_of=grants))
    except PortTaken as err:
        pytest.skip(f"no IPv6 here: {err}")
    with NetworkStore(f"[{host}]:{port}", token=TOKEN) as client:
        assert 0 == client.head()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.168.1.5:7400", "[::]:0", "example.org:80", "8.8.8.8:53"])
def test_s24_other_addresses_than_loopback_are_refused(served: Served, address: str) -> None:
    """The store is not served to a network."""
    with pytest.raises(BadRequest):
        served.server.serve_tcp(address, Door(store_of=one_store(served.store), grant_of=grants))


def test_the_same_port_twice_is_told(served: Served) -> None:
    """Another program has it."""
    with StoreServer(clock=ManualClock()) as second, pytest.raises(PortTaken):
        second.serve_tcp(served.tcp_address, Door(store_of=one_store(served.store), grant_of=grants))


def _none() -> Any:
    raise NotFound("nothing is served here")
