"""`run`: what the three lines of a connector.py call.

A child of the core reads one line of JSON from stdin, serves, and says on stdout where. Everything it needs was
imported with this module, so that a warm parent forks a child that only has its own work left to do.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import msgspec

from connectors.sdk.alone import run_alone
from connectors.sdk.child import Child
from connectors.sdk.core_client import CoreClient
from connectors.sdk.logs import start_logging
from connectors.sdk.source import Source
from core.model.clock import SystemClock
from core.model.errors import Broken, LockerError, WriterBusy
from core.model.handshake import EXIT_STORE_BUSY, LINE_BYTES_MAX, PROTOCOL, Greeting

log = logging.getLogger(__name__)


def run(file: str) -> None:
    """Be the connector whose connector.py is `file`: a child of the core, or alone with `--alone`."""
    folder = Path(file).resolve().parent
    source = Source(folder)
    # The folder was put first for the script's sake; an author's calendar.py must not stand in for Python's.
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != folder]
    if "--alone" in sys.argv[1:]:
        _alone(source)
        return
    blotting = start_logging()
    line = read_line(0)
    if not line:
        return
    greeting = Greeting.from_line(line)
    child = Child(source, greeting, core=_core_of(greeting), clock=SystemClock(), blotting=blotting)
    status = 0
    try:
        child.live(announce=lambda port: _announce(port, source), leash=0)
    except WriterBusy as busy:
        log.warning("%s", busy)
        status = EXIT_STORE_BUSY
    logging.shutdown()
    # Threads that wait for a source that never answers would keep the interpreter from ending.
    os._exit(status)


def _alone(source: Source) -> None:
    try:
        run_alone(source, sys.argv[1:])
    except LockerError as err:
        sys.exit(f"{err.detail}\n{err.remedy}")


def read_line(descriptor: int) -> bytes:
    """The first line that comes from `descriptor`, bounded; empty when it ends before."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(descriptor, LINE_BYTES_MAX)
        if not part:
            return b""
        line += part
        if len(line) > LINE_BYTES_MAX:
            raise Broken(f"the greeting has more than {LINE_BYTES_MAX} bytes")
    return line


def _announce(port: int, source: Source) -> None:
    # Straight to the descriptor: one write, whatever buffering stdout has.
    line = msgspec.json.encode({"port": port, "protocol": PROTOCOL, "version": source.manifest.version})
    os.write(1, line + b"\n")


def _core_of(greeting: Greeting) -> CoreClient:
    return CoreClient(locker_url=greeting.locker_url, service_id=greeting.id, token=greeting.token)
