"""Telling the core how far the store reaches."""

from __future__ import annotations

import threading
import time
from typing import Any

from connectors.sdk.tell import Tell
from core.model.errors import Offline


class Listening:
    """A core that only takes tells."""

    def __init__(self, *, fails: int = 0, takes_s: float = 0.0) -> None:
        self.told: list[int] = []
        self.fails = fails
        self.takes_s = takes_s

    def committed(self, seq: int) -> None:
        time.sleep(self.takes_s)
        if self.fails:
            self.fails -= 1
            raise Offline("away")
        self.told.append(seq)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not asked for here")


def _told(core: Listening, seq: int) -> bool:
    until = time.monotonic() + 5
    while seq not in core.told and time.monotonic() < until:
        time.sleep(0.005)
    return seq in core.told


def test_the_last_position_is_told() -> None:
    """A burst of commits becomes a few calls, the last of which says it all."""
    core = Listening(takes_s=0.01)
    tell = Tell(core)
    for seq in range(1, 200):
        tell.committed(seq)

    assert _told(core, 199)
    tell.close(deadline_s=2)
    assert len(core.told) < 20
    assert sorted(core.told) == core.told


def test_a_commit_does_not_wait_for_the_core() -> None:
    """However slow the core is."""
    core = Listening(takes_s=0.5)
    tell = Tell(core)
    started = time.monotonic()
    for seq in range(1, 50):
        tell.committed(seq)

    assert time.monotonic() - started < 0.3
    tell.close(deadline_s=2)


def test_closing_tells_what_is_untold() -> None:
    """The end of a run is told before the process ends."""
    core = Listening()
    tell = Tell(core)
    tell.committed(7)
    tell.close(deadline_s=2)

    assert [7] == core.told


def test_a_lost_tell_is_harmless() -> None:
    """The next one says more."""
    core = Listening(fails=1)
    tell = Tell(core)
    tell.committed(1)
    time.sleep(0.02)
    tell.committed(2)

    assert _told(core, 2)
    tell.close(deadline_s=2)


def test_nothing_told_means_no_thread() -> None:
    """A child that never syncs has one thread less."""
    before = threading.active_count()
    tell = Tell(Listening())
    tell.close(deadline_s=1)

    assert before == threading.active_count()
