"""Where the time of a cold start goes: from a request for a sleeping connector on the SDK to the answer's first byte.

Core, warm parent and child note the moment of each step in shared memory; the table shows the time from one to the
next. Steps of two processes that run at once are shown in the order in which one waits for the other.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.bench._marks import VARIABLE, Mark, Shelf
from tests.bench._numbers import Samples, figure, middle, spread_of
from tests.bench._report import Report, Table, arguments, say
from tests.bench._sides import Ours
from tests.bench._wire import Wire

SERVICE, PATH = "plain", "/status"
# (who, mark, what was done since the mark before it)
STEPS = (
    ("core", ">Access._judge", "The core reads the request"),
    ("core", ">Door._running", "… judges host and token, finds the service"),
    ("core", ">Zygote.fork", "… reads settings, makes token, pipes and the entry"),
    ("parent", ">WarmParent._answer", "… asks the warm parent, which wakes"),
    ("child", ">begin", "The warm parent forks; the child leaves its world"),
    ("child", "<_prepare_python", "The child sets environment, path and streams"),
    ("child", "<_confine", "… shuts itself into the sandbox"),
    ("child", "<Source", "… compiles connector.py, reads the manifest"),
    ("child", ">read_line", "… starts its log"),
    ("child", "<read_line", "… reads the greeting"),
    ("child", ">Opening", "… is greeted: redaction, working directory"),
    ("child", "<Opening", "… opens its store for reading; a thread opens it for writing"),
    ("child", "<Child", "… makes sync, sign-in, routes"),
    ("child", ">Child._serve", "… makes its event loop"),
    ("child", "<Child._add_routes", "… adds its routes, signs in"),
    ("child", "<listen", "… binds its port"),
    ("child", ">_announce", "… has uvicorn listen"),
    ("core", ">Child._hear_stdout", "… announces; the core wakes"),
    ("core", "<Child._check_port", "The core checks who owns the port"),
    ("core", ">Pool.connect", "… tells those who wait"),
    ("core", ">Connection.begin", "… connects"),
    ("child", ">HttpToolsProtocol.data_received", "The request goes to the child"),
    ("child", ">Webservice._answer", "The child reads the request"),
    ("child", ">Webservice._send", "… makes its answer"),
    ("core", ">Connection.data_received", "… sends it; the core hears"),
)
BESIDE = ("child", "Store.open", "opens the store for writing")
LAST = "The core hands it on; the client reads"


class Watched(Ours):
    """A core with marks."""

    command = (sys.executable, "-m", "tests.bench._watched_core")


def main() -> None:
    """Measure, and print the table."""
    told = arguments(__doc__, starts=40)
    with tempfile.TemporaryDirectory() as folder:
        starts, beside = _measure(Path(folder), told.starts)
    _report(starts, beside).publish(told)


def _measure(folder: Path, count: int) -> tuple[list[list[float]], list[float]]:
    """For each start, the ms since its request of every step and of the first byte; the ms of what ran beside."""
    shelves = [Shelf(folder, who) for who in ("core", "parent", "child")]
    with Watched(folder, environment={VARIABLE: str(folder)}) as ours:
        ours.install(SERVICE)
        ours.sync(SERVICE)
        spans = []
        for number in range(count):
            ours.make_cold(SERVICE)
            time.sleep(0.1)
            with Wire(ours.port) as wire:
                begun = time.perf_counter()
                timing = wire.exchange(ours.place(SERVICE).request(PATH))
            spans.append((begun, begun + timing.first_ms / 1000))
            say(f"start {number + 1} of {count}: {timing.first_ms:.1f} ms")
    marks = sorted((mark for shelf in shelves for mark in shelf.read()), key=lambda mark: mark.at_s)
    return [_moments(marks, *span) for span in spans], _lasted(marks, since=spans[0][0])


def _lasted(marks: list[Mark], *, since: float) -> list[float]:
    who, name, _ = BESIDE
    begun, ended = (
        [m.at_s for m in marks if m.at_s > since and (m.who, m.name) == (who, f"{sign}{name}")] for sign in "><"
    )
    return [(end - begin) * 1000 for begin, end in zip(begun, ended, strict=False)]


def _moments(marks: list[Mark], begun: float, ended: float) -> list[float]:
    """When each step of one start was reached, in ms; a step without a mark counts to the next."""
    reached: dict[tuple[str, str], float] = {}
    for mark in marks:
        if begun <= mark.at_s <= ended:
            reached.setdefault((mark.who, mark.name), mark.at_s)
    moments, last = [], begun
    for who, name, _ in STEPS:
        last = max(last, reached.get((who, name), last))
        moments.append((last - begun) * 1000)
    return [*moments, (ended - begun) * 1000]


def _report(starts: list[list[float]], beside: list[float]) -> Report:
    wholes = Samples.of(moments[-1] for moments in starts)
    quickest = next(moments for moments in starts if moments[-1] == wholes.least)
    report = Report("A cold start, step by step", description=__doc__)
    table = Table(["step", "median, ms", "quickest start, ms", "… since the request, ms"])
    for index, what in enumerate([*(what for _, _, what in STEPS), LAST]):
        table.add(
            what, figure(middle([_step(moments, index) for moments in starts])), figure(_step(quickest, index)),
            figure(quickest[index]),
        )  # fmt: skip
    table.add("**all of it**", f"**{figure(wholes.p50)}**", f"**{figure(wholes.least)}**", "")
    report.add(table)
    report.add(
        f"{len(starts)} starts: p50 {figure(wholes.p50)} ms, p95 {figure(wholes.p95)} ms. Beside these steps a thread "
        f"of the child {BESIDE[2]}, which takes {spread_of(beside)} ms and holds up no reader."
    )
    return report


def _step(moments: list[float], index: int) -> float:
    return moments[index] - (moments[index - 1] if index else 0.0)


if __name__ == "__main__":
    main()
