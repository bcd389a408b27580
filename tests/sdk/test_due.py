"""When a stream is due next: as the core has it, over all starts of a child."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from connectors.sdk.alone import NoCore
from connectors.sdk.core_client import CoreClient
from connectors.sdk.due import KEEP_S, WAIT_S, Due
from connectors.sdk.testing import Child, FakeCore
from core.model.clock import ManualClock, SystemClock
from core.model.errors import Offline

STREAMS = ("number", "other")


class Told(NoCore):
    """A core that tells what the test says, and counts how often it was asked."""

    def __init__(self, **pending: float) -> None:
        super().__init__(SystemClock())
        self.lookups = 0
        self.gate = threading.Event()
        self.gate.set()
        self.error: Offline | None = None
        self.answer = {f"/sync/{name}": at for name, at in pending.items()}

    def at(self, path: str, when: float) -> None:
        """Taken."""
        self.answer[path] = when

    def pending(self) -> Mapping[str, float]:
        """What is to come."""
        self.lookups += 1
        answer = dict(self.answer)
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return answer


def test_the_next_time_is_known_after_a_start(core: FakeCore, connectors: Path) -> None:
    """A child that has just begun asks the core for what another process of the same service asked for."""
    child = core.start(connectors / "counter")
    child.sync()
    before = _next_at(child)
    child.stop()
    child = core.start(connectors / "counter")

    assert before is not None
    # A core that is busy may answer later than /status waits.
    assert before == core.wait_for(lambda: _next_at(child))


def test_a_time_that_nobody_knows_is_null(core: FakeCore, connectors: Path) -> None:
    """Never run, and nothing asked for."""
    child = core.start(connectors / "counter")

    assert None is _next_at(child)


def test_a_lookup_serves_for_a_while() -> None:
    """One call for many who ask; the next one when it has grown old."""
    clock, told = ManualClock(), Told(number=50.0)
    due = Due(told, clock=clock)
    first = [due.times(STREAMS)["number"] for _ in range(5)]
    told.answer["/sync/number"] = 60.0
    clock.advance(KEEP_S - 0.1)
    kept = due.times(STREAMS)["number"]
    clock.advance(0.2)

    assert [[50.0] * 5, 50.0, 60.0] == [first, kept, due.times(STREAMS)["number"]]
    assert 2 == told.lookups


def test_nothing_is_looked_up_for_a_service_without_streams() -> None:
    """It costs a call."""
    told = Told()

    assert {} == Due(told, clock=SystemClock()).times(())
    assert 0 == told.lookups


def test_nobody_waits_long_for_the_core() -> None:
    """A core that takes its time: what is known is told, and its answer the next time."""
    told = Told(number=50.0)
    told.gate.clear()
    due = Due(told, clock=SystemClock())
    started = time.monotonic()
    early = due.times(STREAMS)
    took_s = time.monotonic() - started
    told.gate.set()
    until = time.monotonic() + 5
    while due.times(STREAMS)["number"] is None and time.monotonic() < until:
        pass

    assert {"number": None, "other": None} == early
    assert took_s < WAIT_S + 1
    assert 50.0 == due.times(STREAMS)["number"]
    assert 1 == told.lookups


def test_what_was_asked_meanwhile_counts() -> None:
    """An answer that is older than what was asked for does not undo it; a later one does."""
    clock, told = ManualClock(), Told(number=50.0)
    told.gate.clear()
    due = Due(told, clock=clock)
    due.times(STREAMS)
    due.ask("number", 70.0)
    told.gate.set()
    until = time.monotonic() + 5
    while due._lookup is not None and time.monotonic() < until:
        time.sleep(0.001)
    meanwhile = due.times(STREAMS)["number"]
    told.answer["/sync/number"] = 80.0
    clock.advance(KEEP_S + 1)

    assert (70.0, 80.0) == (meanwhile, due.times(STREAMS)["number"])


def test_a_silent_core_leaves_what_was_asked() -> None:
    """It is not asked again for a while either."""
    clock, told = ManualClock(), Told()
    told.error = Offline("away")
    due = Due(told, clock=clock)
    due.ask("number", 70.0)

    assert [70.0, 70.0] == [due.times(STREAMS)["number"] for _ in range(2)]
    assert 1 == told.lookups


@pytest.mark.parametrize(
    ("path", "number"),
    [("/sync/number?full=1", 5.0), ("/sync", 5.0), ("/sync/", 5.0), ("/sync/numbers", None), ("/x", None)],
)
def test_a_path_tells_its_stream(path: str, number: float | None) -> None:
    """With a query, or all streams at once."""
    told = Told()
    told.answer[path] = 5.0

    assert number == Due(told, clock=SystemClock()).times(STREAMS)["number"]


def test_pending_calls_are_read(core: FakeCore) -> None:
    """By path."""
    client = CoreClient(locker_url=core.url, service_id="me", token=core.identity("me").token)
    client.at("/sync/a", 5.0)
    client.at("/sync/b", 6.0)
    client.cancel("/sync/a")

    assert {"/sync/b": 6.0} == client.pending()


def _next_at(child: Child) -> float | None:
    at: float | None = child.get("/status").json()["streams"]["number"]["next_at"]
    return at
