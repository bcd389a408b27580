"""Which addresses found in data may be clicked. Pure.

A cookie goes to every port of its host, and a click brings the owner's browser along: so nothing that comes from a
source may lead it to a program on this machine or in this network.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

URL_LENGTH_MAX = 2000
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)
_LOCAL_SUFFIXES = ("localhost", "localdomain", "local", "internal", "home.arpa", "lan")


def link(text: object) -> str | None:
    """The address as it may stand in a link, or None where it must stay text.

    >>> link("https://example.org/a"), link("http://127.1/"), link("javascript:alert(1)")
    ('https://example.org/a', None, None)
    """
    if not isinstance(text, str) or not 0 < len(text) <= URL_LENGTH_MAX:
        return None
    if "\\" in text or any(ord(letter) <= 32 or ord(letter) == 127 for letter in text):
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    is_web = parts.scheme in ("http", "https") and text.lower().startswith(f"{parts.scheme}://")
    if not is_web or port == 0 or parts.username is not None or not _is_public(host.rstrip(".")):
        return None
    return text


def _is_public(host: str) -> bool:
    if ":" in host:
        return _is_public_address(host)
    if not _HOST.fullmatch(host):
        return False
    last = host.rpartition(".")[2].lower()
    if last.isdigit() or last.startswith("0x"):
        # Browsers read 127.1, 0x7f.1 and 2130706433 as addresses too: only the plain form is judged, the rest refused.
        return _is_public_address(host)
    return "." in host and not any(f".{host.lower()}".endswith(f".{suffix}") for suffix in _LOCAL_SUFFIXES)


def _is_public_address(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_global
