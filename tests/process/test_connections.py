"""Whose connection it is."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from core.process import connections, is_from_below

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
            known = is_from_below(*_ends(accepted))
        for process in [*psutil.Process(child.pid).children(recursive=True), child]:
            process.kill()

    assert known


@pytest.mark.parametrize("ask", [connections._diagnosed, connections._tabled], ids=["diagnosis", "table"])
def test_a_connection_of_somebody_else(listener: socket.socket, ask: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of this process itself, which is not below it, is nobody's below, while others run there."""
    monkeypatch.setattr(connections, "_inode", ask)
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child,
        socket.create_connection(listener.getsockname()[:2]),
    ):
        accepted, _ = listener.accept()
        with accepted:
            known = is_from_below(*_ends(accepted))
        child.kill()

    assert not known


def test_a_connection_that_is_gone_counts_as_below(listener: socket.socket) -> None:
    """An end that nobody holds may have been anybody's."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        gone = (
            is_from_below(("127.0.0.1", 1), listener.getsockname()[:2]) if listener.family == socket.AF_INET else True
        )
        child.kill()

    assert gone


def test_both_ways_of_asking_agree(listener: socket.socket) -> None:
    """The kernel's diagnosis and the table under /proc name the same socket."""
    with socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = listener.accept()
        with accepted:
            ends = _ends(accepted)

            assert connections._tabled(*ends) == connections._diagnosed(*ends) is not None
