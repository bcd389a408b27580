"""Whose connection it is."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.process import Holder, connections, holder_of

ROOT = Path(__file__).resolve().parents[2]
CLIENT = "import socket, sys; line = socket.create_connection((sys.argv[1], int(sys.argv[2]))); sys.stdin.read()"
GRANDCHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A server of this process, on either loopback address."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listening:
        listening.settimeout(10)
        yield listening


def _ends(accepted: socket.socket) -> tuple[tuple[str, int], tuple[str, int]]:
    client, server = accepted.getpeername(), accepted.getsockname()
    return (client[0], client[1]), (server[0], server[1])


@pytest.mark.parametrize("code", [[CLIENT], [GRANDCHILD, CLIENT]], ids=["child", "grandchild"])
def test_a_connection_of_a_process_below(listener: socket.socket, code: list[str]) -> None:
    """INV-11: a child's connection is known as one, and a grandchild's."""
    host, port = listener.getsockname()[:2]
    with subprocess.Popen([sys.executable, "-c", *code, host, str(port)], stdin=subprocess.PIPE) as child:
        accepted, _ = listener.accept()
        with accepted:
            known = holder_of(*_ends(accepted))
        for process in [*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)]:
            process.kill()

    assert Holder.BELOW is known


@pytest.mark.parametrize("has_diagnosis", [True, False])
def test_a_connection_of_somebody_else(
    listener: socket.socket, has_diagnosis: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of this process itself, which is not below it, is nobody's below, while others run there."""
    if not has_diagnosis:
        monkeypatch.setattr(socket, "AF_NETLINK", 9999)
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child,
        socket.create_connection(listener.getsockname()[:2]),
    ):
        accepted, _ = listener.accept()
        with accepted:
            known = holder_of(*_ends(accepted))
        child.kill()

    assert Holder.OUTSIDE is known


def test_a_connection_that_is_gone_counts_as_below(listener: socket.socket) -> None:
    """An end that nobody holds may have been anybody's."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        gone = (
            holder_of(("127.0.0.1", 1), listener.getsockname()[:2])
            if listener.family == socket.AF_INET
            else Holder.BELOW
        )
        child.kill()

    assert Holder.BELOW is gone


# A core of its own: it listens, has a child connect and put the socket on its way, and asks who holds it. As an
# ordinary user, from whom another process can hide what it holds; `born` is a child that hides and that the list of
# the core's descendants does not name yet.
CORE = """
import array, ctypes, os, socket, sys, time
from core.process import connections, holder_of

born = sys.argv[1] == "born"
libc = ctypes.CDLL(None)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(int(os.environ["AS_USER"]))
    os.setuid(int(os.environ["AS_USER"]))
    libc.prctl(4, 1, 0, 0, 0)

def forked(run):
    ear, mouth = os.pipe()
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        try:
            run()
            os.write(mouth, b"x")
            time.sleep(60)
        finally:
            os._exit(0)
    os.read(ear, 1)
    return pid

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()

def send_off():
    global ends
    line = socket.socket()
    line.connect(listener.getsockname())
    ends = socket.socketpair()
    ends[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [line.fileno()]))])
    line.close()

children = [forked(send_off)]
if born:
    # The list was made before it was born, each time it is asked for.
    connections._descendants = lambda known=tuple(children): list(known)
    children.append(forked(lambda: libc.prctl(4, 0, 0, 0, 0)))
accepted, _ = listener.accept()
print(holder_of(accepted.getpeername(), accepted.getsockname()).name)
for pid in children:
    os.kill(pid, 9)
"""
HIDING = """
import ctypes, os, sys
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(int(os.environ["AS_USER"]))
    os.setuid(int(os.environ["AS_USER"]))
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
print(flush=True)
sys.stdin.read()
"""


ENDED = HIDING.replace("ctypes.CDLL", "if os.fork() == 0:\n    os._exit(0)\nctypes.CDLL").replace(
    "prctl(4, 0", "prctl(4, 1"
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sockets travel and processes hide on Linux")
@pytest.mark.parametrize(
    ("bystander", "child", "expected"),
    [
        ("", "", Holder.BELOW),
        (HIDING, "", Holder.UNSEEN),
        (ENDED, "", Holder.BELOW),
        ("", "born", Holder.BELOW),
        (HIDING, "born", Holder.BELOW),
    ],
    ids=["alone", "beside-one-that-hides", "beside-one-that-ended", "born", "born-beside-one-that-hides"],
)
def test_a_socket_on_its_way_is_not_taken_for_the_owners(bystander: str, child: str, expected: Holder) -> None:
    """INV-11: beside a program that hides it is at best unseen; a child that hides, or one that ended, is none."""
    if os.getuid() != 0 and bystander != HIDING and not child:
        pytest.skip("programs of this user may hide what they hold; as root the test is another user")
    # A user of its own: what other tests hide is none of its business.
    environment = {**os.environ, "AS_USER": str(100_000 + os.getpid())}
    with contextlib.ExitStack() as stack:
        if bystander:
            command = [sys.executable, "-c", bystander]
            hiding = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
            )
            stack.callback(hiding.kill)
            assert hiding.stdout is not None
            hiding.stdout.readline()
        command = [sys.executable, "-c", CORE, child]
        told = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
        )

    assert (expected.name, "") == (told.stdout.strip(), told.stderr)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who owns a process is read from /proc")
def test_a_process_that_ends_while_it_is_looked_at_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at its folder and the question whose it is; whoever asked the core gets an answer still."""

    def gone(pid: int) -> psutil.Process:
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", gone)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)

    assert not connections._is_ours(1)
