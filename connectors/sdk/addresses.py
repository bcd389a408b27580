"""Which addresses a connector may call: any public one, and others only where the owner typed the host."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

PORTS: Mapping[str, int] = {"http": 80, "https": 443}
SETTINGS_DEPTH_MAX = 8

_NUMBER = re.compile(r"0x[0-9a-f]*|\d+")
_HOME_NAMES = (".localhost", ".local", ".internal", ".home.arpa", ".lan")

Origin = tuple[str, int]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet: not this machine, not its neighbours, not reserved.

    >>> [is_public(a) for a in ("93.184.216.34", "127.0.0.1", "10.0.0.1", "::ffff:192.168.0.1", "fe80::1")]
    [True, False, False, False, False]
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or _translated(parsed)
        if inner is not None:
            parsed = inner
    return parsed.is_global and not parsed.is_multicast


def is_public_host(host: str) -> bool:
    """Whether a host name or address may lead a browser out of the owner's network, as far as the name alone tells.

    >>> [is_public_host(h) for h in ("example.org", "a.localhost", "127.1", "0x7f000001", "nas", "[::1]")]
    [True, False, False, False, False, False]
    """
    host = host.strip("[]").rstrip(".").lower()
    if ":" in host:
        return is_public(host)
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        # Browsers read 127.1, 0x7f000001 and 2130706433 as addresses.
        try:
            return is_public(socket.inet_ntoa(socket.inet_aton(host)))
        except (OSError, ValueError):
            return False
    return "." in host and not host.endswith(_HOME_NAMES)


def is_loopback_host(host: str) -> bool:
    """Whether a host name or address leads a browser to the machine it runs on.

    >>> [is_loopback_host(h) for h in ("localhost", "a.localhost", "127.1", "[::1]", "0.0.0.0", "192.168.0.1")]
    [True, True, True, True, True, False]
    """
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        text = host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))
        address = ipaddress.ip_address(text.partition("%")[0])
    except (OSError, ValueError):
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return address.is_loopback or address.is_unspecified


def origin_of(url: str) -> Origin | None:
    """Host (lower case) and port of an http or https URL, or None when it is neither."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme.lower(), 0)
    except ValueError:
        return None
    if parts.scheme.lower() not in PORTS or not parts.hostname:
        return None
    return parts.hostname.rstrip(".").lower(), port


def typed_origins(settings: Any, depth: int = 0) -> frozenset[Origin]:
    """The hosts and ports of every URL among the owner's settings, however deep."""
    if depth > SETTINGS_DEPTH_MAX:
        return frozenset()
    if isinstance(settings, str):
        origin = origin_of(settings.strip())
        return frozenset() if origin is None else frozenset({origin})
    inner: Iterable[Any] = ()
    if isinstance(settings, Mapping):
        inner = settings.values()
    elif isinstance(settings, (list, tuple)):
        inner = settings
    return frozenset(origin for item in inner for origin in typed_origins(item, depth + 1))


def is_named(host: str, names: Iterable[str]) -> bool:
    """Whether `host` is one of the names; `*.example.org` names every host below example.org.

    >>> is_named("api.example.org", ["*.example.org"]), is_named("example.org", ["*.example.org"])
    (True, False)
    """
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in names)


def _translated(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside a NAT64 address (RFC 6052), which leads wherever that one leads."""
    if address in ipaddress.IPv6Network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
