"""Stores that a child writes and other programs of the owner too: while it sleeps, while it runs, and in between."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.model.errors import LockerError
from core.model.fact import Fact
from core.netstore import Cursor, NetworkStore, socket_path
from core.store import Appended, Entry
from tests.fakes.house import ROOT, House, open_house

QUICK = {"LOCKER_LIMITS_BACKOFF_MAX_S": "0.05", "LOCKER_LIMITS_BACKOFF_FIRST_S": "0.01"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A core with a connector that counts, not installed yet."""
    with opened(tmp_path) as started:
        yield started


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[House]:
    """A core that knows the test's connectors."""
    made = House(folder)
    paths = f'["{ROOT}/connectors", "{ROOT}/tests/assembly/connectors"]'
    (made.config / "locker.toml").write_text(f"connector_paths = {paths}\n")
    with open_house(folder, environment=QUICK) as started:
        yield started


def install(house: House, *, is_open: bool = True, **settings: Any) -> str:
    """The counting service; where its store is reached, once it is open."""
    house.install("tally", settings=settings)
    if not is_open:
        return ""
    answer = house.ask("PUT", "/core/tally/store", json={"open": True})
    assert answer.ok, answer.text
    return str(answer.json()["socket"])


def client(path: str, **options: Any) -> NetworkStore:
    """A program of the owner."""
    return NetworkStore(path, transport="unix", **options)


def note(key: str) -> Entry:
    """What such a program writes."""
    return Entry(type="note", key=key, value={"text": f"note {key}"})


def writer_of(house: House, service: str = "tally") -> int:
    """The process that wrote the store last, or writes it."""
    return int(json.loads((house.me / service / "store.lock").read_text())["pid"])


def child_of(house: House, service: str = "tally") -> int | None:
    """The service's process."""
    for process in house.children():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(house.me / service):
                return process.pid
    return None


def kill_child(house: House) -> None:
    """SIGKILL the service's process, if there is one."""
    pid = child_of(house)
    if pid is not None:
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).kill()


def all_facts(path: str) -> list[Fact]:
    """The whole log, as a program reads it."""
    with client(path) as store:
        return list(store.replay())


class Program:
    """A program of the owner that writes note after note, in a thread; what was acknowledged, and what was not."""

    def __init__(self, path: str, name: str) -> None:
        self.acknowledged: list[str] = []
        self.refused: list[LockerError] = []
        self.surprises: list[BaseException] = []
        self._path = path
        self._name = name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Program:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with client(self._path, patience_s=20) as store:
                number = 0
                while not self._stop.is_set():
                    self._write(store, f"{self._name}-{number}")
                    number += 1
        except BaseException as error:
            self.surprises.append(error)

    def _write(self, store: NetworkStore, key: str) -> None:
        try:
            (result,) = store.append([note(key)])
        except LockerError as error:
            self.refused.append(error)
            return
        if isinstance(result, Appended):
            self.acknowledged.append(key)
        else:
            self.refused.append(result)


@contextlib.contextmanager
def programs(path: str, count: int) -> Iterator[list[Program]]:
    """So many programs that write at once."""
    made = [Program(path, f"p{number}") for number in range(count)]
    with contextlib.ExitStack() as stack:
        for one in made:
            stack.enter_context(one)
        yield made


def assert_kept(facts: list[Fact], written: list[Program]) -> None:
    """Every acknowledged note is there, every fact is there once, and nothing untyped befell a program."""
    keys = Counter(fact.key for fact in facts if fact.type == "note")
    for program in written:
        assert [] == program.surprises
        assert set() == set(program.acknowledged) - set(keys)
    assert {} == {key: times for key, times in keys.items() if times != 1}
    assert len(facts) == len({fact.id for fact in facts})


def test_shut_until_the_owner_opens_it(house: House) -> None:
    """Nobody is served by default; the owner's word stands over a restart, and is said to the owner alone."""
    install(house, is_open=False)
    place = house.me / "tally" / "store.sock"
    before = house.get("/core/tally/store").json(), place.exists()
    house.ask("PUT", "/core/tally/store", json={"open": True})
    after = house.get("/core/tally/store").json()
    house.stop()
    house.start()

    assert ({"open": False, "writer": "child", "socket": None}, False) == before
    assert {"open": True, "writer": "child", "socket": str(place)} == after
    assert after == house.get("/core/tally/store").json()


def test_a_sleeping_child_is_not_woken(house: House) -> None:
    """The core writes meanwhile; the change is an event, and the child finds what was written when it wakes."""
    path = install(house)
    house.post("/core/tally/stop")
    with client(path) as store:
        store.append([note("a")])
        writers = child_of(house), writer_of(house)
        with house.get("/events?types=note&since=0", stream=True) as stream:
            line = next(line for line in stream.iter_lines(decode_unicode=True) if line.startswith("data: "))

    assert house.process is not None
    assert (None, house.process.pid) == writers
    assert "note a" in line
    assert {"a"} == set(house.records("tally", "note"))
    assert child_of(house) == writer_of(house)


def test_written_while_the_child_runs_and_syncs(house: House) -> None:
    """Relayed to the child, whose own records come at the same time; both are told as events."""
    path = install(house, count=400, pause_s=0.02)
    house.post("/Me/tally/sync")
    with programs(path, 3) as written:
        house.wait(lambda: all(len(one.acknowledged) > 5 for one in written), what="notes")
        assert child_of(house) == writer_of(house)
        house.wait(lambda: len(house.records("tally", "number")) == 400, what="all the numbers")
    with house.get("/events?types=note,number&since=0", stream=True) as stream:
        lines = (line for line in stream.iter_lines(decode_unicode=True) if line.startswith("data: "))
        told = "".join(itertools.islice(lines, 300))

    assert_kept(all_facts(path), written)
    assert [] == [error for one in written for error in one.refused]
    assert "note p0-0" in told and "note p1-0" in told and "number 5" in told


@pytest.mark.parametrize("rounds", [6, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_across_spawns_and_stops(house: House, rounds: int) -> None:
    """The store changes hands again and again while programs write: nothing is lost, doubled, or left unanswered."""
    path = install(house, count=100_000, pause_s=0.01)
    chance = random.Random(rounds)
    with programs(path, 3) as written:
        for _ in range(rounds):
            house.post("/Me/tally/sync")
            time.sleep(chance.uniform(0.0, 0.6))
            house.post("/core/tally/stop")
            time.sleep(chance.uniform(0.0, 0.6))
    numbers = Counter(fact.key for fact in all_facts(path) if fact.type == "number")

    assert_kept(all_facts(path), written)
    assert [] == [error for one in written for error in one.refused]
    assert all(len(one.acknowledged) > rounds for one in written)
    assert numbers and {1} == set(numbers.values())
    assert {str(n) for n in range(len(numbers))} == set(numbers)


@pytest.mark.parametrize("strikes", [5, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_the_child_is_killed_under_them(house: House, strikes: int) -> None:
    """Whatever was acknowledged is there; the programs go on with the core, then with the next child."""
    path = install(house, count=100_000, pause_s=0.01)
    chance = random.Random(strikes)
    with programs(path, 3) as written:
        for _ in range(strikes):
            house.wait(lambda: house.post("/Me/tally/sync").ok, what="a sync")
            time.sleep(chance.uniform(0.0, 0.4))
            kill_child(house)
            time.sleep(chance.uniform(0.0, 0.4))

    assert_kept(all_facts(path), written)
    assert all(len(one.acknowledged) > strikes for one in written)


@pytest.mark.parametrize("is_awake", [False, True], ids=["asleep", "awake"])
def test_the_core_is_killed_under_them(house: House, is_awake: bool) -> None:
    """Its own writer dies, or its child follows it; the next core serves again, and nothing acknowledged is lost."""
    path = install(house, count=100_000, pause_s=0.01)
    if not is_awake:
        house.post("/core/tally/stop")
    with programs(path, 2) as written:
        for _ in range(2):
            if is_awake:
                house.post("/Me/tally/sync")
            before = [len(one.acknowledged) for one in written]
            house.wait(
                lambda before=before: all(len(one.acknowledged) > n for one, n in zip(written, before, strict=True)),
                what="notes",
            )
            house.kill()
            house.start()

    assert_kept(all_facts(path), written)


def test_foreign_children_are_refused_at_both_doors(house: House) -> None:
    """INV-11: at the socket of the core and at that of the child, another service's process is nobody there."""
    path = install(house)
    house.install("tally", id="tally-2")
    own = house.post("/Me/tally/knock", json={"path": path}).json()
    place = str(house.me / "tally" / "writer.sock")
    foreign = [house.post("/Me/tally-2/knock", json={"path": one}).json() for one in (path, place)]
    with client(place, patience_s=0.2) as store, pytest.raises(LockerError) as refused:
        store.head()

    assert own["ok"]
    assert [(False, "forbidden")] * 2 == [(one["ok"], one["error_code"]) for one in foreign]
    assert "forbidden" == refused.value.code


def test_a_pretended_child_gets_nothing(house: House) -> None:
    """Who serves in the child's place without being of it is not relayed to."""
    path = install(house)
    house.get("/Me/tally/")
    place = house.me / "tally" / "writer.sock"
    house.wait(place.exists, what="the child's socket")
    place.unlink()
    with socket.socket(socket.AF_UNIX) as pretender:
        pretender.bind(str(place))
        pretender.listen()
        pretender.settimeout(0.5)
        with client(path, patience_s=0.5, timeout_s=1) as store, pytest.raises(LockerError):
            store.head()
        came = pretender.accept()[0]

        assert b"" == came.recv(1)
        came.close()


def test_a_long_path(tmp_path: Path) -> None:
    """Longer than a socket's name may be: served, asleep and awake, under the short name that all agree on."""
    folder = tmp_path / ("long" * 12) / ("longer" * 12)
    folder.mkdir(parents=True)
    with opened(folder) as house:
        path = install(house)
        place = house.me / "tally" / "store.sock"
        house.post("/core/tally/stop")
        with client(path) as store:
            store.append([note("asleep")])
        house.get("/Me/tally/")
        with client(str(place)) as store:
            store.append([note("awake")])
            writer = writer_of(house)

        assert len(os.fsencode(place)) > 100 and str(socket_path(place)) == path
        assert child_of(house) == writer
        assert {"asleep", "awake"} == set(house.records("tally", "note"))
    assert not Path(path).exists()


@pytest.mark.parametrize("is_awake", [False, True], ids=["asleep", "awake"])
def test_switched_off_under_them(house: House, is_awake: bool) -> None:
    """Who is connected is answered what was begun, then left; nobody comes in any more, and the child goes on."""
    path = install(house, count=100_000, pause_s=0.01)
    house.post("/Me/tally/sync" if is_awake else "/core/tally/stop")
    with programs(path, 2) as written, client(path) as follower:
        heard: list[str] = []
        follower.subscribe(lambda fact: heard.append(fact.key), stores=["note"])
        house.wait(lambda: len(heard) > 5, what="notes heard of")
        began = time.monotonic()
        answer = house.ask("PUT", "/core/tally/store", json={"open": False})
        took_s = time.monotonic() - began
        counts = [len(one.acknowledged) for one in written]
        with pytest.raises(LockerError), client(path, patience_s=0.2) as late:
            late.head()
        assert counts == [len(one.acknowledged) for one in written]
        house.ask("PUT", "/core/tally/store", json={"open": True})
    facts = all_facts(path)

    assert answer.json() == {"open": False, "writer": "child", "socket": None}
    assert took_s < 8
    assert_kept(facts, written)


def test_a_follower_goes_on_over_a_change_of_hands(house: House) -> None:
    """Its cursor counts whoever serves: every note is heard once, in order."""
    path = install(house)
    house.post("/core/tally/stop")
    heard: list[str] = []
    with client(path) as store:
        cursor = Cursor(store.epoch(), store.head())
        store.subscribe(lambda fact: heard.append(fact.key), stores=["note"], cursor=cursor)
        for number in range(12):
            store.append([note(str(number))])
            if number % 4 == 1:
                house.get("/Me/tally/")
            if number % 4 == 3:
                house.post("/core/tally/stop")
        house.wait(lambda: len(heard) >= 12, what="every note")

    assert [str(number) for number in range(12)] == heard


def test_a_store_that_its_connector_writes_over_the_wire_stays_open(tmp_path: Path) -> None:
    """There is nothing to open or shut."""
    connector = tmp_path / "connectors" / "kept"
    connector.mkdir(parents=True)
    manifest = 'name = "kept"\ntitle = "Kept"\nwriter = "core"\nrun = "true"\n[types.note]\ntitle = "text"\n'
    (connector / "connector.toml").write_text(manifest)
    made = House(tmp_path)
    (made.config / "locker.toml").write_text(f'connector_paths = ["{tmp_path}/connectors"]\n')
    with open_house(tmp_path) as house:
        house.install("kept")
        read = house.get("/core/kept/store").json()
        answer = house.ask("PUT", "/core/kept/store", json={"open": False})

        assert {"open": True, "writer": "core", "socket": str(house.me / "kept" / "store.sock")} == read
        assert (400, "bad_request") == (answer.status_code, answer.json()["type"])


def test_an_import_gets_the_store_from_under_them(house: House, tmp_path: Path) -> None:
    """The command switches the service off for as long: the programs wait, then go on beside what was imported."""
    path = install(house)
    house.post("/core/tally/stop")
    lines = [json.dumps({"id": f"i{n}", "store": "note", "key": f"i{n}", "value": {"text": str(n)}}) for n in range(50)]
    (tmp_path / "more.jsonl").write_text("\n".join(lines) + "\n")
    with programs(path, 2) as written:
        house.wait(lambda: all(len(one.acknowledged) > 3 for one in written), what="notes")
        command = [sys.executable, "-m", "core.cli", "import", str(tmp_path / "more.jsonl"), "--into", "tally"]
        places = ["--me", str(house.me), "--config", str(house.config)]
        done = subprocess.run([*command, *places], cwd=ROOT, capture_output=True, text=True, timeout=60)
        before = [len(one.acknowledged) for one in written]
        house.wait(
            lambda: all(len(one.acknowledged) > n for one, n in zip(written, before, strict=True)), what="more notes"
        )
    facts = all_facts(path)

    assert 0 == done.returncode, done.stderr
    assert_kept(facts, written)
    assert {f"i{n}" for n in range(50)} <= {fact.key for fact in facts}
