"""Who changed what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.store import CoreDb
from core.web.accesses import ENTRIES_MAX, KEPT_MAX, PATH_LENGTH_MAX, WAITING_MAX, Accesses
from core.web.asgi import Request
from core.web.caller import NOBODY, OWNER, Caller
from tests.web.conftest import Site, wait_until


@pytest.fixture
def coredb(tmp_path: Path) -> Iterator[CoreDb]:
    """An empty core.db."""
    with CoreDb.open(tmp_path / "core.db") as opened:
        yield opened


def a_request(method: str = "POST", path: str = "/core/feeds/stop", kind: str = "http") -> Request:
    """A request as the outermost layer reads it."""
    return Request({"type": kind, "method": method, "path": path, "headers": []})


def listed(site: Site, query: str = "") -> list[tuple[Any, ...]]:
    """What the API tells, oldest first."""
    entries = site.owner("GET", f"/accesses{query}").json["entries"]
    return [(one["actor"], one["method"], one["path"], one["status"]) for one in reversed(entries)]


def test_what_changes_something_is_listed(site: Site) -> None:
    """By owner and app, refused or not, without the query; what only reads is not."""
    site.world.install()
    app = site.owner("POST", "/tokens", {"label": "x", "scopes": ["read"]}).json
    site.owner("GET", "/map")
    site.owner("POST", "/core/feeds/stop?secret=1")
    site.owner("POST", "/core/feeds/stop", token=app["token"])
    site.owner("POST", "/Me/feeds/sync")
    site.browse("/services/feeds/disable", site.login(), method="POST", body=b"")

    assert [
        ("owner", "POST", "/tokens", 201),
        ("owner", "POST", "/core/feeds/stop", 200),
        (f"app:{app['id']}", "POST", "/core/feeds/stop", 403),
        ("owner", "POST", "/Me/feeds/sync", 200),
        ("owner", "POST", "/services/feeds/disable", 303),
    ] == listed(site)


def test_children_and_strangers_are_not_listed(site: Site) -> None:
    """They could push out what people did."""
    site.world.install()
    site.owner("POST", "/core/feeds/diary", {"message": "x"}, token=site.world.child("feeds"))
    site.ask("POST", "/core/feeds/stop")
    site.owner("POST", "/core/feeds/stop", token="wrong")

    assert [] == listed(site)


def test_it_is_paged_and_the_owners(site: Site) -> None:
    """`next` leads on until there is no more."""
    site.world.install()
    for _ in range(5):
        site.owner("POST", "/core/feeds/stop")
    first = site.owner("GET", "/accesses?limit=3").json
    second = site.owner("GET", f"/accesses?limit=3&before={first['next']}").json
    reader = site.owner("POST", "/tokens", {"label": "x", "scopes": ["read"]}).json["token"]
    wrong = [f"limit={n}" for n in ("0", ENTRIES_MAX + 1, "x", "-1", "")] + ["before=x", "before=0"]

    assert [3, 2, None] == [len(first["entries"]), len(second["entries"]), second["next"]]
    assert 403 == site.owner("GET", "/accesses", token=reader).status
    assert [400] * 7 == [site.owner("GET", f"/accesses?{query}").status for query in wrong]
    assert 200 == site.owner("GET", f"/accesses?limit={ENTRIES_MAX}").status


def test_a_request_waits_for_no_disk(coredb: CoreDb) -> None:
    """Noting is done while core.db is held by somebody else; a moment later all of it is one transaction."""

    def rows() -> list[tuple[Any, ...]]:
        return coredb.read("SELECT id FROM access_log")

    async def run() -> tuple[int, int]:
        accesses = Accesses(coredb, ManualClock(), flush_after_s=0.01)

        def note_all(_connection: Any) -> int:
            for _ in range(3):
                accesses.note(OWNER, a_request(), 200)
            return len(rows())

        while_held = coredb.write(note_all)
        await asyncio.to_thread(wait_until, lambda: len(rows()) > 0)
        written = len(rows())
        await accesses.close()
        return while_held, written

    assert (0, 3) == asyncio.run(run())


def test_what_waits_is_written_at_the_end(coredb: CoreDb) -> None:
    """Closing does not wait for the timer."""

    async def run() -> None:
        accesses = Accesses(coredb, ManualClock(), flush_after_s=3600)
        accesses.note(OWNER, a_request(), 200)
        await accesses.close()

    asyncio.run(run())

    assert 1 == len(coredb.read("SELECT id FROM access_log"))


def test_a_slow_disk_holds_one_thread(coredb: CoreDb) -> None:
    """However much is noted meanwhile; all of it is written once the disk goes on."""

    async def run() -> tuple[int, int]:
        accesses = Accesses(coredb, ManualClock(), flush_after_s=0.001)
        held, go = threading.Event(), threading.Event()

        def hold(_connection: Any) -> None:
            held.set()
            go.wait()

        holding = asyncio.create_task(asyncio.to_thread(coredb.write, hold))
        await asyncio.to_thread(held.wait)
        for _ in range(20):
            accesses.note(OWNER, a_request(), 200)
            await asyncio.sleep(0.005)
        flushing = len(asyncio.all_tasks() - {holding, asyncio.current_task()})
        go.set()
        await holding
        await accesses.close()
        return flushing, len(coredb.read("SELECT id FROM access_log"))

    assert (1, 20) == asyncio.run(run())


def test_only_some_requests_are_kept(coredb: CoreDb) -> None:
    """Neither reading, nor upgrades, nor children, nor nobody; and a long path is cut."""

    async def run() -> list[tuple[str, int]]:
        accesses = Accesses(coredb, ManualClock())
        for caller in (OWNER, Caller("app:1", ("sync",)), Caller("service:feeds"), NOBODY, None):
            for request in (a_request(), a_request("GET"), a_request("HEAD"), a_request(kind="websocket")):
                accesses.note(caller, request, 200)
        accesses.note(OWNER, a_request(path="/" + "x" * PATH_LENGTH_MAX), 0)
        return [(one.actor, len(one.path)) for one in await asyncio.to_thread(accesses.entries)]

    assert [("owner", PATH_LENGTH_MAX), ("app:1", 16), ("owner", 16)] == asyncio.run(run())


def test_waiting_and_keeping_are_bounded(coredb: CoreDb) -> None:
    """The newest ten thousand are kept, the newest thousand of those that wait."""

    async def run() -> list[int]:
        accesses = Accesses(coredb, ManualClock())
        for round_number in range(KEPT_MAX // WAITING_MAX + 1):
            for number in range(WAITING_MAX + (1 if round_number == 0 else 0)):
                accesses.note(OWNER, a_request(), number)
            await asyncio.to_thread(accesses.flush)
        return [row[0] for row in coredb.read("SELECT status FROM access_log ORDER BY id")]

    kept = asyncio.run(run())

    assert (KEPT_MAX, 0, WAITING_MAX - 1) == (len(kept), kept[0], kept[-1])


def test_a_failing_disk_fails_no_request(coredb: CoreDb, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and what comes later is written again."""

    async def run() -> None:
        accesses = Accesses(coredb, ManualClock())
        accesses.note(OWNER, a_request(), 200)
        coredb.close()
        await asyncio.to_thread(accesses.flush)

    asyncio.run(run())

    assert "accesses not written count=1" in caplog.text
