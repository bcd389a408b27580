"""Where a path leads, and where a redirect may lead."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.gateway.address import Target, is_behind_door, location_for_browser, target_of
from core.model.errors import AnswerInvalid, BadRequest, LockerError, NotFound

FOO = Target("foo", b"/a/b", b"")


def location(value: bytes, target: Target = FOO) -> bytes:
    """The redirect as the browser sees it; child on 9001, core on 8042."""
    return location_for_browser(value, target, child_port=9001, core_port=8042)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/Me/foo/", b"/"),
        (b"/Me/foo", b""),
        (b"/Me/foo/a/b", b"/a/b"),
        (b"/Me/foo/a%2Fb", b"/a%2Fb"),
        (b"/Me/foo//a//b/", b"//a//b/"),
        (b"/Me/foo/a%20b/%C3%A4", b"/a%20b/%C3%A4"),
        (b"/Me/foo/..a/b..", b"/..a/b.."),
        (b"/Me/foo/.well-known/x", b"/.well-known/x"),
        (b"/Me/foo/%252e%252e/x", b"/%252e%252e/x"),
        (b"/Me/foo/a;b=c:@!$&'()*+,=~", b"/a;b=c:@!$&'()*+,=~"),
    ],
)
def test_the_childs_path_is_what_follows_the_id_untouched(raw: bytes, path: bytes) -> None:
    """No byte of it is decoded, merged or added."""
    assert Target("foo", path, b"q=%2F") == target_of(raw, b"q=%2F")


@pytest.mark.parametrize(
    "raw", [b"/Me/", b"/Me//foo", b"/Me/Foo/", b"/Me/f%6fo/", b"/Me/core/", b"/Me/a.b/", b"/Me/..", b"/me/foo/", b"/x"]
)
def test_what_names_no_service_is_not_found(raw: bytes) -> None:
    """An id is decided from the raw path: nothing is decoded into one."""
    with pytest.raises(NotFound):
        target_of(raw, b"")


@pytest.mark.parametrize(
    "path",
    [
        b"/..", b"/../x", b"/a/../b", b"/a/./b", b"/%2e%2e/x", b"/%2E./x", b"/.%2e", b"/a%2f..%2fb", b"/a\\..\\b",
        b"/a%5c..%5cb", b"/%00", b"/a%0d%0ab", b"/%7f", b"/a\x00b", b"/a b", b"/\xff", b"/a\nb",
    ],
)  # fmt: skip
def test_tricks_in_a_path_are_refused(path: bytes) -> None:
    """Segments that a child might resolve away, control characters, bytes that belong percent-encoded."""
    with pytest.raises(BadRequest):
        target_of(b"/Me/foo" + path, b"")


@pytest.mark.parametrize("query", [b"a b", b"a\r\nb", b"\xff", b"a\x00"])
def test_a_query_with_bare_bytes_is_refused(query: bytes) -> None:
    """What could split the request line does not reach it."""
    with pytest.raises(BadRequest):
        target_of(b"/Me/foo/", query)


@given(st.binary(max_size=60))
def test_any_path_is_a_target_or_a_reject(tail: bytes) -> None:
    """Whatever stands in a path, the answer is one of ours, and a target stays below its service."""
    try:
        target = target_of(b"/Me/foo/" + tail, b"")
    except LockerError as error:
        assert error.status in (400, 404)
        return

    assert b"/" + tail == target.path
    assert b".." not in unquote_to_bytes(target.path).replace(b"\\", b"/").split(b"/")


def test_a_door_is_a_path_and_all_below_it() -> None:
    """Not a path that merely begins alike."""
    doors = ("/dav", "/ws/")

    assert [True, True, False, True, False] == [
        is_behind_door(path, doors) for path in (b"/dav", b"/dav/x", b"/david", b"/ws/x", b"/")
    ]
    assert not is_behind_door(b"/dav", ())


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (b"/x", b"/Me/foo/x"),
        (b"/x?y=/../z#f", b"/Me/foo/x?y=/../z#f"),
        (b"/", b"/Me/foo/"),
        (b"x", b"/Me/foo/a/x"),
        (b"../x", b"/Me/foo/x"),
        (b"../../../x", b"/Me/foo/x"),
        (b"..", b"/Me/foo/"),
        (b".", b"/Me/foo/a/"),
        (b"?y=1", b"/Me/foo/a/b?y=1"),
        (b"#f", b"#f"),
        (b"", b""),
        (b"/../../core/x", b"/Me/foo/core/x"),
        (b"/%2e%2E/core", b"/Me/foo/core"),
        (b"/Me/foo/x", b"/Me/foo/x"),
        (b"/Me/foo", b"/Me/foo"),
        (b"/Me/foo/../../x", b"/Me/foo/x"),
        (b"/Me/foobar/x", b"/Me/foo/Me/foobar/x"),
        (b"/Me/bar/x", b"/Me/foo/Me/bar/x"),
        (b"\\x", b"/Me/foo/x"),
        (b"\t/x", b"/Me/foo/x"),
        (b"http://127.0.0.1:9001/x?y", b"/Me/foo/x?y"),
        (b"http://127.0.0.1:9001", b"/Me/foo/"),
        (b"http://localhost:9001/x", b"/Me/foo/x"),
        (b"HTTP://LOCALHOST.:9001/x", b"/Me/foo/x"),
        (b"//127.0.0.1:9001/x", b"/Me/foo/x"),
        (b"http://127.0.0.1:9001/../../core", b"/Me/foo/core"),
    ],
)
def test_a_redirect_within_the_service_works_for_the_browser(value: bytes, seen: bytes) -> None:
    """Paths are resolved in the child's own view and put under its prefix; they never lead out of it."""
    assert seen == location(value)


@pytest.mark.parametrize(
    "value",
    [
        b"https://example.com/x", b"http://example.com:9001/", b"//example.com/x", b"https://example.com",
        b"http://192.168.1.7:80/", b"http://[2001:db8::1]/", b"mailto:a@example.com", b"app.example:/callback?code=1",
        b"http://127.0.0.1:8042/services/foo", b"http://locker.localhost:8042/x", b"http://localhost:8042/",
        b"http://xn--bcher-kva.example/", b"http://localhost.example.com/", b"http://127.0.0.1.example.com/",
        b"http://1.2.3.4/", b"http://128.0.0.1/",
    ],
)  # fmt: skip
def test_other_hosts_and_the_core_itself_stay_untouched(value: bytes) -> None:
    """A redirect outwards is the connector's own business."""
    assert value == location(value)


@pytest.mark.parametrize(
    "value",
    [
        b"http://127.0.0.1:9002/", b"http://127.0.0.1/", b"https://127.0.0.1:9001/", b"http://localhost:1/",
        b"http://locker.localhost:9001/", b"http://LOCKER.localhost:9999/x", b"http://a.b.localhost/",
        b"http://localhost./", b"//localhost:5/", b"\\\\localhost:5\\x", b"/\\localhost:5", b"http:\\\\127.0.0.1:5",
        b"http:127.0.0.1:5", b"http:/127.0.0.1:5/", b"http:////127.0.0.1:5/", b"ht\ttp://127.0.\n0.1:5/",
        b"http://127.1:5/", b"http://2130706433/", b"http://0x7f000001/", b"http://0177.0.0.1/", b"http://0/",
        b"http://0.0.0.0:5/", b"http://127.0.0.2:8042/", b"http://0x7f.1/", b"http://[::1]:5/", b"http://[::]/",
        b"http://[::ffff:127.0.0.1]:5/", b"http://[::127.0.0.1]/", b"http://[0:0:0:0:0:0:0:1]/",
        b"http://user@127.0.0.1:5/", b"http://a:b@localhost/", b"http://%31%32%37.0.0.1/", b"http://127.0.0.1:5@x/",
        "http://１２７.0.0.1/".encode(), b"http://ip6-localhost/", b"ws://127.0.0.1:5/", b"ftp://localhost/",
        b"file:///etc/passwd", b"http://", b"http://999.1.1.1/", b"http://1.2.3.4.5/", b"http://08.1.1.1/",
        b"http://[::1", b"http://127.0.0.1:99999x/", b"https://127.0.0.1:8042/", b"http://a.localhost:8042/",
    ],
)  # fmt: skip
def test_a_redirect_to_another_program_of_this_machine_is_refused(value: bytes) -> None:
    """However the address is written: a cookie of a host goes to every port of it."""
    with pytest.raises(AnswerInvalid, match="not passed on"):
        location(value)


@settings(max_examples=500)
@given(st.text(alphabet="/.%2eE\\ab?#:\t", max_size=24))
def test_a_path_in_a_redirect_never_leaves_the_service(value: str) -> None:
    """Resolved as a browser would resolve it, it lies under the service's prefix."""
    try:
        seen = location(value.encode()).decode()
    except AnswerInvalid:
        return
    if urlsplit(seen).scheme or seen.replace("\t", "").replace("\\", "/").startswith("//"):
        return  # An app's own scheme, or another host.
    resolved = urljoin("http://locker.localhost:8042/Me/foo/a/b", seen.replace("%2e", ".").replace("%2E", "."))

    assert urlsplit(resolved).netloc == "locker.localhost:8042"
    assert urlsplit(resolved).path.startswith("/Me/foo")


@given(st.binary(max_size=80))
def test_any_location_is_passed_or_refused(value: bytes) -> None:
    """No bytes of a child make the reading of them fail in another way."""
    try:
        location(value)
    except AnswerInvalid as error:
        assert error.status == 502
