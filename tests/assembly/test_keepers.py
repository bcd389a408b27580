"""Stores that the core writes: open while their service is enabled, served to its own programs and the owner's."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.cli.running_core import borrowed
from core.model.errors import LockerError, Retry, TokenRequired
from core.model.fact import Change
from core.netstore import Cursor, NetworkStore
from tests.fakes.house import ROOT, House, open_house
from tests.netstore.served import Bare, connected

NOTES = """
name = "kept"
title = "Kept"
writer = "core"
run = "python connector.py"
[types.note]
title = "text"
"""
CHILD = """
import http.server, json, socket, struct, sys, zlib

def knock(path):
    body = b'{"op":"stats"}'
    with socket.socket(socket.AF_UNIX) as store:
        store.settimeout(10)
        store.connect(path)
        store.sendall(struct.pack(">I", len(body)) + body + struct.pack(">I", zlib.crc32(body)))
        size = struct.unpack(">I", store.recv(4, socket.MSG_WAITALL))[0]
        return store.recv(size, socket.MSG_WAITALL)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        own = {"/": {}, "/token": {"token": greeting["token"]}}.get(self.path)
        answer = knock(self.path) if own is None else json.dumps(own).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *args): pass

greeting = json.loads(sys.stdin.readline())
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(json.dumps({"port": server.server_address[1]}), flush=True)
server.serve_forever()
"""


@pytest.fixture
def house(tmp_path: Path):
    """A core with a connector whose store it writes."""
    connector = tmp_path / "connectors" / "kept"
    connector.mkdir(parents=True)
    (connector / "connector.toml").write_text(NOTES)
    (connector / "connector.py").write_text(CHILD)
    made = House(tmp_path)
    (made.config / "locker.toml").write_text(f'connector_paths = ["{ROOT}/connectors", "{tmp_path}/connectors"]\n')
    with open_house(tmp_path) as started:
        yield started


def test_a_program_of_the_owner_writes_and_the_core_tells(house: House) -> None:
    """Through the socket in the service's folder, without any token; the change is heard of as an event."""
    house.install("kept")
    with NetworkStore(address=str(house.me / "kept" / "store.sock"), transport="unix") as store:
        store.commit([Change(type="note", key="a", value={"text": "Buy milk"})])

        assert 1 == store.head()
    with house.get("/events?types=note&since=0", stream=True) as stream:
        line = next(line for line in stream.iter_lines(decode_unicode=True) if line.startswith("data: "))
    assert "Buy milk" in line


def test_the_store_is_let_go_with_its_service(house: House) -> None:
    """Nobody is served while it is switched off; enabling serves it again, with what it held."""
    house.install("kept")
    address = str(house.me / "kept" / "store.sock")
    with NetworkStore(address=address, transport="unix") as store:
        store.commit([Change(type="note", key="a", value={"text": "Buy milk"})])
    house.post("/core/kept/disable")
    with pytest.raises(LockerError), NetworkStore(address=address, transport="unix", patience_s=0.2) as store:
        store.head()
    house.post("/core/kept/enable")
    with NetworkStore(address=address, transport="unix") as store:
        assert 1 == store.head()


def test_the_core_ends_in_order_whoever_does_not_read(house: House) -> None:
    """A program that follows the store and stands still holds up nothing."""
    house.install("kept")
    place = house.me / "kept" / "store.sock"
    with connected(place) as connection, NetworkStore(address=str(place), transport="unix") as store:
        Bare(connection).ask(op="subscribe")
        for number in range(100):
            store.commit([Change(type="note", key=str(number), value={"text": "x" * 50_000})])

        assert 0 == house.stop()


def test_another_services_process_is_kept_out(house: House) -> None:
    """Of the processes below the core, only the service's own may come in."""
    for name in ("kept", "kept-2"):
        house.post("/core/" + name + "/install", json={"connector": "kept"})
    path = f"{house.me}/kept/store.sock"
    own = house.get(f"/Me/kept{path}").json()
    foreign = house.get(f"/Me/kept-2{path}").json()

    assert own["ok"]
    assert (False, "forbidden") == (foreign["ok"], foreign["error_code"])


def test_at_the_port_a_token_is_asked_for(tmp_path: Path) -> None:
    """Where the owner asked for one; an app's token opens what it opens over HTTP."""
    with at_the_port(tmp_path) as (started, address):
        token = started.post("/tokens", json={"label": "notes", "scopes": ["all"]}).json()["token"]
        with NetworkStore(address=address, transport="tcp", token=token, service="kept") as store:
            store.commit([Change(type="note", key="a", value={"text": "Buy milk"})])
            assert 1 == store.head()
        with NetworkStore(address=address, transport="tcp", service="kept") as store:
            for ask in (store.counts, store.head):
                with pytest.raises(TokenRequired):
                    ask()


def test_what_a_deleted_token_had_open_at_the_port_ends(tmp_path: Path) -> None:
    """Nothing is written with it from then on, its subscription ends, and another token's connection goes on."""
    with at_the_port(tmp_path) as (house, address), contextlib.ExitStack() as stack:
        made = [house.post("/tokens", json={"label": "x", "scopes": ["all"]}).json() for _ in range(2)]
        writer, follower, other = (Bare(stack.enter_context(connected_to(address))) for _ in range(3))
        for bare, one in ((writer, made[0]), (follower, made[0]), (other, made[1])):
            bare.ask(op="auth", token=one["token"], service="kept")
        before = writer.ask(op="write", store="note", key="a", value={})
        follower.ask(op="subscribe")
        house.ask("DELETE", f"/tokens/{made[0]['id']}")
        with contextlib.suppress(OSError):  # It may be over already.
            writer.send({"op": "write", "store": "note", "key": "b", "value": {}})
        refused, last = writer.reply(), follower.reply()
        ends = [writer.is_closed(), follower.is_closed()]
        stays = other.ask(op="read", store="note", key="b")

    assert ("accepted", "unauthorized") == (before["status"], refused["error_code"])
    assert ("error", "unauthorized") == (last["event"], last["error_code"])
    assert [True, True] == ends
    assert (True, False) == (stays["ok"], stays["found"])


def test_what_a_service_s_token_had_open_at_the_port_ends_with_its_child(tmp_path: Path) -> None:
    """Whichever of its programs had the token of that launch."""
    with at_the_port(tmp_path) as (house, address):
        token = house.get("/Me/kept/token").json()["token"]
        with connected_to(address) as connection:
            bare = Bare(connection)
            scopes = bare.ask(op="auth", token=token)["scopes"]
            written = bare.ask(op="write", store="note", key="a", value={})
            house.post("/core/kept/disable")
            last = bare.reply()
            is_over = bare.is_closed()

    assert (["read", "write"], "accepted") == (scopes, written["status"])
    assert ("unauthorized", True) == (last["error_code"], is_over)


def test_at_the_port_nothing_is_told_that_is_gone(tmp_path: Path) -> None:
    """Neither what was erased over HTTP, to whoever comes later, nor anything once the service is switched off."""
    with at_the_port(tmp_path) as (started, address):
        token = started.post("/tokens", json={"label": "notes", "scopes": ["all"]}).json()["token"]
        place = str(started.me / "kept" / "store.sock")
        with (
            NetworkStore(address=address, transport="tcp", token=token, service="kept") as tcp,
            NetworkStore(address=place, transport="unix") as unix,
            socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as connection,
        ):
            bare = Bare(connection)
            heard: list[str] = []
            for store in (tcp, unix):
                store.subscribe(lambda fact: heard.append(str(fact.value)))
            tcp.commit([Change(type="note", key="a", value={"text": "in confidence"})])
            started.wait(lambda: len(heard) == 2)
            erased = started.post("/Me/kept/retention/erase", json={"type": "note", "key": "a"})
            start = Cursor(tcp.epoch(), 0)
            later: list[str] = []
            for store in (tcp, unix):
                store.subscribe(lambda fact: later.append(str(fact.value)), cursor=start)
            started.wait(lambda: len(later) >= 4)
            bare.ask(op="subscribe", token=token, service="kept")
            started.post("/core/kept/disable")
            last = bare.reply()
            is_closed = bare.is_closed()

    assert 200 == erased.status_code
    assert "in confidence" not in "".join(later)
    assert ("draining", True) == (last["event"], is_closed)


def test_at_the_port_a_store_that_a_command_has_is_to_be_asked_for_again(tmp_path: Path) -> None:
    """It is there, though not just now; afterwards it is served as before."""
    with at_the_port(tmp_path) as (started, address):
        token = started.post("/tokens", json={"label": "notes", "scopes": ["all"]}).json()["token"]
        options: dict[str, Any] = {"address": address, "transport": "tcp", "token": token, "service": "kept"}
        with (
            borrowed(started.me, "kept"),
            NetworkStore(**options, patience_s=0) as store,
            pytest.raises(Retry, match="A command works on the store"),
        ):
            store.head()
        with NetworkStore(**options) as store:
            assert 0 == store.head()


def connected_to(address: str) -> socket.socket:
    """A connection to `host:port`."""
    host, port = address.split(":")
    return socket.create_connection((host, int(port)))


@contextlib.contextmanager
def at_the_port(tmp_path: Path) -> Iterator[tuple[House, str]]:
    """A core with the connector, and the address at which it serves what it writes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    house = House(tmp_path)
    (house.config / "locker.toml").write_text(
        f'connector_paths = ["{ROOT}/connectors", "{tmp_path}/connectors"]\nstore_port = {port}\n'
    )
    connector = tmp_path / "connectors" / "kept"
    connector.mkdir(parents=True)
    (connector / "connector.toml").write_text(NOTES)
    (connector / "connector.py").write_text(CHILD)
    with open_house(tmp_path) as started:
        started.install("kept")
        yield started, f"127.0.0.1:{port}"


def test_a_store_of_an_earlier_version_is_brought_up_at_start(house: House) -> None:
    """Its records are on the page before its connector ever runs again; what it was is kept beside it."""
    house.install("kept")
    house.stop()
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (house.me / "kept" / name).unlink(missing_ok=True)
    shutil.copy(ROOT / "tests" / "data" / "stores" / "version1.db", house.me / "kept" / "store.db")
    house.start()

    assert 3 == house.get("/Me/kept/types").json()["types"]["note"]["count"]
    assert (house.me / "kept" / "store.db.before-v2").exists()
