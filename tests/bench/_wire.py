"""The load generator: HTTP/1.1 on plain sockets, so that what is measured is the server and not the client."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

RECEIVE_BYTES = 1024 * 1024
ANSWER_S_MAX = 60.0
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Place:
    """Where requests go: a port, what stands before every path, and headers that each request carries."""

    port: int
    base: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def request(self, path: str, *, body: bytes = b"", method: str = "") -> bytes:
        """A whole request as bytes."""
        fields = [f"{method or ('POST' if body else 'GET')} {self.base}{path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        fields += [f"{name}: {value}" for name, value in self.headers]
        if body:
            fields += ["Content-Type: application/octet-stream", f"Content-Length: {len(body)}"]
        return "\r\n".join(fields).encode("ascii") + HEAD_END + body


@dataclass(frozen=True)
class Timing:
    """One exchange: when its first byte came, when its last, both in ms from the request; how large the body was."""

    first_ms: float
    last_ms: float
    body_bytes: int


class Refused(Exception):
    """An answer that is not 200: no figure may be made of it."""


class Wire:
    """One kept-alive connection; one exchange at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(RECEIVE_BYTES)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def exchange(self, request: bytes) -> Timing:
        """Send, and read the whole answer; raises Refused unless it is 200."""
        begun = time.perf_counter()
        self._socket.sendall(request)
        data = self._socket.recv(64 * 1024)
        first = time.perf_counter()
        while HEAD_END not in data:
            more = self._socket.recv(64 * 1024)
            if not more:
                raise Refused(f"the connection ended in the head: {data[:200]!r}")
            data += more
        head, _, body = data.partition(HEAD_END)
        _check(head)
        size = self._swallow(head.lower(), body)
        return Timing((first - begun) * 1000, (time.perf_counter() - begun) * 1000, size)

    def _swallow(self, head: bytes, body: bytes) -> int:
        named = head.partition(b"\r\ncontent-length:")
        if not named[1]:
            return self._swallow_chunks(body)
        size = int(named[2].partition(b"\r\n")[0])
        have = len(body)
        while have < size:
            got = self._socket.recv_into(self._buffer)
            if not got:
                raise Refused(f"the answer ended after {have} of {size} bytes")
            have += got
        return size

    def _swallow_chunks(self, data: bytes) -> int:
        total = 0
        while True:
            while b"\r\n" not in data:
                data += self._more()
            size, _, data = data.partition(b"\r\n")
            left = int(size.partition(b";")[0], 16)
            total += left
            left += 2
            while len(data) < left:
                left -= len(data)
                data = self._more()
            data = data[left:]
            if size.strip(b"0") == b"":
                return total

    def _more(self) -> bytes:
        got = self._socket.recv(RECEIVE_BYTES)
        if not got:
            raise Refused("the answer ended in the middle of a chunk")
        return got


@dataclass
class _Caller:
    """One of many that ask at once."""

    socket: socket.socket
    begun: float = 0.0
    data: bytes = b""
    size: int = -1
    timings: list[Timing] = field(default_factory=list)
    first: float = 0.0


class Crowd:
    """Many connections at once, on one thread; every answer must be 200 and bring its length along."""

    def __init__(self, port: int, count: int) -> None:
        self._callers = [_Caller(_connected(port)) for _ in range(count)]

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for caller in self._callers:
            caller.socket.close()

    def ask_once(self, request: bytes) -> list[Timing]:
        """Each asks once, all at the same moment; times count from then."""
        return self._ask(request, each=1)

    def ask_for(self, request: bytes, each: int) -> tuple[list[Timing], float]:
        """Each asks `each` times in a row; every timing, and the seconds that all of it took."""
        begun = time.perf_counter()
        timings = self._ask(request, each=each)
        return timings, time.perf_counter() - begun

    def _ask(self, request: bytes, *, each: int) -> list[Timing]:
        with selectors.DefaultSelector() as selector:
            begun = time.perf_counter()
            for caller in self._callers:
                caller.timings, caller.begun = [], begun
                selector.register(caller.socket, selectors.EVENT_READ, caller)
                caller.socket.sendall(request)
            busy = len(self._callers)
            while busy:
                for key, _ in _ready(selector):
                    caller = key.data
                    if not _take(caller):
                        continue
                    if len(caller.timings) < each:
                        caller.begun = time.perf_counter()
                        caller.socket.sendall(request)
                    else:
                        selector.unregister(caller.socket)
                        busy -= 1
        return [timing for caller in self._callers for timing in caller.timings]


def _ready(selector: selectors.BaseSelector) -> list[tuple[selectors.SelectorKey, int]]:
    found = selector.select(ANSWER_S_MAX)
    if not found:
        raise Refused(f"no answer within {ANSWER_S_MAX:g} s")
    return found


def _take(caller: _Caller) -> bool:
    """Read what came; whether the answer is whole."""
    part = caller.socket.recv(256 * 1024)
    if not part:
        raise Refused(f"the connection ended after {caller.data[:200]!r}")
    if not caller.data:
        caller.first = time.perf_counter()
    caller.data += part
    if caller.size < 0:
        head, end, _ = caller.data.partition(HEAD_END)
        if not end:
            return False
        _check(head)
        caller.size = len(head) + len(end) + int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    if len(caller.data) < caller.size:
        return False
    begun, size = caller.begun, caller.size
    caller.timings.append(Timing((caller.first - begun) * 1000, (time.perf_counter() - begun) * 1000, size))
    caller.data, caller.size = b"", -1
    return True


def _check(head: bytes) -> None:
    if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
        raise Refused(head.partition(b"\r\n")[0].decode("latin-1"))


def _connected(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S_MAX)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


@contextlib.contextmanager
def listening_in(port: int, request: bytes, count: int) -> Iterator[None]:
    """`count` streams that were opened by `request` and of which nothing more is read than their head."""
    lines = []
    try:
        for _ in range(count):
            line = _connected(port)
            lines.append(line)
            line.sendall(request)
            _check(line.recv(64 * 1024))
        yield
    finally:
        for line in lines:
            line.close()
