"""The outer server as the core needs it: uvicorn on a socket of ours, with every limit set."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any

import uvicorn

from core.gateway.front import FrontLimits, front_protocol
from core.gateway.limits import MESSAGE_BYTES_MAX
from core.model.errors import PortTaken

if sys.platform != "win32":
    import resource

BACKLOG = 512
UNREAD_MS_MAX = 60_000
# Each connection may have one to a child beside it; the rest of the core needs few.
DESCRIPTORS_WANTED = 4096


def server_config(app: Any, *, host: str, port: int, limits: FrontLimits, stop_grace_s: int) -> uvicorn.Config:
    """uvicorn's configuration for the core: on the caller's event loop, every limit set."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        # The caller's own event loop; this server is awaited, never run.
        loop="none",
        http=front_protocol(limits),
        ws="websockets-sansio",
        ws_max_size=MESSAGE_BYTES_MAX,
        # Compressing a message on loopback costs more than it saves.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=stop_grace_s,
    )


def open_listener(host: str, port: int) -> socket.socket:
    """A socket that listens for the core; raises PortTaken. Hand it to `uvicorn.Server.serve(sockets=[…])`.

    Raises this process's own limit of open files as well: most systems set it below what the connections need.
    """
    _allow_descriptors(DESCRIPTORS_WANTED)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            # There it would let two programs share the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Accepted sockets inherit it: the kernel ends a connection whose client reads nothing any more, also
            # when the answer is complete and only waits in a buffer.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS_MAX)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as err:
        listener.close()
        if err.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortTaken(f"port {port} of {host} cannot be had: {os.strerror(err.errno)}") from err
        raise
    listener.setblocking(False)
    return listener


def _allow_descriptors(wanted: int) -> None:
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
