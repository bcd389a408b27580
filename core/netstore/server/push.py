"""A connection that is told of facts: what it missed from the log, then each commit, in one sequence.

The position is what was sent last. Nothing is queued: while the other side does not read, this thread waits in `send`
and the log grows; it goes on from there.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import time
from collections.abc import Sequence
from typing import Any

from core.model.errors import CursorTooOld, LockerError
from core.model.frames import BadFrame, FrameReader, encode_frame
from core.netstore import protocol
from core.netstore.server.call import Caller, Follow
from core.netstore.server.counts import Counts
from core.netstore.server.desk import Desk

log = logging.getLogger(__name__)

# A commit that nobody told of is noticed after this time.
LOOK_EVERY_S = 5.0
_RECEIVE_BYTES = 65536


class Subscription:
    """Pushes facts to one socket until either side ends; owned by the connection's thread, `wake` is anybody's."""

    def __init__(
        self, follow: Follow, connection: socket.socket, caller: Caller, *, desk: Desk, counts: Counts
    ) -> None:
        self._follow = follow
        self._caller = caller
        self._connection = connection
        self._desk = desk
        self._counts = counts
        self._tail = follow.tail
        self._sent = follow.since
        self._caught_up = not follow.catches_up
        self._beat_at = time.monotonic() + (follow.heartbeat_s or 0.0)
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)

    def wake(self) -> None:
        """There may be something to send; returns at once."""
        # A full pipe has woken the thread already.
        with contextlib.suppress(OSError):
            self._mouth.send(b"\0")

    def run(self, reader: FrameReader, unread: Sequence[bytes]) -> None:
        """Push until the other side closes, or the server stops."""
        self._tail.join(self.wake)
        self._counts.subscriptions = 1
        # Nothing that is asked here is large.
        reader.bytes_max = self._desk.limits.light_bytes_max
        try:
            if all(self._hear(body) for body in unread):
                self._push(reader)
        finally:
            self._counts.subscriptions = 0
            self._tail.leave(self.wake)
            self._ear.close()
            self._mouth.close()

    def _push(self, reader: FrameReader) -> None:
        with selectors.DefaultSelector() as ears:
            ears.register(self._ear, selectors.EVENT_READ)
            ears.register(self._connection, selectors.EVENT_READ)
            while not self._is_over:
                while not self._is_over and self._send_next():
                    pass
                found = {key.fileobj for key, _ in ears.select(self._beat())}
                if not found:
                    self._tail.stir()
                if self._ear in found:
                    with contextlib.suppress(BlockingIOError):
                        self._ear.recv(_RECEIVE_BYTES)
                if self._connection in found and not self._is_over and not self._listen(reader):
                    return
        if self._caller.is_known:
            self._tell({"event": "draining"})
        else:
            self._tell({"event": "error", "error_code": "unauthorized", "error": "The token is not valid any more."})

    @property
    def _is_over(self) -> bool:
        return self._desk.is_draining or self._tail.is_over or not self._caller.is_known

    def _beat(self) -> float:
        """Send the heartbeat that is due; how long to wait at most."""
        every_s = self._follow.heartbeat_s
        if every_s is None:
            return LOOK_EVERY_S
        if (left_s := self._beat_at - time.monotonic()) <= 0:
            self._tell({"event": "heartbeat", "head": self._tail.store.head()})
            self._beat_at = time.monotonic() + every_s
            left_s = every_s
        return min(left_s, LOOK_EVERY_S)

    def _send_next(self) -> bool:
        """Send what follows, as far as it is at hand; whether there may be more."""
        try:
            events = self._tail.after(self._sent)
        except CursorTooOld as gone:
            self._tell({"event": "lagged", "from": self._sent + 1, "to": gone.floor})
            self._sent = gone.floor
            return True
        except LockerError:
            if self._is_over:  # The store was closed meanwhile: that is what the other side is told.
                return False
            raise
        frames: list[bytes] = []
        size = 0
        for event in events:
            if event.type is None or not self._follow.types or event.type in self._follow.types:
                frames.append(event.frame)
                size += len(event.frame)
            if size >= self._desk.limits.push_bytes:
                self._send(b"".join(frames))
                frames, size = [], 0
        if frames:
            self._send(b"".join(frames))
        if events:
            self._sent = events[-1].seq
            self._counts.facts_replayed += sum(event.type is not None for event in events)
        if not self._caught_up and (not events or self._sent >= self._follow.head):
            self._caught_up = True
            self._tell({"event": "caught_up", "seq": self._sent})
        return bool(events)

    def _listen(self, reader: FrameReader) -> bool:
        """Take what the other side says; whether it goes on."""
        data = self._connection.recv(_RECEIVE_BYTES)
        if not data:
            return False
        self._counts.bytes_in += len(data)
        reader.feed(data)
        return all(self._hear(body) for body in reader)

    def _hear(self, body: bytes | BadFrame) -> bool:
        """Answer a request in the midst of events; whether it goes on."""
        if isinstance(body, BadFrame):
            refusal = protocol.refused_frame(body, frame_bytes_max=self._desk.limits.light_bytes_max)
            if refusal is not None:
                self._counts.errors += 1
                self._tell({"event": "error", **refusal.members()})
            return False
        request = protocol.read_request(body)
        op = request.get("op") if isinstance(request, dict) else None
        if isinstance(request, dict) and op == "close":
            self._send(encode_frame(protocol.with_request_id(protocol.success(), request)))
            return False
        self._counts.errors += 1
        sentence = "This connection is told of facts; only close is an op here."
        self._tell({"event": "error", "error_code": "invalid_request", "error": sentence})
        return True

    def _tell(self, event: dict[str, Any]) -> None:
        self._send(encode_frame(protocol.encode(event)))

    def _send(self, data: bytes) -> None:
        """Send everything, however long the other side takes: the system ends the wait for one that is gone."""
        self._connection.sendall(data)
        self._counts.bytes_out += len(data)
