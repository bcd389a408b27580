"""From a request for a program that sleeps to the first byte of its answer, which the program itself sends.

The peer starts its program at the first request as well, and polls its port until something answers; it starts one
only once in its life, so each start of it is a new peer, up and answering before the clock starts. Locker stops the
child and starts it anew. Locker checks a token at each request, the peer is told to check nothing.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.bench import _machine
from tests.bench._numbers import Samples, compared, figure
from tests.bench._report import Report, Table, arguments, say
from tests.bench._sides import PEER, Ours, Peer
from tests.bench._wire import Place, Wire

WARM, SPAWNED, THEIRS = "Locker, warm parent", "Locker, plain spawn", PEER
PATHS = {"bare": "/200", "page": "/", "plain": "/status"}
WORDS = {
    "bare": "sockets and threads of the standard library",
    "page": "a page by Flask",
    "plain": "a connector on the SDK, with its store",
}
QUIET_S = 0.1

Start = Callable[[], float]


def main() -> None:
    """Measure, and print the table."""
    told = arguments(__doc__, starts=20)
    measured: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, _sides(Path(folder)) as sides:
        for number in range(told.starts):
            for side, start in sides.items():
                measured.setdefault(side, []).append(start())
            say(f"round {number + 1} of {told.starts}")
    _report({side: Samples.of(times) for side, times in measured.items()}).publish(told)


@contextlib.contextmanager
def _sides(folder: Path) -> Iterator[Mapping[tuple[str, str], Start]]:
    """What is started in turns: each by the program and the side."""
    with Ours(folder / "warm") as warm, Ours(folder / "spawned", spawn="plain") as spawned:
        found: dict[tuple[str, str], Start] = {}
        for program in PATHS:
            for side, house in ((WARM, warm), (SPAWNED, spawned)):
                house.install(program)
                found[program, side] = _ours(house, program)
            if program != "plain":
                found[program, THEIRS] = _theirs(program)
        for start in found.values():
            start()  # The first of all makes stores and fills caches.
        yield found


def _ours(house: Ours, program: str) -> Start:
    def start() -> float:
        house.make_cold(program)
        return _first_byte(house.place(program), PATHS[program])

    return start


def _theirs(program: str) -> Start:
    def start() -> float:
        with Peer(program) as peer:
            return _first_byte(peer.place, PATHS[program])

    return start


def _first_byte(place: Place, path: str) -> float:
    time.sleep(QUIET_S)
    with Wire(place.port) as wire:
        return wire.exchange(place.request(path)).first_ms


def _report(measured: Mapping[tuple[str, str], Samples]) -> Report:
    report = Report("Cold start to the first byte", description=__doc__)
    table = Table(["program", "started by", "p50, ms", "p95, ms", "least, ms", "p50 against the peer's"])
    for (program, side), times in measured.items():
        theirs = measured.get((program, THEIRS))
        against = "" if theirs is None or side == THEIRS else compared(times.p50, theirs.p50)
        table.add(WORDS[program], side, figure(times.p50), figure(times.p95), figure(times.least), against)
    report.add(table)
    ours, theirs, sdk = measured["page", WARM], measured["page", THEIRS], measured["plain", WARM]
    report.beside("cold start of a Flask page, first byte, p50, ms", ours.p50, THEIRS, theirs.p50)
    report.brief.add("cold start of a connector on the SDK, p50, ms", figure(sdk.p50), "", "")
    count = len(next(iter(measured.values())).values)
    report.add(f"{count} starts each, in turns. {PEER} {_machine.version_of(PEER)}, `jupyter standaloneproxy`.")
    return report


if __name__ == "__main__":
    main()
