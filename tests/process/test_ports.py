"""Who listens on a port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from core.process import ports

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
LISTENER = (
    "import socket, sys\n"
    "server = socket.create_server(('127.0.0.1', 0))\n"
    "print(server.getsockname()[1], flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def listener() -> Iterator[tuple[int, int]]:
    """Another process that listens: its pid and port."""
    command = [sys.executable, "-c", LISTENER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.kill()


def listening(address: str, family: int = socket.AF_INET) -> socket.socket:
    """A listening socket of this process."""
    if family == socket.AF_INET6:
        return socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::")
    return socket.create_server((address, 0))


@pytest.mark.parametrize(
    ("address", "family", "is_reached"),
    [
        ("127.0.0.1", socket.AF_INET, True),
        ("0.0.0.0", socket.AF_INET, True),
        ("::", socket.AF_INET6, True),
        ("::ffff:127.0.0.1", socket.AF_INET6, True),
        ("127.0.0.2", socket.AF_INET, False),
        ("::1", socket.AF_INET6, False),
    ],
)
def test_own_port_counts_where_the_core_can_reach_it(address: str, family: int, is_reached: bool) -> None:
    """A socket counts when a connection to 127.0.0.1 arrives at it."""
    if address.startswith("::ffff"):
        server = socket.socket(family, socket.SOCK_STREAM)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind((address, 0))
        server.listen()
    else:
        server = listening(address, family)
    with server:
        assert is_reached == ports.owns_port(os.getpid(), server.getsockname()[1])


def test_a_port_is_owned_through_descendants(listener: tuple[int, int]) -> None:
    """The process itself and its ancestors own the port; a stranger does not."""
    pid, port = listener

    assert ports.owns_port(pid, port)
    assert ports.owns_port(os.getpid(), port)
    with listening("127.0.0.1") as ours:
        assert not ports.owns_port(pid, ours.getsockname()[1])


def test_a_socket_that_does_not_listen_does_not_count() -> None:
    """Bound is not listening, nor is connected."""
    with socket.socket() as bound, listening("127.0.0.1") as server:
        bound.bind(("127.0.0.1", 0))
        with socket.create_connection(server.getsockname()) as client:
            mine = client.getsockname()[1]

            assert not ports.owns_port(os.getpid(), bound.getsockname()[1])
            assert not ports.owns_port(os.getpid(), mine)


@LINUX
def test_a_port_shared_with_a_stranger_is_not_owned(listener: tuple[int, int]) -> None:
    """INV-11: where a second process listens on the same port, requests could reach that one instead."""
    code = (
        "import socket, sys\n"
        "server = socket.socket()\n"
        "server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
        "server.bind(('127.0.0.1', int(sys.argv[1])))\n"
        "server.listen()\n"
        "print(server.getsockname()[1], flush=True)\n"
        "sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, "0"], text=True, **pipes) as first:  # type: ignore[call-overload]
        port = first.stdout.readline().strip()
        alone = ports.owns_port(first.pid, int(port))
        with subprocess.Popen([sys.executable, "-c", code, port], text=True, **pipes) as second:  # type: ignore[call-overload]
            second.stdout.readline()
            shared = ports.owns_port(first.pid, int(port))
            second.kill()
        first.kill()

        assert (True, False) == (alone, shared)


def test_elsewhere_the_process_table_is_asked(listener: tuple[int, int]) -> None:
    """The way for systems without /proc gives the same answers."""
    pid, port = listener

    assert ports._owns_elsewhere(pid, port)
    assert ports._owns_elsewhere(os.getpid(), port)
    with listening("127.0.0.1") as server:
        assert not ports._owns_elsewhere(pid, server.getsockname()[1])


def test_the_suggested_port_is_free() -> None:
    """It can be bound at once."""
    port = ports.suggested_port()

    with socket.create_server(("127.0.0.1", port)) as server:
        assert port == server.getsockname()[1]
