"""Those who write one fact after the other share a clerk and a flush; else nobody notices."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.model.errors import LockerError
from core.model.frames import encode_frame
from core.netstore import Door, ServerLimits, StoreServer, one_store
from core.netstore.protocol import encode
from core.netstore.server.clerk import Clerk, Clerks
from core.netstore.server.writes import Singles, Told
from core.store import Appended, Entry, Store
from tests.contracts.waiting import wait_until
from tests.netstore.served import Altered, Bare, Served, connected, fact

WAIT_S = 10.0


class Watched(Altered):
    """A store that tells how many callers' writes came together, and waits while it may not write."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.rounds: list[int] = []
        self.inside, self.may = threading.Event(), threading.Event()
        self.may.set()

    def append_together(self, batches: Sequence[Sequence[Entry]]) -> list[list[Appended | LockerError] | LockerError]:
        self.rounds.append(len(batches))
        self.inside.set()
        assert self.may.wait(WAIT_S)
        return list(self._store.append_together(batches))

    def hold(self) -> None:
        """Let nobody's write come to its end."""
        self.inside.clear()
        self.may.clear()


class House:
    """A watched store with its server and callers, each of whom has written a few facts one after the other."""

    def __init__(self, served: Served, server: StoreServer) -> None:
        self.store = Watched(served.store)
        self.server = server
        self._path = server.serve_unix(served.folder / "watched.sock", Door(store_of=one_store(self.store)))
        self._bares: list[Bare] = []
        self._number = 0

    def callers(self, count: int) -> list[Bare]:
        made = [Bare(connected(self._path)) for _ in range(count)]
        self._bares += made
        for bare in made * 3:  # The third time it is the clerk who answers.
            assert self.write(bare)["ok"]
        return made

    def write(self, bare: Bare, **fields: Any) -> dict[str, Any]:
        self.send(bare, **fields)
        return bare.reply()

    def send(self, bare: Bare, **fields: Any) -> None:
        self._number += 1
        bare.send({"op": "write_fact", "request_id": self._number, "fact": fact(self._number, **fields)})

    def close(self) -> None:
        self.store.may.set()
        for bare in self._bares:
            bare.socket.close()
        self.server.stop()


@pytest.fixture
def house(served: Served) -> Iterator[House]:
    """A store with a server whose limits are short."""
    made = House(served, StoreServer(clock=ManualClock(), limits=ServerLimits(frame_timeout_s=0.5, reply_timeout_s=5)))
    yield made
    made.close()


def clerks() -> int:
    return sum(thread.name == "netstore clerk" for thread in threading.enumerate())


def test_what_came_while_one_was_committed_is_committed_together(house: House) -> None:
    """One flush for seven callers, and each gets its own answer."""
    first, *others = house.callers(8)
    house.store.hold()
    house.store.rounds.clear()
    house.send(first)
    assert house.store.inside.wait(WAIT_S)
    for bare in others:
        house.send(bare)
    house.store.may.set()
    replies = [bare.reply() for bare in (first, *others)]

    assert [1, 7] == house.store.rounds
    assert list(range(25, 33)) == sorted(reply["seq"] for reply in replies)
    assert list(range(25, 33)) == [reply["request_id"] for reply in replies]


def test_a_lone_caller_has_no_clerk(house: House) -> None:
    """It would pay for another thread and share a flush with nobody."""
    before = clerks()
    (bare,) = house.callers(1)
    for _ in range(3):
        assert house.write(bare)["ok"]

    assert before == clerks()


def test_each_is_told_what_is_wrong_with_its_own(house: House) -> None:
    """A fact that cannot be read, one whose hash is wrong, one whose id is taken: the others are stored."""
    callers = house.callers(4)
    house.store.hold()
    house.send(callers[0])
    assert house.store.inside.wait(WAIT_S)
    house.send(callers[1], key=None)
    house.send(callers[2], value_hash="0" * 64)
    house.send(callers[3], id=fact(1)["id"])
    house.store.may.set()
    replies = [bare.reply() for bare in callers]

    assert [None, "invalid_fact", "hash_mismatch", "conflicting_duplicate"] == [
        one.get("error_code") for one in replies
    ]
    assert all(house.write(bare)["ok"] for bare in callers)


def test_whoever_asks_for_something_else_is_answered_in_order(house: House) -> None:
    """A read between writes, sent together or apart; then a caller may follow the log."""
    bare, _ = house.callers(2)
    assert bare.ask(op="ping")["pong"]
    for _ in range(3):
        assert house.write(bare)["ok"]
    house.send(bare)
    bare.send({"op": "read", "store": "tasks", "key": "t10"})
    house.send(bare)
    replies = [bare.reply() for _ in range(3)]
    for _ in range(3):
        assert house.write(bare)["ok"]
    follows = bare.ask(op="subscribe", cursor={"store_epoch": house.store.epoch(), "seq": 13})

    assert [10, 11] == [replies[0]["seq"], replies[2]["seq"]]
    assert {"n": 10} == replies[1]["value"]
    assert (follows["ok"], 14) == (True, bare.reply()["seq"])


def test_half_a_frame_keeps_only_its_own_caller_waiting(house: House) -> None:
    """The rest comes, and it is answered; it does not come, and the connection ends."""
    slow, dead, other = house.callers(3)
    frame = encode_frame(encode({"op": "write_fact", "fact": fact(100)}))
    slow.socket.sendall(frame[:30])
    dead.socket.sendall(frame[:30])
    assert all(house.write(other)["ok"] for _ in range(3))
    slow.socket.sendall(frame[30:])

    assert slow.reply()["ok"]
    assert "frame_timeout" == dead.reply()["error_code"]
    assert dead.is_closed()
    assert house.write(other)["ok"] and house.write(slow)["ok"]


def test_a_broken_frame_ends_one_connection(house: House) -> None:
    """The others write on."""
    bad, other = house.callers(2)
    frame = encode_frame(encode({"op": "write_fact", "fact": fact(100)}))
    bad.socket.sendall(frame[:-1] + bytes([frame[-1] ^ 1]))

    assert "bad_crc" == bad.reply()["error_code"]
    assert bad.is_closed()
    assert house.write(other)["ok"]


def test_who_does_not_read_the_replies_keeps_nobody_waiting(house: House) -> None:
    """Its replies fill the socket; another one writes on; later it reads all of them, in order."""
    silent, other = house.callers(2)
    silent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    first = house.write(other)["seq"]
    pipelined = 2000

    def flood() -> None:
        for _ in range(pipelined):
            house.send(silent)

    flooding = threading.Thread(target=flood)
    flooding.start()
    wait_until(lambda: house.store.head() > first + 500)
    mine = Bare(other.socket)
    mine.send({"op": "write_fact", "fact": fact(500_000)})
    assert mine.reply()["ok"]
    replies = [silent.reply()["request_id"] for _ in range(pipelined)]
    flooding.join(WAIT_S)

    assert sorted(replies) == replies and pipelined == len(set(replies))


def test_one_who_hangs_up_is_gone(house: House) -> None:
    """Its thread ends, whoever served it."""
    leaving, staying = house.callers(2)
    leaving.socket.close()

    wait_until(lambda: house.server.connections == 1)
    assert house.write(staying)["ok"]


def test_stopping_ends_the_clerk(house: House) -> None:
    """What was received is answered, everybody is ended in order, no thread is left."""
    callers = house.callers(3)
    before = clerks()
    house.server.stop()

    assert all(bare.is_closed() for bare in callers)
    assert before - 1 == clerks()


def test_a_store_that_is_let_go_lets_its_callers_go_on(house: House) -> None:
    """Another clerk serves the store when it is served again."""
    callers = house.callers(2)
    house.server.release(house.store)

    assert all(house.write(bare)["ok"] for bare in callers * 4)


def test_writes_at_a_store_that_stops_are_refused_one_by_one(house: House) -> None:
    """As by a caller's own thread: `draining`, to be sent again."""
    callers = house.callers(2)
    house.server._desk.phase = "draining"
    replies = [house.write(bare) for bare in callers]
    house.server._desk.phase = "ready"

    assert ["draining"] * 2 == [reply["error_code"] for reply in replies]


class Odd:
    """A visitor that is heard or told with an error that nobody foresaw."""

    def __init__(self, fails_in: str) -> None:
        self.socket, self.other = socket.socketpair()
        self._fails_in = fails_in
        self.is_cut, self.goes_on = False, threading.Event()

    def hear(self, store: Any) -> Singles | None:
        self.socket.recv(100)
        if self._fails_in == "hear":
            raise RuntimeError("nobody foresaw it")
        return Singles(_Refusing(), [{}])  # type: ignore[arg-type]

    def tell(self, singles: Singles, told: Told, took_s: float) -> bool:
        raise RuntimeError("nobody foresaw it")

    def cut(self) -> None:
        self.is_cut = True

    def go_on(self) -> None:
        self.goes_on.set()


class _Refusing:
    """A call that cannot be made."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


@pytest.mark.parametrize("fails_in", ["hear", "tell"])
def test_what_nobody_foresaw_ends_one_alone(served: Served, caplog: pytest.LogCaptureFixture, fails_in: str) -> None:
    """It is logged, and the clerk goes on with the others."""
    clerk = Clerk(served.store)
    for _ in range(2):
        odd = Odd(fails_in)
        assert clerk.attend(odd)
        odd.other.send(b"x")

        assert odd.goes_on.wait(WAIT_S) and odd.is_cut
        odd.socket.close()
        odd.other.close()
    clerk.end()

    assert not clerk.attend(odd)
    assert 2 == sum(record.levelno == logging.ERROR for record in caplog.records)


def test_without_a_thread_each_serves_itself(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system gives none: the callers go on as they were."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    clerk = Clerk(served.store)
    odd = Odd("hear")

    assert not clerk.attend(odd)
    clerk.end()
    odd.socket.close()
    odd.other.close()


def test_a_store_that_adds_nothing_together_has_no_clerk(serve: Callable[..., Served]) -> None:
    """And after the end none has."""
    all_of_them = Clerks()
    store: Any = object()

    assert all_of_them.of(store) is None
    kept = serve().store
    assert all_of_them.of(kept) is all_of_them.of(kept)
    all_of_them.stop()
    assert all_of_them.of(kept) is None
