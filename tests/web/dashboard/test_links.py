"""Addresses found in data: which may be clicked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.web.dashboard.links import URL_LENGTH_MAX, link


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/",
        "http://example.org:8080/a?b=c#d",
        "HTTPS://Example.ORG/x",
        "https://1.1.1.1/",
        "https://[2606:4700:4700::1111]/",
        "https://xn--bcher-kva.example/",
        "https://a.b.c.example.org./",
        "https://localhost.example.org/",
        "https://example.org/" + "x" * (URL_LENGTH_MAX - 20),
    ],
)
def test_public_addresses_may(url: str) -> None:
    """As they are."""
    assert url == link(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://localhost:8042/",
        "http://LOCALHOST./",
        "http://locker.localhost:8042/logout",
        "http://a.b.localhost/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://127.0.1:80/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://0/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://router/",
        "http://printer.local/",
        "http://nas.lan/",
        "http://me@example.org/",
        "http://example.org@127.0.0.1/",
        "http://example.org\\@127.0.0.1/",
        "http:\\\\127.0.0.1/",
        "http:/127.0.0.1/",
        "http:127.0.0.1",
        "//127.0.0.1/",
        "/services/feeds/uninstall",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        " http://127.0.0.1/",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "https://",
        "https:///x",
        "https://example.org:99999/",
        "https://example.org:0/",
        "https://exa mple.org/",
        "https://ｌｏｃａｌｈｏｓｔ/",
        "https://127。0。0。1/",
        "https://bücher.example/",
        "https://%31%32%37.0.0.1/",
        "https://example.org/" + "x" * (URL_LENGTH_MAX - 19),
        "",
        "ftp://example.org/",
        "mailto:a@example.org",
        "https://[::1",
    ],
)
def test_the_rest_stays_text(url: str) -> None:
    """This machine and this network in any spelling, other schemes, and whatever cannot be read plainly."""
    assert link(url) is None


@pytest.mark.parametrize("value", [None, 7, True, [], {}, b"https://example.org/"])
def test_what_is_no_text_is_no_link(value: object) -> None:
    """Nothing is turned into an address."""
    assert link(value) is None


@given(
    st.text(max_size=60), st.sampled_from(["http://", "https://", "", "//", "http://127.0.0.1@", "https://localhost"])
)
def test_no_text_breaks_it(text: str, start: str) -> None:
    """Any letters at all: an answer, and only ever an http address."""
    found = link(start + text)

    assert found is None or found.lower().startswith(("http://", "https://"))
