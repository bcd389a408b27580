"""What standing in between costs once the program runs: Locker, the peer, and the program with nothing before it.

The three are asked in turns, the same program behind each, from one kept-alive connection; `at once` are sixteen.
Overhead is a round's median less the same round's median of asking the program directly. Locker judges host and
token of each request, the peer is told to check nothing.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench import _machine
from tests.bench._numbers import Samples, compared, figure, middle, spread_of
from tests.bench._report import Report, Table, arguments, say
from tests.bench._sides import PEER, Ours, Peer, direct
from tests.bench._wire import Crowd, Place, Wire

DIRECT, OURS = "direct", "Locker"
PROGRAM = "bare"
AT_ONCE = 16
MB = 1_000_000
WARM_UP = 50

Round = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Side:
    """One way to the program, and the process in between if there is one."""

    place: Place
    process: psutil.Process | None


def main() -> None:
    """Measure, and print the tables."""
    told = arguments(__doc__, rounds=9)
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory() as folder, _sides(Path(folder)) as sides:
        for number in range(told.rounds):
            rounds.append({name: {side: ask(of) for side, of in sides.items()} for name, ask in ASKED.items()})
            told_p50 = ", ".join(f"{side} {ms:.3f}" for side, ms in rounds[-1]["200 B, p50, ms"].items())
            say(f"round {number + 1} of {told.rounds}: 200 B in ms: {told_p50}")
        memory = {side: _growth(of) for side, of in sides.items() if of.process is not None}
    _report(rounds, memory).publish(told)


@contextlib.contextmanager
def _sides(folder: Path) -> Iterator[Mapping[str, Side]]:
    with Ours(folder) as house, Peer(PROGRAM) as peer, direct(PROGRAM) as place:
        house.install(PROGRAM)
        sides = {
            DIRECT: Side(place, None),
            OURS: Side(house.place(PROGRAM), house.core),
            PEER: Side(peer.place, peer.core),
        }
        for side in sides.values():
            _times(side, "/200", count=WARM_UP)
        yield sides


def _times(side: Side, path: str, *, count: int, body: bytes = b"") -> Samples:
    request = side.place.request(path, body=body)
    with Wire(side.place.port) as wire:
        wire.exchange(request)
        return Samples.of(wire.exchange(request).last_ms for _ in range(count))


def _per_s(side: Side) -> float:
    with Crowd(side.place.port, AT_ONCE) as crowd:
        timings, took_s = crowd.ask_for(side.place.request("/200"), 100)
    return len(timings) / took_s


_kept: dict[int, Samples] = {}


def _small_p50(side: Side) -> float:
    _kept[side.place.port] = _times(side, "/200", count=1000)
    return _kept[side.place.port].p50


def _small_p95(side: Side) -> float:
    return _kept[side.place.port].p95


def _mb_per_s(side: Side) -> float:
    return 10 / (_times(side, f"/{10 * MB}", count=8).p50 / 1000)


ASKED: Mapping[str, Callable[[Side], float]] = {
    "200 B, p50, ms": _small_p50,
    "200 B, p95, ms": _small_p95,
    f"200 B, {AT_ONCE} at once, requests/s": _per_s,
    "100 kB, p50, ms": lambda side: _times(side, "/100000", count=200).p50,
    "10 MB streamed, MB/s": _mb_per_s,
    "POST 1 MB, p50, ms": lambda side: _times(side, "/200", count=20, body=bytes(MB)).p50,
}
OVERHEADS = ("200 B, p50, ms", "100 kB, p50, ms", "POST 1 MB, p50, ms")


def _growth(side: Side) -> float:
    """By how many MB the process in between grew at most while 10 MB went through it, ten times."""
    assert side.process is not None
    status = Path(f"/proc/{side.process.pid}")
    # Makes the kernel forget the peak so far.
    (status / "clear_refs").write_text("5")
    before = side.process.memory_info().rss
    _times(side, f"/{10 * MB}", count=10)
    peak = next(line for line in (status / "status").read_text().splitlines() if line.startswith("VmHWM:"))
    return max(0.0, int(peak.split()[1]) * 1024 - before) / 1e6


def _report(rounds: list[Round], memory: Mapping[str, float]) -> Report:
    report = Report("Warm: what standing in between costs", description=__doc__)
    table = Table(["", DIRECT, OURS, PEER])
    for name in ASKED:
        table.add(name, *(spread_of([each[name][side] for each in rounds]) for side in (DIRECT, OURS, PEER)))
    table.add("growth while 10 MB pass, MB", "", *(figure(memory[side]) for side in (OURS, PEER)))
    report.add(table)
    report.add(_overheads(rounds, report))
    speed = "10 MB streamed, MB/s"
    fast, slow = (middle([each[speed][side] for each in rounds]) for side in (OURS, PEER))
    report.beside(speed, fast, PEER, slow)
    report.add(
        f"The median of {len(rounds)} rounds, in brackets from the least to the most. "
        f"{PEER} {_machine.version_of(PEER)}, `jupyter standaloneproxy`."
    )
    return report


def _overheads(rounds: list[Round], report: Report) -> Table:
    overheads = Table(["added to the direct way", OURS, PEER, "ours against the peer's"])
    for name in OVERHEADS:
        ours, theirs = ([each[name][side] - each[name][DIRECT] for each in rounds] for side in (OURS, PEER))
        overheads.add(name, spread_of(ours), spread_of(theirs), compared(middle(ours), middle(theirs)))
        report.beside(f"added to a warm request: {name}", middle(ours), PEER, middle(theirs))
    return overheads


if __name__ == "__main__":
    main()
