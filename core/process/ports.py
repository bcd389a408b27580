"""Which process listens on a port: a child may only announce one that its own process tree owns."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

import psutil

from core.process.sockets import listening_sockets, sockets_in
from core.process.tree import descendants

LOOPBACK = "127.0.0.1"
PROBE_S_MAX = 0.2
# Local addresses at which a connection to 127.0.0.1 can arrive.
_REACHED = ("127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1")


def suggested_port() -> int:
    """A port that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def owns_port(pid: int, port: int) -> bool:
    """Whether whatever answers at 127.0.0.1:`port` belongs to the tree of `pid`, and nothing else listens there too."""
    if sys.platform.startswith("linux"):
        sockets = _listening(pid, port)
        return bool(sockets) and sockets <= _sockets_of(pid, sockets)
    return _owns_elsewhere(pid, port)


def has_listener(pid: int, port: int) -> bool:
    """Whether anybody answers at 127.0.0.1:`port`, seen from where `pid` is."""
    if sys.platform.startswith("linux"):
        return bool(_listening(pid, port))
    with socket.socket() as probe:
        probe.settimeout(PROBE_S_MAX)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _listening(pid: int, port: int) -> frozenset[str]:
    """The inodes of the sockets that listen on `port` where a connection to 127.0.0.1 arrives."""
    rows = listening_sockets(pid)
    return frozenset(row.inode for row in rows if row.local[1] == port and row.local[0] in _REACHED)


def _sockets_of(pid: int, wanted: frozenset[str]) -> frozenset[str]:
    """Those of `wanted` that the process holds; its descendants are only looked at for what is missing."""
    held = _held(pid) & wanted
    if held == wanted:
        return held
    for descendant in descendants(pid):
        held |= _held(descendant) & wanted
    return held


def _held(pid: int) -> frozenset[str]:
    return sockets_in(Path(f"/proc/{pid}/fd")) or frozenset()


def _owns_elsewhere(pid: int, port: int) -> bool:
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(psutil.Error):
            for connection in psutil.Process(each).net_connections(kind="tcp"):
                is_listening = connection.status == psutil.CONN_LISTEN
                if is_listening and connection.laddr.port == port and connection.laddr.ip in _REACHED:
                    return True
    return False
