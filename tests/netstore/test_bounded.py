"""Whole frames made to cost much: what strangers may send is small, and what all others send is worked at in turn."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model.frames import FRAME_BYTES_MAX, encode_frame
from core.netstore.server.allowance import Allowance
from tests.contracts.waiting import wait_until
from tests.netstore.served import TOKEN, Bare, Served, connected, fact

STRANGER_BYTES_MAX = 64 * 1024
# Each pair of brackets costs three bytes here and 72 there.
BRACKETS = b",".join([b"{}"] * (FRAME_BYTES_MAX // 6))
AUTH = encode_frame(b'{"op":"auth","token":"%s"}' % TOKEN.encode())


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[int, Path, int]]:
    """The port and the socket of a store served in a process of its own, and that process."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    command = [sys.executable, "-m", "core.cli", "store", "serve", str(tmp_path / "s"), "--create"]
    process = subprocess.Popen(
        [*command, "--tcp", "127.0.0.1:0", "--token-file", str(token)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    port = int(process.stdout.readline().rpartition("port ")[2].strip(". \n"))
    yield port, tmp_path / "s" / "store.sock", process.pid
    process.terminate()
    process.wait(20)
    process.stdout.close()


def peak_mib(pid: int) -> int:
    """The most memory that a process had so far."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_s13_frames_of_strangers_cost_nothing(address: tuple[int, Path, int]) -> None:
    """Before a token whole frames are refused by their length, whatever they hold."""
    port, _, pid = address
    frame = encode_frame(b'{"op":"ping","x":[' + BRACKETS + b"]}")
    before = peak_mib(pid)
    refused = []
    for _ in range(16):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            bare = Bare(connection)
            with contextlib.suppress(OSError):  # It need not be taken to its end.
                connection.sendall(frame)
            refused.append(bare.reply()["error_code"])

    assert ["frame_too_large"] * 16 == refused
    assert peak_mib(pid) - before < 20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_s13_frames_at_once_cost_less_than_each_alone(address: tuple[int, Path, int]) -> None:
    """One frame costs many times its size, six at once far less than six times that; all of them are answered."""
    _, path, pid = address
    idle = peak_mib(pid)
    frame = encode_frame(b'{"op":"ping","x":[' + BRACKETS + b"]}")
    answers: list[dict[str, object]] = []

    def ask() -> None:
        with connected(path) as connection:
            bare = Bare(connection)
            connection.settimeout(60)
            connection.sendall(frame)
            answers.append(bare.reply())

    ask()
    one = peak_mib(pid)
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [{"ok": True, "pong": True}] * 7 == answers
    # Their texts are held side by side; read they are two at a time.
    assert peak_mib(pid) - idle < 3 * (one - idle)


def test_a_stranger_s_frame_is_small(served: Served) -> None:
    """As large as it may be it is answered; larger, it is refused with the size that it may have."""
    bare, large = served.bare_tcp(), served.bare_tcp()
    pad = STRANGER_BYTES_MAX - len(b'{"op":"ping","x":""}')
    bare.socket.sendall(encode_frame(b'{"op":"ping","x":"%s"}' % (b"x" * pad)))
    large.socket.sendall(encode_frame(b'{"op":"ping","x":"%s"}' % (b"x" * (pad + 1))))
    refused = large.reply()

    assert bare.reply()["pong"]
    assert ("frame_too_large", STRANGER_BYTES_MAX) == (refused["error_code"], refused["max_frame"])
    assert large.is_closed()


def test_behind_the_token_a_frame_may_be_large(served: Served) -> None:
    """Also where both were sent together."""
    bare = served.bare_tcp()
    text = "x" * (2 * STRANGER_BYTES_MAX)
    bare.socket.sendall(AUTH)
    bare.send({"op": "ping"}, {"op": "write_fact", "fact": fact(1, value={"text": text})}, {"op": "ping"})

    assert [True] * 4 == [bare.reply()["ok"] for _ in range(4)]
    assert [{"text": text}] == [one.value for one in served.store.facts(0, limit=10)]


def test_who_follows_asks_for_nothing_large(served: Served) -> None:
    """There only `close` is an op: a large frame is refused by an event, and ends it."""
    bare = served.bare()
    bare.ask(op="subscribe")
    bare.send({"op": "ping", "x": "x" * STRANGER_BYTES_MAX})
    event = bare.reply()

    assert ("error", "frame_too_large") == (event["event"], event["error_code"])
    assert STRANGER_BYTES_MAX == event["max_frame"]
    assert bare.is_closed()


def test_an_allowance_is_had_in_turn() -> None:
    """Who wants much is not passed by for ever by those who want little; more than there is, is all of it."""
    allowance = Allowance(10)
    done: list[str] = []
    first = allowance.take(8)
    first.__enter__()

    def take(name: str, size: int) -> None:
        with allowance.take(size):
            done.append(name)

    threads = []
    for name, size in (("much", 99), ("little", 1)):
        threads.append(threading.Thread(target=take, args=(name, size)))
        threads[-1].start()
        threading.Event().wait(0.05)
    waited = list(done)
    first.__exit__(None, None, None)
    wait_until(lambda: len(done) == 2)
    for thread in threads:
        thread.join(5)

    assert ([], ["much", "little"]) == (waited, done)
