"""A request as the child gets it: the core's own word on who asks, one head in one piece, a time to answer."""

from __future__ import annotations

import pytest

from core.gateway.address import Target
from core.gateway.limits import GatewayLimits
from core.gateway.request import Caller, Request, from_core, from_outside
from core.model.errors import BadRequest, BodyTooLarge, MethodNotAllowed
from tests.gateway.house import Endpoint

LIMITS = GatewayLimits()
FOO = Target("foo", b"/a", b"x=1")


def scope(**changes: object) -> dict[str, object]:
    """An ASGI scope."""
    return {"method": "POST", "headers": [], "server": ("127.0.0.1", 8042), **changes}


def outside(*headers: tuple[bytes, bytes], **changes: object) -> Request:
    """A client's request, a hundred bytes of body at most."""
    given = scope(headers=list(headers), **changes)
    return from_outside(given, FOO, dict(headers), doors=(), bytes_max=100)


def test_a_head_is_one_piece_with_the_cores_fields_first() -> None:
    """Nothing a client sends can come before them, and framing is ours."""
    request = Request(FOO, "PUT", [(b"a", b"b")], Caller("owner", ("read", "write")), content_length=3)

    assert (
        b"PUT /a?x=1 HTTP/1.1\r\nHost: 127.0.0.1:9001\r\nX-Locker-Token: secret\r\nX-Locker-Actor: owner\r\n"
        b"X-Locker-Scopes: read write\r\na: b\r\nContent-Length: 3\r\n\r\n"
    ) == request.head(Endpoint(9001, token="secret"))


def test_a_callers_name_cannot_split_a_line() -> None:
    """Whatever a person called a token."""
    request = Request(FOO, "GET", [], Caller("app:a\r\nX-Locker-Actor: owner", ("ä\n",)))

    assert b"X-Locker-Actor: app:a??X-Locker-Actor: owner\r\nX-Locker-Scopes: ???\r\n\r\n" in request.head(Endpoint(1))


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT"])
def test_a_method_that_would_show_the_proof_is_refused(method: str) -> None:
    """TRACE sends back what the core says to the child."""
    with pytest.raises(MethodNotAllowed):
        outside(method=method)


def test_the_body_of_unknown_length_is_chunked() -> None:
    """And one without a body has neither field."""
    chunked = Request(FOO, "PUT", [], Caller("x"), is_chunked=True)
    bare = Request(FOO, "GET", [], Caller("x"))

    assert b"\r\nTransfer-Encoding: chunked\r\n\r\n" in chunked.head(Endpoint(1))
    assert b"ength" not in bare.head(Endpoint(1)) and b"ncoding" not in bare.head(Endpoint(1))
    assert (True, False) == (chunked.has_body, bare.has_body)


@pytest.mark.parametrize(
    ("method", "length", "chunked", "expected"),
    [("GET", None, False, True), ("HEAD", 0, False, True), ("GET", 1, False, False), ("GET", None, True, False),
     ("POST", None, False, False), ("DELETE", None, False, False), ("OPTIONS", None, False, False)],
)  # fmt: skip
def test_what_may_be_sent_twice(method: str, length: int | None, chunked: bool, expected: bool) -> None:
    """GET and HEAD without a body, nothing else."""
    request = Request(FOO, method, [], Caller("x"), content_length=length, is_chunked=chunked)

    assert expected == request.is_repeatable


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", 30.0), (b"x=1", 30.0), (b"wait_s=60", 70.0), (b"a=b&wait_s=60&c=d", 70.0), (b"wait_s=0.5", 30.0),
        (b"wait_s=600", 610.0), (b"wait_s=601", 610.0), (b"wait_s=999999", 610.0), (b"xwait_s=60", 30.0),
        (b"wait_s=-5", 30.0), (b"wait_s=nan", 30.0), (b"wait_s=1e9", 30.0), (b"wait_s=", 30.0),
    ],
)  # fmt: skip
def test_the_time_for_the_first_byte(query: bytes, expected: float) -> None:
    """The usual limit, or what the request asks for and a margin, up to a bound."""
    request = Request(Target("foo", b"/sync", query), "POST", [], Caller("x"))

    assert expected == request.first_byte_s(LIMITS)


def test_the_length_is_judged_before_the_body_is_read() -> None:
    """Just at the bound it passes; over it, or not a number, it does not."""
    assert 100 == outside((b"content-length", b"100")).content_length
    with pytest.raises(BodyTooLarge):
        outside((b"content-length", b"101"))
    for nonsense in (b"", b"+1", b"1 ", b"0x1", b"1" * 19):
        with pytest.raises(BadRequest):
            outside((b"content-length", nonsense))
    with pytest.raises(BadRequest):
        outside((b"transfer-encoding", b"gzip, chunked"))


def test_an_unknown_caller_is_nobody_and_the_core_is_the_core() -> None:
    """The child is never left to guess."""
    assert ("nobody", ()) == outside().caller
    assert ("core", ("all",)) == from_core(FOO, "POST", {}, b"").caller


def test_the_cores_own_request_keeps_its_fields_and_its_length() -> None:
    """A POST says its length even when it is empty."""
    request = from_core(FOO, "POST", {"Content-Type": "application/json", "X-Locker-Actor": "x"}, b"")

    assert ([(b"content-type", b"application/json")], 0) == (request.headers, request.content_length)
    assert from_core(FOO, "GET", {}, b"").content_length is None
