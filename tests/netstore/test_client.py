"""The client: it has a store's interface, and outlives its server's absences."""

from __future__ import annotations

import inspect
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.model.errors import (
    BadRequest,
    Broken,
    CursorUnknown,
    Forbidden,
    LockerError,
    Retry,
    StorageFull,
    TokenRequired,
)
from core.model.fact import Change
from core.netstore import Door, Grant, NetworkStore, ServerLimits, one_store
from core.netstore.client.line import Address, Backoff
from core.netstore.client.series import DistantSeries
from core.store import Appended, Aside, Entry, Policy, Recorder, Run, Store, renew_epoch
from tests.contracts.waiting import wait_until
from tests.netstore.served import TOKEN, Altered, Served, fact


def test_a_client_answers_as_the_store_does(client: NetworkStore, served: Served) -> None:
    """Every read and write of a store, there and here the same."""
    store = served.store
    done = client.commit(
        [Change(type="note", key="a", value={"title": "A", "written": 5}), Change(type="note", key="b", value={})],
        cursor=("notes", {"page": 2}),
        producer={"name": "test"},
        aside=[Aside(type="note", key="bad", reason="no title")],
    )
    client.append([Entry(type="note", key="a", value={"title": "A2"}, common={"place": "x"})])
    client.append([Entry(type="note", key="b", action="delete")])
    client.note_run(Run(id="1", stream="notes", started_at=1.0, ended_at=2.0, status="ok", new=2))
    client.set_cursor("other", [1])

    assert (2, 1) == (done.new, done.quarantined)
    assert store.counts() == client.counts() == {"note": 1}
    assert store.record("note", "a") == client.record("note", "a") is not None
    assert store.record("note", "b") is client.record("note", "b") is None
    for order in ("key", "newest"):
        assert store.records("note", limit=5, order=order) == client.records("note", limit=5, order=order)
    page = client.history("note", "a", limit=1)
    assert store.history("note", "a", limit=1) == page and page.next is not None
    assert store.history("note", "a", limit=1, after=page.next) == client.history("note", "a", limit=1, after=page.next)
    facts = client.facts(0, limit=10)
    assert store.facts(0, limit=10) == facts
    assert [store.previous(one) for one in facts] == [client.previous(one) for one in facts]
    assert [store.shared(one) for one in facts] == [client.shared(one) for one in facts]
    assert ({"page": 2}, [1], None) == tuple(client.cursor(name) for name in ("notes", "other", "none"))
    assert store.runs(limit=5) == client.runs(limit=5) == client.runs("notes", limit=5)
    assert store.quarantined(5) == client.quarantined(5) != []
    assert (store.head(), store.epoch(), store.opens()) == (client.head(), client.epoch(), client.opens())
    with pytest.raises(BadRequest):
        client.records("note", limit=0)


@pytest.mark.parametrize(
    ("there", "here", "apart"),
    [
        # How a look makes room for others is the server's own affair.
        (NetworkStore, Store, {"verify"}),
        (DistantSeries, Recorder, set()),
    ],
)
def test_what_both_have_is_asked_alike(there: type, here: type, apart: set[str]) -> None:
    """The same parameters with the same defaults, so that a client stands wherever a store does."""
    both = {name for name in public_names(there) & public_names(here) if callable(getattr(there, name))}

    assert len(both) > 5
    assert apart == {name for name in both if parameters(there, name) != parameters(here, name)}


def public_names(kind: type) -> set[str]:
    """The public names of a class."""
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(kind: type, name: str) -> list[tuple[str, object, object]]:
    """How a method is called."""
    found = inspect.signature(getattr(kind, name)).parameters.values()
    return [(one.name, one.kind, one.default) for one in found]


def test_s16_a_client_s_positions_are_of_one_store(serve: Callable[..., Served]) -> None:
    """After a copy was put back it is told that they mean nothing any more, not what stands there instead."""
    first = serve()
    first.store.append([Entry(type="a", key=f"{number}") for number in range(5)])
    with NetworkStore(str(first.path), transport="unix", patience_s=10) as client:
        before = [fact_.seq for fact_ in client.facts(2, limit=10)], [fact_.seq for fact_ in client.replay(3)]
        first.close()
        renew_epoch(first.folder / "store.db")
        serve()
        for ask in (lambda: client.facts(2, limit=10), lambda: list(client.replay(3))):
            with pytest.raises(CursorUnknown):
                ask()

        assert ([3, 4, 5], [4, 5]) == before
        assert 5 == len(list(client.replay()))


def test_the_facts_are_counted(client: NetworkStore, served: Served) -> None:
    """Those that were let go are not among them, though the head stands where it stood."""
    for number in range(8):
        served.store.append([Entry(type="note", key="a", value={"n": number})])
    whole = client.fact_count(), served.store.fact_count()
    served.store.set_policy("note", Policy("ephemeral"), actor="owner")
    served.store.compact(actor="owner")
    held = len(list(client.replay()))

    assert (8, 8) == whole
    assert held == client.fact_count() == served.store.fact_count() < client.head()
    assert (0, served.store.floor()) == (client.floor(["other"]), client.floor())


def test_s17_there_is_one_plane(client: NetworkStore, served: Served) -> None:
    """Written in the core, over the wire by a stranger, by a client: each reads all of it, and follows it too."""
    told: list[str] = []
    client.subscribe(lambda one: told.append(one.key))
    served.store.commit([Change(type="note", key="core", value={})])
    served.bare().ask(op="write_fact", fact=fact(1, store="note", key="stranger"))
    client.append([Entry(type="note", key="client")])
    same = served.store.commit([Change(type="note", key="client", value={})])
    wait_until(lambda: len(told) == 3)

    assert ["core", "stranger", "client"] == told
    assert 1 == same.same
    here = [record.key for record in served.store.records("note", limit=9).records]
    assert here == [record.key for record in client.records("note", limit=9).records] == sorted(told)


def test_eight_clients_lose_nothing(served: Served) -> None:
    """Single writes, batches and pipelines at once: all are there, once."""

    def write(number: int) -> None:
        with NetworkStore(str(served.path), transport="unix") as client:
            entries = [Entry(type=f"t{number}", key=f"{n}") for n in range(100)]
            results: list[Appended | LockerError] = []
            if number % 3 == 0:
                for entry in entries:
                    results += client.append([entry])
            elif number % 3 == 1:
                results = client.append(entries)
            else:
                results = client.append_each(entries)
            assert all(isinstance(result, Appended) for result in results)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert {f"t{number}": 100 for number in range(8)} == served.store.counts()


def test_a_client_waits_for_a_server_that_comes(tmp_path: Path, serve: Callable[..., Served]) -> None:
    """Nobody listens yet: it tries again, with growing pauses, and what is written in the end is there once."""
    answers: list[list[Appended | LockerError]] = []
    path = tmp_path / "notes" / "store.sock"

    def write() -> None:
        with NetworkStore(str(path), transport="unix", patience_s=20) as client:
            answers.append(client.append([Entry(type="a", key="k")]))

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.2)
    served = serve()
    writer.join(20)

    assert 1 == served.store.head() == len(answers)


def test_a_request_that_was_interrupted_leaves_no_reply_behind(served: Served) -> None:
    """Ctrl-C while a reply is waited for: the next request gets its own."""
    goes_on = threading.Event()

    def fact_by_id(_: str) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        goes_on.wait(20)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    door = Door(store_of=one_store(Altered(served.store, fact=fact_by_id)))
    path = served.server.serve_unix(served.folder / "slow.sock", door)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with NetworkStore(str(path), transport="unix") as client:
            with pytest.raises(KeyboardInterrupt):
                client.fact("any")
            goes_on.set()

            assert {} == client.counts()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_client_goes_on_after_a_restart(serve: Callable[..., Served]) -> None:
    """The connection broke unseen: the same request is sent again over a new one."""
    first = serve()
    with NetworkStore(str(first.path), transport="unix", patience_s=20) as client:
        client.append([Entry(type="a", key="1")])
        first.close()
        second = serve()
        client.append([Entry(type="a", key="2")])

        assert 2 == second.store.head() == client.head()


def test_patience_ends(tmp_path: Path) -> None:
    """With what may be tried again later, never with what says it cannot be."""
    with NetworkStore(str(tmp_path / "none.sock"), transport="unix", patience_s=0.2) as client, pytest.raises(Retry):
        client.head()


def test_a_full_server_is_waited_for(serve: Callable[..., Served]) -> None:
    """`too_many_connections` passes by itself."""
    served = serve(limits=ServerLimits(connections_max=1))
    taken = served.bare()
    taken.ask(op="ping")
    with (
        NetworkStore(str(served.path), transport="unix", patience_s=0.3) as hasty,
        pytest.raises(Retry),
    ):
        hasty.head()
    with NetworkStore(str(served.path), transport="unix", patience_s=20) as client:
        threading.Timer(0.3, taken.socket.close).start()
        assert 0 == client.head()


def test_a_wrong_token_is_terminal(served: Served) -> None:
    """It is not tried again, and stands in no text."""
    with NetworkStore(served.tcp_address, token="wrong-secret") as client:
        with pytest.raises(TokenRequired):
            client.head()

        assert "wrong-secret" not in repr(client)
    with NetworkStore(served.tcp_address, token=TOKEN) as client:
        assert 0 == client.head()


def test_closing_says_goodbye(served: Served) -> None:
    """The server sees an orderly end; a closed client says so."""
    client = NetworkStore(str(served.path), transport="unix")
    client.head()
    assert 1 == served.server.connections
    client.close()
    client.close()
    wait_until(lambda: served.server.connections == 0)
    with pytest.raises(Broken):
        client.head()

    assert 1 == served.bare().ask(op="server_status")["metrics"]["requests_total"]["close"]


def test_a_batch_larger_than_a_frame_is_sent_in_several(served: Served) -> None:
    """Not atomic: as many frames as it takes; atomic, it must fit into one."""
    entries = [Entry(type="a", key=f"{n}", value={"p": "x" * 1_000_000}) for n in range(12)]
    with NetworkStore(str(served.path), transport="unix") as client:
        results = client.append(entries)
        with pytest.raises(LockerError) as refused:
            client.append(entries, atomic=True)

    assert list(range(1, 13)) == [result.seq for result in results if isinstance(result, Appended)]
    assert "body_too_large" == refused.value.code


def test_what_is_wrong_with_the_writing_is_raised(served: Served) -> None:
    """A full disk, a scope that is missing: no fact's own answer."""
    door = Door(store_of=one_store(served.store), open_to=Grant("reader", frozenset({"read"})))
    path = served.server.serve_unix(served.folder / "reader.sock", door)
    with NetworkStore(str(path), transport="unix") as client:
        for count in (1, 2):
            with pytest.raises(Forbidden):
                client.append([Entry(type="a", key=f"{n}") for n in range(count)])


def test_a_full_disk_is_told_and_passes(served: Served) -> None:
    """Nothing of it is acknowledged, nothing is lost, and when there is room again, writing goes on."""
    full = Full(served.store)
    path = served.server.serve_unix(served.folder / "full.sock", Door(store_of=one_store(full)))
    with NetworkStore(str(path), transport="unix") as client:
        for count in (1, 2):
            with pytest.raises(StorageFull):
                client.append([Entry(type="a", key=f"{n}") for n in range(count)])
        full.is_full = False
        results = client.append([Entry(type="a", key="k")])

    assert isinstance(results[0], Appended) and 1 == served.store.head()


class Full:
    """A store on a disk that has no room."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_full = True

    def append(self, entries: Sequence[Entry], *, atomic: bool = False) -> list[Appended | LockerError]:
        """As the store does, while there is room."""
        if self.is_full:
            raise StorageFull("no room to write /somewhere/store.db")
        return self._store.append(entries, atomic=atomic)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_snapshot_is_sent(client: NetworkStore, served: Served) -> None:
    """What is known counts, what is not is added."""
    client.append([Entry(type="a", key=f"{n}") for n in range(3)])

    assert (3, 0) == client.write_snapshot(list(client.replay()))


def test_pauses_grow_and_are_random() -> None:
    """Each about twice the one before, up to five seconds, none the same for all."""
    pauses: list[float] = []
    backoff = Backoff(None, pause=pauses.append, random_unit=lambda: 1.0)
    for _ in range(10):
        backoff.wait(Address(address="a", transport="unix"), OSError())
    halves: list[float] = []
    other = Backoff(None, pause=halves.append, random_unit=lambda: 0.0)
    other.wait(Address(address="a", transport="unix"), OSError())

    assert [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0] == pauses
    assert [0.025] == halves


def test_an_unknown_transport_is_refused() -> None:
    """TCP or Unix, nothing else."""
    with pytest.raises(BadRequest):
        NetworkStore("a", transport="udp")  # type: ignore[arg-type]


def test_an_unfinished_commit_is_not_sent_twice(serve: Callable[..., Served]) -> None:
    """Whether it was stored is not known, and the caller is told that it may try again."""
    served = serve()
    with NetworkStore(str(served.path), transport="unix", patience_s=5) as client:
        client.head()
        served.server.stop()
        with pytest.raises(Retry):
            client.commit([Change(type="a", key="k")])

    assert fact(1)["id"]
