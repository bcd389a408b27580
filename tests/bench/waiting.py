"""Fifty requests at once for a program that sleeps: one start, every answer, the order of a moment's wait.

Each request has a connection of its own, opened before the clock starts. Times count from the moment of asking.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench import _machine
from tests.bench._numbers import Samples, middle, spread_of
from tests.bench._report import Report, Table, arguments, say
from tests.bench._sides import PEER, Ours, Peer
from tests.bench._wire import Crowd, Place

PATHS = {"page": "/", "plain": "/status"}
WORDS = {"page": "a page by Flask", "plain": "a connector on the SDK"}
QUIET_S = 0.1


@dataclass(frozen=True)
class Rush:
    """One cold start with many waiting."""

    first_ms: float
    middle_ms: float
    last_ms: float
    answers: int
    starts: int


def main() -> None:
    """Measure, and print the table."""
    told = arguments(__doc__, rounds=9, requests=50)
    rushes: dict[tuple[str, str], list[Rush]] = {}
    with tempfile.TemporaryDirectory() as folder, Ours(Path(folder)) as house:
        for program in PATHS:
            house.install(program)
            _ours(house, program, told.requests)
        for number in range(told.rounds):
            for program in PATHS:
                rushes.setdefault((program, "Locker"), []).append(_ours(house, program, told.requests))
            rushes.setdefault(("page", PEER), []).append(_theirs("page", told.requests))
            say(f"round {number + 1} of {told.rounds}")
    _report(rushes, told.requests).publish(told)


def _ours(house: Ours, program: str, requests: int) -> Rush:
    house.make_cold(program)
    before = _starts(house, program)
    return _rush(house.place(program), PATHS[program], requests, starts=lambda: _starts(house, program) - before)


def _starts(house: Ours, program: str) -> int:
    return (house.me / "logs" / "core.log").read_text("utf-8").count(f"child ready id={program} ")


def _theirs(program: str, requests: int) -> Rush:
    with Peer(program) as peer:
        return _rush(peer.place, PATHS[program], requests, starts=lambda: len(_below(peer.core)))


def _below(process: psutil.Process) -> list[psutil.Process]:
    return process.children(recursive=True)


def _rush(place: Place, path: str, requests: int, *, starts: Callable[[], int]) -> Rush:
    with Crowd(place.port, requests) as crowd:
        time.sleep(QUIET_S)
        timings = crowd.ask_once(place.request(path))
    lasts = Samples.of(timing.last_ms for timing in timings)
    return Rush(min(timing.first_ms for timing in timings), lasts.p50, lasts.most, len(timings), starts())


def _report(rushes: Mapping[tuple[str, str], list[Rush]], requests: int) -> Report:
    report = Report(f"{requests} requests during one cold start", description=__doc__)
    table = Table(["program", "by", "first byte, ms", "half of them, ms", "last byte, ms", "answered", "starts"])
    for (program, side), found in rushes.items():
        table.add(
            WORDS[program], side, _of(found, "first_ms"), _of(found, "middle_ms"), _of(found, "last_ms"),
            f"{min(rush.answers for rush in found)} of {requests}", str(max(rush.starts for rush in found)),
        )  # fmt: skip
    report.add(table)
    ours, theirs = (middle([rush.last_ms for rush in rushes["page", side]]) for side in ("Locker", PEER))
    report.beside(f"{requests} requests during one cold start, last byte, ms", ours, PEER, theirs)
    rounds = len(next(iter(rushes.values())))
    report.add(
        f"The median of {rounds} rounds, in brackets from the least to the most. {PEER} {_machine.version_of(PEER)}."
    )
    return report


def _of(found: list[Rush], name: str) -> str:
    return spread_of([getattr(rush, name) for rush in found])


if __name__ == "__main__":
    main()
