"""Status as it happens: server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from connectors.sdk.testing import Child, FakeCore


def _events(child: Child) -> tuple[requests.Response, Iterator[tuple[str, Any]]]:
    answer = child.get("/status", headers={"Accept": "text/event-stream"}, stream=True, timeout=20)

    def read() -> Iterator[tuple[str, Any]]:
        kind = ""
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                yield kind, json.loads(line[6:])

    return answer, read()


def test_a_run_is_seen_as_it_goes(core: FakeCore, connectors: Path) -> None:
    """The present status first, then that it runs, how far it is, and how it ended."""
    settings = {"count": 300, "page": 100, "pause_s": 0.3}
    child = core.start(connectors / "counter", settings=settings)
    answer, events = _events(child)
    first = next(events)
    child.post("/sync")
    seen = []
    for kind, document in events:
        seen.append((kind, document))
        if kind == "run":
            break
    answer.close()

    assert ("status", "idle") == (first[0], first[1]["streams"]["number"]["state"])
    assert ("status", "running") == (seen[0][0], seen[0][1]["state"])
    assert [100, 200, 300] == [document["done"] for kind, document in seen if kind == "progress"]
    assert ("number", "ok", 300) == tuple(seen[-1][1][name] for name in ("stream", "status", "new"))


def test_a_stop_ends_the_stream(core: FakeCore, connectors: Path) -> None:
    """A watcher does not keep the child from ending, nor hangs on a child that has ended."""
    child = core.start(connectors / "counter")
    _, events = _events(child)
    next(events)

    assert 0 == child.stop()
    assert [] == list(events)


def test_watchers_are_bounded(core: FakeCore, connectors: Path) -> None:
    """Thirty-two may watch; the next is told to come back."""
    child = core.start(connectors / "counter")
    watching = [_events(child) for _ in range(32)]
    for _, events in watching:
        next(events)
    refused = child.get("/status", headers={"Accept": "text/event-stream"})
    watching[0][0].close()

    assert (503, "too_busy") == (refused.status_code, refused.json()["type"])
    answer = core.wait_for(lambda: _opened(child))
    answer.close()
    for open_answer, _ in watching[1:]:
        open_answer.close()


def _opened(child: Child) -> requests.Response | None:
    answer = child.get("/status", headers={"Accept": "text/event-stream"}, stream=True)
    if answer.status_code == 200:
        return answer
    answer.close()
    return None
