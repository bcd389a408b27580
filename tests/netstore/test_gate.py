"""A socket that stays while those behind it change: who is handed on, who is relayed, and how each of them ends."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.model.errors import Retry
from core.model.frames import encode_frame
from core.netstore import Door, Gate, ServerLimits, connect_unix, one_store
from core.netstore.server.relay import CHUNK_BYTES, Relay
from tests.netstore.served import Bare, Served

BRIEF = ServerLimits(drain_s=1.0, linger_s=0.3, connections_max=2, reply_timeout_s=0.5)


class Gated:
    """A gate before a served store, and bare connections to it."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served = served
        self.lead: Callable[[socket.socket], socket.socket | None] = self.relayed
        self.allows = True
        self._bares: list[Bare] = []
        door = Door(store_of=one_store(served.store), is_allowed=lambda _: self.allows)
        self.look: Callable[[], None] = lambda: None
        self.gate = Gate(
            folder / "gate.sock", door, lambda one: self.lead(one), on_look=lambda: self.look(), limits=BRIEF
        )

    def relayed(self, _connection: socket.socket) -> socket.socket:
        """Lead everybody to the served store's own socket."""
        return connect_unix(self.served.path, timeout_s=5)

    def bare(self) -> Bare:
        """A connection to the gate."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.gate.place))
        self._bares.append(Bare(connection))
        return self._bares[-1]

    def close(self) -> None:
        """End everything."""
        self.gate.stop()
        for bare in self._bares:
            bare.socket.close()


@pytest.fixture
def gated(served: Served, tmp_path: Path) -> Iterator[Gated]:
    """A gate whose clients are relayed."""
    tmp_path.chmod(0o700)
    with contextlib.closing(Gated(served, tmp_path)) as made:
        yield made


def fact(key: str) -> dict[str, object]:
    """A fact as it is written."""
    return {"id": f"id-{key}", "store": "note", "key": key, "value": {"title": key}}


def test_a_relayed_client_is_served_as_if_it_had_come_itself(gated: Gated) -> None:
    """Single requests and many at once, answered in order."""
    bare = gated.bare()
    pong = bare.ask(op="ping")
    bare.send(*({"op": "write_fact", "fact": fact(str(number))} for number in range(50)))
    seqs = [bare.reply()["seq"] for _ in range(50)]

    assert (True, list(range(1, 51))) == (pong["ok"], seqs)


def test_what_was_sent_before_the_end_is_answered(gated: Gated) -> None:
    """A client that stops sending still gets every reply, then the end."""
    bare = gated.bare()
    bare.send(*({"op": "write_fact", "fact": fact(str(number))} for number in range(30)))
    bare.socket.shutdown(socket.SHUT_WR)

    assert [True] * 30 == [bare.reply()["ok"] for _ in range(30)]
    assert bare.is_closed()


def test_when_the_server_ends_so_does_the_client(gated: Gated) -> None:
    """With what it was sent last, and without a reset, though it goes on sending."""
    bare = gated.bare()
    bare.ask(op="ping")
    gated.served.server.stop()
    with contextlib.suppress(OSError):
        bare.send({"op": "ping"})

    assert bare.is_closed()


def test_a_large_reply_passes_whole(gated: Gated) -> None:
    """Many times what a relay holds."""
    gated.bare().ask(op="write_fact", fact={**fact("large"), "value": {"title": "x" * 40 * CHUNK_BYTES}})

    assert 40 * CHUNK_BYTES == len(gated.bare().ask(op="replay")["facts"][0]["value"]["title"])


def test_one_who_does_not_read_is_left() -> None:
    """What waits for it is bounded, and it holds up nobody for long."""
    (client, near), (far, server) = socket.socketpair(), socket.socketpair()
    relay = Relay(near, far, send_timeout_s=0.3, linger_s=0.1)
    thread = threading.Thread(target=relay.run)
    thread.start()
    sent = 0
    with pytest.raises(OSError):
        while sent < 100 * 1024 * 1024:
            sent += server.send(bytes(CHUNK_BYTES))
    thread.join(5)

    assert not thread.is_alive() and sent < 8 * 1024 * 1024
    for one in (client, server):
        one.close()


def test_a_stranger_is_told_so_and_led_nowhere(gated: Gated) -> None:
    """Its bytes reach no server."""
    gated.allows = False
    came: list[socket.socket] = []
    gated.lead = lambda one: came.append(one)  # type: ignore[func-returns-value]
    bare = gated.bare()
    bare.send({"op": "ping"})

    assert "forbidden" == bare.reply()["error_code"]
    assert bare.is_closed() and came == []


def test_one_who_cannot_be_led_is_told_why(gated: Gated) -> None:
    """A typed refusal, then the end; what is ours alone is not told."""

    def refuse(_: socket.socket) -> None:
        raise Retry("Not now.")

    def breaks(_: socket.socket) -> None:
        raise ZeroDivisionError("a detail")

    answers = []
    for lead in (refuse, breaks):
        gated.lead = lead
        bare = gated.bare()
        answers.append(bare.reply())
        assert bare.is_closed()

    assert ["overloaded", "internal_error"] == [answer["error_code"] for answer in answers]
    assert "detail" not in json.dumps(answers)


def test_there_are_as_many_as_may_be(gated: Gated) -> None:
    """One more is told so, and comes in once another has left."""
    first, second = gated.bare(), gated.bare()
    for bare in (first, second):
        bare.ask(op="ping")
    refused = gated.bare().reply()
    first.ask(op="close")
    assert first.is_closed()
    first.socket.close()
    while not (reply := gated.bare().ask(op="ping"))["ok"]:
        assert "too_many_connections" == reply["error_code"]

    assert "too_many_connections" == refused["error_code"]
    assert reply["pong"]


def test_stopping_answers_what_was_begun(gated: Gated) -> None:
    """Then everybody is left, also one who follows, and one who began a frame and does not end it."""
    writer, follower = gated.bare(), gated.bare()
    follower.ask(op="subscribe", stores=[])
    writer.send({"op": "write_fact", "fact": fact("a")})
    assert writer.reply()["ok"]
    follower.body()
    writer.socket.sendall(encode_frame(b'{"op":"ping"}')[:7])
    gated.gate.stop()

    assert writer.is_closed()
    while follower.body() is not None:
        continue
    assert not gated.gate.place.exists()


def test_where_the_system_has_no_thread_one_is_turned_away(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the gate and at the server behind it; the next one is served, and all of it ends in order."""
    start = threading.Thread.start
    unwilling: list[str] = []

    def without(thread: threading.Thread) -> None:
        if unwilling and thread.name.startswith(unwilling[0]):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", without)
    refused = []
    for name in ("netstore gate", f"netstore {gated.served.path}"):
        unwilling[:] = [name]
        refused.append(gated.bare().reply()["error_code"])
    unwilling.clear()

    assert ["too_many_connections"] * 2 == refused
    assert gated.bare().ask(op="ping")["pong"]
    assert 1 == gated.served.server.connections


def test_a_look_that_fails_leaves_the_gate_open(gated: Gated) -> None:
    """Whoever comes afterwards is let in all the same."""
    looked = threading.Event()

    def breaks() -> None:
        looked.set()
        raise ZeroDivisionError

    gated.look = breaks
    assert looked.wait(10)

    assert gated.bare().ask(op="ping")["pong"]


def test_a_socket_in_place_is_reached_however_long_its_path(served: Served, tmp_path: Path) -> None:
    """At that very path, where nobody but the process that knows how comes."""
    folder = tmp_path / ("long" * 20) / ("longer" * 20)
    folder.mkdir(parents=True, mode=0o700)
    path = folder / "writer.sock"
    place = served.server.serve_unix(path, Door(store_of=one_store(served.store)), in_place=True)
    with connect_unix(path, timeout_s=5) as connection:
        pong = Bare(connection).ask(op="ping")

    assert (path, True) == (place, pong["pong"])
    served.server.stop()
    assert not path.exists()
