"""Sockets that a server listens at: a Unix socket for this user alone, or a loopback address.

A path too long for a socket's address is replaced by a short hashed name, by the same rule in server and client.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from core.model.errors import AlreadyRunning, BadRequest, FolderUnusable, PortTaken

PATH_BYTES_MAX = 100
PROBE_DEADLINE_S = 2.0
BACKLOG = 64
DEFAULT_PORT = 7400

# Fixed, so that server and client agree on it whatever their environments say.
_SHORT_FOLDER = "/tmp/locker-{uid}"  # noqa: S108 -- used only when it is ours alone

# Where a folder that is open is reached by a short name.
_FOLDERS_BY_HANDLE = Path("/proc/self/fd")


def socket_path(path: Path) -> Path:
    """Where the socket wanted at `path` stands: there, or under a short name where that is too long."""
    path = path.absolute()
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
    return Path(_SHORT_FOLDER.format(uid=os.getuid())) / f"{name}.sock"


def private_path(path: Path) -> Path:
    """Where a socket wanted at `path` stands for peers that come by `connect_unix`: there, where the system can."""
    return path.absolute() if _FOLDERS_BY_HANDLE.is_dir() else socket_path(path)


def connect_unix(path: Path, *, timeout_s: float) -> socket.socket:
    """A connection to the socket at that very path, however long it is; raises OSError where nobody answers."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        with _address_of(path) as address:
            connection.connect(address)
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection


def listen_unix(path: Path, *, in_place: bool = False) -> tuple[socket.socket, Path]:
    """A socket of mode 0600 in a folder that is this user's alone, and where it stands; `in_place`: at that very path.

    One that nobody answers is replaced; raises AlreadyRunning when somebody does, FolderUnusable for a folder that
    others may enter.
    """
    place = path.absolute() if in_place else socket_path(path)
    _prepare_folder(place.parent)
    _clear(place)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address_of(place) as address:
            listener.bind(address)
        place.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError as err:
        listener.close()
        raise FolderUnusable(f"{place} cannot be made: {err.strerror}") from err
    return listener, place


def listen_tcp(host: str, port: int) -> socket.socket:
    """A socket at a loopback address; raises BadRequest for any other, PortTaken where another program has it."""
    if not is_loopback(host):
        raise BadRequest(
            f"{host} is not this machine alone; the store listens on loopback addresses only",
            remedy="Listen on 127.0.0.1 or [::1]; reach it from elsewhere through an encrypted tunnel.",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as err:
        listener.close()
        raise PortTaken(f"{host} port {port} cannot be listened at: {err.strerror}") from err
    return listener


def parse_address(text: str, *, port: int = DEFAULT_PORT) -> tuple[str, int]:
    """Host and port of `127.0.0.1:7400`, `[::1]:7400`, `::1` or a host alone; raises BadRequest for anything else."""
    host, colon, digits = text.rpartition(":")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, digits = rest[:1], rest[1:]
        if not bracket or (rest and colon != ":"):
            raise BadRequest(f"{text!r} is not an address", remedy="Write it like [::1]:7400.")
    elif text.count(":") != 1:
        host, colon = text, ""
    if colon and not (digits.isascii() and digits.isdigit() and int(digits) < 65536):
        raise BadRequest(f"{text!r} has no port that can be used", remedy="Write it like 127.0.0.1:7400.")
    if not host:
        raise BadRequest(f"{text!r} names no host", remedy="Write it like 127.0.0.1:7400.")
    return host, int(digits) if colon else port


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`; a name is none but localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def _address_of(place: Path) -> Iterator[str]:
    """What the system is told of a socket's place: its path, or a short way through its folder where that is long."""
    if len(os.fsencode(place)) <= PATH_BYTES_MAX:
        yield str(place)
        return
    folder = os.open(place.parent, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield str(_FOLDERS_BY_HANDLE / str(folder) / place.name)
    finally:
        os.close(folder)


def _prepare_folder(folder: Path) -> None:
    """Make the short folder if it is needed; use a folder only when nobody else can put anything there."""
    if str(folder) == _SHORT_FOLDER.format(uid=os.getuid()):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    try:
        found = folder.lstat()
    except OSError as err:
        raise FolderUnusable(f"{folder} cannot be used: {err.strerror}") from err
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise FolderUnusable(f"{folder} is not a folder of this user alone", remedy="Set its mode to 0700.")


def _clear(path: Path) -> None:
    """Remove a socket that nobody answers; whatever else has that name is left alone."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FolderUnusable(f"{path} is in the way: it is not a socket", remedy="Move it away, then start again.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_DEADLINE_S)
        try:
            with _address_of(path) as address:
                probe.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as err:
            raise AlreadyRunning(f"{path} belongs to a server that does not answer: {err.strerror}") from err
    raise AlreadyRunning(f"A server answers at {path} already.")
