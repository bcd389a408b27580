"""Which addresses a connector may call: any public one, and others only where the owner typed the host."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

PORTS: Mapping[str, int] = {"http": 80, "https": 443}
SETTINGS_DEPTH_MAX = 8

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
