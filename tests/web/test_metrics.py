"""Figures for a monitoring program."""

from __future__ import annotations

from core.web import ChildDetails, ChildState
from tests.web.conftest import Site
from tests.web.fake_reader import FakeReader


def test_figures_of_services_and_requests(site: Site) -> None:
    """Who runs, what is held, what was answered; in Prometheus' own form."""
    site.world.install()
    site.world.children.states["feeds"] = ChildState("running")
    site.world.children.figures["feeds"] = ChildDetails(memory_bytes=1000)
    reader = site.world.readers["feeds"] = FakeReader()
    reader.put("entry", "1", {})
    reader.put("entry", "2", {})
    site.ask("GET", "/map")
    answer = site.owner("GET", "/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        'locker_service_running{service="feeds"} 1.0',
        'locker_service_memory_bytes{service="feeds"} 1000.0',
        'locker_records{service="feeds",type="entry"} 2.0',
        'locker_requests_total{status="4xx"} 1.0',
        "locker_pending_calls 0.0",
        "locker_dead_letters 0.0",
    ):
        assert line in answer.text.splitlines()
