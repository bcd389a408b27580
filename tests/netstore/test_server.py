"""The server's doors: sockets, tokens, peers, bounds, and its end."""

from __future__ import annotations

import gc
import logging
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.model.clock import ManualClock
from core.model.errors import (
    Forbidden,
    LockerError,
    NotFound,
    TokenRequired,
)
from core.netstore import (
    READ,
    WRITE,
    Door,
    Grant,
    NetworkStore,
    ServerLimits,
    StoreServer,
    one_store,
)
from core.netstore.limits import THREAD_TURN_S
from core.netstore.server.ops import OPS
from core.store import Entry, Store
from tests.contracts.waiting import wait_until
from tests.netstore.served import TOKEN, Bare, Served, fact, grants


def test_s13_the_sixty_fifth_connection_is_refused(served: Served) -> None:
    """Typed, and the first 64 go on; when one leaves, there is room again."""
    bares = [served.bare() for _ in range(64)]
    assert all(bare.ask(op="ping")["pong"] for bare in bares)
    late = served.bare()
    refused = late.reply()
    bares[0].socket.close()
    wait_until(lambda: served.server.connections < 64)

    assert "too_many_connections" == refused["error_code"]
    assert late.is_closed()
    assert served.bare().ask(op="ping")["pong"]


def test_s13_headers_of_four_gibibytes_cost_nothing(served: Served) -> None:
    """A hostile client announces and never sends: memory stays where it was."""
    served.bare().ask(op="ping")
    gc.collect()
    before = psutil.Process().memory_info().rss
    for _ in range(200):
        bare = served.bare()
        bare.socket.sendall(struct.pack(">I", 0xFFFFFFFF) + b"x" * 1000)
        assert "frame_too_large" == bare.reply()["error_code"]
        bare.socket.close()

    assert psutil.Process().memory_info().rss - before < 20 * 1024 * 1024


class Torn:
    """A store whose every question ends in an exception full of secrets."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*_: object, **__: object) -> Any:
            raise RuntimeError("/home/ada/Me/notes/store.db password=hunter2")

        return fail


def test_s22_a_fault_of_ours_tells_only_its_number(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of exception, path or value reaches the caller; the log has it under the incident."""
    store: Any = Torn()
    path = served.server.serve_unix(served.folder / "torn.sock", Door(store_of=one_store(store)))
    bare = Bare(_connected(path))
    requests: list[dict[str, Any]] = [
        {"op": "write_fact", "fact": fact(1)},
        {"op": "replay"},
        {"op": "stats"},
        {"op": "read", "store": "a", "key": "b"},
    ]
    for request in requests:
        reply = bare.ask(**request)

        assert ("internal_error", False) == (reply["error_code"], reply["ok"])
        assert all(secret not in str(reply) for secret in ("hunter2", "Runtime", "/home", "store.db"))
        assert any(reply["incident"] in line for line in caplog.messages)
    assert bare.ask(op="ping")["pong"]
    bare.socket.close()


def test_s24_tcp_wants_a_token(served: Served) -> None:
    """Before it, only the greetings are answered; after it, or with it, everything."""
    bare = served.bare_tcp()
    before = [bare.ask(op=op)["ok"] for op in ("ping", "hello")]
    refused = [bare.ask(op=op) for op in ("replay", "stats", "server_status", "subscribe", "write_fact", "commit")]
    wrong = bare.ask(op="auth", token="wrong")
    with_it = bare.ask(op="stats", token=TOKEN)
    right = bare.ask(op="auth", token=TOKEN)

    assert [True, True] == before
    assert {"unauthorized"} == {reply["error_code"] for reply in [*refused, wrong]}
    assert (True, ["read", "write"]) == (with_it["ok"], right["scopes"])
    assert bare.ask(op="replay")["ok"]


@pytest.mark.parametrize("how", ["auth", "stats", "write_fact"])
def test_s24_five_wrong_tokens_end_it(served: Served, how: str) -> None:
    """However they are tried."""
    bare = served.bare_tcp()
    replies = [bare.ask(op=how, token=f"wrong{number}", fact=fact(1)) for number in range(5)]

    assert {"unauthorized"} == {reply["error_code"] for reply in replies}
    assert bare.is_closed()


def test_s24_scopes_and_services_are_kept(served: Served) -> None:
    """A reader does not write, nobody without the scope removes, and a token opens the services it names."""
    grant = Grant("app:2", frozenset({"read"}), frozenset({"notes"}))
    door = Door(store_of=one_store(served.store, service="notes"), grant_of=lambda _: grant)
    address = served.server.serve_tcp("127.0.0.1:0", door)
    bare = Bare(socket.create_connection(address))
    bare.ask(op="hello", token="any", service="notes")

    unnamed = Bare(socket.create_connection(address))
    assert unnamed.ask(op="stats", token="any")["ok"]
    unnamed.socket.close()
    assert bare.ask(op="stats")["ok"]
    assert "forbidden" == bare.ask(op="write_fact", fact=fact(1))["error_code"]
    assert "forbidden" == bare.ask(op="erase", ids=["x"])["error_code"]
    assert "forbidden" == bare.ask(op="stats", service="others")["error_code"]
    assert "forbidden" == bare.ask(op="stats", service=7)["error_code"]
    bare.socket.close()


def test_s24_without_a_token_only_with_a_warning(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Where the owner said so, every program of this machine comes in, and the log says it."""
    address = served.server.serve_tcp("127.0.0.1:0", Door(store_of=one_store(served.store)))
    bare = Bare(socket.create_connection(address))

    assert bare.ask(op="write_fact", fact=fact(1))["ok"]
    assert any("without a token" in line for line in caplog.messages)
    bare.socket.close()


def test_s24_the_process_at_the_other_end_is_judged(served: Served) -> None:
    """By its number, which the kernel knows."""
    asked: list[int] = []

    def is_allowed(pid: int) -> bool:
        asked.append(pid)
        return len(asked) == 1

    door = Door(store_of=one_store(served.store), is_allowed=is_allowed)
    path = served.server.serve_unix(served.folder / "judged.sock", door)
    welcome, stranger = Bare(_connected(path)), Bare(_connected(path))

    assert welcome.ask(op="ping")["pong"]
    assert "forbidden" == stranger.reply()["error_code"]
    assert stranger.is_closed()
    assert [os.getpid()] * 2 == asked
    welcome.socket.close()
    stranger.socket.close()


def test_many_stores_behind_one_door(served: Served, serve: Callable[..., Served]) -> None:
    """Routed by the service that the greeting, or the request, names."""
    other = serve(folder="others")
    stores: dict[str | None, Store] = {"notes": served.store, "others": other.store}

    def store_of(service: str | None) -> Store:
        if service not in stores:
            raise NotFound(f"There is no service {service}.")
        return stores[service]

    address = served.server.serve_tcp("127.0.0.1:0", Door(store_of=store_of, grant_of=grants))
    shown = f"{address[0]}:{address[1]}"
    with NetworkStore(shown, token=TOKEN, service="others") as client:
        client.append([Entry(type="a", key="k")])
        assert 1 == client.head() == client.ask("stats", service="others")["head_seq"]
        assert 0 == client.ask("stats", service="notes")["head_seq"]
    with NetworkStore(shown, token=TOKEN, service="nowhere") as lost, pytest.raises(NotFound):
        lost.head()


def test_another_service_s_name_is_refused_where_one_store_is_served(served: Served) -> None:
    """It must not be taken for that one."""
    with NetworkStore(str(served.path), transport="unix", service="others") as client, pytest.raises(Forbidden):
        client.head()


def test_a_greeting_tells_of_a_store_only_whom_it_may_tell(served: Served) -> None:
    """Neither a token of another service, nor one that may not read, nor none; each learns why when it asks."""
    tokens = {"own": Grant("service:a", frozenset({READ}), frozenset({"a"})), "blind": Grant("b", frozenset({WRITE}))}
    door = Door(store_of=lambda _: served.store, grant_of=tokens.get)
    host, port = served.server.serve_tcp("127.0.0.1:0", door)
    greetings = {}
    for token, service in ((None, "a"), ("own", "a"), ("own", None), ("own", "b"), ("blind", "a")):
        bare = Bare(socket.create_connection((host, port)))
        said = {"token": token, "service": service}
        greetings[token, service] = bare.ask(op="hello", **{name: one for name, one in said.items() if one})
        bare.socket.close()
    raised = {}
    for token, service in ((None, "a"), ("own", "b"), ("blind", "a")):
        with NetworkStore(f"{host}:{port}", token=token, service=service) as client:
            for ask in (client.head, client.epoch):
                with pytest.raises(LockerError) as refused:
                    ask()
                raised[token, service] = type(refused.value)

    assert {("own", "a"), ("own", None)} == {who for who, greeting in greetings.items() if "head" in greeting}
    assert {("own", "a"), ("own", None)} == {who for who, greeting in greetings.items() if "store_epoch" in greeting}
    assert all(greeting["ok"] and greeting["proto"] == 1 for greeting in greetings.values())
    assert {(None, "a"): TokenRequired, ("own", "b"): Forbidden, ("blind", "a"): Forbidden} == raised


def test_hello_says_what_is_spoken(served: Served, bare: Bare) -> None:
    """Bounds and features; the store's place only for those who may know it."""
    known = bare.ask(op="hello", client="test", proto=1)
    stranger = served.bare_tcp().ask(op="hello")

    assert (1, 8 * 1024 * 1024, served.store.epoch(), 0) == tuple(
        known[name] for name in ("proto", "max_frame", "store_epoch", "head")
    )
    assert "store_epoch" not in stranger


def test_close_is_answered_and_ends_without_a_reset(bare: Bare) -> None:
    """The reply comes, then an orderly end, also with requests behind it that nobody will read."""
    bare.send({"op": "close", "request_id": 1}, {"op": "ping"}, {"op": "ping"})

    assert {"ok": True, "request_id": 1} == bare.reply()
    assert bare.is_closed()


def test_status_has_the_incumbent_s_keys_and_ours(bare: Bare, served: Served) -> None:
    """Counters by op, bytes, connections; where the store stands."""
    bare.ask(op="write_facts", facts=[fact(1), fact(2), fact(2)])
    bare.ask(op="replay")
    bare.ask(op="nothing")
    status = bare.ask(op="server_status")
    stats = bare.ask(op="stats")

    assert {
        "ok", "schema_version", "generated_at", "status", "uptime_ms", "metrics", "alerts", "storage", "commit",
        "server", "changefeed",
    } == set(status)  # fmt: skip
    assert ("ready", 2, {"replay": 1, "server_status": 1, "unknown": 1, "write_facts": 1}) == (
        status["status"], status["storage"]["head_seq"], status["metrics"]["requests_total"],
    )  # fmt: skip
    assert (2, 2, 1, 1) == tuple(
        status["metrics"][name] for name in ("facts_written", "facts_replayed", "errors_total", "active_connections")
    )
    # The one that was there already was looked at with the others.
    assert (3, 0) == (status["commit"]["group_size_p50"], status["commit"]["queue"])
    assert 0 < status["commit"]["flush_ms_p50"] <= status["commit"]["flush_ms_p99"] < 60_000
    assert status["metrics"]["bytes_in"] > 500 < status["metrics"]["bytes_out"]
    assert {"ok": True, "facts_written": 2, "connections_active": 1, "facts_total": 2, "head_seq": 2} == {
        name: value for name, value in stats.items() if name != "uptime_ms"
    }


class Slow:
    """A store whose writes wait until they are let go."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.begun, self.may = threading.Event(), threading.Event()

    def append(self, entries: Any, *, atomic: bool = False) -> Any:
        self.begun.set()
        self.may.wait(20)
        return self._store.append(entries, atomic=atomic)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_threads_of_a_process_that_serves_take_short_turns(clock: ManualClock) -> None:
    """A thread that reckons, as for a bulk load, keeps one that has a single write to answer waiting for a turn."""
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(0.005)
        StoreServer(clock=clock).stop()

        assert THREAD_TURN_S == pytest.approx(sys.getswitchinterval())

        sys.setswitchinterval(THREAD_TURN_S / 10)
        StoreServer(clock=clock).stop()

        assert sys.getswitchinterval() < THREAD_TURN_S
    finally:
        sys.setswitchinterval(before)


def test_stopping_finishes_what_was_begun(served: Served) -> None:
    """A write under way is answered; who listens is told; who is idle is ended; nobody new comes in."""
    store: Any = Slow(served.store)
    server = StoreServer(clock=ManualClock())
    path = server.serve_unix(served.folder / "slow.sock", Door(store_of=one_store(store)))
    writing, idle, following = (Bare(_connected(path)) for _ in range(3))
    idle.ask(op="ping")
    following.ask(op="subscribe")
    writing.send({"op": "write_fact", "fact": fact(1)}, {"op": "write_fact", "fact": fact(2)})
    store.begun.wait(10)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    told = following.reply()
    store.may.set()
    answered = writing.reply()
    stopping.join(10)

    assert "draining" == told["event"]
    assert answered["ok"]
    assert idle.is_closed() and following.is_closed()
    assert not path.exists()
    for bare in (writing, idle, following):
        bare.socket.close()


def test_while_draining_reads_are_answered_and_writes_are_not(served: Served) -> None:
    """What is still in the socket when the server stops: a write gets a typed answer, to be sent again."""
    bare = served.bare()
    bare.ask(op="ping")
    served.server._desk.phase = "draining"
    write = bare.ask(op="write_fact", fact=fact(1))
    batch = bare.ask(op="write_facts", facts=[fact(1)])
    read = bare.ask(op="replay")
    served.server._desk.phase = "ready"

    assert ["draining", "draining", True] == [write["error_code"], batch["error_code"], read["ok"]]


def test_stopping_waits_for_nobody_for_ever(serve: Callable[..., Served]) -> None:
    """One that never ends is cut after the time that it has."""
    served = serve(limits=ServerLimits(drain_s=0.3, linger_s=0.1))
    blocked = served.bare()
    blocked.ask(op="subscribe")
    for number in range(40):
        served.store.append([Entry(type="a", key=f"k{number}", value={"p": "x" * 100_000})])
    started = time.monotonic()
    served.server.stop()

    assert time.monotonic() - started < 5
    assert 0 == served.server.connections


def test_one_who_does_not_read_replies_is_left(serve: Callable[..., Served], caplog: pytest.LogCaptureFixture) -> None:
    """Requests without reading: the connection ends after a while, nothing piles up."""
    caplog.set_level(logging.INFO, logger="core.netstore")
    served = serve(limits=ServerLimits(reply_timeout_s=0.3))
    served.store.append([Entry(type="a", key=f"k{n}", value={"p": "x" * 1000}) for n in range(1000)])
    bare = served.bare()
    bare.send({"op": "ping"})
    bare.send(*[{"op": "replay"}] * 20)

    wait_until(lambda: any("broke" in line for line in caplog.messages))
    wait_until(lambda: served.server.connections == 0)


def test_ops_of_a_store_that_has_them_not_are_unknown(bare: Bare, served: Served) -> None:
    """Asked of a store without such a method, an op is answered as one that nobody knows."""
    store: Any = type("Bare", (), {"append": None, "head": lambda _: 0, "epoch": lambda _: "", "facts": None})()
    path = served.server.serve_unix(served.folder / "few.sock", Door(store_of=one_store(store)))
    few = Bare(_connected(path))

    assert ["unknown_op"] * 3 == [few.ask(op=op)["error_code"] for op in ("verify", "counts", "compact")]
    few.socket.close()


def test_a_store_has_every_op(bare: Bare) -> None:
    """Whatever else is wrong with a request that says no more than its op: it is none that is unknown."""
    codes = {op: bare.ask(op=op).get("error_code") for op in OPS if op not in ("close", "subscribe")}

    assert set() == {op for op, code in codes.items() if code in ("unknown_op", "internal_error")}
    assert bare.ask(op="subscribe")["ok"]


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(path))
    return connection
