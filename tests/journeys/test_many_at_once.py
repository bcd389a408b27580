"""Many at once: waiting requests, waking services, idle listeners."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.fakes.house import ROOT, TOKEN, House, open_house


@pytest.fixture(params=["auto", "plain"])
def house(tmp_path: Path, request: pytest.FixtureRequest):
    """A core that knows the little programs too, with the warm parent and without."""
    (tmp_path / "config").mkdir()
    paths = json.dumps([str(ROOT / "connectors"), str(ROOT / "tests" / "fakes" / "programs")])
    (tmp_path / "config" / "locker.toml").write_text(f'connector_paths = {paths}\nspawn = "{request.param}"\n')
    with open_house(tmp_path) as started:
        yield started


def _starts(house: House, service: str) -> int:
    log = (house.me / "logs" / "core.log").read_text()
    return sum(f"child ready id={service} " in line for line in log.splitlines())


def test_fifty_requests_during_one_cold_start(house: House) -> None:
    """INV-04: fifty answers, one spawn."""
    house.install("slow", settings={})
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: house.get(f"/Me/slow/?n={n}"), range(50)))

    assert [200] * 50 == [answer.status_code for answer in answers]
    assert 1 == _starts(house, "slow")


def test_twenty_services_woken_at_once(house: House) -> None:
    """Twenty cold starts at the same moment on a small machine are twenty answers within their deadline."""
    names = [house.install("feeds", id=f"feeds-{n}")["id"] for n in range(20)]
    began = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda name: house.get(f"/Me/{name}/status"), names))
    took_s = time.monotonic() - began

    assert [200] * 20 == [answer.status_code for answer in answers]
    assert [1] * 20 == [_starts(house, name) for name in names]
    assert took_s < 40


def test_five_hundred_idle_event_streams(house: House) -> None:
    """Five hundred listeners cost little, leave everybody else alone, all hear, and are forgotten when they leave."""
    assert house.process is not None
    core = psutil.Process(house.process.pid)
    house.install("node-minimal")
    assert house.get("/Me/node-minimal/").ok
    before = core.memory_info().rss
    request = (
        f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Accept: text/event-stream\r\n\r\n"
    ).encode()
    streams = [socket.create_connection(("127.0.0.1", house.port), timeout=20) for _ in range(500)]
    try:
        for stream in streams:
            stream.sendall(request)
        heads = [stream.recv(4096) for stream in streams]
        grown = core.memory_info().rss - before
        began = time.monotonic()
        assert house.get("/map").ok
        took_s = time.monotonic() - began
        house.post("/core/node-minimal/stop")
        heard = sum(b"event: service" in _until(stream, b"event: service") for stream in streams)
    finally:
        for stream in streams:
            stream.close()

    assert 500 == sum(head.startswith(b"HTTP/1.1 200") for head in heads)
    assert 500 == heard
    assert grown < 30 * 1024 * 1024, grown
    assert took_s < 1.0
    house.wait(lambda: _connections(house) < 20, timeout_s=5, what="an end of every stream")


def _until(stream: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        part = stream.recv(65536)
        if not part:
            break
        data += part
    return data


def _connections(house: House) -> int:
    """How many connections clients have to the core."""
    assert house.process is not None
    connections = psutil.Process(house.process.pid).net_connections(kind="tcp")
    return sum(c.status == psutil.CONN_ESTABLISHED and c.laddr.port == house.port for c in connections)


def test_a_client_that_leaves_takes_nobody_with_it(house: House) -> None:
    """client_leaves_while_waiting: half of those who wait hang up; the other half is answered, by one child."""
    house.install("slow", settings={})
    gone = threading.Barrier(11)

    def leave(_: int) -> None:
        with socket.create_connection(("127.0.0.1", house.port), timeout=10) as stream:
            head = f"GET /Me/slow/ HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            stream.sendall(head.encode())
            gone.wait(10)

    with ThreadPoolExecutor(21) as pool:
        leaving = [pool.submit(leave, n) for n in range(10)]
        staying = [pool.submit(house.get, f"/Me/slow/?n={n}") for n in range(10)]
        gone.wait(10)
        answers = [each.result().status_code for each in staying]
        [each.result() for each in leaving]

    assert [200] * 10 == answers
    assert 1 == _starts(house, "slow")
