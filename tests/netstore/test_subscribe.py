"""Subscriptions: what follows an acknowledgement comes, in order, once, however slow one reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from core.model.clock import ManualClock, SystemClock
from core.model.errors import CursorTooOld, CursorUnknown, FactDamaged, LockerError, TooBusy
from core.model.fact import Change, Fact
from core.netstore import Cursor, Door, NetworkStore, ServerLimits, StoreServer, one_store
from core.netstore.server import push
from core.store import Entry, Policy, Store
from tests.contracts.waiting import wait_until
from tests.netstore.conftest import ORIGIN, TYPES
from tests.netstore.served import TOKEN, Altered, Bare, Served, connected, fact


def put(served: Served, *keys: str, store: str = "tasks") -> None:
    """One fact for each key, committed together."""
    served.store.append([Entry(type=store, key=key, value={}) for key in keys])


def events(bare: Bare, count: int) -> list[int]:
    """The positions of the next facts."""
    seqs: list[int] = []
    while len(seqs) < count:
        event = bare.reply()
        if event.get("event") == "fact_written":
            seqs.append(event["fact"]["seq"])
    return seqs


def test_s07_what_is_written_after_the_answer_always_comes(served: Served) -> None:
    """A thousand rounds of subscribe, then write: nothing is lost, nothing comes twice."""
    lost = repeated = 0
    writer = served.bare()
    for number in range(1, 1001):
        bare = served.bare()
        reply = bare.ask(op="subscribe", stores=["tasks"])
        writer.ask(op="write_fact", fact=fact(number))
        event = bare.reply()
        lost += event["fact"]["seq"] > number
        repeated += event["fact"]["seq"] < number
        assert number - 1 == reply["cursor"]["seq"] == reply["head"]
        bare.socket.close()

    assert (0, 0) == (lost, repeated)


def test_s08_paused_reader_gets_everything(serve: Callable[..., Served]) -> None:
    """While one subscriber does not read, 20 000 facts are written; then it gets every one of them."""
    served = serve(limits=ServerLimits(live_events_max=100, push_bytes=10_000))
    slow = served.bare()
    slow.ask(op="subscribe", stores=[])
    padding = "x" * 400
    for start in range(0, 20_000, 1000):
        served.store.append(
            [Entry(type="tasks", key=f"k{n}", value={"p": padding}) for n in range(start, start + 1000)]
        )

    assert list(range(1, 20_001)) == events(slow, 20_000)


def test_s08_a_paused_reader_keeps_nobody_waiting(served: Served) -> None:
    """Writers and other subscribers go on beside a blocked socket."""
    blocked, awake, writer = served.bare(), served.bare(), served.bare()
    blocked.ask(op="subscribe", stores=[])
    awake.ask(op="subscribe", stores=[])
    value = {"p": "x" * 100_000}
    for number in range(1, 101):
        assert writer.ask(op="write_fact", fact=fact(number, value=value))["ok"]

    assert list(range(1, 101)) == events(awake, 100)


def test_s12_eight_writers_are_told_in_the_log_s_order(served: Served) -> None:
    """Strictly rising positions, whoever wrote."""
    bare = served.bare()
    bare.ask(op="subscribe", stores=[])

    def write(first: int) -> None:
        writer = served.bare()
        for number in range(first, first + 25):
            writer.ask(op="write_fact", fact=fact(number))

    threads = [threading.Thread(target=write, args=(1 + 100 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    seqs = events(bare, 200)
    for thread in threads:
        thread.join()

    assert list(range(1, 201)) == seqs


def test_each_subscriber_gets_its_own_stores(served: Served) -> None:
    """One store, two, all of them."""
    wanted: list[tuple[list[str], list[int]]] = [(["a"], [1, 4]), (["a", "b"], [1, 2, 4, 5]), ([], [1, 2, 3, 4, 5, 6])]
    bares = []
    for stores, _ in wanted:
        bares.append(served.bare())
        bares[-1].ask(op="subscribe", stores=stores)
    for name in ("a", "b", "c", "a", "b", "c"):
        put(served, f"k{served.store.head()}", store=name)

    assert [expected for _, expected in wanted] == [
        events(bare, len(expected)) for bare, (_, expected) in zip(bares, wanted, strict=True)
    ]


@pytest.mark.parametrize("behind", [0, 3, 1200, 2500])
def test_s16_catching_up_joins_the_present(served: Served, behind: int) -> None:
    """From a cursor: what was missed, the word that it was all, then what comes; one sequence."""
    for start in range(0, 2500, 500):
        put(served, *(f"k{start + n}" for n in range(500)))
    cursor = {"store_epoch": served.store.epoch(), "seq": 2500 - behind}
    bare = served.bare()
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            put(served, f"new{number}")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    reply = bare.ask(op="subscribe", cursor=cursor)
    got: list[dict[str, Any]] = []
    # What comes at once is sent at once, and the word behind it: with a quick writer that is more than fifty.
    while (told := [event["event"] for event in got]).count("fact_written") < behind + 50 or "caught_up" not in told:
        got.append(bare.reply())
    stop.set()
    writer.join()

    seqs = [event["seq"] for event in got if event["event"] == "fact_written"]
    assert list(range(2501 - behind, 2501 - behind + len(seqs))) == seqs
    caught_up = [event["seq"] for event in got if event["event"] == "caught_up"]
    assert 1 == len(caught_up) and caught_up[0] >= reply["head"] - (reply["head"] > 2500 and behind == 0)


def test_in_push_mode_only_close_is_an_op(served: Served) -> None:
    """Anything else is told to be a mistake, and facts go on coming; also what was sent in the same breath."""
    bare = served.bare()
    bare.send({"op": "subscribe"}, {"op": "ping"})
    began, mistaken = bare.reply(), bare.reply()
    put(served, "k")
    told = bare.reply()
    bare.send({"op": "stats"})
    again = bare.reply()
    closed = bare.ask(op="close", request_id=3)

    assert [True, "error", "fact_written", "error"] == [
        began["ok"], mistaken["event"], told["event"], again["event"],
    ]  # fmt: skip
    assert {"ok": True, "request_id": 3} == closed
    assert bare.is_closed()


def test_a_heartbeat_comes_where_it_is_wanted(served: Served) -> None:
    """Every so often, with the head; nobody else gets one."""
    bare = served.bare()
    bare.ask(op="subscribe", heartbeat_s=0.01)
    put(served, "k")

    assert ["fact_written", "heartbeat"] == [bare.reply()["event"] for _ in range(2)]


class Forgetful(Altered):
    """A store whose first facts were removed by its policy."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, floor=lambda: self.gone_to)
        self.gone_to = 0


def test_s08_what_retention_took_is_declared(served: Served) -> None:
    """A slow reader whose range is gone is told from where to where, and goes on behind it."""
    store = Forgetful(served.store)
    with StoreServer(clock=ManualClock(), limits=ServerLimits(live_events_max=5, push_bytes=1)) as server:
        path = server.serve_unix(served.folder / "other.sock", Door(store_of=one_store(store)))
        slow = NetworkStore(str(path), transport="unix")
        held, let_go = threading.Event(), threading.Event()
        got: list[int] = []
        lagged: list[tuple[int, int]] = []

        def handle(fact_: Fact) -> None:
            got.append(fact_.seq)
            held.set()
            let_go.wait(10)

        slow.subscribe(handle, on_lagged=lambda first, last: lagged.append((first, last)))
        value = {"p": "x" * 50_000}
        served.store.append([Entry(type="tasks", key="first", value={})])
        server.committed(store)
        held.wait(10)
        for number in range(200):
            served.store.append([Entry(type="tasks", key=f"k{number}", value=value)])
        store.gone_to = 150
        server.committed(store)
        let_go.set()
        wait_until(lambda: bool(got) and got[-1] == 201)
        declared = [seq for first, last in lagged for seq in range(first, last + 1)]
        slow.close()

    assert list(range(1, 202)) == sorted(got + declared)
    assert lagged


def test_s16_below_what_is_retained_a_cursor_is_too_old(served: Served) -> None:
    """The caller reads the state anew; it is told where the log begins."""
    store = Forgetful(served.store)
    put(served, "a", "b", "c")
    store.gone_to = 3
    with StoreServer(clock=ManualClock()) as server:
        path = server.serve_unix(served.folder / "other.sock", Door(store_of=one_store(store)))
        with NetworkStore(str(path), transport="unix") as client, pytest.raises(CursorTooOld) as refused:
            client.subscribe(lambda _: None, cursor=Cursor(served.store.epoch(), 1))

    assert 2 == refused.value.floor


@pytest.mark.parametrize("is_told", [True, False])
def test_what_retention_took_meanwhile_is_declared(serve: Callable[..., Served], is_told: bool) -> None:
    """The server was away: who wants to be told of it goes on behind it, the subscription of all others ends."""
    first = serve()
    put(first, *"abcde")
    got: list[int] = []
    lagged: list[tuple[int, int]] = []
    ended: list[LockerError] = []
    with NetworkStore(str(first.path), transport="unix", patience_s=20) as client:
        subscriber = client.subscribe(
            lambda one: got.append(one.seq),
            cursor=Cursor(first.store.epoch(), 0),
            on_lagged=(lambda start, last: lagged.append((start, last))) if is_told else None,
            on_ended=ended.append,
        )
        wait_until(lambda: len(got) == 5)
        first.close()
        with Store.open(first.folder, types=TYPES, origin=ORIGIN, clock=SystemClock()) as store:
            for number in range(10):
                store.commit([Change(type="tasks", key="k", value={"n": number})])
            store.set_policy("tasks", Policy("ephemeral"), actor="owner")
            store.compact(actor="owner")
            floor = store.floor()
        again = serve()
        put(again, "z")
        head = again.store.head()
        wait_until(lambda: ended or head in got)

    assert floor > 5
    if is_told:
        assert ([(6, floor - 1)], []) == (lagged, ended)
        assert [*range(1, 6), *range(floor, head + 1)] == got
    else:
        assert ([1, 2, 3, 4, 5], [subscriber.problem]) == (got, ended)
        assert isinstance(subscriber.problem, CursorTooOld) and floor - 1 == subscriber.problem.floor


def test_a_lag_that_nobody_is_told_of_ends_the_subscription(served: Served) -> None:
    """Live, too, and whatever `on_ended` does."""
    store = Forgetful(served.store)
    ended: list[LockerError] = []

    def tell(err: LockerError) -> None:
        ended.append(err)
        raise RuntimeError("the application's own fault")

    with StoreServer(clock=ManualClock(), limits=ServerLimits(live_events_max=1)) as server:
        path = server.serve_unix(served.folder / "other.sock", Door(store_of=one_store(store)))
        with NetworkStore(str(path), transport="unix") as client:
            subscriber = client.subscribe(lambda _: None, on_ended=tell)
            put(served, *"abc")
            store.gone_to = 3
            server.committed(store)
            wait_until(lambda: not subscriber.is_alive)

    assert [subscriber.problem] == ended and isinstance(ended[0], CursorTooOld)


def test_a_subscription_that_is_refused_is_asked_for_ever_more_rarely(served: Served) -> None:
    """A server that is too busy to begin it is not asked at the same pace again and again."""
    asked: list[float] = []

    def floor() -> int:
        asked.append(time.monotonic())
        if len(asked) <= 5:
            raise TooBusy("not now")
        return 0

    door = Door(store_of=one_store(Altered(served.store, floor=floor)))
    path = served.server.serve_unix(served.folder / "busy.sock", door)
    with NetworkStore(str(path), transport="unix") as client:
        client.subscribe(lambda _: None, cursor=Cursor(served.store.epoch(), 0))

        assert asked[5] - asked[0] > 0.5


def test_a_handler_that_raises_keeps_its_place(client: NetworkStore, served: Served) -> None:
    """It is asked again for the same fact, and nothing behind it is lost."""
    got: list[int] = []
    failures = iter([ValueError("not now"), ValueError("not yet"), None, None, ValueError("again"), None])

    def handle(fact_: Fact) -> None:
        if (failure := next(failures)) is not None:
            raise failure
        got.append(fact_.seq)

    subscriber = client.subscribe(handle)
    put(served, "a", "b", "c")
    wait_until(lambda: len(got) == 3)

    assert [1, 2, 3] == got
    wait_until(lambda: subscriber.cursor is not None and subscriber.cursor.seq == 3)


def test_a_subscription_survives_the_server_s_restart(serve: Callable[..., Served]) -> None:
    """It goes on from its cursor: what was written meanwhile comes, nothing comes twice."""
    first = serve()
    client = NetworkStore(str(first.path), transport="unix")
    got: list[int] = []
    client.subscribe(lambda fact_: got.append(fact_.seq))
    put(first, "a", "b")
    wait_until(lambda: len(got) == 2)
    first.close()
    second = serve()
    put(second, "c", "d")
    wait_until(lambda: len(got) == 4)
    client.close()

    assert [1, 2, 3, 4] == got


def test_s16_a_subscription_to_another_store_ends_with_its_reason(serve: Callable[..., Served]) -> None:
    """A cursor of a store that was put back from a copy is never gone on from silently."""
    served = serve()
    put(served, "a")
    with NetworkStore(str(served.path), transport="unix") as client, pytest.raises(CursorUnknown):
        client.subscribe(lambda _: None, cursor=Cursor("00" * 16, 1))


def test_subscriptions_over_tcp_want_the_token(served: Served) -> None:
    """As every other op."""
    bare = served.bare_tcp()
    refused = bare.ask(op="subscribe")
    allowed = bare.ask(op="subscribe", token=TOKEN)

    assert ("unauthorized", True) == (refused["error_code"], allowed["ok"])


def test_a_subscriber_that_leaves_leaves_nothing(served: Served) -> None:
    """Its thread and its place end when its socket does."""
    bare = served.bare()
    bare.ask(op="subscribe")
    before = served.server.connections
    bare.socket.close()
    wait_until(lambda: served.server.connections == 0)

    assert 1 == before
    put(served, "k")


def test_followers_of_a_store_that_is_served_no_more_leave(served: Served) -> None:
    """Its service was switched off, say: they are told, and their connections end; others stay."""
    follower, other = served.bare(), served.bare()
    follower.ask(op="subscribe")
    other.ask(op="ping")
    served.server.release(served.store)

    assert "draining" == follower.reply()["event"]
    assert follower.is_closed()
    assert other.ask(op="ping")["pong"]


def test_a_store_is_closed_under_its_followers(served: Served) -> None:
    """Released first, they are told; from then on no question opens its file again."""
    follower, other = served.bare(), served.bare()
    follower.ask(op="subscribe", heartbeat_s=1)
    served.server.release(served.store)
    served.store.close()
    refused = other.ask(op="read", store="tasks", key="k")

    assert "draining" == follower.reply()["event"]
    assert follower.is_closed()
    assert (False, "overloaded") == (refused["ok"], refused["error_code"])


REMOVALS: dict[str, Callable[[Store, str], object]] = {
    "erase": lambda store, fact_id: store.erase(ids=[fact_id], actor="owner"),
    "erase_record": lambda store, fact_id: store.erase(record=("tasks", "k"), actor="owner"),
    "prune": lambda store, fact_id: store.prune([fact_id], actor="owner"),
    "compact": lambda store, fact_id: store.compact(actor="owner"),
}


@pytest.mark.parametrize("way", REMOVALS)
def test_what_was_removed_is_not_told_from_memory(served: Served, way: str) -> None:
    """Whoever removes it, by the store itself: a subscriber that comes later never hears what was said."""
    follower, later = served.bare(), served.bare()
    follower.ask(op="subscribe")
    served.store.append([Entry(type="tasks", key="k", value={"said": "in confidence"})])
    heard = follower.body()
    served.store.append([Entry(type="tasks", key="k", value={"said": "aloud"})])
    if way == "compact":
        served.store.set_policy("tasks", Policy(kind="ephemeral"), actor="owner")
    REMOVALS[way](served.store, served.store.facts(0, limit=1)[0].id)
    put(served, "last")
    later.ask(op="subscribe", cursor=0)
    told = []
    while b'"caught_up"' not in (body := later.body() or b'"caught_up"'):
        told.append(body)

    assert heard is not None and b"in confidence" in heard
    assert told and b"in confidence" not in b"".join(told)


class Damaged(Altered):
    """A store whose second fact cannot be read."""

    def facts(self, since: int, *, limit: int) -> list[Fact]:
        if since == 1 and self.head() > 1:
            raise FactDamaged("it is not what was written", seq=2)
        return list(self._store.facts(since, limit=1 if since == 0 else limit))


@pytest.mark.parametrize("is_behind", [True, False])
def test_a_damaged_fact_is_told_of_once(served: Served, is_behind: bool) -> None:
    """Live or from the log, whatever types are followed, and what lies behind it comes."""
    store = Damaged(served.store)
    with StoreServer(clock=ManualClock()) as server:
        path = server.serve_unix(served.folder / "other.sock", Door(store_of=one_store(store)))
        served.store.on_commit = lambda _: server.committed(store)
        follower = Bare(connected(path))
        # When it has caught up depends on how much of this was there by then.
        told = ((event["event"], event["seq"]) for event in iter(follower.reply, None) if event["event"] != "caught_up")
        if is_behind:
            put(served, "a", "b", "c")
        follower.ask(op="subscribe", stores=["tasks"], cursor=0)
        if not is_behind:
            put(served, "a", "b", "c")
        put(served, "d")
        first = [next(told) for _ in range(4)]
        put(served, "e")
        last = next(told)
        follower.socket.close()

    facts = "fact_written"
    assert [(facts, 1), ("error", 2), (facts, 3), (facts, 4)] == first
    assert (facts, 5) == last


class Counted(Altered):
    """A store that counts how often its log is read, and cannot be read when told."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.reads = 0
        self.fails = 0

    def facts(self, since: int, *, limit: int) -> list[Fact]:
        self.reads += 1
        if self.fails:
            self.fails -= 1
            raise TooBusy("not now")
        return list(self._store.facts(since, limit=limit))


def follow_all(served: Served, store: Counted, server: StoreServer, count: int) -> list[Bare]:
    """So many followers of the store, each of which heard of one fact."""
    path = server.serve_unix(served.folder / "counted.sock", Door(store_of=one_store(store)))
    served.store.on_commit = lambda _: server.committed(store)
    followers = [Bare(connected(path)) for _ in range(count)]
    for bare in followers:
        bare.ask(op="subscribe")
    put(served, "a")
    assert [[1]] * count == [events(bare, 1) for bare in followers]
    return followers


def test_however_many_follow_a_commit_is_read_once(served: Served) -> None:
    """Once for what it brought, and once to know that there is no more."""
    store = Counted(served.store)
    with StoreServer(clock=ManualClock()) as server:
        followers = follow_all(served, store, server, 20)
        wait_until(lambda: not server._desk.tail_of(store)._is_stirred)
        store.reads = 0
        put(served, "b")

        assert [[2]] * 20 == [events(bare, 1) for bare in followers]
        wait_until(lambda: not server._desk.tail_of(store)._is_stirred)
        assert store.reads <= 3
        for bare in followers:
            bare.socket.close()


def test_a_read_that_fails_ends_one_follower_and_delays_no_other(served: Served) -> None:
    """Whoever comes next reads what the first one could not."""
    store = Counted(served.store)
    with StoreServer(clock=ManualClock()) as server:
        followers = follow_all(served, store, server, 2)
        wait_until(lambda: not server._desk.tail_of(store)._is_stirred)
        store.fails = 1
        started = time.monotonic()
        put(served, "b")
        heard = [bare.body() for bare in followers]

        assert [False, True] == sorted(body is not None for body in heard)
        assert time.monotonic() - started < push.LOOK_EVERY_S
        for bare in followers:
            bare.socket.close()


def test_a_new_follower_does_not_wait_for_what_nobody_followed(served: Served) -> None:
    """However much was committed while nobody listened, the next commit comes at once."""
    first, second = served.bare(), served.bare()
    first.ask(op="subscribe")
    first.socket.close()
    wait_until(lambda: served.server.connections == 1)
    put(served, *(f"k{number}" for number in range(900)))
    second.ask(op="subscribe")
    second.socket.settimeout(3)
    put(served, "new")

    assert [901] == events(second, 1)


def test_a_commit_that_nobody_told_of_is_noticed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another way of writing reaches subscribers too, a little later."""
    monkeypatch.setattr(push, "LOOK_EVERY_S", 0.05)
    served.store.on_commit = lambda head: None
    bare = served.bare()
    bare.ask(op="subscribe")
    started = time.monotonic()
    put(served, "k")

    assert [1] == events(bare, 1)
    assert time.monotonic() - started < 5
