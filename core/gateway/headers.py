"""Which header fields pass a door, in which form. ◆

Names are compared in lower case and with `_` read as `-`: frameworks that hand headers on as environment
variables (WSGI, CGI) cannot tell `X_Locker_Actor` from `X-Locker-Actor`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from core.gateway.address import Target, location_for_browser
from core.model.errors import AnswerInvalid, BadRequest

Headers = list[tuple[bytes, bytes]]

COOKIE_PREFIX = b"locker_"
SANDBOX = b"sandbox"

_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"}
    | {b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
# The core says these itself: who asks, where the child is, how long the body is.
_REQUEST_DROPPED = _HOP_BY_HOP | {b"host", b"content-length", b"expect", b"proxy", b"forwarded", b"x-real-ip"}
_REQUEST_DROPPED_FAMILIES = (b"x-locker-", b"x-forwarded-", b"sec-websocket-")
# What would act on the whole origin instead of one service's part of it, and what the outer server says itself.
_RESPONSE_DROPPED = _HOP_BY_HOP | {
    b"date", b"server", b"refresh", b"clear-site-data", b"service-worker-allowed", b"strict-transport-security",
    b"alt-svc", b"nel", b"report-to", b"reporting-endpoints", b"public-key-pins", b"origin-agent-cluster",
    b"set-login", b"accept-ch", b"critical-ch", b"x-content-type-options",
}  # fmt: skip

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE_FAULT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# Types that no browser runs: everything else is shown in a sandbox.
_PASSIVE = re.compile(
    rb"application/(?:json|pdf|octet-stream|x-ndjson|jsonl|jsonstream|problem\+json|[a-z0-9.-]+\+json)"
    rb"|text/(?:plain|csv|event-stream|markdown|css|javascript|calendar|vcard)"
    rb"|audio/[a-z0-9.+-]+|video/[a-z0-9.+-]+|font/[a-z0-9.+-]+|image/(?!svg)[a-z0-9.+-]+"
)
# Types that may stand in a window; the rest is saved as a file.
_SHOWN = re.compile(
    rb"application/(?:json|pdf|x-ndjson|jsonl|jsonstream|xml|[a-z0-9.-]+\+(?:json|xml))"
    rb"|(?:text|image|audio|video|font)/[a-z0-9.+-]+"
)
_SHOWN_FILE = re.compile(rb"application/pdf|(?:image|audio|video)/[a-z0-9.+-]+")
_FILES = b"/files/"


def request_headers(headers: Iterable[tuple[bytes, bytes]], *, with_authorization: bool) -> Headers:
    """What of a client's header fields reaches the child; raises BadRequest for a value that could split a line."""
    named = _named_by_connection(headers)
    passed: Headers = []
    for name, value in headers:
        plain = name.replace(b"_", b"-") if b"_" in name else name
        if plain in _REQUEST_DROPPED or plain in named or plain.startswith(_REQUEST_DROPPED_FAMILIES):
            continue
        if plain == b"authorization" and not with_authorization:
            continue
        if plain == b"cookie":
            value = without_locker_cookies(value)
            if not value:
                continue
        if _VALUE_FAULT.search(value) or _TOKEN.fullmatch(name) is None:
            raise BadRequest("a header field holds a control character")
        passed.append((name, value))
    return passed


def without_locker_cookies(value: bytes) -> bytes:
    """A Cookie field without the core's own cookies; empty when nothing is left."""
    if COOKIE_PREFIX not in value.lower():
        return value
    kept = [pair.strip() for pair in value.split(b";") if not pair.strip().lower().startswith(COOKIE_PREFIX)]
    return b"; ".join(pair for pair in kept if pair)


def response_headers(
    headers: Iterable[tuple[bytes, bytes]],
    target: Target,
    *,
    status: int,
    child_port: int,
    core_port: int,
    is_door: bool,
) -> Headers:
    """What of a child's header fields reaches the client, with what a browser must be told about foreign content.

    Raises AnswerInvalid for a redirect that is not passed on, and for a field that could split a line.
    """
    lowered = [(name.lower(), value) for name, value in headers]
    named = _named_by_connection(lowered)
    passed: Headers = []
    media_type = disposition = b""
    for name, value in lowered:
        if name in _RESPONSE_DROPPED or name in named or name.startswith(b"x-locker-"):
            continue
        if _VALUE_FAULT.search(value):
            raise AnswerInvalid(f"{target.service_id} answered with a control character in a header field")
        if name == b"content-type":
            media_type = value.partition(b";")[0].strip().lower()
        elif name == b"content-disposition":
            disposition = value
            continue
        elif name == b"location":
            value = location_for_browser(value, target, child_port=child_port, core_port=core_port)
        elif name == b"set-cookie":
            value = cookie_for_browser(value, target)
            if not value:
                continue
        elif name == b"www-authenticate" and not is_door:
            # A password typed at a connector's prompt would be sent to the core's own pages from then on.
            continue
        elif name == b"content-length" and status in (204, 304):
            continue
        passed.append((name, value))
    passed.append((b"x-content-type-options", b"nosniff"))
    if status not in (204, 304):
        passed.extend(_content_policy(media_type, disposition, is_file=target.path.startswith(_FILES)))
    return passed


def cookie_for_browser(value: bytes, target: Target) -> bytes:
    """A child's Set-Cookie kept to its own part of the origin; empty when it is refused.

    A cookie without a name is refused too: it is sent back as its bare value, which may read `locker_…=…`.
    """
    pair, *attributes = value.split(b";")
    name, equals, _ = pair.partition(b"=")
    name = name.strip()
    if not equals or _TOKEN.fullmatch(name) is None or name.lower().startswith(COOKIE_PREFIX):
        return b""
    kept = [pair.strip(), b"Path=" + _cookie_path(attributes, target)]
    for attribute in attributes:
        kind = attribute.partition(b"=")[0].strip().lower()
        if kind not in (b"path", b"domain", b""):
            kept.append(attribute.strip())
    return b"; ".join(kept)


def _cookie_path(attributes: list[bytes], target: Target) -> bytes:
    root = target.prefix + b"/"
    path = b""
    for attribute in attributes:
        kind, _, text = attribute.partition(b"=")
        if kind.strip().lower() == b"path":
            path = text.strip()
    if not path.startswith(b"/"):
        # The default of RFC 6265: the folder of the request's own path.
        path = target.path.rpartition(b"/")[0] + b"/" if target.path.count(b"/") > 1 else b"/"
    return path if path.startswith(root) else target.prefix + path


def _content_policy(media_type: bytes, disposition: bytes, *, is_file: bool) -> Headers:
    policy: Headers = []
    if _PASSIVE.fullmatch(media_type) is None:
        policy.append((b"content-security-policy", SANDBOX))
    shown = (_SHOWN_FILE if is_file else _SHOWN).fullmatch(media_type) is not None
    if media_type and not shown:
        disposition = _as_attachment(disposition)
    if disposition:
        policy.append((b"content-disposition", disposition))
    return policy


def _as_attachment(disposition: bytes) -> bytes:
    _, semicolon, parameters = disposition.partition(b";")
    return b"attachment" + semicolon + parameters


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The fields that a Connection field declares to be for this hop only."""
    values = [value for name, value in headers if name == b"connection"]
    if not values or values == [b"keep-alive"] or values == [b"close"]:
        return frozenset()
    return frozenset(token.strip().lower() for value in values for token in value.split(b","))
