"""A connected socket, at either end: who is there, sending, and an end that takes nothing from the other side."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time

KEEPALIVE_AFTER_S, KEEPALIVE_EVERY_S, KEEPALIVE_TRIES = 60, 15, 4

# A flag of `send` that has it wait for nothing; Windows has none.
_AT_ONCE: int | None = getattr(socket, "MSG_DONTWAIT", None)
_DARWIN_SOL_LOCAL, _DARWIN_PEERCRED, _DARWIN_PEERPID = 0, 1, 2


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """User and process at the other end of a Unix socket, as the kernel knows them; (-1, -1) where it cannot say."""
    if hasattr(socket, "SO_PEERCRED"):
        pid, uid, _gid = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return uid, pid
    if sys.platform == "darwin":
        _version, uid = struct.unpack_from("II", connection.getsockopt(_DARWIN_SOL_LOCAL, _DARWIN_PEERCRED, 76))
        (pid,) = struct.unpack("i", connection.getsockopt(_DARWIN_SOL_LOCAL, _DARWIN_PEERPID, 4))
        return uid, pid
    return -1, -1


def tune(connection: socket.socket) -> None:
    """Send at once, and notice within two minutes that the machine at the other end is gone."""
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_AFTER_S),
        ("TCP_KEEPINTVL", KEEPALIVE_EVERY_S),
        ("TCP_KEEPCNT", KEEPALIVE_TRIES),
    ):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def send_all(connection: socket.socket, data: bytes | memoryview) -> None:
    """Send `data`, however slowly: as long as some of it goes out within the connection's timeout, it goes on."""
    rest = memoryview(data)
    while rest:
        rest = rest[connection.send(rest) :]


def send_at_once(connection: socket.socket, data: bytes | memoryview) -> memoryview:
    """Send of `data` what the other side's buffer takes now; what is left."""
    rest = memoryview(data)
    if _AT_ONCE is not None:
        with contextlib.suppress(BlockingIOError):
            rest = rest[connection.send(rest, _AT_ONCE) :]
    return rest


def send_within(connection: socket.socket, data: bytes | memoryview, timeout_s: float) -> None:
    """Send `data` over a socket that blocks; raises TimeoutError where none of it goes out for so long.

    What the other side's buffer takes at once, which is nearly everything, costs one call of the kernel.
    """
    rest = send_at_once(connection, data)
    if rest:
        connection.settimeout(timeout_s)
        try:
            send_all(connection, rest)
        finally:
            connection.settimeout(None)


def close_orderly(connection: socket.socket, *, linger_s: float) -> None:
    """Stop sending, let the other side finish for a while, close: what it was sent last is not lost by a reset."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        end = time.monotonic() + linger_s
        while (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                break
    connection.close()
