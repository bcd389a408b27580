"""Connections that check where they lead and end when their time is up.

The address is checked where the socket is opened, after the name was resolved, and that very address is called: a
name that answers differently the second time gains nothing. A redirect opens its own connection, so it is checked too.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.poolmanager import PoolManager

from connectors.sdk.addresses import is_public
from core.model.errors import Forbidden

CONNECT_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 16

MayCall = Callable[[str, int], bool]


class Deadlines:
    """Shuts the sockets of requests whose time is up; one thread for a session, alive only while something waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int, _Watch]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._current = threading.local()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[_Watch]:
        """Bound everything this thread does with a connection inside the block; `.is_over` tells that time ran out."""
        outer: _Watch | None = getattr(self._current, "watch", None)
        if outer is not None:
            # A redirect is sent from inside its request: one time holds for all of it.
            yield outer
            return
        watch = _Watch()
        self._current.watch = watch
        with self._changed:
            heapq.heappush(self._queue, (time.monotonic() + seconds, next(self._order), watch))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="deadlines", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield watch
        finally:
            self._current.watch = None
            watch.finish()
            with self._changed:
                self._changed.notify()

    def watch(self, connection: HTTPConnection) -> None:
        """Have `connection` cut when the time of the request this thread makes is up."""
        watch: _Watch | None = getattr(self._current, "watch", None)
        if watch is not None:
            watch.take(connection)

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._queue and self._queue[0][2].is_done:
                    heapq.heappop(self._queue)
                if not self._queue:
                    self._thread = None
                    return
                left_s = self._queue[0][0] - time.monotonic()
                if left_s > 0:
                    self._changed.wait(left_s)
                    continue
                watch = heapq.heappop(self._queue)[2]
            watch.end()


class _Watch:
    """One request's time: the connections it used, cut at the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: list[HTTPConnection] = []
        self.is_over = False
        self.is_done = False

    def take(self, connection: HTTPConnection) -> None:
        with self._lock:
            self._connections.append(connection)
            if self.is_over:
                _cut(connection)

    def finish(self) -> None:
        """The request has ended: its connections are another's now."""
        with self._lock:
            self.is_done = True

    def end(self) -> None:
        """The time is up."""
        with self._lock:
            if self.is_done:
                return
            self.is_over = True
            for connection in self._connections:
                _cut(connection)


def _cut(connection: HTTPConnection) -> None:
    sock = connection.sock
    if sock is None:
        return
    with contextlib.suppress(OSError, ValueError):
        # The plain socket's shutdown: TLS's own would take the session away under the thread that reads.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class GuardedAdapter(HTTPAdapter):
    """An adapter whose connections go only where `may_call` allows and live until their deadline at most."""

    def __init__(self, *, may_call: MayCall, deadlines: Deadlines) -> None:
        self._guard = (may_call, deadlines)
        super().__init__(pool_connections=CONNECTIONS_MAX, pool_maxsize=CONNECTIONS_MAX, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """The pool, with connections of our own."""
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(*self._guard)


def _pool_classes(may_call: MayCall, deadlines: Deadlines) -> dict[str, type[HTTPConnectionPool]]:
    class Guarded(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, may_call)

        def putrequest(self, *args: Any, **options: Any) -> None:
            deadlines.watch(self)
            super().putrequest(*args, **options)

        def connect(self) -> None:
            deadlines.watch(self)
            super().connect()

    class GuardedSecure(Guarded, HTTPSConnection):
        """The same over TLS."""

    class Plain(HTTPConnectionPool):
        ConnectionCls = Guarded

    class Secure(HTTPSConnectionPool):
        ConnectionCls = GuardedSecure

    return {"http": Plain, "https": Secure}


def _connect(connection: HTTPConnection, may_call: MayCall) -> socket.socket:
    host, port = connection.host.strip("[]").rstrip("."), connection.port or connection.default_port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as err:
        raise NameResolutionError(host, connection, socket.gaierror(str(err))) from err
    if not may_call(host, port):
        found = [entry for entry in found if is_public(str(entry[4][0]))]
        if not found:
            raise Forbidden(
                f"{host} is an address of this machine or its network",
                remedy="Type the address in the service's settings if you mean it.",
            )
    return _first_answering(connection, found)


def _first_answering(connection: HTTPConnection, found: list[Any]) -> socket.socket:
    problem: OSError = OSError("no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            for option in connection.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(CONNECT_TIMEOUT_S)
            sock.connect(address)
        except OSError as err:
            sock.close()
            problem = err
            continue
        if isinstance(connection.timeout, (int, float)):
            sock.settimeout(connection.timeout)
        return sock
    if isinstance(problem, TimeoutError):
        raise ConnectTimeoutError(connection, f"{connection.host} did not answer") from problem
    raise NewConnectionError(connection, f"{connection.host}: {problem}") from problem
