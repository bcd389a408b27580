"""A conversation: requests in, replies out in the same order; who speaks is known before anything is done."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence

import msgspec

from core.model.errors import LockerError
from core.model.fact import JsonObject
from core.model.frames import encode_frame
from core.netstore import protocol
from core.netstore.protocol import Refusal
from core.netstore.server import greetings, ops, writes
from core.netstore.server.call import Call, Caller, Follow, LongReply, Refused, Unknown
from core.netstore.server.clerk import Clerk, Clerks
from core.netstore.server.counts import Counts
from core.netstore.server.desk import Desk
from core.netstore.server.door import WRITE, ServedStore
from core.netstore.server.writes import Singles, Told

log = logging.getLogger(__name__)

INCIDENT_BYTES = 6
# Replies are sent when they weigh so much, before the next request is answered.
HELD_BYTES_MAX = 1024 * 1024
LAST_OPS = ("close",)
# So often in a row a caller must have written single facts alone to be taken for one who goes on like that.
IN_A_ROW = 2
# A write that says these for itself does not go with others.
_OWN_TERMS = frozenset({"token", "service"})


class Answered(msgspec.Struct):
    """Frames to send, in order; then the conversation ends, or follows, or goes on with the `unread` bodies."""

    frames: list[bytes | LongReply]
    size_bytes: int = 0
    is_over: bool = False
    follow: Follow | None = None
    unread: Sequence[bytes] = ()


class Session:
    """Answers the requests of one connection; owned by its thread, or by the clerk while it is there."""

    def __init__(self, caller: Caller, *, desk: Desk, clerks: Clerks, counts: Counts) -> None:
        self.caller = caller
        self._desk = desk
        self._clerks = clerks
        self._counts = counts
        self._writes: list[JsonObject] = []
        self._call: Call | None = None
        self._wrote_in_a_row = 0

    @property
    def clerk(self) -> Clerk | None:
        """Who may serve this caller: one among others, who of late did nothing but write single facts to one store."""
        if self._wrote_in_a_row < IN_A_ROW or not self._desk.is_shared:
            return None
        try:
            return self._clerks.of(self._call_of(writes.SINGLE, {}, WRITE).store)
        except LockerError:
            return None

    def singles_in(self, bodies: Sequence[bytes], store: ServedStore) -> Singles | None:
        """The single writes to `store` that `bodies` are; None where any of them is something else, or may not be."""
        requests = [protocol.read_request(body) for body in bodies]
        if not all(isinstance(request, dict) and self._joins(request) for request in requests):
            self._call, self._writes = None, []
            return None
        singles = self._taken()
        try:
            return singles if singles is not None and singles.call.store is store else None
        except LockerError:
            return None

    def tell(self, singles: Singles, told: Told, took_s: float) -> Answered:
        """What `singles` are answered with."""
        answered = Answered([])
        self._counts.requests[writes.SINGLE] += len(singles.requests)
        bodies = told if isinstance(told, list) else [self._refusal(told, writes.SINGLE)] * len(singles.requests)
        self._time(writes.SINGLE, took_s)
        for request, body in zip(singles.requests, bodies, strict=True):
            self._reply(body, request, answered)
        return answered

    def answer(self, bodies: Sequence[bytes]) -> Answered:
        """Answer `bodies`; single writes that follow one another are committed together."""
        answered = Answered([])
        self._wrote_in_a_row += 1
        for place, body in enumerate(bodies):
            request = protocol.read_request(body)
            if isinstance(request, dict) and self._joins(request):
                continue
            self._wrote_in_a_row = 0
            self._flush(answered)
            if isinstance(request, Refusal):
                self._counts.errors += 1
                answered.frames.append(encode_frame(protocol.refused(request)))
                continue
            self._one(request, answered)
            if answered.is_over or answered.follow is not None or answered.size_bytes > HELD_BYTES_MAX:
                answered.unread = bodies[place + 1 :]
                break
        self._flush(answered)
        return answered

    def _joins(self, request: JsonObject) -> bool:
        """Let a single write wait for those that follow it, where it may be done and goes to the same store."""
        if request.get("op") != writes.SINGLE or not _OWN_TERMS.isdisjoint(request):
            return False
        try:
            protocol.check_request_id(request)
            if self._call is None:
                self._call = self._call_of(writes.SINGLE, {}, WRITE)
        except LockerError:  # It is answered on its own, with what is wrong with it.
            return False
        self._writes.append(request)
        return True

    def _taken(self) -> Singles | None:
        """The writes that waited; None where none did."""
        call, self._call = self._call, None
        requests, self._writes = self._writes, []
        return None if call is None else Singles(call, requests)

    def _flush(self, answered: Answered) -> None:
        """Commit the writes that wait, and answer each."""
        if (singles := self._taken()) is None:
            return
        started = time.monotonic()
        told = writes.told(singles)
        done = self.tell(singles, told, time.monotonic() - started)
        answered.frames += done.frames
        answered.size_bytes += done.size_bytes

    def _one(self, request: JsonObject, answered: Answered) -> None:
        name = request.get("op")
        op = ops.OPS.get(name) if isinstance(name, str) else None
        if op is None:
            self._counts.requests["unknown"] += 1
            self._reply(protocol.refused(protocol.unknown_op(name)), request, answered)
            return
        assert isinstance(name, str)
        self._counts.requests[name] += 1
        started = time.monotonic()
        try:
            answer = op.do(self._call_of(name, request, op.scope))
            body = greetings.following(answer) if isinstance(answer, Follow) else answer
        except Exception as error:
            answer = body = self._refusal(error, name)
        self._time(name, time.monotonic() - started)
        if isinstance(body, LongReply):
            answered.frames.append(body)
            answered.size_bytes += body.length
            return
        answered.follow = answer if isinstance(answer, Follow) else None
        self._reply(body, request, answered)
        answered.is_over = name in LAST_OPS or self.caller.failures >= self._desk.limits.auth_failures_max

    def _reply(self, body: bytes, request: JsonObject, answered: Answered) -> None:
        if body.startswith(protocol.REFUSED):
            self._counts.errors += 1
        answered.frames.append(encode_frame(protocol.with_request_id(body, request)))
        answered.size_bytes += len(body)

    def _call_of(self, name: str, request: JsonObject, scope: str | None) -> Call:
        """The call, once its caller may make it."""
        protocol.check_request_id(request)
        caller = self.caller
        token = request.get("token")
        if token is not None and name != greetings.AUTH:
            greetings.admit(caller, token, desk=self._desk)
        service = request.get("service", caller.service)
        if service is not None and not isinstance(service, str):
            service = ""
        if scope is not None:
            grant = greetings.known(caller)
            service = service if service is not None else grant.only_service
            grant.check(scope, service)
        return Call(name, request, caller, self._desk, self._counts, lambda: caller.door.store_of(service))

    def _refusal(self, error: Exception, name: str) -> bytes:
        """What `error` is answered with; one of ours stays in the log under a number that the caller is given."""
        if isinstance(error, Refused):
            return protocol.refused(error.refusal)
        if isinstance(error, Unknown):
            return protocol.refused(protocol.unknown_op(name))
        if isinstance(error, LockerError) and (refusal := protocol.refusal_of(error)) is not None:
            if refusal.code in ("storage_full", "storage_error"):
                log.warning("store op failed op=%s error=%s: %s", name, type(error).__name__, error)
                self._desk.last_error = refusal.code
            return protocol.refused(refusal)
        incident = secrets.token_hex(INCIDENT_BYTES)
        log.error("store op failed op=%s incident=%s", name, incident, exc_info=error)
        self._desk.last_error = f"internal_error {incident}"
        sentence = f"Something went wrong in the server; its log tells more under incident {incident}."
        return protocol.refused(Refusal("internal_error", sentence, {"incident": incident}))

    def _time(self, name: str, took_s: float) -> None:
        if took_s > self._desk.limits.slow_op_s:
            self._counts.slow_ops += 1
            log.info("slow store op op=%s took_s=%.2f", name, took_s)
