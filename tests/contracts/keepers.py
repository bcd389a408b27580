"""The ways to have a store, each behind one face: on disk, in memory, over TCP and over a Unix socket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from core.model.clock import ManualClock
from core.model.errors import LeftOut, LockerError
from core.model.fact import Fact
from core.model.manifest import TypeSpec
from core.netstore import OWNER, Door, NetworkStore, StoreServer, one_store
from core.store import Appended, Entry, Origin, Store

Kept = Store | NetworkStore

ORIGIN = Origin("device/0190a3c4-0000-7000-8000-000000000000", 1)
TOKEN = "a-token-of-thirty-two-characters-"
NOTE = TypeSpec(
    name="note",
    time="written",
    title="title",
    text=("body",),
    index=("n",),
    volatile=("views",),
    common={"title": "title"},
)
TYPES = {"note": NOTE}


class Keeper:
    """One store, the sessions on it, and the end of all."""

    lasts = True

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.folder = folder
        self.clock = clock
        self.types = TYPES
        self.own = self.opened()

    def session(self) -> Kept:
        """One more who uses the store; where there is one writer, it is that one."""
        return self.own

    def reopen(self) -> Kept:
        """The store after everybody left it, as the next one opens it."""
        self.close()
        self.own = self.opened()
        return self.session()

    def close(self) -> None:
        """Leave the store."""
        self.own.close()

    def snapshot(self, facts: list[Fact]) -> tuple[int, int]:
        """Check that facts are there and add the others, all or none; how many were known, how many added."""
        done = self.own.append([entry_of(fact) for fact in facts], atomic=True)
        return counted(done)

    def opened(self) -> Store:
        """The store, as whoever comes next opens it."""
        return Store.open(self.folder, types=self.types, origin=ORIGIN, clock=self.clock)


class OnDisk(Keeper):
    """A folder."""


class InMemory(Keeper):
    """Nothing but this process."""

    lasts = False

    def opened(self) -> Store:
        return Store.in_memory(types=self.types, origin=ORIGIN, clock=self.clock)


class Served(Keeper, ABC):
    """A store on disk, behind a server; each session is a client of its own."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self._clients: list[NetworkStore] = []
        super().__init__(folder, clock)

    def session(self) -> Kept:
        self._clients.append(self._connect())
        return self._clients[-1]

    def snapshot(self, facts: list[Fact]) -> tuple[int, int]:
        return self._clients[0].write_snapshot(facts)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._server.stop()
        super().close()

    def opened(self) -> Store:
        store = super().opened()
        self._server = StoreServer(clock=self.clock)
        store.on_commit = lambda _: self._server.committed(store)
        self._serve(self._server, store)
        return store

    @abstractmethod
    def _serve(self, server: StoreServer, store: Store) -> None:
        """Open the door to the store."""

    @abstractmethod
    def _connect(self) -> NetworkStore:
        """A client that comes by it."""


class OverUnix(Served):
    """By a socket in the store's folder."""

    def _serve(self, server: StoreServer, store: Store) -> None:
        self._place = server.serve_unix(self.folder / "store.sock", Door(store_of=one_store(store)))

    def _connect(self) -> NetworkStore:
        return NetworkStore(str(self._place), transport="unix", patience_s=5)


class OverTcp(Served):
    """By a loopback port, with a token."""

    def _serve(self, server: StoreServer, store: Store) -> None:
        door = Door(store_of=one_store(store), grant_of=lambda token: OWNER if token == TOKEN else None)
        self._host, self._port = server.serve_tcp("127.0.0.1:0", door)

    def _connect(self) -> NetworkStore:
        return NetworkStore(f"{self._host}:{self._port}", token=TOKEN, patience_s=5)


KEEPERS: dict[str, Callable[[Path, ManualClock], Keeper]] = {
    "disk": OnDisk,
    "memory": InMemory,
    "tcp": OverTcp,
    "unix": OverUnix,
}


def entry_of(fact: Fact) -> Entry:
    """The entry that says again what a fact says."""
    said = {name: getattr(fact, name) for name in Entry.__struct_fields__ if hasattr(fact, name)}
    ours = ("origin", "origin_epoch", "origin_seq", "known_at", "rev")
    return Entry(**{name: part for name, part in said.items() if name not in ours})


def counted(done: list[Appended | LockerError]) -> tuple[int, int]:
    """How many were known, and how many are new; raises the first fault."""
    for one in done:
        if isinstance(one, LockerError) and not isinstance(one, LeftOut):
            raise one
    known = sum(1 for one in done if isinstance(one, Appended) and one.duplicate)
    return known, len(done) - known


def taken(done: list[Appended | LockerError]) -> list[Appended]:
    """What was added, where all of it was."""
    counted(done)
    return [one for one in done if isinstance(one, Appended)]
