"""A conversation: requests in, replies out in the same order; who speaks is known before anything is done."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence

import msgspec

from core.model.errors import LockerError, TokenRequired
from core.model.fact import JsonObject
from core.model.frames import encode_frame
from core.netstore import protocol
from core.netstore.protocol import Refusal
from core.netstore.server import greetings, ops, writes
from core.netstore.server.call import Call, Caller, Follow, LongReply, Refused, Unknown
from core.netstore.server.counts import Counts
from core.netstore.server.desk import Desk
from core.netstore.server.door import WRITE

log = logging.getLogger(__name__)

INCIDENT_BYTES = 6
# Replies are sent when they weigh so much, before the next request is answered.
HELD_BYTES_MAX = 1024 * 1024
LAST_OPS = ("close",)
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
    """Answers the requests of one connection; owned by its thread."""

    def __init__(self, caller: Caller, *, desk: Desk, counts: Counts) -> None:
        self.caller = caller
        self._desk = desk
        self._counts = counts
        self._writes: list[JsonObject] = []
        self._call: Call | None = None

    def answer(self, bodies: Sequence[bytes]) -> Answered:
        """Answer `bodies`; single writes that follow one another are committed together."""
        answered = Answered([])
        for place, body in enumerate(bodies):
            request = protocol.read_request(body)
            if isinstance(request, dict) and request.get("op") == writes.SINGLE and self._joins(request):
                continue
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
        if not _OWN_TERMS.isdisjoint(request):
            return False
        try:
            protocol.check_request_id(request)
            if self._call is None:
                self._call = self._call_of(writes.SINGLE, {}, WRITE)
        except LockerError:  # It is answered on its own, with what is wrong with it.
            return False
        self._writes.append(request)
        return True

    def _flush(self, answered: Answered) -> None:
        """Commit the writes that wait, and answer each."""
        if self._call is None:
            return
        call, self._call = self._call, None
        requests, self._writes = self._writes, []
        self._counts.requests[writes.SINGLE] += len(requests)
        started = time.monotonic()
        try:
            bodies = writes.write_together(call, requests)
        except Exception as error:
            bodies = [self._refusal(error, writes.SINGLE)] * len(requests)
        self._time(writes.SINGLE, started)
        for request, body in zip(requests, bodies, strict=True):
            self._reply(body, request, answered)

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
        self._time(name, started)
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
            greetings.admit(caller, token)
        service = request.get("service", caller.service)
        if service is not None and not isinstance(service, str):
            service = ""
        if scope is not None:
            if caller.grant is None:
                raise TokenRequired("This needs a token.")
            service = service if service is not None else caller.grant.only_service
            caller.grant.check(scope, service)
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

    def _time(self, name: str, started: float) -> None:
        took_s = time.monotonic() - started
        if took_s > self._desk.limits.slow_op_s:
            self._counts.slow_ops += 1
            log.info("slow store op op=%s took_s=%.2f", name, took_s)
