"""One connection, served by one thread from its first byte to its orderly end.

Threads with blocking sockets: a long read keeps nobody else waiting. Only who writes one fact after the other is left
to the clerk, who serves many such callers at once.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from zlib import crc32

from core.model.errors import LockerError
from core.model.frames import LENGTH_BYTES, BadFrame, FrameReader, encode_frame
from core.netstore import protocol
from core.netstore.protocol import Refusal
from core.netstore.server.call import Caller, LongReply
from core.netstore.server.clerk import Clerk, Clerks
from core.netstore.server.counts import Counts
from core.netstore.server.desk import Desk
from core.netstore.server.door import Grant, ServedStore
from core.netstore.server.push import Subscription
from core.netstore.server.session import Answered, Session
from core.netstore.server.writes import Singles, Told
from core.netstore.sockets import close_orderly, send_at_once, send_within, tune

log = logging.getLogger(__name__)

# A request is mostly small; where more is there than that, much more is asked for at once.
_RECEIVE_BYTES, _RECEIVE_MUCH_BYTES = 16 * 1024, 256 * 1024
# As many single writes as a caller has under way.
_VISIT_BYTES = 64 * 1024


class Connection:
    """Reads requests, sends replies; owned by its thread, or the clerk's visitor, but for `stop`, `revoke`, `cut`."""

    def __init__(
        self,
        connection: socket.socket,
        caller: Caller,
        *,
        desk: Desk,
        clerks: Clerks,
        counts: Counts,
        admit: Callable[[], None],
        on_end: Callable[[Connection], None],
    ) -> None:
        self._connection = connection
        self._desk = desk
        self._counts = counts
        self.caller = caller
        self.counts = counts
        #: Since when it waits for a request, on the clock of the process; None while it is at work or follows a log.
        self.rests_since: float | None = None
        self._known_by = time.monotonic() + desk.limits.auth_timeout_s
        self._address = caller.address
        self._admit = admit
        self._on_end = on_end
        self._reader = FrameReader(bytes_max=self._frame_bytes_max)
        # What the clerk heard and left to the thread: bodies to be answered, and the rest of a reply.
        self._heard: list[bytes] = []
        self._unsent = memoryview(b"")
        self._is_mine = threading.Event()
        self._session = Session(caller, desk=desk, clerks=clerks, counts=counts)
        self._subscription: Subscription | None = None
        self._thread = threading.Thread(target=self._run, name=f"netstore {caller.address}", daemon=True)

    def start(self) -> None:
        """Serve, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Let it end by itself: what it received is answered, a subscriber is told."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)
        if (subscription := self._subscription) is not None:
            subscription.wake()

    def cut(self) -> None:
        """End it now, whoever it waits for."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def revoke(self, is_gone: Callable[[Grant], bool]) -> bool:
        """End it where its caller's grant is gone, and do nothing for them any more; whether it was so."""
        is_revoked = self.caller.revoke(is_gone)
        if is_revoked:
            self.stop()
        return is_revoked

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def socket(self) -> socket.socket:
        """Where the clerk hears it."""
        return self._connection

    def hear(self, store: ServedStore) -> Singles | None:
        """For the clerk: what is there to be read, where it is single writes to `store`, whole, and nothing else."""
        with contextlib.suppress(OSError):  # Its thread meets the same.
            data = self._connection.recv(_VISIT_BYTES)
            self._counts.bytes_in += len(data)
            self._reader.feed(data)
        bodies = self._bodies()
        singles = None if self._reader.pending else self._session.singles_in(bodies, store)
        if singles is None:
            self._heard = bodies
        return singles

    def tell(self, singles: Singles, told: Told, took_s: float) -> bool:
        """For the clerk: send the replies; False where not all of them go out at once."""
        frames = self._session.tell(singles, told, took_s).frames
        data = b"".join(frame for frame in frames if isinstance(frame, bytes))
        self._counts.bytes_out += len(data)
        self.rests_since = time.monotonic()
        try:
            self._unsent = send_at_once(self._connection, data)
        except OSError:  # Its thread meets the same.
            return False
        return not self._unsent

    def go_on(self) -> None:
        """For the clerk: let the thread have it again."""
        self._is_mine.set()

    def _run(self) -> None:
        try:
            tune(self._connection)
            self._serve()
        except (OSError, TimeoutError) as err:
            log.info("store connection broke address=%s error=%s", self._address, type(err).__name__)
        except Exception:  # The thread's edge: one connection ends, the server does not.
            log.exception("store connection failed address=%s", self._address)
        finally:
            close_orderly(self._connection, linger_s=self._desk.limits.linger_s)
            self._desk.left(self._counts)
            self._on_end(self)

    def _serve(self) -> None:
        try:
            self._admit()
        except LockerError as error:
            self._refuse(protocol.refusal_of(error) or Refusal("forbidden", "Not allowed."))
            return
        while (bodies := self._receive()) is not None:
            if not self._answer(bodies):
                return
            if not self._reader.pending and (clerk := self._session.clerk) is not None:
                self._visit(clerk)

    def _visit(self, clerk: Clerk) -> None:
        """Leave everything to the clerk until it is for this thread to go on."""
        self._is_mine.clear()
        self.rests_since = time.monotonic()
        if not clerk.attend(self):
            return
        self._is_mine.wait()
        self.rests_since = None
        unsent, self._unsent = self._unsent, memoryview(b"")
        if unsent:
            send_within(self._connection, unsent, self._desk.limits.reply_timeout_s)

    def _answer(self, bodies: Sequence[bytes]) -> bool:
        """Answer what was received, a few replies at a time; whether the conversation goes on."""
        while bodies:
            answered = self._work_at(bodies)
            self._reader.bytes_max = self._frame_bytes_max
            self._send(answered.frames)
            bodies = answered.unread
            if answered.follow is not None:
                self._subscription = Subscription(
                    answered.follow, self._connection, self.caller, desk=self._desk, counts=self._counts
                )
                self._subscription.run(self._reader, bodies)
            if answered.is_over or answered.follow is not None:
                return False
        return not self.caller.is_revoked

    def _work_at(self, bodies: Sequence[bytes]) -> Answered:
        """The answers to `bodies`; what is large waits its turn among all connections."""
        size = sum(map(len, bodies))
        if size <= self._desk.limits.light_bytes_max:
            return self._session.answer(bodies)
        with self._desk.allowance.take(size):
            return self._session.answer(bodies)

    @property
    def _frame_bytes_max(self) -> int:
        limits = self._desk.limits
        return limits.frame_bytes_max if self.caller.is_known else limits.unknown_frame_bytes_max

    def _receive(self) -> list[bytes] | None:
        """The bodies of the next frames, as many as are there; None at the end."""
        bodies, self._heard = self._heard or self._bodies(), []
        while not bodies:
            if isinstance(found := self._reader.take(), BadFrame):
                self._break_off(found)
                return None
            try:
                data = self._receive_some()
                if not data and self.caller.is_revoked:
                    raise TimeoutError
            except TimeoutError:
                self._refuse(self._lateness())
                return None
            if not data:
                if (cut := self._reader.end()) is not None:
                    said = self._address, cut.fault, cut.have, cut.wanted
                    log.info("store frame cut address=%s fault=%s have=%d wanted=%d", *said)
                return None
            self._counts.bytes_in += len(data)
            self._reader.feed(data)
            bodies = self._bodies()
        return bodies

    def _bodies(self) -> list[bytes]:
        """The bodies of the frames that are there whole, so many as may be under way; what is broken stays."""
        bodies: list[bytes] = []
        # The first of one who is not known may be what makes them known.
        most = self._desk.limits.pipelined_max if self.caller.is_known else 1
        while len(bodies) < most and isinstance(found := self._reader.take(), bytes):
            bodies.append(found)
        return bodies

    def _receive_some(self) -> bytes:
        """More bytes; raises TimeoutError where a frame does not go on, or no token came in time."""
        timeout_s = self._desk.limits.frame_timeout_s if self._reader.pending else None
        if not self.caller.is_known:
            left_s = self._known_by - time.monotonic()
            if left_s <= 0 or self.caller.is_revoked:
                raise TimeoutError
            timeout_s = min(left_s, timeout_s or left_s)
        self.rests_since = time.monotonic()
        try:
            if timeout_s is None:
                return self._connection.recv(_RECEIVE_BYTES)
            self._connection.settimeout(timeout_s)
            try:
                return self._connection.recv(_RECEIVE_MUCH_BYTES)
            finally:
                self._connection.settimeout(None)
        finally:
            self.rests_since = None

    def _lateness(self) -> Refusal:
        """What one is told whose time is over."""
        if self.caller.is_revoked:
            return Refusal("unauthorized", "The token is not valid any more.")
        if not self.caller.is_known and time.monotonic() >= self._known_by:
            return Refusal("unauthorized", f"No token came within {self._desk.limits.auth_timeout_s:g} seconds.")
        log.info("store frame not finished address=%s bytes=%d", self._address, self._reader.pending)
        return Refusal("frame_timeout", "The frame was not finished in time.")

    def _break_off(self, bad: BadFrame) -> None:
        """Framing cannot be trusted any more: say so, and end."""
        log.info("store frame refused address=%s fault=%s bytes=%d", self._address, bad.fault, bad.wanted)
        refusal = protocol.refused_frame(bad, frame_bytes_max=self._reader.bytes_max)
        if refusal is not None:
            self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        self._counts.errors += 1
        self._send([encode_frame(protocol.refused(refusal))])

    def _send(self, frames: list[bytes | LongReply]) -> None:
        """Send replies in order; one who does not read them for a while is left."""
        small = [frame for frame in frames if isinstance(frame, bytes)]
        if len(small) == len(frames):
            self._send_all(b"".join(small) if len(small) != 1 else small[0])
            return
        for frame in frames:
            if isinstance(frame, bytes):
                self._send_all(frame)
            else:
                self._send_long(frame)

    def _send_long(self, reply: LongReply) -> None:
        crc, sent = 0, 0
        self._send_all(reply.length.to_bytes(LENGTH_BYTES, "big"))
        for piece in reply.pieces:
            sent += len(piece)
            if sent > reply.length:
                break
            crc = crc32(piece, crc)
            self._send_all(piece)
        if sent != reply.length:
            # Facts were removed meanwhile: a frame that cannot be finished is the only way to say so now.
            raise ConnectionAbortedError("the log changed under a long reply")
        self._send_all(crc.to_bytes(LENGTH_BYTES, "big"))

    def _send_all(self, data: bytes) -> None:
        send_within(self._connection, data, self._desk.limits.reply_timeout_s)
        self._counts.bytes_out += len(data)
