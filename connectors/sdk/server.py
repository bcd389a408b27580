"""Listening: uvicorn on 127.0.0.1, without the parts of it that a child does not need.

Its main loop would wake ten times a second to renew a date header; a sleeping child sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
import uvicorn.lifespan.off
import uvicorn.protocols.http.httptools_impl  # uvicorn loads it by name when it starts; a warm parent has it before.

from core.model.errors import PortTaken

BACKLOG = 512
GRACE_S = 1


class Server(uvicorn.Server):
    """A uvicorn server that stops when told, and leaves the process's signals alone."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._told = asyncio.Event()

    async def run_on(self, listener: socket.socket, *, ready: Callable[[], None]) -> None:
        """Serve on `listener` until `stop`; `ready` is called once, when requests are answered."""
        self._ready = ready
        await self._serve([listener])

    def stop(self) -> None:
        """End serving: open requests have a moment to finish."""
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        """Wait to be told to stop."""
        self._ready()
        await self._told.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, which has more to stop than a server."""
        yield


def listen(port: int) -> socket.socket:
    """A socket that listens on 127.0.0.1; port 0 takes any that is free. Raises PortTaken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
    except OSError as err:
        listener.close()
        raise PortTaken(f"port {port} of 127.0.0.1 cannot be listened at: {err.strerror}") from err
    return listener
