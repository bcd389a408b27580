"""Which ASGI server stands outermost: uvicorn with and without the core's limits, and granian, before one small
application that answers 200 bytes. For the record: what decided is that uvicorn runs inside our own event loop.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import psutil

from tests.bench import _machine
from tests.bench._numbers import Samples, figure, spread_of
from tests.bench._outer import SERVERS
from tests.bench._report import Report, Table, arguments, say
from tests.bench._sides import await_answer, free_port
from tests.bench._wire import Crowd, Place, Wire
from tests.fakes.house import ROOT

AT_ONCE = 16
MB = 1_000_000


@dataclass(frozen=True)
class Server:
    """One of them, listening."""

    place: Place
    process: psutil.Process


def main() -> None:
    """Measure, and print the table."""
    told = arguments(__doc__, rounds=9)
    rounds: list[dict[str, dict[str, float]]] = []
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(_running(name)) for name in SERVERS}
        for number in range(told.rounds):
            rounds.append({what: {name: ask(of) for name, of in servers.items()} for what, ask in ASKED.items()})
            say(f"round {number + 1} of {told.rounds}")
        memory = {name: _resident_mb(of.process) for name, of in servers.items()}
    report = Report("The outer server", description=__doc__)
    table = Table(["", *SERVERS])
    for what in ASKED:
        table.add(what, *(spread_of([each[what][name] for each in rounds]) for name in SERVERS))
    table.add("memory, MB", *(figure(memory[name]) for name in SERVERS))
    report.add(table)
    versions = ", ".join(f"{package} {_machine.version_of(package)}" for package in ("uvicorn", "granian"))
    report.add(f"The median of {told.rounds} rounds, in brackets from the least to the most. {versions}.")
    report.publish(told)


@contextlib.contextmanager
def _running(name: str) -> Iterator[Server]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench._outer", name, str(port)], cwd=ROOT, stdin=subprocess.DEVNULL
    )
    try:
        await_answer(Place(port), name)
        yield Server(Place(port), psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(10)


def _p50(server: Server, *, count: int, body: bytes = b"") -> float:
    request = server.place.request("/", body=body)
    with Wire(server.place.port) as wire:
        wire.exchange(request)
        return Samples.of(wire.exchange(request).last_ms for _ in range(count)).p50


def _per_s(server: Server) -> float:
    with Crowd(server.place.port, AT_ONCE) as crowd:
        timings, took_s = crowd.ask_for(server.place.request("/"), 300)
    return len(timings) / took_s


ASKED: Mapping[str, Callable[[Server], float]] = {
    "200 B, p50, ms": lambda server: _p50(server, count=1000),
    f"200 B, {AT_ONCE} at once, requests/s": _per_s,
    "POST 1 MB, p50, ms": lambda server: _p50(server, count=30, body=bytes(MB)),
}


def _resident_mb(process: psutil.Process) -> float:
    return sum(part.memory_info().rss for part in (process, *process.children(recursive=True))) / 1e6


if __name__ == "__main__":
    main()
