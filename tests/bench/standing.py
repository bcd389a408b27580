"""What Locker costs while nothing happens: the time to be up, and the memory of the core and of what it keeps.

The start counts from `python locker.py` typed to the first answer of /health, with everything installed. Memory is
told as resident (pages shared with others count in full), as its proportional share of them, and as its own alone;
where it is told per service or per stream, it is the difference that many of them made, divided by their number.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.bench import _machine
from tests.bench._numbers import Samples, figure
from tests.bench._report import Report, Table, arguments, say
from tests.bench._sides import PEER, UP_S_MAX, Ours, Peer, own_memory_mb
from tests.bench._wire import Wire, listening_in
from tests.fakes.house import ROOT

SETTLE_S = 1.5
Memory = tuple[float, float, float]


class Typed(Ours):
    """A core that was started as a person starts it."""

    command = (getattr(sys, "_base_executable", sys.executable), str(ROOT / "locker.py"))

    def first_answer_s(self) -> float:
        """The seconds from now to the first answer of /health."""
        self.port = 0
        begun = time.perf_counter()
        self.launch()
        while time.perf_counter() - begun < UP_S_MAX:
            if self.port and _answers(self.port):
                return time.perf_counter() - begun
            time.sleep(0.002)
        raise AssertionError(f"no answer within {UP_S_MAX:g} s")


def main() -> None:
    """Measure, and print the tables."""
    told = arguments(__doc__, starts=10, services=20, running=8, streams=500)
    report = Report("Standing still", description=__doc__.strip())
    report.add(_start_table(told.starts))
    report.add(_memory_table(told))
    report.add(f"{PEER} {_machine.version_of(PEER)}, `jupyter standaloneproxy`, up when it answers at all.")
    report.publish(told)


def _start_table(starts: int) -> Table:
    table = Table(["start", "p50, s", "least, s", "most, s"])
    rows: dict[str, Callable[[], float]] = {"Locker, `python -m core.cli run`": _module_start_s, PEER: _peer_start_s}
    if _is_own_environment():
        rows = {"Locker, `python locker.py`": _typed_start_s, **rows}
    else:
        say("python locker.py is left out: .venv was not made by it, and would be replaced")
    for start in rows.values():
        start()
    times: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(starts):
        for name, start in rows.items():
            times[name].append(start())
        say(f"start {number + 1} of {starts}")
    for name, found in times.items():
        samples = Samples.of(found)
        table.add(name, figure(samples.p50), figure(samples.least), figure(samples.most))
    return table


def _is_own_environment() -> bool:
    return not (ROOT / ".venv").exists() or (ROOT / ".venv" / "locker.stamp").exists()


def _typed_start_s() -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _first_answer_s(Typed(Path(folder)))


def _module_start_s() -> float:
    with tempfile.TemporaryDirectory() as folder:
        house = Typed(Path(folder))
        house.command = Ours.command
        return _first_answer_s(house)


def _first_answer_s(house: Typed) -> float:
    # The first start of a Me makes its key and files: the second is the one that an owner meets each day.
    for _ in range(2):
        took_s = house.first_answer_s()
        house.stop()
    return took_s


def _peer_start_s() -> float:
    begun = time.perf_counter()
    with Peer("bare"):
        return time.perf_counter() - begun


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _memory_table(told: argparse.Namespace) -> Table:
    table = Table(["memory, MB", "resident", "proportional", "its own alone"])
    with tempfile.TemporaryDirectory() as folder, Ours(Path(folder)) as house:
        table.add("core, nothing installed", *_cells(_settled(house.core)))
        table.add("warm parent", *_cells(own_memory_mb(_warm_parent(house))))
        table.add("one more service, asleep", *_each(house, told.services, lambda: _install(house, told.services)))
        children, core = _running(house, told.running)
        table.add("one running connector on the SDK", *_cells(children))
        table.add("… and its part of the core", *_cells(core))
        table.add("core with all of that", *_cells(_settled(house.core)))
        table.add("one silent event stream, in the core", *_cells(_streams(house, told.streams)))
    with Peer("bare") as peer:
        table.add(f"{PEER}, nothing started", *_cells(_settled(peer.core)))
        with Wire(peer.port) as wire:
            wire.exchange(peer.place.request("/200"))
        table.add(f"{PEER}, its program started", *_cells(_settled(peer.core)))
    return table


def _install(house: Ours, count: int) -> None:
    for number in range(count):
        house.install("bare", id=f"bare-{number}")


def _each(house: Ours, count: int, make: Callable[[], None]) -> list[str]:
    before = _settled(house.core)
    make()
    return _cells(_difference(before, _settled(house.core), count))


def _running(house: Ours, count: int) -> tuple[Memory, Memory]:
    """What each of `count` running connectors takes, and what the core takes for each."""
    names = [f"plain-{number}" for number in range(count)]
    for name in names:
        house.install("plain", id=name)
        house.sync(name)
        house.make_cold(name)
    before = _settled(house.core)
    others = {process.pid for process in house.children()}
    for name in names:
        assert house.get(f"/Me/{name}/records/thing").ok
    core = _difference(before, _settled(house.core), count)
    children = [own_memory_mb(process) for process in house.children() if process.pid not in others]
    return tuple(sum(part) / count for part in zip(*children, strict=True)), core  # type: ignore[return-value]


def _streams(house: Ours, count: int) -> Memory:
    before = _settled(house.core)
    place = house.place("")
    request = type(place)(place.port, "", place.headers).request("/events")
    with listening_in(house.port, request, count):
        return _difference(before, _settled(house.core), count)


def _warm_parent(house: Ours) -> psutil.Process:
    return next(process for process in house.core.children() if "core.process.warm_parent" in process.cmdline())


def _settled(process: psutil.Process) -> Memory:
    time.sleep(SETTLE_S)
    return own_memory_mb(process)


def _difference(before: Memory, after: Memory, count: int) -> Memory:
    return tuple((b - a) / count for a, b in zip(before, after, strict=True))  # type: ignore[return-value]


def _cells(memory: Memory) -> list[str]:
    return [figure(part) for part in memory]


if __name__ == "__main__":
    sys.exit(main())
