"""Durable writes over the wire, beside what SQLite itself commits on the same disk at the same time.

Each fact is the reference record of 44 B, flushed to the disk before its answer. `plain SQLite` puts one row into one
table without another index (WAL, synchronous = FULL) for each commit, or the very rows of a fact into the tables and
indexes that a store has; `a flush` is 4 KiB written in place and fdatasync. The sides take short turns, since the disk
is not the same from second to second: ratios are of one round each. `NetworkStore` is Locker's own client; the other
callers send requests that were made beforehand.

How much of plain SQLite's rate is left depends on the disk: what a write over the wire takes beside its flush is the
same on each. So there is a second table, on the same disk, where each flush of each side is made to take 1 ms at
least, as on a laptop. Beside the times of single writes stand those of the disk's own flushes, made in turns with them.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count as counting
from itertools import cycle
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import apsw

from core.model.clock import SystemClock
from core.model.errors import LockerError
from core.model.ids import uuid7
from core.netstore import NetworkStore
from core.store import Store
from tests.bench import _slow_disk
from tests.bench._lanes import ORIGIN
from tests.bench._numbers import Samples, figure, middle, spread_of
from tests.bench._report import Report, Table, arguments, say
from tests.bench._served import STORE, Server, Talk, Talkers, batch_frame, entry_of, frame_of

CALLERS = 8
PIPELINED = 64
BATCH = 500
FLUSHED_BYTES = 4 * 1024 * 1024
PLAIN, FLUSH, EMBEDDED = "plain SQLite, one row a commit", "a flush", "the store itself, in one process"
SAME = "plain SQLite, a fact's own rows a commit"
UNIX, TCP = "Unix socket, NetworkStore", "TCP, NetworkStore"
BARE = "Unix socket, 1 caller"
MANY, MANY_TCP = f"Unix socket, {CALLERS} callers", f"TCP, {CALLERS} callers"
PIPED, PIPED_MANY = "pipelined, NetworkStore", f"pipelined, {CALLERS} callers"
SLOWED = (PLAIN, SAME, EMBEDDED, UNIX, TCP, BARE, MANY)
BATCHED, BATCHED_BARE = f"in batches of {BATCH}, NetworkStore", f"in batches of {BATCH}, 1 caller"

_CURRENT = "INSERT INTO current (type, key, seq, deleted, change_hash, at) VALUES (?, ?, ?, 0, ?, ?)"
_TALLY = "UPDATE tally SET live = live + 1 WHERE type = ?"

Round = dict[str, float]


class Times(NamedTuple):
    """How long single writes took and flushes of the disk itself, in ms, and facts per second loaded meanwhile."""

    writes: Samples
    flushes: Samples
    loaded: float


_numbers = counting()


def main() -> None:
    """Measure, and print the tables."""
    told = arguments(__doc__, rounds=15, writes=400, seconds=8)
    rounds = _rounds(told, program="core.cli")
    with _slow_disk.slow_disk():
        slow = _rounds(told, program=_slow_disk.__name__, only=SLOWED)
    times: dict[str, Times] = {}
    for name, is_busy in (("nothing else", False), ("a bulk load", True)):
        with tempfile.TemporaryDirectory() as folder:
            times[name] = _latencies(Path(folder), told.seconds, is_busy=is_busy)
    _report(rounds, slow, times).publish(told)


def _rounds(told: argparse.Namespace, *, program: str, only: Sequence[str] = ()) -> list[Round]:
    """How much each side wrote per second, round by round."""
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sides = _sides(Path(folder), stack, program=program)
        for number in range(told.rounds + 1):
            rounds.append({name: write(told.writes) for name, write in sides.items() if not only or name in only})
            say(f"round {number} of {told.rounds}: " + ", ".join(f"{rate:.0f}" for rate in rounds[-1].values()))
    return rounds[1:]  # The first round fills caches.


def _sides(folder: Path, stack: ExitStack, *, program: str) -> Mapping[str, Callable[[int], float]]:
    """How each writes so many facts: facts per second."""
    server = stack.enter_context(Server(folder / "served", program=program))
    unix = stack.enter_context(NetworkStore(server.unix, transport="unix"))
    tcp = stack.enter_context(NetworkStore(server.tcp))
    talk = stack.enter_context(Talk("unix", server.unix))
    many = {way: stack.enter_context(Talkers(way, server.place(way), CALLERS)) for way in ("unix", "tcp")}
    store = stack.enter_context(Store.open(folder / "own", types={}, origin=ORIGIN, clock=SystemClock()))
    return {
        FLUSH: lambda count: _flushes(folder / "flushed", count),
        PLAIN: _plain(folder / "plain.db", stack),
        SAME: _same(folder / "same", stack),
        EMBEDDED: lambda count: _singles(store, count),
        UNIX: lambda count: _singles(unix, count),
        TCP: lambda count: _singles(tcp, count),
        BARE: lambda count: _bare(talk, count),
        MANY: lambda count: _crowd(many["unix"], count),
        MANY_TCP: lambda count: _crowd(many["tcp"], count),
        PIPED: lambda count: _piped(unix, 10 * count),
        PIPED_MANY: lambda count: _piped_crowd(many["unix"], 10 * count),
        BATCHED: lambda count: _batched(unix, 10 * count),
        BATCHED_BARE: lambda count: _batched_bare(talk, 10 * count),
    }


def _flushes(path: Path, count: int) -> float:
    with _flushing(path) as flush:
        begun = time.perf_counter()
        for _ in range(count):
            flush()
        return count / (time.perf_counter() - begun)


@contextlib.contextmanager
def _flushing(path: Path) -> Iterator[Callable[[], None]]:
    """Writes 4 KiB in place and flushes them, each time that it is called."""
    page, places = bytes(4096), cycle(range(0, FLUSHED_BYTES, 4096))
    file = os.open(path, os.O_CREAT | os.O_WRONLY)

    def flush() -> None:
        os.pwrite(file, page, next(places))
        os.fdatasync(file)

    try:
        os.write(file, bytes(FLUSHED_BYTES))
        os.fsync(file)
        yield flush
    finally:
        os.close(file)


def _plain(path: Path, stack: ExitStack) -> Callable[[int], float]:
    db = apsw.Connection(str(path))
    stack.callback(db.close)
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE fact (seq INTEGER PRIMARY KEY, store TEXT, key TEXT, value TEXT)")

    def write(count: int) -> float:
        rows = [(STORE, entry.key, str(entry.value)) for entry in map(entry_of, range(count))]
        begun = time.perf_counter()
        for row in rows:
            db.execute("INSERT INTO fact (store, key, value) VALUES (?, ?, ?)", row)
        return count / (time.perf_counter() - begun)

    return write


def _same(folder: Path, stack: ExitStack) -> Callable[[int], float]:
    """The rows of one more fact in a store that nobody else has open: fact, current, tally, and their indexes."""
    with Store.open(folder, types={}, origin=ORIGIN, clock=SystemClock()) as store:
        store.append([entry_of(0)])
    db = apsw.Connection(str(folder / "store.db"))
    stack.callback(db.close)
    db.execute("PRAGMA synchronous = FULL")
    seq, _, type_id, _, *rest = db.execute("SELECT * FROM fact ORDER BY seq DESC LIMIT 1").get
    insert = f"INSERT INTO fact VALUES ({', '.join('?' * (len(rest) + 4))})"
    seqs = counting(seq + 1)

    def write(count: int) -> float:
        rows = [(next(seqs), uuid7(time.time()).bytes, f"s{number}", os.urandom(16)) for number in range(count)]
        begun = time.perf_counter()
        for position, fact_id, key, digest in rows:
            with db:
                db.execute(insert, (position, fact_id, type_id, f"{key}.{position}", *rest))
                db.execute(_CURRENT, (type_id, f"{key}.{position}", position, digest, time.time()))
                db.execute(_TALLY, (type_id,))
        return count / (time.perf_counter() - begun)

    return write


def _singles(store: Store | NetworkStore, count: int) -> float:
    entries = [entry_of(next(_numbers)) for _ in range(count)]
    begun = time.perf_counter()
    for entry in entries:
        done = store.append([entry])
        assert not isinstance(done[0], LockerError)
    return count / (time.perf_counter() - begun)


def _bare(talk: Talk, count: int) -> float:
    frames = [frame_of(next(_numbers)) for _ in range(count)]
    begun = time.perf_counter()
    for frame in frames:
        talk.exchange(frame)
    return count / (time.perf_counter() - begun)


def _crowd(talkers: Talkers, count: int) -> float:
    each = max(1, count // CALLERS) * 2
    _, took_s = talkers.write([[frame_of(next(_numbers)) for _ in range(each)] for _ in range(CALLERS)])
    return CALLERS * each / took_s


def _piped_crowd(talkers: Talkers, count: int) -> float:
    windows = max(1, count // CALLERS // PIPELINED)
    requests = [
        [b"".join(frame_of(next(_numbers)) for _ in range(PIPELINED)) for _ in range(windows)] for _ in range(CALLERS)
    ]
    _, took_s = talkers.write(requests, replies=PIPELINED)
    return CALLERS * windows * PIPELINED / took_s


def _piped(store: NetworkStore, count: int) -> float:
    entries = [entry_of(next(_numbers)) for _ in range(count)]
    begun = time.perf_counter()
    done = store.append_each(entries)
    took_s = time.perf_counter() - begun
    assert not any(isinstance(one, LockerError) for one in done)
    return count / took_s


def _batched(store: NetworkStore, count: int) -> float:
    batches = [[entry_of(next(_numbers)) for _ in range(BATCH)] for _ in range(max(1, count // BATCH))]
    begun = time.perf_counter()
    for batch in batches:
        assert not any(isinstance(one, LockerError) for one in store.append(batch))
    return len(batches) * BATCH / (time.perf_counter() - begun)


def _batched_bare(talk: Talk, count: int) -> float:
    frames = [batch_frame(next(_numbers) for _ in range(BATCH)) for _ in range(max(1, count // BATCH))]
    begun = time.perf_counter()
    for frame in frames:
        talk.exchange(frame)
    return len(frames) * BATCH / (time.perf_counter() - begun)


def _latencies(folder: Path, seconds: int, *, is_busy: bool) -> Times:
    """The ms of single writes and of the disk's own flushes, in turns, beside a caller that loads, or nothing."""
    spawn = multiprocessing.get_context("spawn")
    end, loaded = spawn.Event(), spawn.Value("q", 0)
    with (
        Server(folder / "served") as server,
        Talk("unix", server.unix) as talk,
        _flushing(folder / "flushed") as flush,
    ):
        loader = spawn.Process(target=_load, args=(server.unix, end, loaded))
        if is_busy:
            loader.start()
            while not loaded.value:
                time.sleep(0.01)
        writes, flushes = [], []
        before, begun = loaded.value, time.perf_counter()
        for number in counting():
            if time.perf_counter() - begun > seconds:
                break
            frame = frame_of(-number)
            at = time.perf_counter()
            talk.exchange(frame)
            written = time.perf_counter()
            flush()
            writes.append((written - at) * 1000)
            flushes.append((time.perf_counter() - written) * 1000)
        rate = (loaded.value - before) / (time.perf_counter() - begun)
        end.set()
        if is_busy:
            loader.join()
    return Times(Samples.of(writes), Samples.of(flushes), rate)


def _load(place: str, end: Event, loaded: multiprocessing.sharedctypes.Synchronized[int]) -> None:
    """Write batches until told to end."""
    with NetworkStore(place, transport="unix") as store:
        batch = 0
        while not end.is_set():
            batch += 1
            store.append([entry_of(batch * BATCH + number) for number in range(BATCH)])
            loaded.value += BATCH


def _report(rounds: list[Round], slow: list[Round], times: Mapping[str, Times]) -> Report:
    report = Report("Writing over the wire", description=__doc__)
    for title, found in (("facts/s, durable", rounds), ("facts/s, where a flush takes 1 ms or more", slow)):
        report.add(_rates(title, found))
        more = middle([each[MANY] / each[BARE] for each in found])
        report.add(
            f"{CALLERS} callers write {more:.2f} times what one writes, in the same round. The median of {len(found)} "
            "rounds, in brackets from the least to the most."
        )
    table = Table(["ms, beside", "p50", "p95", "p99", "most", "loaded meanwhile, facts/s"])
    for name, beside in times.items():
        for what, samples in (("a single write", beside.writes), ("a flush itself", beside.flushes)):
            cells = (samples.p50, samples.p95, samples.at(0.99), samples.most)
            rate = figure(beside.loaded) if beside.loaded else ""
            table.add(f"{what}, {name}", *(figure(cell) for cell in cells), rate)
    report.add(table)
    plain = _of(rounds, PLAIN)
    report.beside("one durable write at a time over the wire, facts/s", _of(rounds, UNIX), PLAIN, plain)
    report.beside(f"durable writes of {CALLERS} callers at once, facts/s", _of(rounds, MANY), PLAIN, plain)
    report.brief.add("durable writes in batches over the wire, facts/s", figure(_of(rounds, BATCHED_BARE)), "", "")
    of_slow = _of(slow, PLAIN)
    report.beside("one durable write at a time, where a flush takes 1 ms, facts/s", _of(slow, UNIX), PLAIN, of_slow)
    return report


def _rates(title: str, rounds: list[Round]) -> Table:
    table = Table([title, "median", "of one row a commit", "of a fact's own rows a commit"])
    for name in rounds[0]:
        shares = [middle([each[name] / each[of] for each in rounds]) for of in (PLAIN, SAME)]
        table.add(name, spread_of([each[name] for each in rounds]), *(f"{share:.2f} ×" for share in shares))
    return table


def _of(rounds: list[Round], name: str) -> float:
    return middle([each[name] for each in rounds])


if __name__ == "__main__":
    main()
