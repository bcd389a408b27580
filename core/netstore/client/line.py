"""A client's connection: requests out, replies in, and the same again when the server was away for a while."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from core.model.errors import BadRequest, Broken, LockerError, Retry
from core.model.fact import JsonObject
from core.model.frames import BadFrame, FrameReader, encode_frame
from core.netstore import protocol
from core.netstore.limits import PIPELINED_MAX, REPLY_BYTES_MAX
from core.netstore.listening import parse_address, socket_path
from core.netstore.sockets import close_orderly, tune

T = TypeVar("T")
Form = TypeVar("Form", bound=msgspec.Struct)
Transport = Literal["tcp", "unix"]

WINDOW_BYTES_MAX = 64 * 1024
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.05, 5.0
LINGER_S = 1.0
REST_S = 1.0
# A reply is mostly small; of a larger one much more is asked for at once.
_RECEIVE_BYTES, _RECEIVE_MUCH_BYTES = 16 * 1024, 256 * 1024
# What a server that is busy, full or about to stop says to a new connection: another try may do.
_PASSING = ("too_many_connections", "draining")


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a store is served, and what opens it; the token stays out of every text."""

    address: str
    transport: Transport
    token: str | None = None
    service: str | None = None

    def __repr__(self) -> str:
        return f"{self.transport} {self.address}"

    def connect(self, timeout_s: float) -> socket.socket:
        """A connection that waits at most `timeout_s` for each thing."""
        if self.transport == "tcp":
            connection = socket.create_connection(parse_address(self.address), timeout_s)
            tune(connection)
            return connection
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(str(socket_path(Path(self.address))))
        except BaseException:
            connection.close()
            raise
        return connection


class Wire:
    """One open connection, greeted; not thread-safe."""

    def __init__(self, address: Address, *, timeout_s: float) -> None:
        self._reader = FrameReader(bytes_max=REPLY_BYTES_MAX)
        self._connection = address.connect(timeout_s)
        try:
            self.greeting = self.ask(_greeting(address))
        except BaseException:
            self._connection.close()
            raise

    def ask(self, request: JsonObject) -> JsonObject:
        """The reply; raises the error that a refusal stands for, OSError where the connection broke."""
        self.send(_frame(request))
        return judged(self.receive())

    @property
    def is_over(self) -> bool:
        """Whether the server ended it while nothing was asked."""
        with selectors.DefaultSelector() as ear:
            ear.register(self._connection, selectors.EVENT_READ)
            return bool(ear.select(0))

    def send(self, frames: bytes) -> None:
        """Send requests, one frame each."""
        self._connection.sendall(frames)

    def receive(self) -> JsonObject:
        """The next frame's object."""
        return self.receive_as(protocol.read_reply)

    def receive_as(self, read: Callable[[bytes], T | None]) -> T:
        """What `read` makes of the next frame's body."""
        while (body := self._reader.take()) is None:
            data = self._connection.recv(_RECEIVE_MUCH_BYTES if self._reader.pending else _RECEIVE_BYTES)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(data)
        if isinstance(body, BadFrame):
            raise ConnectionResetError(f"the server sent a frame that cannot be read: {body.fault}")
        reply = read(body)
        if reply is None:
            raise ConnectionResetError("the server sent a frame that holds no object")
        return reply

    def wait_at_most(self, timeout_s: float | None) -> None:
        """How long `receive` waits for something to come."""
        self._connection.settimeout(timeout_s)

    def close(self) -> None:
        """Say goodbye, hear the answer, and close without a reset."""
        with contextlib.suppress(OSError, LockerError):
            self._connection.settimeout(LINGER_S)
            self.ask({"op": "close"})
        close_orderly(self._connection, linger_s=LINGER_S)

    def cut(self) -> None:
        """End it from another thread: whoever waits in `receive` is woken."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Close what is broken already."""
        self._connection.close()


class Line:
    """A connection that is made again when it breaks, for up to `patience_s`; thread-safe, one caller at a time."""

    def __init__(self, address: Address, *, timeout_s: float, patience_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._wire: Wire | None = None
        self._used_at = time.monotonic()
        self._is_closed = False

    def ask(self, request: JsonObject, *, is_repeatable: bool = True) -> JsonObject:
        """The reply to `request`, sent again over a new connection where the old one broke, if that is harmless."""
        return judged(self.ask_all([request], is_repeatable=is_repeatable)[0])

    def ask_for(self, request: JsonObject, read: Callable[[bytes], Form | None]) -> Form:
        """What `read` makes of the reply's body; raises the error that a refusal stands for."""
        reply: Form | JsonObject
        [reply] = self._ask_all([request], lambda body: _read_either(read, body), is_repeatable=True)
        if isinstance(reply, dict):
            raise protocol.error_of(reply)
        return reply

    def ask_all(self, requests: Sequence[JsonObject], *, is_repeatable: bool = True) -> list[JsonObject]:
        """The replies to `requests`, refusals among them, as many at once as may be under way together."""
        return self._ask_all(requests, _read_any, is_repeatable=is_repeatable)

    def greeting(self) -> JsonObject:
        """What the server said of itself when this connection began."""
        with self._lock:
            return self._connected().greeting

    def close(self) -> None:
        """Close for good."""
        with self._lock:
            self._is_closed = True
            wire, self._wire = self._wire, None
            if wire is not None:
                wire.close()

    def _ask_all(
        self, requests: Sequence[JsonObject], read: Callable[[bytes], Any], *, is_repeatable: bool
    ) -> list[Any]:
        replies: list[Any] = []
        pause = Backoff(self._patience_s)
        with self._lock:
            for window in _windows(requests):
                replies += self._ask_window(window, read, pause, is_repeatable=is_repeatable)
        return replies

    def _ask_window(
        self, frames: Sequence[bytes], read: Callable[[bytes], Any], pause: Backoff, *, is_repeatable: bool
    ) -> list[Any]:
        while True:
            try:
                wire = self._connected()
            except (OSError, Retry) as err:
                pause.wait(self._address, err)
                continue
            try:
                wire.send(b"".join(frames))
                replies = [wire.receive_as(read) for _ in frames]
                self._used_at = time.monotonic()
                return replies
            except OSError as err:
                self._drop()
                if not is_repeatable:
                    raise Retry(f"{self._address} broke off before it answered", remedy=_REMEDY) from err
                pause.wait(self._address, err)
            except BaseException:
                # Its reply may still come, and would be taken for the next request's.
                self._drop()
                raise

    def _connected(self) -> Wire:
        if self._is_closed:
            raise Broken(f"{self._address} is closed")
        if self._wire is not None and time.monotonic() - self._used_at > REST_S and self._wire.is_over:
            self._drop()  # A server ends who rests for long; what is asked next is not to be lost by that.
        if self._wire is None:
            self._wire = Wire(self._address, timeout_s=self._timeout_s)
        return self._wire

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.drop()


class Backoff:
    """Growing, random pauses, until patience ends."""

    def __init__(
        self,
        patience_s: float | None,
        *,
        pause: Callable[[float], object] = time.sleep,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self._end = None if patience_s is None else time.monotonic() + patience_s
        self._next_s = BACKOFF_FIRST_S
        self._pause = pause
        self._random_unit = random_unit

    def wait(self, address: Address, err: Exception) -> None:
        """Wait a while; raises Retry where that has been done for long enough."""
        wait_s = self._next_s * (0.5 + self._random_unit() / 2)
        if self._end is not None and time.monotonic() + wait_s > self._end:
            if isinstance(err, Retry):
                raise err
            raise Retry(f"{address} cannot be reached", remedy=_REMEDY) from err
        self._next_s = min(self._next_s * 2, BACKOFF_MAX_S)
        self._pause(wait_s)


def judged(reply: JsonObject) -> JsonObject:
    """The reply itself, or the error that it stands for."""
    if reply.get("ok") is not True:
        raise protocol.error_of(reply)
    return reply


def _frame(request: JsonObject) -> bytes:
    try:
        return encode_frame(protocol.encode(request))
    except (TypeError, ValueError, RecursionError) as err:
        raise BadRequest("the request holds what JSON cannot carry") from err


def _windows(requests: Sequence[JsonObject]) -> Iterator[list[bytes]]:
    """The requests' frames, in groups that both sides hold while neither reads: else each would wait for the other."""
    window: list[bytes] = []
    size = 0
    for frame in map(_frame, requests):
        if window and (len(window) == PIPELINED_MAX or size + len(frame) > WINDOW_BYTES_MAX):
            yield window
            window, size = [], 0
        window.append(frame)
        size += len(frame)
    if window:
        yield window


def _read_any(body: bytes) -> JsonObject | None:
    """The reply; one that says the server is leaving breaks the connection instead."""
    reply = protocol.read_reply(body)
    if reply is not None and reply.get("error_code") in _PASSING:
        raise ConnectionResetError(f"the server said {reply['error_code']}")
    return reply


def _read_either(read: Callable[[bytes], Form | None], body: bytes) -> Form | JsonObject | None:
    """A refusal as it is, else what `read` makes of it."""
    return _read_any(body) if body.startswith(protocol.REFUSED) else read(body)


def _greeting(address: Address) -> JsonObject:
    greeting: JsonObject = {"op": "hello", "client": "locker", "proto": protocol.PROTOCOL}
    if address.service is not None:
        greeting["service"] = address.service
    if address.token is not None:
        greeting["token"] = address.token
    return greeting


_REMEDY = "Start the program that serves the store, then try again."
