"""Reading the log: replayed from its beginning, followed as it grows, and opened.

The facts are the reference record of 44 B. `NetworkStore` and `Reader` give whole facts, each of them checked against
its digest; the other callers look at nothing but where a frame ends. Those who follow are in a process of their own,
one connection each, while another caller writes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import selectors
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from core.model.clock import SystemClock
from core.model.errors import LockerError
from core.model.fact import Fact
from core.netstore import NetworkStore
from core.store import Reader, Store
from tests.bench._lanes import ORIGIN
from tests.bench._numbers import Samples, figure, middle, spread_of
from tests.bench._report import Report, Table, arguments, say
from tests.bench._served import (
    RECEIVE_BYTES,
    Frames,
    Server,
    Talk,
    entry_of,
    following,
    frame_of,
    request_frame,
)

BATCH = 500
PAGE = 1000
REPLAY_PAGE = 10_000
READER, REMOTE = "in one process, Reader", "Unix socket, NetworkStore"
FOLLOWERS = (1, 10, 50)
SINGLE_EVERY_S = 0.005
HEARD_S_MAX = 120.0
FACT = b'{"event":"fact_written"'

Figures = dict[str, list[float]]


def main() -> None:
    """Measure, and print the tables."""
    told = arguments(__doc__, facts=100_000, rounds=5, followed=20_000, singles=300)
    report = Report("Reading the log, and following it", description=__doc__)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "served"
        with Server(place) as server, NetworkStore(server.unix, transport="unix") as store:
            _fill(store, told.facts)
            report.add(_replays(told, server, place, report))
            table = Table(["told of it", "facts/s, each", "told/s, together", "a single write told, ms, p50", "p99"])
            for count in FOLLOWERS:
                _follow(told, server, store, count, table)
            report.add(table)
        report.add(_openings(told, place))
    report.add(
        f"{told.facts} facts; replays and openings are the median of {told.rounds} rounds, in brackets from the least "
        f"to the most. `told` counts from the moment the write is sent to the last follower's having its frame; "
        f"{told.followed} facts in batches of {BATCH}, then {told.singles} single ones."
    )
    report.publish(told)


def _fill(store: NetworkStore, count: int) -> None:
    for start in range(0, count, BATCH):
        done = store.append([entry_of(number) for number in range(start, min(count, start + BATCH))])
        assert not any(isinstance(one, LockerError) for one in done)


def _replays(told: argparse.Namespace, server: Server, place: Path, report: Report) -> Table:
    ways: dict[str, Callable[[], int]] = {
        READER: lambda: _read(place),
        REMOTE: lambda: _replayed(NetworkStore(server.unix, transport="unix")),
        "TCP, NetworkStore": lambda: _replayed(NetworkStore(server.tcp)),
        f"Unix socket, pages of {REPLAY_PAGE}": lambda: _paged(server),
        "Unix socket, all in one frame": lambda: _whole(server, told.facts),
    }
    rates: Figures = {name: [] for name in ways}
    for _ in range(told.rounds):
        for name, read in ways.items():
            begun = time.perf_counter()
            count = read()
            rates[name].append(count / (time.perf_counter() - begun))
            assert told.facts == count, (name, count)
    table = Table(["replay", "facts/s"])
    for name, found in rates.items():
        table.add(name, spread_of(found))
        say(f"{name}: {middle(found):.0f}/s")
    for name in (READER, REMOTE):
        report.brief.add(f"replay, {name}, facts/s", figure(middle(rates[name])), "", "")
    return table


def _read(place: Path) -> int:
    with Reader.open(place, types={}) as reader:
        return sum(1 for _ in _facts(reader))


def _facts(reader: Reader) -> Iterator[Fact]:
    since = 0
    while page := reader.facts(since, limit=PAGE):
        yield from page
        since = page[-1].seq


def _replayed(store: NetworkStore) -> int:
    with store:
        return sum(1 for _ in store.replay())


def _paged(server: Server) -> int:
    """Facts counted by the ids in the text; the position of the next page is all that is read."""
    since: object = 0
    count = 0
    with Talk("unix", server.unix) as talk:
        while True:
            body = talk.exchange(request_frame({"op": "replay", "since": since, "limit": REPLAY_PAGE}))[0]
            count += body.count(b'"value_hash":')
            tail = msgspec.json.decode(b"{" + body[body.rindex(b'"next":') :])
            if tail["next"] is None:
                return count
            since = tail["next"]


def _whole(server: Server, count: int) -> int:
    with Talk("unix", server.unix) as talk:
        return talk.exchange(request_frame({"op": "replay"}))[0].count(b'"value_hash":')


def _follow(told: argparse.Namespace, server: Server, store: NetworkStore, count: int, table: Table) -> None:
    many, singles = told.followed, told.singles
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    listener = spawn.Process(target=_listen, args=(server.unix, count, many, singles, there))
    listener.start()
    assert here.recv() == "following"
    begun = time.perf_counter()
    _fill(store, many)
    took_s = here.recv() - begun
    sent = []
    with Talk("unix", server.unix) as talk:
        for number in range(singles):
            frame = frame_of(-number)
            sent.append(time.perf_counter())
            talk.exchange(frame)
            time.sleep(SINGLE_EVERY_S)
    heard = here.recv()
    listener.join()
    late = Samples.of((at - begun) * 1000 for begun, at in zip(sent, heard, strict=True))
    rate = many / took_s
    table.add(f"{count} connections", figure(rate), figure(rate * count), figure(late.p50), figure(late.at(0.99)))
    say(f"{count} followers: {rate:.0f} facts/s, single {late.p50:.2f} ms")


def _listen(place: str, count: int, many: int, singles: int, told: Connection) -> None:
    """Follow by `count` connections; tell when all had `many` facts, then when all had each of `singles` more."""
    with following("unix", place, count) as lines, selectors.DefaultSelector() as selector:
        frames = {line: Frames() for line in lines}
        had = dict.fromkeys(lines, 0)
        heard = [0.0] * (many + singles)
        for line in lines:
            selector.register(line, selectors.EVENT_READ)
        told.send("following")
        whole = False
        while any(number < many + singles for number in had.values()):
            ready = selector.select(HEARD_S_MAX)
            assert ready, "nothing was told for a long time"
            for key, _ in ready:
                line = key.fileobj
                new = sum(body.startswith(FACT) for body in frames[line].bodies(line.recv(RECEIVE_BYTES)))
                now = time.perf_counter()
                heard[had[line] : had[line] + new] = [now] * new
                had[line] += new
            if not whole and all(number >= many for number in had.values()):
                whole = True
                told.send(max(heard[:many]))
        told.send(heard[many:])


def _openings(told: argparse.Namespace, place: Path) -> Table:
    """How long `Store.open` takes; the store was closed properly, or its writer was killed."""
    times: Figures = {"closed properly": [], "its writer was killed": []}
    for _ in range(told.rounds):
        with Server(place):
            pass
        times["closed properly"].append(_opened_ms(place))
        server = Server(place)
        with Talk("unix", server.unix) as talk:
            for number in range(100):
                talk.exchange(frame_of(-number))
            server.kill()
        times["its writer was killed"].append(_opened_ms(place))
    table = Table(["opening", "ms"])
    for name, found in times.items():
        table.add(name, spread_of(found))
    return table


def _opened_ms(place: Path) -> float:
    begun = time.perf_counter()
    with Store.open(place, types={}, origin=ORIGIN, clock=SystemClock()):
        return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    main()
