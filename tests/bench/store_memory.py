"""Memory while a store is loaded and read: the peak of the process that does it, at few records and at many.

Each step is a process of its own, whose highest resident size the kernel remembers. Loading commits batches of 500
with history and text index; reading goes through every fact, in pages, in the process itself or over the wire, where
the server's peak is told too.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from core.model.clock import SystemClock
from core.netstore import NetworkStore
from core.store import Reader, Store
from tests.bench._lanes import ORIGIN, Locker
from tests.bench._numbers import compared, figure
from tests.bench._report import Report, Table, arguments, say
from tests.bench._repos import ONE_INDEX, batches
from tests.bench._served import Server

PAGE = 1000
IDLE, LOADED, AGAIN = "the process, doing nothing", "loading", "the same again, unchanged"
REBUILT = "folding all facts anew, since the declarations changed"
READ, CLIENT, SERVER = "reading all facts, Reader", "replaying all facts, NetworkStore", "… and the server meanwhile"


def main() -> None:
    """Measure, and print the table."""
    told = arguments(__doc__, few=100_000, many=1_000_000)
    found = {count: _peaks(count) for count in (told.few, told.many)}
    few, many = found[told.few], found[told.many]
    report = Report("Memory and the number of records", description=__doc__)
    table = Table(["peak, MB", f"{told.few} records", f"{told.many} records", "many against few"])
    for name in few:
        table.add(name, figure(few[name]), figure(many[name]), compared(many[name], few[name]))
    report.add(table)
    report.brief.add(f"memory while {told.many} records are loaded, MB", figure(many[LOADED]), "", "")
    report.publish(told)


def _peaks(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "store"
        place.mkdir(mode=0o700)
        peaks = {
            IDLE: _peak_of(_idle, place, 0),
            LOADED: _peak_of(_load, place, count),
            AGAIN: _peak_of(_load, place, count),
            READ: _peak_of(_read, place, count),
            REBUILT: _peak_of(_rebuild, place, count),
        }
        with Server(place) as server:
            peaks[CLIENT] = _peak_of(_replay, Path(server.unix), count)
            peaks[SERVER] = _peak_mb(server.process.pid)
    say(f"{count} records: " + ", ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items()))
    return peaks


def _peak_of(work: Callable[[Path, int], None], place: Path, count: int) -> float:
    """The peak of a process that does this."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_worked, args=(work, place, count, there))
    process.start()
    peak = float(here.recv())
    process.join()
    return peak


def _worked(work: Callable[[Path, int], None], place: Path, count: int, told: Connection) -> None:
    work(place, count)
    told.send(_peak_mb(os.getpid()))


def _peak_mb(pid: int) -> float:
    """The highest resident size of a process so far; where the system does not tell, that of now."""
    if sys.platform != "linux":
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def _idle(place: Path, count: int) -> None:
    """What the imports alone take."""


def _load(place: Path, count: int) -> None:
    lane = Locker(place)
    for batch in batches(count):
        lane.put(batch)
        lane.did.clear()
    lane.close()


def _read(place: Path, count: int) -> None:
    with Reader.open(place, types=ONE_INDEX) as reader:
        since = seen = 0
        while page := reader.facts(since, limit=PAGE):
            since, seen = page[-1].seq, seen + len(page)
    assert count == seen, seen


def _rebuild(place: Path, count: int) -> None:
    with Store.open(place, types={}, origin=ORIGIN, clock=SystemClock()) as store:
        assert count == store.head()


def _replay(place: Path, count: int) -> None:
    with NetworkStore(str(place), transport="unix") as store:
        seen = sum(1 for _ in store.replay())
    assert count == seen, seen


if __name__ == "__main__":
    main()
