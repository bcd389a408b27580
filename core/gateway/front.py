"""The outer server's own limits: what a client may send before anybody has judged it, and how slowly.

uvicorn with httptools bounds neither the size of a head nor the time a client takes over it, and hands trailers to
an application as headers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from core.gateway.limits import HEAD_BYTES_MAX, HEAD_FIELDS_MAX
from core.gateway.reply import CUT

# The key in a scope's extensions of a dict that lasts as long as its connection, for whoever judges connections.
CONNECTION = "locker.connection"
FRAMING_BYTES_MAX = 64 * 1024
PIPELINED_MAX = 8
# How long a body is still read after its answer, so that a client that is sending gets to read the answer.
LINGER_S = 2.0


@dataclass(frozen=True)
class FrontLimits:
    """How much patience a connection meets that has not proved anything yet."""

    head_s: float = 10.0
    keep_alive_s: int = 15
    body_window_s: float = 60.0
    body_window_bytes_min: int = 1024
    head_bytes_max: int = HEAD_BYTES_MAX
    head_fields_max: int = HEAD_FIELDS_MAX
    connections_max: int = 1000


def front_protocol(limits: FrontLimits) -> type[HttpToolsProtocol]:
    """The protocol class that uvicorn makes one of per connection, under `limits`."""
    return type("LimitedFrontProtocol", (FrontProtocol,), {"limits": limits})


class _Nowhere(list[tuple[bytes, bytes]]):
    """Where trailers go: they come after the request was judged by its headers."""

    def append(self, _field: tuple[bytes, bytes]) -> None:
        pass


_NOWHERE = _Nowhere()


class _Patient:
    """The transport as one request sees it: its close waits for the end of the request's body."""

    __slots__ = ("_protocol", "is_closing", "write")

    def __init__(self, protocol: FrontProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        self._protocol.close_kindly()


class FrontProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with a bound on every head, every wait and the number of connections.

    From `on_message_begin` to `on_headers_complete` a head is under way, from there to `on_message_complete` a body.
    One timer runs while the client owes us something.
    """

    limits = FrontLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._in_body = False
        self._is_over = False
        self._closes = False
        self._head_bytes = 0
        self._framing_bytes = 0
        self._window_bytes = 0
        self._idle_since = 0.0
        self._cycles: deque[RequestResponseCycle] = deque()

    # What the event loop tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a client; when there are too many, let go of the one that has been idle longest."""
        super().connection_made(transport)
        self._about: dict[str, Any] = {}
        self._idle_since = self.loop.time()
        if len(self.connections) > self.limits.connections_max and not self._make_room():
            self._refuse(503, "Too many connections")
        else:
            self._arm(self.limits.head_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every request of this connection, those that wait behind another included."""
        self._disarm()
        for cycle in self._cycles:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, then see what the client still owes."""
        if self._is_over:
            return
        # Each part of a body sets this back: what is left are chunk extensions and trailers.
        self._framing_bytes += len(data)
        super().data_received(data)
        if self._is_over or self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
        if self._head_bytes > self.limits.head_bytes_max:
            self._refuse(431, "The head of the request is too large")
        elif self._in_body and self._framing_bytes > FRAMING_BYTES_MAX:
            self._refuse(400, "The framing of the body is too large")
        elif self._timer is None:
            self._expect_more()

    def handle_websocket_upgrade(self) -> None:
        """Give the connection to the WebSocket protocol, unless its head was refused."""
        if not self._is_over:
            self._is_over = True
            self._disarm()
            super().handle_websocket_upgrade()

    # What the parser tells

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there: judge its size, then let the application see it."""
        self._in_head, self._head_bytes = False, 0
        if self._is_over:
            return
        self._disarm()
        if len(self.headers) > self.limits.head_fields_max or self._head_size() > self.limits.head_bytes_max:
            self._refuse(431, "The head of the request is too large")
            return
        if len(self.pipeline) >= PIPELINED_MAX:
            self._refuse(400, "Too many requests at once")
            return
        super().on_headers_complete()
        if self.parser.should_upgrade() and self._should_upgrade():
            return
        self._in_body, self._framing_bytes, self._window_bytes = True, 0, 0
        self.headers = _NOWHERE
        self._cycles.append(self.cycle)
        self.cycle.transport = cast(asyncio.Transport, _Patient(self))
        cast(dict[str, Any], self.scope)["extensions"] = {CUT: self._cutter(self.cycle), CONNECTION: self._about}

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._framing_bytes = 0
        self._window_bytes += len(body)
        if not self._is_over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._in_body and not self._is_over:
            self._disarm()
            super().on_message_complete()
        self._in_body = False
        if self._closes:
            self.transport.close()

    def on_response_complete(self) -> None:
        """The answer is whole; what still comes of its body is read to nowhere, for a moment."""
        self._idle_since = self.loop.time()
        while self._cycles and self._cycles[0].response_complete:
            # What it holds knows it in turn; parted, both go at once instead of with the next collection.
            cast(dict[str, Any], self._cycles.popleft().scope).pop("extensions", None)
        super().on_response_complete()
        if self._in_body and self._is_idle() and not self._is_over:
            self.linger()

    # What follows from it

    def close_kindly(self) -> None:
        """Close after the answer, but read the rest of the request first: a reset would take the answer with it."""
        if self._in_body and not self.transport.is_closing():
            self._closes = True
            self.linger()
        else:
            self.transport.close()

    def linger(self) -> None:
        """Give the client a moment to finish a body that nobody wants."""
        self._disarm()
        self._arm(LINGER_S, self.transport.close)

    def _expect_more(self) -> None:
        if self._in_body:
            self._arm(self.limits.body_window_s, self._look_at_body)
        elif self._is_idle():
            self._arm(self.limits.head_s, self._too_slow)

    def _look_at_body(self) -> None:
        """End an upload that trickles; time in which we did not read does not count."""
        if self._window_bytes < self.limits.body_window_bytes_min and not self.flow.read_paused:
            self._refuse(408, "The body of the request did not arrive in time")
            return
        self._window_bytes = 0
        self._arm(self.limits.body_window_s, self._look_at_body)

    def _too_slow(self) -> None:
        if self._in_head:
            self._refuse(408, "The head of the request did not arrive in time")
        else:
            self.transport.close()

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, if any is."""
        idle = [c for c in self.connections if isinstance(c, FrontProtocol) and c is not self and c._is_idle()]
        if not idle:
            return False
        min(idle, key=lambda connection: connection._idle_since).transport.abort()
        return True

    def _refuse(self, status: int, message: str) -> None:
        """Answer in the application's stead, if it has not begun to, and close."""
        self._is_over = True
        self._disarm()
        begun = any(cycle.response_started and not cycle.response_complete for cycle in self._cycles)
        for cycle in self._cycles:
            cycle.disconnected = True
        if not begun:
            body = message.encode("ascii")
            self.transport.write(
                b"%bcontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
                % (STATUS_LINE[status], len(body), body)
            )
        self.transport.close()

    def _cutter(self, cycle: RequestResponseCycle) -> Callable[[], None]:
        """What ends one answer in the middle, so that the client sees that it is not whole."""

        def cut() -> None:
            # uvicorn then takes the client for gone and does not ask for the rest.
            cycle.disconnected = True
            self._is_over = True
            self.transport.close()

        return cut

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _is_idle(self) -> bool:
        return not self._cycles

    def _arm(self, after_s: float, callback: Callable[[], None]) -> None:
        def fire() -> None:
            self._timer = None
            callback()

        self._timer = self.loop.call_later(after_s, fire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
