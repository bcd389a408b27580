"""Which addresses are public, and which the owner typed."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.sdk.addresses import is_loopback_host, is_named, is_public, is_public_host, origin_of, typed_origins


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "172.32.0.1"])
def test_public_addresses(address: str) -> None:
    """The internet at large."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.1", "198.18.0.1", "240.0.0.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "not an address", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    """This machine, its networks, and everything reserved, in every disguise."""
    assert not is_public(address)


@pytest.mark.parametrize(
    ("host", "public", "loopback"),
    [
        ("example.org", True, False),
        ("EXAMPLE.org.", True, False),
        ("localhost", False, True),
        ("LocalHost.", False, True),
        ("locker.localhost", False, True),
        ("127.0.0.1", False, True),
        ("127.1", False, True),
        ("0x7f000001", False, True),
        ("2130706433", False, True),
        ("0177.0.0.1", False, True),
        ("[::1]", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("0.0.0.0", False, True),
        ("192.168.0.1", False, False),
        ("93.184.216.34", True, False),
        ("999.999.999.999", False, False),
        ("nas", False, False),
        ("nas.local", False, False),
        ("router.lan", False, False),
        ("db.internal", False, False),
        ("", False, False),
    ],
)
def test_hosts_as_a_browser_reads_them(host: str, public: bool, loopback: bool) -> None:
    """Links in what strangers wrote lead out of the house or nowhere."""
    assert (public, loopback) == (is_public_host(host), is_loopback_host(host))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://Example.org/x", ("example.org", 80)),
        ("https://example.org:8443", ("example.org", 8443)),
        ("https://user:pass@example.org./", ("example.org", 443)),
        ("http://[::1]:80/", ("::1", 80)),
        ("ftp://example.org/", None),
        ("http:///x", None),
        ("http://a:99999/", None),
        ("http://[::1/", None),
        ("just words", None),
    ],
)
def test_the_origin_of_an_address(url: str, origin: Any) -> None:
    """Host and port, or nothing."""
    assert origin == origin_of(url)


def test_typed_origins_are_found_however_deep() -> None:
    """In lists, tables and texts; settings deeper than any form can make them are not followed."""
    settings = {"urls": ["http://127.0.0.1:81/f", "x"], "server": {"base": " https://nas.local/ "}, "n": 3}
    deep: Any = "http://10.0.0.1/"
    for _ in range(20):
        deep = [deep]

    assert {("127.0.0.1", 81), ("nas.local", 443)} == typed_origins(settings)
    assert frozenset() == typed_origins(deep)


def test_hosts_may_be_named_with_a_star() -> None:
    """Every host below a domain, the domain itself not."""
    names = ("api.example.org", "*.example.net")

    assert [True, False, True, False, False] == [
        is_named(host, names)
        for host in ("api.example.org", "example.org", "a.b.example.net", "example.net", "evil-example.net")
    ]
