"""Where a request's path leads, and where a child's redirect may lead. ◆

A path is judged as it stands on the wire (`raw_path`): decoding it first would merge `%2F` with `/`, and a
key that holds a slash would reach the child as two segments.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from core.model.errors import AnswerInvalid, BadRequest, NotFound
from core.model.ids import is_service_id

PREFIX = b"/Me/"
CORE_HOSTS = frozenset({b"127.0.0.1", b"localhost", b"locker.localhost"})

_PATH = re.compile(rb"/Me/([^/]*)(/.*)?", re.DOTALL)
_UNPRINTABLE = re.compile(rb"[^!-~]")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_SEPARATORS = re.compile(rb"[/\\]")
_DOTS = (b".", b"..")
_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY = re.compile(rb"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?")
_HOSTED_SCHEMES = {b"http": 80, b"https": 443, b"ws": 80, b"wss": 443, b"ftp": 21}
_NUMBER = re.compile(rb"0[xX][0-9A-Fa-f]*|[0-9]+")
_LOCAL_NAMES = frozenset({b"localhost", b"localhost.localdomain", b"ip6-localhost", b"ip6-loopback"})


class Target(NamedTuple):
    """What a request asks for: a service and a path in the child's own view (empty: no slash after the id)."""

    service_id: str
    path: bytes
    query: bytes

    @property
    def prefix(self) -> bytes:
        """The child's root as the browser sees it, without a slash at the end."""
        return PREFIX + self.service_id.encode("ascii")

    @property
    def path_and_query(self) -> bytes:
        """The request line's target for the child, byte for byte as the client sent it."""
        return self.path + b"?" + self.query if self.query else self.path


def target_of(raw_path: bytes, query: bytes) -> Target:
    """The service and child's path that `raw_path` names; raises NotFound or BadRequest."""
    match = _PATH.fullmatch(raw_path)
    if match is None:
        raise NotFound("the path does not begin with /Me/")
    name, path = match.group(1), match.group(2) or b""
    if _UNPRINTABLE.search(raw_path) or (query and _UNPRINTABLE.search(query)):
        raise BadRequest("the address holds a byte that must be percent-encoded")
    service_id = name.decode("ascii")
    if not is_service_id(service_id):
        raise NotFound(f"there is no service {service_id[:64]!r}")
    if b"%" in path or b"/." in path or b"\\" in path:
        _refuse_tricks(path)
    return Target(service_id, path, query)


def is_behind_door(path: bytes, doors: tuple[str, ...]) -> bool:
    """Whether `path` lies at or under one of `doors`."""
    return any(path == door or path.startswith(door.rstrip(b"/") + b"/") for door in map(str.encode, doors))


def starts_sync(method: str, path: bytes) -> bool:
    """Whether a child may take this for the word to sync, however the path is written.

    >>> starts_sync("POST", b"/sync"), starts_sync("POST", b"//%73ync/entry"), starts_sync("POST", b"/synchrony")
    (True, True, False)
    """
    names = [name for name in unquote_to_bytes(path).split(b"/") if name]
    return method == "POST" and names[:1] == [b"sync"]


def location_for_browser(value: bytes, target: Target, *, child_port: int, core_port: int) -> bytes:
    """The child's `Location` as it may reach the browser.

    Paths lead to the same service; other hosts stay untouched. Raises AnswerInvalid for another program on this
    machine: a cookie set for a host goes to every port of it.
    """
    # Browsers strip blanks at the ends, drop tabs and line ends anywhere, and read a backslash as a slash.
    url = re.sub(rb"[\t\r\n]", b"", value.strip(b" \x00\x1f")).replace(b"\\", b"/")
    scheme = _SCHEME.match(url)
    if scheme is None:
        if not url.startswith(b"//"):
            return _path_for_browser(url, target)
        name, rest = b"http", url
    else:
        name, rest = scheme.group(1).lower(), url[scheme.end() :]
    if name == b"file":
        raise refused(target, "a file of this machine")
    if name not in _HOSTED_SCHEMES:
        return value
    authority, path = _split_authority(rest)
    host, port = _host_and_port(authority, _HOSTED_SCHEMES[name], target)
    if not _is_loopback(host):
        return value
    if name == b"http" and port == child_port and host in (b"127.0.0.1", b"localhost"):
        return _path_for_browser(path or b"/", target)
    if name == b"http" and port == core_port and host in CORE_HOSTS:
        return value
    raise refused(target, "another program of this machine")


def refused(target: Target, what: str) -> AnswerInvalid:
    """The error that answers a redirect which is not passed on."""
    return AnswerInvalid(
        f"{target.service_id} answered with a redirect to {what}, which is not passed on",
        remedy="Look at the service's log; its connector must redirect to its own paths or to public addresses.",
    )


def _refuse_tricks(path: bytes) -> None:
    decoded = unquote_to_bytes(path)
    if _CONTROL.search(decoded):
        raise BadRequest("the path holds a control character")
    if any(segment in _DOTS for segment in _SEPARATORS.split(decoded)):
        raise BadRequest("the path holds a . or .. segment")


def _path_for_browser(url: bytes, target: Target) -> bytes:
    """A reference of the child's own view, resolved there, then put under the service's prefix."""
    if not url or url.startswith(b"#"):
        return url
    path, mark, rest = _cut(url)
    if not path:
        path = target.path
    elif not path.startswith(b"/"):
        path = target.path.rpartition(b"/")[0] + b"/" + path
    path = _without_dots(path)
    if path != target.prefix and not path.startswith(target.prefix + b"/"):
        path = target.prefix + path
    return path + mark + rest


def _cut(url: bytes) -> tuple[bytes, bytes, bytes]:
    match = re.search(rb"[?#]", url)
    if match is None:
        return url, b"", b""
    return url[: match.start()], match.group(), url[match.end() :]


def _without_dots(path: bytes) -> bytes:
    """`path` with its dot segments resolved as a browser would, `%2e` included."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for number, segment in enumerate(segments):
        plain = segment.lower().replace(b"%2e", b".")
        if plain not in _DOTS:
            kept.append(segment)
            continue
        if plain == b".." and kept:
            kept.pop()
        if number == len(segments) - 1:
            kept.append(b"")
    return b"/" + b"/".join(kept)


def _split_authority(rest: bytes) -> tuple[bytes, bytes]:
    """Authority and path of what follows the scheme; browsers accept any number of slashes there."""
    bare = rest.lstrip(b"/")
    match = re.search(rb"[/?#]", bare)
    return (bare, b"") if match is None else (bare[: match.start()], bare[match.start() :])


def _host_and_port(authority: bytes, default_port: int, target: Target) -> tuple[bytes, int]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        # Names with a user, percent signs or letters beyond ASCII are read differently by different readers.
        raise refused(target, "an address that is not plainly written")
    return match["host"].lower().rstrip(b"."), int(match["port"] or default_port)


def _is_loopback(host: bytes) -> bool:
    if host in _LOCAL_NAMES or host.endswith(b".localhost"):
        return True
    if host.startswith(b"["):
        return _is_local_ipv6(host)
    last = host.rpartition(b".")[2]
    if _NUMBER.fullmatch(last) is None:
        return not last
    return _is_local_ipv4(host)


def _is_local_ipv6(host: bytes) -> bool:
    try:
        address = ipaddress.IPv6Address(host[1:-1].decode("ascii"))
    except ValueError:
        return True
    mapped = address.ipv4_mapped or address.sixtofour
    if mapped is None and int(address) >> 32 == 0:
        mapped = ipaddress.IPv4Address(int(address))
    return address.is_loopback or (mapped is not None and int(mapped) >> 24 in (0, 127))


def _is_local_ipv4(host: bytes) -> bool:
    """Whether a numeric host, in any spelling a browser takes (`127.1`, `0x7f000001`), is this machine."""
    parts = host.split(b".")
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return True
    if len(numbers) > 4 or numbers[-1] >= 256 ** (5 - len(numbers)) or any(n > 255 for n in numbers[:-1]):
        return True
    value = numbers[-1] + sum(n << (24 - 8 * place) for place, n in enumerate(numbers[:-1]))
    return value >> 24 in (0, 127)


def _number(part: bytes) -> int:
    if part[:2].lower() == b"0x":
        return int(part[2:] or b"0", 16)
    return int(part, 8) if part.startswith(b"0") and len(part) > 1 else int(part)
