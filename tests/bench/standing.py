"""What Locker costs while nothing happens: the time to be up, and the memory of the core and of what it keeps.

The start counts from `python3 locker.py` typed to the first answer of /health, with everything installed. Memory is
told as resident (pages shared with others count in full), as its proportional share of them, and as its own alone.
What one more takes is the difference that many of them made, divided by their number.
"""

from __future__ import annotations

import argparse
import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.bench import _machine
from tests.bench._numbers import Samples, figure
from tests.bench._report import Report, Table, arguments, say
from tests.bench._sides import AUTHORIZATION, PEER, UP_S_MAX, Memory, Ours, Peer, memory_of
from tests.bench._wire import Place, Wire, listening_in
from tests.fakes.house import ROOT

SETTLE_S = 1.5
CORE, PEERS = "core, nothing installed", f"{PEER}, nothing started"
TYPED, MODULE = "Locker, `python3 locker.py`", "Locker, `python -m core.cli run`"
MAKING_S_MAX = 600.0


class Timed(Ours):
    """A core whose start is timed."""

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


class Typed(Timed):
    """A core that was started as a person starts it, by the Python of the system."""

    command = (getattr(sys, "_base_executable", sys.executable), str(ROOT / "locker.py"))


def main() -> None:
    """Measure, and print the tables."""
    told = arguments(__doc__, starts=10, services=20, running=8, streams=500)
    report = Report("Standing still", description=__doc__)
    starts = _starts(told.starts)
    table = Table(["start", "p50, s", "least, s", "most, s"])
    for name, times in starts.items():
        table.add(name, figure(times.p50), figure(times.least), figure(times.most))
    report.add(table)
    whole, each = _memory_tables(told)
    report.add(whole)
    report.add(each)
    report.add(f"{PEER} {_machine.version_of(PEER)}, `jupyter standaloneproxy`, up when it answers at all.")
    ours, theirs = starts.get(TYPED, starts[MODULE]).p50, starts[PEER].p50
    report.beside("from its command typed to its first answer, s", ours, PEER, theirs)
    mine, its = (float(cells[1]) for cells in whole.rows if cells[0] in (CORE, PEERS))
    report.beside("memory with nothing started, MB", mine, PEER, its)
    report.publish(told)


def _starts(count: int) -> dict[str, Samples]:
    rows: dict[str, Callable[[], float]] = {MODULE: _module_start_s, PEER: _peer_start_s}
    if _has_environment():
        rows = {TYPED: _typed_start_s, **rows}
    times: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(count + 1):
        for name, start in rows.items():
            times[name].append(start())
        say(f"start {number} of {count}")
    # The first of each fills the machine's caches.
    return {name: Samples.of(found[1:]) for name, found in times.items()}


def _has_environment() -> bool:
    """Whether `.venv` is what `locker.py` makes, now at the latest; another one is not to be replaced by a bench."""
    folder = ROOT / ".venv"
    if folder.exists() and not (folder / "locker.stamp").exists():
        say("python3 locker.py is left out: .venv was not made by it, and would be replaced")
        return False
    subprocess.run([*Typed.command, "--version"], check=True, timeout=MAKING_S_MAX, stdout=subprocess.DEVNULL)
    return True


def _typed_start_s() -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _first_answer_s(Typed(Path(folder)))


def _module_start_s() -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _first_answer_s(Timed(Path(folder)))


def _first_answer_s(house: Timed) -> float:
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


def _memory_tables(told: argparse.Namespace) -> tuple[Table, Table]:
    whole = Table(["process, MB", "resident", "proportional", "its own alone"])
    each = Table(["what one more takes, kB", "resident", "its own alone"])
    with tempfile.TemporaryDirectory() as folder, Ours(Path(folder)) as house:
        whole.add(CORE, *_mb(_settled(house.core)))
        whole.add("warm parent", *_mb(memory_of(_warm_parent(house))))
        each.add("installed service, asleep, in the core", *_kb(_asleep(house, told.services)))
        children, core = _running(house, told.running)
        whole.add("one running connector on the SDK", *_mb(children))
        each.add("running service, in the core", *_kb(core))
        whole.add("core with all of that", *_mb(_settled(house.core)))
        each.add("silent event stream, in the core", *_kb(_streams(house, told.streams)))
    with Peer("bare") as peer:
        whole.add(PEERS, *_mb(_settled(peer.core)))
        with Wire(peer.port) as wire:
            wire.exchange(peer.place.request("/200"))
        whole.add(f"{PEER}, its program started", *_mb(_settled(peer.core)))
    return whole, each


def _asleep(house: Ours, count: int) -> Memory:
    before = _settled(house.core)
    for number in range(count):
        house.install("bare", id=f"bare-{number}")
    return _difference(before, _settled(house.core), count)


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
    children = [memory_of(process) for process in house.children() if process.pid not in others]
    return _mean(children), core


def _streams(house: Ours, count: int) -> Memory:
    before = _settled(house.core)
    request = Place(house.port, headers=AUTHORIZATION).request("/events")
    with listening_in(house.port, request, count):
        return _difference(before, _settled(house.core), count)


def _warm_parent(house: Ours) -> psutil.Process:
    return next(process for process in house.core.children() if "core.process.warm_parent" in process.cmdline())


def _settled(process: psutil.Process) -> Memory:
    time.sleep(SETTLE_S)
    return memory_of(process)


def _difference(before: Memory, after: Memory, count: int) -> Memory:
    return Memory(*((b - a) / count for a, b in zip(before, after, strict=True)))


def _mean(found: list[Memory]) -> Memory:
    return Memory(*(sum(parts) / len(found) for parts in zip(*found, strict=True)))


def _mb(memory: Memory) -> list[str]:
    return [figure(part) for part in memory]


def _kb(memory: Memory) -> list[str]:
    return [f"{max(0.0, part) * 1000:.0f}" for part in (memory.resident, memory.own)]


if __name__ == "__main__":
    main()
