"""The core's port and the signals that end it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import uvicorn

from core.assembly.lock import LOCK_NAME
from core.gateway import open_listener
from core.model.errors import PortTaken

log = logging.getLogger(__name__)

IPV4, IPV6 = "127.0.0.1", "::1"
FREE_PORT_TRIES = 20
SECOND_SIGNAL_STATUS = 130


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on the port, which is never moved silently; raises PortTaken, naming who holds it.

    With 127.0.0.1 comes ::1 where there is IPv6: a browser may take `locker.localhost` there, and whoever else
    listened on it would be sent the owner's session. Port 0 means any that is free on both.
    """
    for _ in range(FREE_PORT_TRIES):
        sockets = [_listener(host, port)]
        try:
            if host == IPV4:
                sockets += _beside(sockets[0].getsockname()[1])
            return sockets
        except PortTaken:
            sockets[0].close()
            if port:
                raise
    raise PortTaken(f"no port was free on {IPV4} and {IPV6} in {FREE_PORT_TRIES} tries")


def _beside(port: int) -> list[socket.socket]:
    try:
        return [_listener(IPV6, port)]
    except OSError as err:
        log.info("no IPv6 on loopback: %s", err.strerror)
        return []


def _listener(host: str, port: int) -> socket.socket:
    try:
        return open_listener(host, port)
    except PortTaken as err:
        holder = listener_on(port)
        if holder is None:
            raise
        raise PortTaken(f"port {port} is in use by {holder}") from err


def listener_on(port: int) -> str | None:
    """Who listens on the port, in words, as far as the system lets us look; None where nobody is seen."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                if connection.pid is None:
                    return "a program of another user"
                with contextlib.suppress(psutil.Error):
                    return f"{_name_of(psutil.Process(connection.pid))} (process {connection.pid})"
    return None


def _name_of(process: psutil.Process) -> str:
    """What the process is called; of another core, which Me it runs over: that one holds its lock open."""
    with contextlib.suppress(psutil.Error):
        for file in process.open_files():
            if Path(file.path).name == LOCK_NAME:
                return f"another Locker, over {Path(file.path).parent}"
    return str(process.name())


class Server(uvicorn.Server):
    """uvicorn on a socket of ours; signals are not its business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class Signals:
    """SIGINT and SIGTERM: the first asks everything to stop, the second ends the process at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, at_once: Callable[[], None]) -> None:
        self.asked = asyncio.Event()
        self._at_once = at_once
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self._hear)
            except NotImplementedError:  # Windows has no handlers on its loop.
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._hear))

    def _hear(self) -> None:
        if self.asked.is_set():
            self._at_once()
            os._exit(SECOND_SIGNAL_STATUS)
        self.asked.set()
