"""What the kernel tells of its sockets, and that both ways of asking it agree."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from core.process import sockets

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

NO_FAMILY = 9999
ADDRESSES = [("127.0.0.1", socket.AF_INET), ("0.0.0.0", socket.AF_INET), ("::1", socket.AF_INET6)]


@pytest.mark.parametrize(("address", "family"), ADDRESSES)
def test_a_listening_socket_is_told_alike(address: str, family: int) -> None:
    """By the diagnosis and by the tables: where it listens, who opened it, and its inode."""
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        inode = os.readlink(f"/proc/self/fd/{server.fileno()}")[len("socket:[") : -1]
        found = [row for row in sockets.listening_sockets(os.getpid()) if row.local[1] == port]

        assert [((address, port), True, os.getuid(), inode)] == [
            (row.local, row.is_listening, row.uid, row.inode) for row in found
        ]
        assert found == [row for row in sockets.tabled(os.getpid()) if row.local[1] == port]


@pytest.mark.parametrize(("address", "family"), [ADDRESSES[0], ADDRESSES[2]])
def test_a_connection_is_told_alike(address: str, family: int) -> None:
    """Either end of it by its two addresses; one that is not there is none."""
    with (
        socket.create_server((address, 0), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
    ):
        local, remote = client.getsockname()[:2], client.getpeername()[:2]
        found = sockets.diagnosed(local, remote)

        assert [found] == [row for row in sockets.tabled(os.getpid()) if (row.local, row.remote) == (local, remote)]
        assert found is not None and not found.is_listening
        assert sockets.diagnosed(remote, ("127.0.0.1" if family == socket.AF_INET else "::1", 1)) is None


def test_a_socket_for_both_families_is_found_by_its_other_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers open such sockets: the server sees an address of IPv4, whatever the client's own table says."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET6) as client:
        client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
        accepted, seen = server.accept()
        with accepted:
            found = sockets.socket_between(seen, server.getsockname())
            monkeypatch.setattr(socket, "AF_NETLINK", NO_FAMILY)

            assert found is not None
            assert os.readlink(f"/proc/self/fd/{client.fileno()}") == f"socket:[{found.inode}]"
            assert found == sockets.socket_between(seen, server.getsockname())


def test_without_the_diagnosis_the_tables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some kernels have none."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        known = sockets.socket_between(*_ends(client))
        monkeypatch.setattr(socket, "AF_NETLINK", NO_FAMILY)

        assert known == sockets.socket_between(*_ends(client)) is not None
        assert server.getsockname() in [row.local for row in sockets.listening_sockets(os.getpid())]


def _ends(client: socket.socket) -> tuple[sockets.Address, sockets.Address]:
    return client.getsockname(), client.getpeername()
