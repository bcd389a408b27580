"""What was acknowledged over the wire is there after a kill, and a copy that was put back is another store."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from core.model.clock import SystemClock
from core.model.errors import CursorUnknown, LockerError
from core.netstore import Cursor, NetworkStore
from core.store import Appended, Entry, Store, renew_epoch
from tests.contracts.waiting import wait_until
from tests.netstore.conftest import ORIGIN
from tests.netstore.served import Served

ROOT = Path(__file__).resolve().parents[2]
# A busy machine needs as much to let a client in; a server that is gone is waited for as long.
PATIENCE_S = 0.5
SERVE = """
import sys, time
from pathlib import Path
from core.model.clock import SystemClock
from core.netstore import Door, StoreServer, one_store
from core.store import Origin, Store
folder = Path(sys.argv[1])
store = Store.open(folder, types={}, origin=Origin("device/crash", 1), clock=SystemClock())
server = StoreServer(clock=SystemClock())
store.on_commit = lambda _: server.committed(store)
server.serve_unix(folder / "store.sock", Door(store_of=one_store(store)))
print("ready", flush=True)
time.sleep(600)
"""


class Server:
    """A server in a process of its own, that can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen([sys.executable, "-c", SERVE, folder], cwd=ROOT, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        with self.process.stdout:
            assert b"ready\n" == self.process.stdout.readline()

    def kill(self) -> None:
        """At once, without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)


def write_until_killed(server: Server, *, rounds_s: float, clients: int, name: str = "") -> tuple[set[str], list[int]]:
    """Ids that were acknowledged before the kill, and the positions that a subscriber was told; `name` begins each id.

    Every id is that of its record, too.
    """
    acknowledged: set[str] = set()
    told: list[int] = []
    address = str(server.folder / "store.sock")

    def write(number: int) -> None:
        with NetworkStore(address, transport="unix", patience_s=PATIENCE_S) as client:
            count = 0
            while True:
                size = random.choice((1, 1, 1, 7))
                entries = [
                    Entry(type="a", key=one, id=one) for one in (f"{name}.{number}-{count + n}" for n in range(size))
                ]
                count += size
                try:
                    results = client.append(entries)
                except LockerError:
                    return
                acknowledged.update(result.id for result in results if isinstance(result, Appended))

    follower = NetworkStore(address, transport="unix", patience_s=PATIENCE_S)
    follower.subscribe(lambda fact: told.append(fact.seq), cursor=Cursor(follower.epoch(), 0))
    threads = [threading.Thread(target=write, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acknowledged) > 5)
    threading.Event().wait(rounds_s)
    server.kill()
    for thread in threads:
        thread.join(20)
    follower.close()
    return acknowledged, told


@pytest.mark.parametrize("round_", range(3))
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, round_: int) -> None:
    """Killed in the midst of writes: each acknowledged fact is there, each one told of is, and nothing twice."""
    folder = tmp_path / "killed"
    folder.mkdir(mode=0o700)
    acknowledged, told = write_until_killed(Server(folder), rounds_s=0.05 * round_, clients=3)
    again = Server(folder)
    try:
        with NetworkStore(str(folder / "store.sock"), transport="unix") as client:
            facts = list(client.replay())
    finally:
        again.kill()

    ids = [fact.id for fact in facts]
    assert acknowledged <= set(ids)
    assert len(ids) == len(set(ids))
    assert set(told) <= {fact.seq for fact in facts}
    assert told == sorted(set(told))


def kill_again_and_again(folder: Path, *, kills: int, seed: int) -> None:
    """One store, whose server is killed at random moments; what any of its clients was answered stays."""
    folder.mkdir(mode=0o700)
    dice = random.Random(seed)
    answered: set[str] = set()
    for kill in range(kills):
        server = Server(folder)
        acknowledged, _ = write_until_killed(server, rounds_s=dice.uniform(0, 0.3), clients=4, name=f"{kill}")
        answered |= acknowledged
    with Store.open(folder, types={}, origin=ORIGIN, clock=SystemClock()) as store:
        assert [] == [one for one in answered if store.fact(one) is None]
        assert store.head() == store.counts()["a"]


@pytest.mark.timeout(300)
def test_what_was_acknowledged_survives_thirty_kills(tmp_path: Path) -> None:
    """In a row."""
    kill_again_and_again(tmp_path / "killed", kills=30, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(25))
def test_what_was_acknowledged_survives_many_kills(tmp_path: Path, seed: int) -> None:
    """Five hundred, twenty to a store."""
    kill_again_and_again(tmp_path / "killed", kills=20, seed=100 + seed)


def test_s16_a_store_put_back_from_a_copy_knows_no_earlier_cursor(serve: Callable[..., Served]) -> None:
    """It has another epoch: who followed the lost one is told, and does not go on silently."""
    first = serve()
    first.store.append([Entry(type="a", key=f"{n}") for n in range(5)])
    client = NetworkStore(str(first.path), transport="unix", patience_s=20)
    got: list[int] = []
    subscriber = client.subscribe(lambda fact: got.append(fact.seq), cursor=Cursor(client.epoch(), 3))
    wait_until(lambda: got == [4, 5])
    first.close()
    renew_epoch(first.folder / "store.db")
    second = serve()
    second.store.append([Entry(type="a", key="new")])
    wait_until(lambda: subscriber.problem is not None)
    client.close()

    assert isinstance(subscriber.problem, CursorUnknown)
    assert [4, 5] == got


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_s15_a_million_facts_pass_in_little_memory(serve: Callable[..., Served]) -> None:
    """Paged, followed, and refused whole: the server's process does not grow with the log."""
    served = serve()
    for start in range(0, 1_000_000, 1000):
        served.store.append([Entry(type="a", key=f"k{n}", value={"n": n}) for n in range(start, start + 1000)])
    before = psutil.Process().memory_info().rss
    with NetworkStore(str(served.path), transport="unix") as client:
        count = sum(1 for _ in client.replay())
    follower = served.bare()
    follower.ask(op="subscribe", cursor={"store_epoch": served.store.epoch(), "seq": 0})
    told = 0
    while (event := follower.reply())["event"] != "caught_up":
        told += event["event"] == "fact_written"
    whole = served.bare().ask(op="replay")

    assert (1_000_000, 1_000_000, "reply_too_large") == (count, told, whole["error_code"])
    assert psutil.Process().memory_info().rss - before < 150 * 1024 * 1024


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_clients_with_five_thousand_writes_each(served: Served) -> None:
    """Forty thousand facts, single requests, all there in each client's own order."""

    def write(number: int) -> None:
        with NetworkStore(str(served.path), transport="unix") as client:
            for n in range(5000):
                client.append([Entry(type="a", key=f"{number}", value={"n": n})])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(110)
    with NetworkStore(str(served.path), transport="unix") as client:
        facts = list(client.replay())

    assert 40_000 == len(facts)
    for number in range(8):
        assert list(range(5000)) == [fact.value["n"] for fact in facts if fact.key == f"{number}"]
