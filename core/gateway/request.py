"""One request as it will be sent to a child: judged, its fields chosen, with the core's own word on who asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from core.gateway.address import Target, is_behind_door
from core.gateway.connection import HOST, Endpoint
from core.gateway.headers import Headers, request_headers
from core.gateway.limits import WAIT_MARGIN_S, WAIT_S_MAX, GatewayLimits
from core.model.errors import BadRequest, BodyTooLarge, MethodNotAllowed

REPEATABLE = frozenset({"GET", "HEAD"})
# TRACE sends a request's head back, the core's proof included; CONNECT asks for a tunnel.
REFUSED = frozenset({"TRACE", "TRACK", "CONNECT"})
ALLOWED = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_WAIT_S = re.compile(rb"(?:^|&)wait_s=([0-9]{1,6}(?:\.[0-9]{1,6})?)(?:&|$)")
_UNPRINTABLE = re.compile(rb"[^ -~]")
_LENGTH = re.compile(rb"[0-9]{1,18}")


class Caller(NamedTuple):
    """Who asks, as the child is told."""

    actor: str
    scopes: tuple[str, ...] = ()


NOBODY = Caller("nobody")
CORE = Caller("core", ("all",))


class Request(NamedTuple):
    """What goes to the child; `is_door`: the connector checks the caller itself on this path."""

    target: Target
    method: str
    headers: Headers
    caller: Caller
    content_length: int | None = None
    is_chunked: bool = False
    is_door: bool = False
    core_port: int = 0
    subprotocols: tuple[str, ...] = ()

    @property
    def has_body(self) -> bool:
        """Whether any body bytes follow the head."""
        return self.is_chunked or bool(self.content_length)

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again when a kept-alive connection turns out to be closed."""
        return self.method in REPEATABLE and not self.has_body

    def head(self, endpoint: Endpoint) -> bytes:
        """The request's head for the child, blank line included."""
        lines = [b"%b %b HTTP/1.1\r\n" % (self.method.encode("ascii"), self.target.path_and_query)]
        lines.append(b"Host: %b:%d\r\n" % (HOST.encode("ascii"), endpoint.port))
        lines += [b"%b: %b\r\n" % field for field in self._proof(endpoint)]
        lines += [b"%b: %b\r\n" % field for field in self.headers]
        if self.is_chunked:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        elif self.content_length is not None:
            lines.append(b"Content-Length: %d\r\n" % self.content_length)
        lines.append(b"\r\n")
        return b"".join(lines)

    def fields(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """The request's header fields as text, for a handshake that writes its own head."""
        return [(name.decode("ascii"), value.decode("latin-1")) for name, value in self._proof(endpoint) + self.headers]

    def first_byte_s(self, limits: GatewayLimits) -> float:
        """How long the child may take to answer: the usual limit, or what the request asks for by `wait_s`."""
        query = self.target.query
        match = _WAIT_S.search(query) if b"wait_s=" in query else None
        if match is None:
            return limits.first_byte_s
        return max(limits.first_byte_s, min(float(match[1]), WAIT_S_MAX) + WAIT_MARGIN_S)

    def _proof(self, endpoint: Endpoint) -> Headers:
        return [
            (b"X-Locker-Token", endpoint.token.encode("ascii")),
            (b"X-Locker-Actor", _plain(self.caller.actor)),
            (b"X-Locker-Scopes", _plain(" ".join(self.caller.scopes))),
        ]


def from_outside(
    scope: Mapping[str, Any], target: Target, fields: Mapping[bytes, bytes], *, doors: tuple[str, ...], bytes_max: int
) -> Request:
    """The request in an ASGI scope; raises BadRequest, BodyTooLarge or MethodNotAllowed."""
    method = scope.get("method", "GET")
    if method in REFUSED:
        raise MethodNotAllowed(f"{method} is not handed on to a service", allow=ALLOWED)
    is_door = is_behind_door(target.path, doors)
    caller = scope.get("locker.caller")
    length = _length(fields.get(b"content-length"), bytes_max)
    return Request(
        target=target,
        method=method,
        headers=request_headers(scope["headers"], with_authorization=is_door),
        caller=NOBODY if caller is None else Caller(caller.actor, tuple(caller.scopes)),
        content_length=length,
        is_chunked=length is None and _is_chunked(fields.get(b"transfer-encoding")),
        is_door=is_door,
        core_port=(scope.get("server") or ("", 0))[1] or 0,
        subprotocols=tuple(scope.get("subprotocols", ())),
    )


def from_core(
    target: Target, method: str, headers: Mapping[str, str], body: bytes, *, caller: Caller = CORE
) -> Request:
    """A request of the core's own, or one that it makes for `caller`."""
    fields = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    return Request(
        target=target,
        method=method,
        headers=request_headers(fields, with_authorization=False),
        caller=caller,
        content_length=len(body) if body or method not in REPEATABLE else None,
    )


@lru_cache(maxsize=256)
def _plain(text: str) -> bytes:
    """`text` as it may stand in a field: names that people chose must not split a line."""
    return _UNPRINTABLE.sub(b"?", text.encode("utf-8"))


def body_too_large(bytes_max: int) -> BodyTooLarge:
    """The error that answers a body over the limit."""
    return BodyTooLarge(f"the request's body is larger than {bytes_max} bytes")


def _is_chunked(field: bytes | None) -> bool:
    if field is None:
        return False
    if field.strip().lower() != b"chunked":
        raise BadRequest("the only transfer coding of a body is chunked")
    return True


def _length(field: bytes | None, bytes_max: int) -> int | None:
    if field is None:
        return None
    if _LENGTH.fullmatch(field) is None:
        raise BadRequest("Content-Length is not a number")
    length = int(field)
    if length > bytes_max:
        raise body_too_large(bytes_max)
    return length
