"""Places at a door: who holds them without saying who they are, who rests in them, and who lost their token."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from core.model.errors import TokenRequired
from core.netstore import Door, Grant, NetworkStore, ServerLimits, one_store, sockets
from tests.contracts.waiting import wait_until
from tests.netstore.served import TOKEN, Bare, Served, connected, fact

TCP_REPAIR = 19
Serve = Callable[..., Served]


def test_who_does_not_say_who_they_are_is_not_waited_for(serve: Serve) -> None:
    """Whether they are silent, ask only what anybody may, or are in the midst of a frame."""
    served = serve(limits=ServerLimits(auth_timeout_s=0.5))
    silent, busy, slow, known = (served.bare_tcp() for _ in range(4))
    known.ask(op="auth", token=TOKEN)
    slow.socket.sendall(b"\0\0\0\x10{")
    pings = []
    while (reply := busy.ask(op="ping")).get("pong"):
        pings.append(reply)
        threading.Event().wait(0.05)

    assert pings and "unauthorized" == reply["error_code"]
    assert ["unauthorized"] * 2 == [bare.reply()["error_code"] for bare in (silent, slow)]
    assert all(bare.is_closed() for bare in (silent, busy, slow))
    assert known.ask(op="stats")["ok"]


def test_where_no_token_is_asked_for_nobody_is_hurried(serve: Serve) -> None:
    """At the Unix socket who came may be silent first."""
    bare = serve(limits=ServerLimits(auth_timeout_s=0.1)).bare()
    threading.Event().wait(0.3)

    assert bare.ask(op="stats")["ok"]


def test_each_door_has_places_of_its_own(serve: Serve) -> None:
    """Strangers at the port keep nobody out at the socket."""
    served = serve(limits=ServerLimits(connections_max=3, stranger_rest_s=60))
    strangers = [served.bare_tcp() for _ in range(4)]

    assert "too_many_connections" == strangers[-1].reply()["error_code"]
    assert served.bare().ask(op="stats")["ok"]


def test_a_stranger_makes_room_for_who_comes(serve: Serve) -> None:
    """The one who has been silent the longest; who is known stays, and so does who only just came."""
    served = serve(limits=ServerLimits(connections_max=4, stranger_rest_s=0.3))
    known = served.bare_tcp()
    known.ask(op="auth", token=TOKEN)
    strangers = [served.bare_tcp() for _ in range(3)]
    wait_until(lambda: served.server.connections == 4)
    early = served.bare_tcp().reply()
    threading.Event().wait(0.4)
    new = served.bare_tcp()
    scopes = new.ask(op="auth", token=TOKEN).get("scopes")

    assert "too_many_connections" == early["error_code"]
    assert ["read", "write"] == scopes
    assert strangers[0].is_closed()
    assert strangers[1].ask(op="ping")["pong"] and known.ask(op="stats")["ok"]


def test_who_rests_for_long_makes_room_for_who_comes(serve: Serve) -> None:
    """A client that comes back to its work finds its place again; a subscriber, who is silent by nature, keeps its."""
    served = serve(limits=ServerLimits(connections_max=3, rest_s=1.2))
    told: list[int] = []
    follower = NetworkStore(str(served.path), transport="unix", patience_s=5)
    subscriber = follower.subscribe(lambda one: told.append(one.seq))
    client = NetworkStore(str(served.path), transport="unix", patience_s=5)
    client.head()
    wait_until(lambda: any(one.rests_since is not None for one in served.server._connections))
    resting = served.bare()
    resting.ask(op="ping")
    threading.Event().wait(1.4)
    new = served.bare()
    first = new.ask(op="ping")
    wire = client._line._wire
    assert wire is not None
    wait_until(lambda: wire.is_over)
    new.socket.close()
    wait_until(lambda: served.server.connections == 2)
    done = client.commit([])
    written = served.bare().ask(op="write_fact", fact=fact(1))

    assert first["pong"] and 0 == done.new and written["ok"]
    wait_until(lambda: told == [1])
    assert subscriber.problem is None
    client.close()
    follower.close()


@pytest.fixture
def revocable(serve: Serve) -> Iterator[tuple[Served, set[str], Callable[[], Bare]]]:
    """A store behind a door of two tokens, the set of those that are good, and a bare connection there."""
    served, good = serve(limits=ServerLimits(revoked_s=0.3)), {"a", "b"}
    door = Door(
        store_of=one_store(served.store), grant_of=lambda token: Grant(f"app:{token}") if token in good else None
    )
    address = served.server.serve_tcp("127.0.0.1:0", door)
    made: list[Bare] = []

    def bare() -> Bare:
        made.append(Bare(socket.create_connection(address)))
        return made[-1]

    yield served, good, bare
    for one in made:
        one.socket.close()


def end(served: Served, good: set[str], token: str) -> None:
    """The token is good no more."""
    good.discard(token)
    served.server.end(lambda grant: grant.actor == f"app:{token}")


def test_a_revoked_token_writes_nothing_more(revocable: tuple[Served, set[str], Callable[[], Bare]]) -> None:
    """Whether its caller writes through the clerk or a thread of its own; others go on, and the token opens nothing."""
    served, good, bare = revocable
    callers = [bare() for _ in range(4)]
    for place, caller in enumerate(callers):
        caller.ask(op="auth", token="ab"[place == 3])
    for number in range(1, 13):
        assert callers[number % 4].ask(op="write_fact", fact=fact(number))["ok"]
    end(served, good, "a")
    for caller in callers[:3]:
        caller.socket.setblocking(True)
        caller.socket.settimeout(5)
        try:
            caller.send({"op": "write_fact", "fact": fact(99)})
        except OSError:
            continue
        assert "unauthorized" == caller.reply()["error_code"]
        assert caller.is_closed()

    assert callers[3].ask(op="write_fact", fact=fact(13))["ok"]
    assert 13 == served.store.head()
    assert "unauthorized" == bare().ask(op="auth", token="a")["error_code"]


def test_a_revoked_subscriber_is_told_and_ends(revocable: tuple[Served, set[str], Callable[[], Bare]]) -> None:
    """Also one who reads nothing, within a while."""
    served, good, bare = revocable
    follower, deaf = bare(), bare()
    for one in (follower, deaf):
        one.ask(op="auth", token="a")
        one.ask(op="subscribe")
    for number in range(1, 60):
        served.bare().ask(op="write_fact", fact=fact(number, value={"text": "x" * 200_000}))
    while follower.reply()["seq"] != 59:
        pass
    end(served, good, "a")
    last = follower.reply()
    served.store.append([])

    assert ("error", "unauthorized") == (last["event"], last["error_code"])
    assert follower.is_closed()
    wait_until(lambda: not any(one.caller.is_revoked for one in served.server._connections))


def test_a_token_that_goes_while_it_is_looked_at_opens_nothing(serve: Serve) -> None:
    """The look is repeated."""
    served = serve()
    looks: list[str] = []

    def grant_of(token: str) -> Grant | None:
        looks.append(token)
        if len(looks) == 1:
            served.server.end(lambda _: True)
            return Grant("app:1")
        return None

    address = served.server.serve_tcp("127.0.0.1:0", Door(store_of=one_store(served.store), grant_of=grant_of))
    with socket.create_connection(address) as connection:
        refused = Bare(connection).ask(op="stats", token="x")

    assert ("unauthorized", 2) == (refused["error_code"], len(looks))


def test_a_revoked_client_is_told_why(revocable: tuple[Served, set[str], Callable[[], Bare]]) -> None:
    """Its subscription has a problem, its next request an error."""
    served, good, bare = revocable
    host, port = bare().socket.getpeername()
    with NetworkStore(f"{host}:{port}", token="a", patience_s=2) as client:
        subscriber = client.subscribe(lambda _: None)
        client.head()
        end(served, good, "a")
        wait_until(lambda: not subscriber.is_alive)
        with pytest.raises(TokenRequired):
            client.head()

    assert isinstance(subscriber.problem, TokenRequired)


@pytest.mark.skipif(sys.platform != "linux", reason="a connection is forgotten as Linux forgets one")
def test_a_half_open_connection_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine at the other end is gone without a word: the system asks after it, and its place is free again."""
    for name in ("KEEPALIVE_AFTER_S", "KEEPALIVE_EVERY_S", "KEEPALIVE_TRIES"):
        monkeypatch.setattr(sockets, name, 1)
    served = serve()
    bares = [served.bare_tcp() for _ in range(2)]
    for bare in bares:
        bare.ask(op="auth", token=TOKEN)
    bares[1].ask(op="subscribe")
    try:
        for bare in bares:
            bare.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError:
        pytest.skip("only root may forget a connection")
    for bare in bares:
        bare.socket.close()
    is_open = served.server.connections

    assert 2 == is_open
    wait_until(lambda: served.server.connections == 0)


def test_the_system_is_told_to_ask_after_the_other_end(serve: Serve) -> None:
    """Both ends do, so that a machine that is gone is noticed within two minutes."""
    served = serve()
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as near, listener.accept()[0] as far:
        for one in (near, far):
            sockets.tune(one)
            option = partial(one.getsockopt, socket.IPPROTO_TCP)

            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if sys.platform == "linux":
                wait_s = option(socket.TCP_KEEPIDLE) + option(socket.TCP_KEEPINTVL) * option(socket.TCP_KEEPCNT)
                assert wait_s <= 120
    with connected(served.path) as unix:
        sockets.tune(unix)
