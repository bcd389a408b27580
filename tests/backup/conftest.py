"""A Me with everything in it, made without a core: two services, a key, files, and what a core leaves lying about."""

from __future__ import annotations

import io
import os
from pathlib import Path

import msgspec
import pytest

from core.model.clock import ManualClock
from core.model.fact import Change
from core.registry import Service
from core.store import CoreDb, Documents, Origin, Store
from core.vault import SealedFile, open_device, open_master_key

UIDS = {"feeds": "0190a3c4-0000-7000-8000-00000000000a", "notes": "0190a3c4-0000-7000-8000-00000000000b"}
PHRASE = "correct horse battery"
SECRET = "a-token-that-nobody-may-see"
FILE = b"a picture" * 1000


def origin_of(service_id: str, *, epoch: int = 1) -> Origin:
    """The log of a service on this device."""
    return Origin(f"device/{UIDS[service_id]}", epoch)


def open_store(me: Path, service_id: str, clock: ManualClock, *, epoch: int = 1) -> Store:
    """The store of one of the services."""
    return Store.open(me / service_id, types={}, origin=origin_of(service_id, epoch=epoch), clock=clock)


def fill(store: Store, *, facts: int, start: int = 0) -> None:
    """Some records, one of them changed and one deleted."""
    store.commit(
        [Change(type="entry", key=f"k{n}", value={"n": n, "text": "x" * 50}) for n in range(start, start + facts)],
        cursor=("entry", start + facts),
    )
    store.commit([Change(type="entry", key=f"k{start}", value={"n": -1})])
    store.commit([Change(type="entry", key=f"k{start + 1}", action="delete")])


@pytest.fixture
def clock() -> ManualClock:
    """A clock at a fixed moment."""
    return ManualClock()


@pytest.fixture
def me(tmp_path: Path, clock: ManualClock) -> Path:
    """A Me as a core leaves it."""
    return furnish(tmp_path / "Me", clock)


def furnish(me: Path, clock: ManualClock) -> Path:
    """Make a Me as a core leaves it."""
    me.mkdir(mode=0o700)
    master = open_master_key(me)
    open_device(me, master)
    documents = Documents(me / "locker.json", clock)
    coredb = CoreDb.open(me / "core.db")
    for service_id, uid in UIDS.items():
        service = Service(id=service_id, uid=uid, connector="feeds", title=service_id, installed_at=1.0)
        documents.table("services").insert({**msgspec.to_builtins(service), "state": "installed"})
        with open_store(me, service_id, clock) as store:
            fill(store, facts=20)
            store.files.put_file(io.BytesIO(FILE))
            epoch, head = store.epoch(), store.head()
        SealedFile(me / service_id / "auth.sealed", master.service_key(uid), context=f"auth:{uid}").write({"t": SECRET})
        (me / service_id / "me.json").write_text("{}")
        coredb.write(
            lambda db, row=("notes", "/hear", uid, epoch, head): db.execute(  # type: ignore[misc]
                "INSERT INTO position (listener_service, path, log, epoch, seq) VALUES (?, ?, ?, ?, ?)", row
            )
        )
    coredb.close()
    _lying_about(me)
    return me


def _lying_about(me: Path) -> None:
    """What no backup may hold, and what it must not stumble over."""
    (me / "core.lock").write_text("{}")
    (me / "run").mkdir()
    (me / "run" / "spool").write_bytes(b"half a request")
    (me / "logs").mkdir()
    (me / "logs" / "core.log").write_text("started\n")
    (me / "feeds" / "tmp").mkdir()
    (me / "feeds" / "tmp" / "x").write_bytes(b"x")
    (me / "feeds" / "own").mkdir()
    (me / "feeds" / "own" / "state").write_bytes(b"the connector's own")
    (me / "feeds" / "link").symlink_to("/etc/passwd")
    os.mkfifo(me / "feeds" / "pipe")
