"""Which header fields pass, in which form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gateway.address import Target
from core.gateway.headers import Headers, cookie_for_browser, request_headers, response_headers, without_locker_cookies
from core.model.errors import AnswerInvalid, BadRequest

FOO = Target("foo", b"/a/b", b"")


def passed(*fields: tuple[bytes, bytes], path: bytes = b"/a/b", status: int = 200, is_door: bool = False) -> Headers:
    """A child's fields as the client gets them."""
    target = Target("foo", path, b"")
    return response_headers(fields, target, status=status, child_port=9001, core_port=8042, is_door=is_door)


def policy(*fields: tuple[bytes, bytes], path: bytes = b"/a/b", status: int = 200) -> dict[bytes, bytes]:
    """What the core says about the content."""
    names = (b"content-security-policy", b"content-disposition", b"x-content-type-options")
    return {name: value for name, value in passed(*fields, path=path, status=status) if name in names}


def test_ordinary_request_fields_pass_as_they_are() -> None:
    """Order, repetition and bytes beyond ASCII included."""
    fields = [
        (b"accept", b"*/*"), (b"accept-encoding", b"gzip"), (b"range", b"bytes=0-9"), (b"if-none-match", b'"x"'),
        (b"x-thing", "ä".encode()), (b"x-thing", b"2"), (b"origin", b"null"), (b"content-type", b"a/b"),
    ]  # fmt: skip

    assert fields == request_headers(fields, with_authorization=False)


@pytest.mark.parametrize(
    "name",
    [
        b"host", b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"content-length",
        b"expect", b"proxy", b"proxy-authorization", b"proxy-connection", b"forwarded", b"x-forwarded-for",
        b"x-forwarded-host", b"x_forwarded_for", b"x-real-ip", b"x-locker-token", b"x-locker-actor",
        b"x-locker-scopes", b"x-locker-anything", b"x_locker_actor", b"x-locker_token", b"transfer_encoding",
        b"authorization", b"sec-websocket-key",
    ],
)  # fmt: skip
def test_what_the_core_says_itself_is_dropped_from_outside(name: bytes) -> None:
    """Hop-by-hop fields, the core's own, and the owner's credentials; with `_` for `-` just the same."""
    assert [(b"a", b"b")] == request_headers([(b"a", b"b"), (name, b"x")], with_authorization=False)


def test_fields_named_by_connection_are_dropped() -> None:
    """Several tokens, several fields, any case."""
    fields = [
        (b"connection", b"close, X-One"),
        (b"connection", b"x-two"),
        (b"x-one", b"1"),
        (b"x-two", b"2"),
        (b"x-3", b"3"),
    ]

    assert [(b"x-3", b"3")] == request_headers(fields, with_authorization=False)


def test_authorization_passes_through_a_door() -> None:
    """Where the connector checks callers itself."""
    assert [(b"authorization", b"Basic x")] == request_headers(
        [(b"authorization", b"Basic x")], with_authorization=True
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"a=b", b"a=b"),
        (b"locker_session=x", b""),
        (b"a=b; locker_session=x; c=d", b"a=b; c=d"),
        (b"Locker_Session=x; a=b", b"a=b"),
        (b"a=locker_session", b"a=locker_session"),
        (b"xlocker_=1", b"xlocker_=1"),
        (b" locker_flow=x;a=b", b"a=b"),
        (b"a=b;locker_x", b"a=b"),
    ],
)
def test_the_cores_cookies_stay_with_the_core(sent: bytes, kept: bytes) -> None:
    """Any name that begins with locker_, wherever it stands; the rest passes."""
    expected = [(b"cookie", kept)] if kept else []

    assert expected == request_headers([(b"cookie", sent)], with_authorization=False)


@given(st.lists(st.tuples(st.sampled_from(["a", "locker_session", "LOCKER_x", "b"]), st.text("ab=; ,\"'", max_size=6))))
def test_no_mixture_of_cookies_lets_one_of_the_cores_through(pairs: list[tuple[str, str]]) -> None:
    """As a browser writes them, and as anybody splits them."""
    kept = without_locker_cookies("; ".join(f"{n}={v}" for n, v in pairs).encode())

    assert not any(pair.strip().lower().startswith(b"locker_") for pair in kept.split(b";"))


@pytest.mark.parametrize("field", [(b"a", b"b\r\nc: d"), (b"a", b"\x00"), (b"a b", b"c"), (b"a\n", b"c"), (b"", b"c")])
def test_a_field_that_could_split_a_line_is_refused(field: tuple[bytes, bytes]) -> None:
    """Whatever server stands in front."""
    with pytest.raises(BadRequest):
        request_headers([field], with_authorization=False)


@pytest.mark.parametrize("value", [b"b\r\nc: d", b"\x00", b"a\x7f"])
def test_a_childs_field_that_could_split_a_line_is_refused(value: bytes) -> None:
    """The other way round too."""
    with pytest.raises(AnswerInvalid):
        passed((b"x-a", value))


def test_ordinary_answer_fields_pass() -> None:
    """Names in lower case, values untouched."""
    fields = (
        (b"Content-Type", b"application/json"),
        (b"ETag", b'"x"'),
        (b"Content-Range", b"bytes 0-1/2"),
        (b"Vary", b"a"),
    )
    expected = [(name.lower(), value) for name, value in fields] + [(b"x-content-type-options", b"nosniff")]

    assert expected == passed(*fields)


@pytest.mark.parametrize(
    "name",
    [
        b"Connection", b"Keep-Alive", b"Transfer-Encoding", b"Trailer", b"Upgrade", b"Date", b"Server", b"Refresh",
        b"Clear-Site-Data", b"Service-Worker-Allowed", b"Strict-Transport-Security", b"Alt-Svc", b"NEL", b"Report-To",
        b"X-Locker-Actor", b"WWW-Authenticate", b"Proxy-Authenticate",
    ],
)  # fmt: skip
def test_a_child_does_not_speak_for_the_whole_origin(name: bytes) -> None:
    """What would act beyond one service's part of it is dropped."""
    assert name.lower() not in dict(passed((name, b"x"), (b"Content-Type", b"text/plain")))


def test_a_door_may_ask_for_its_own_login() -> None:
    """There the caller's password is meant for the connector."""
    assert dict(passed((b"WWW-Authenticate", b"Basic"), is_door=True))[b"www-authenticate"] == b"Basic"


@pytest.mark.parametrize(
    "media_type",
    [
        b"text/html", b"TEXT/HTML; charset=utf-8", b" text/html ;x", b"application/xhtml+xml", b"image/svg+xml",
        b"text/xml", b"application/xml", b"application/rss+xml", b"multipart/x-mixed-replace", b"text/html,text/plain",
        b"text/unknown", b"nonsense", b"",
    ],
)  # fmt: skip
def test_what_a_browser_might_run_is_sandboxed(media_type: bytes) -> None:
    """Everything but a short list of types that no browser runs."""
    assert policy((b"Content-Type", media_type))[b"content-security-policy"] == b"sandbox"


def test_no_type_at_all_is_sandboxed() -> None:
    """A browser might guess."""
    assert policy()[b"content-security-policy"] == b"sandbox"


@pytest.mark.parametrize(
    "media_type",
    [
        b"application/json", b"application/problem+json", b"text/plain; charset=utf-8", b"text/event-stream",
        b"application/pdf", b"image/png", b"audio/mpeg", b"video/mp4", b"application/x-ndjson", b"text/csv",
    ],
)  # fmt: skip
def test_passive_content_is_shown_as_it_is(media_type: bytes) -> None:
    """Only told not to be guessed at."""
    assert {b"x-content-type-options": b"nosniff"} == policy((b"Content-Type", media_type))


def test_the_childs_own_policy_stays_beside_ours() -> None:
    """Browsers keep to all policies at once, so a second one only narrows."""
    fields = passed((b"Content-Security-Policy", b"default-src 'none'"), (b"Content-Type", b"text/html"))
    policies = [value for name, value in fields if name == b"content-security-policy"]

    assert [b"default-src 'none'", b"sandbox"] == policies


@pytest.mark.parametrize(
    ("path", "media_type", "disposition", "expected"),
    [
        (b"/files/x", b"image/png", b"", None),
        (b"/files/x", b"application/pdf", b'inline; filename="a.pdf"', b'inline; filename="a.pdf"'),
        (b"/files/x", b"text/html", b"", b"attachment"),
        (b"/files/x", b"text/html", b'inline; filename="a.html"', b'attachment; filename="a.html"'),
        (b"/files/x", b"application/json", b"", b"attachment"),
        (b"/files/x", b"video/mp4", b"attachment; filename=x", b"attachment; filename=x"),
        (b"/x", b"application/zip", b"", b"attachment"),
        (b"/x", b"text/html", b"", None),
        (b"/x", b"application/json", b"attachment; filename=x", b"attachment; filename=x"),
    ],
)
def test_files_are_saved_unless_they_can_be_shown(
    path: bytes, media_type: bytes, disposition: bytes, expected: bytes | None
) -> None:
    """Image, audio, video and PDF are shown; the child's file name is kept."""
    fields = [(b"Content-Type", media_type)] + ([(b"Content-Disposition", disposition)] if disposition else [])

    assert expected == policy(*fields, path=path).get(b"content-disposition")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_body_carries_no_length_and_no_policy(status: int) -> None:
    """A 304 would overwrite what the browser keeps."""
    fields = passed((b"Content-Length", b"5"), (b"ETag", b"x"), status=status)

    assert [(b"etag", b"x"), (b"x-content-type-options", b"nosniff")] == fields


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b"a=b", b"a=b; Path=/Me/foo/a/"),
        (b"a=b; Path=/", b"a=b; Path=/Me/foo/"),
        (b"a=b; Path=/x; HttpOnly; SameSite=Lax", b"a=b; Path=/Me/foo/x; HttpOnly; SameSite=Lax"),
        (b"a=b; path=/Me/foo/x", b"a=b; Path=/Me/foo/x"),
        (b"a=b; Path=/Me/foobar", b"a=b; Path=/Me/foo/Me/foobar"),
        (b"a=b; Domain=localhost; Path=/", b"a=b; Path=/Me/foo/"),
        (b"a=b; Path=relative", b"a=b; Path=/Me/foo/a/"),
        (b"a=b; Path=/x; Path=/y", b"a=b; Path=/Me/foo/y"),
        (b"a=; Max-Age=0; Path=/", b"a=; Path=/Me/foo/; Max-Age=0"),
        (b"locker_session=x", b""),
        (b"Locker_session=x; Path=/", b""),
        (b" locker_x=1", b""),
        (b"=locker_session=x", b""),
        (b"locker_session", b""),
        (b"a b=c", b""),
        (b"", b""),
    ],
)
def test_a_childs_cookie_is_kept_to_its_own_part(sent: bytes, seen: bytes) -> None:
    """Under its prefix, without a domain, never one of the core's or one without a name."""
    assert seen == cookie_for_browser(sent, FOO)


def test_each_set_cookie_is_judged_alone() -> None:
    """A refused one takes no other with it."""
    fields = passed((b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"locker_session=2"), (b"Set-Cookie", b"b=3; Path=/"))

    assert [b"a=1; Path=/Me/foo/a/", b"b=3; Path=/Me/foo/"] == [v for n, v in fields if n == b"set-cookie"]


NAMES = st.sampled_from(
    [b"Content-Type", b"Set-Cookie", b"Location", b"Connection", b"X-A", b"Content-Disposition", b"X-Locker-Token"]
)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=40)), max_size=8))
def test_whatever_a_child_sends_the_answer_is_safe_or_refused(fields: list[tuple[bytes, bytes]]) -> None:
    """Always nosniff, nothing of the core's, no control character."""
    try:
        result = passed(*fields)
    except AnswerInvalid:
        return

    assert (b"x-content-type-options", b"nosniff") in result
    assert not any(n.startswith(b"x-locker") or n == b"connection" for n, _ in result)
    assert not any(v.lower().startswith(b"locker_") for n, v in result if n == b"set-cookie")
    assert not any(set(v) & {0, 10, 13} for _, v in result)
