"""Work of one run has an end, and the next one goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from connectors.feeds.fetch import State
from connectors.feeds.identity import feed_key
from connectors.feeds.reader import ENTRIES_MAX
from connectors.feeds.sync import MARKED_BYTES_MIN, RUN_S_MAX, feeds
from connectors.sdk import Put
from connectors.sdk.alone import NoCore
from connectors.sdk.context import Context, Service
from connectors.sdk.opening import Opened
from connectors.sdk.outcome import Ended
from connectors.sdk.pull import Pull, Report, Tally
from connectors.sdk.source import Source
from connectors.sdk.testing import ROOT
from core.model.clock import ManualClock, SystemClock
from core.store import Origin, Store
from tests.feeds.site import Asked, Reply, Site, item, rss


class Bench(NamedTuple):
    """The feeds connector without a process, by a clock that moves when told."""

    service: Service
    clock: ManualClock

    def run(self) -> tuple[Ended, Tally]:
        """One run of its stream."""
        spec = self.service.manifest.streams["feeds"]
        report = Report(progress=lambda done, total: None, alive=lambda: None)
        pull = Pull(self.service, spec=spec, load=lambda: feeds, report=report)
        return pull.run(), pull.tally


@pytest.fixture
def bench(tmp_path: Path, site: Site) -> Iterator[Bench]:
    """Follows /0 to /5 of the site."""
    manifest = Source(ROOT / "connectors" / "feeds").manifest
    clock = ManualClock()
    folder = tmp_path / "feeds"
    with Store.open(folder, types=manifest.types, origin=Origin(log="d/f", epoch=1), clock=clock) as store:
        yield Bench(
            Service(
                manifest=manifest,
                service_id="feeds",
                base="/Me/feeds/",
                settings={"urls": [site.url(f"/{n}") for n in range(6)]},
                folder=folder,
                stores=Opened(store),
                core=NoCore(SystemClock()),
                clock=clock,
            ),
            clock,
        )


def test_a_run_ends_in_time_and_the_next_goes_on(bench: Bench, site: Site) -> None:
    """Feeds that take for ever leave room for the next run, which begins with those that had no turn."""

    def slow(asked: Asked) -> Reply:
        bench.clock.advance(RUN_S_MAX / 2 + 1)
        return Reply(rss(item("1", asked.path)))

    site.pages.update({f"/{n}": slow for n in range(6)})
    first, _ = bench.run()
    asked = [one.path for one in site.asked]
    resume = bench.service.store.cursor("feeds")["resume"]
    kept = [record.value["title"] for record in bench.service.store.records("entry", limit=10).records]
    bench.run()
    later = [one.path for one in site.asked[len(asked) :]]

    assert first.again_s is not None
    assert 1 <= len(kept) <= len(asked) < 6
    assert later[0] not in kept
    assert resume


def test_a_feed_has_so_many_entries_and_no_more(bench: Bench, site: Site) -> None:
    """The first five thousand; the feed's record says so."""
    site.pages["/0"] = Reply(rss(*(item(str(n), f"entry {n}") for n in range(ENTRIES_MAX + 1))))
    bench.run()
    store = bench.service.store
    notes = [record.value["notes"] for record in store.records("feed", limit=10).records]

    assert ENTRIES_MAX == store.counts()["entry"]
    assert [f"it has {ENTRIES_MAX + 1} entries; the first {ENTRIES_MAX} are kept"] in notes


def test_a_pause_ends(bench: Bench, site: Site) -> None:
    """A feed that asked to wait is asked again when the time has come."""
    site.pages["/0"] = Reply(status=429, headers={"Retry-After": "100"})
    bench.run()
    bench.clock.advance(99)
    bench.run()
    early = site.count("/0")
    bench.clock.advance(2)
    bench.run()

    assert (1, 2) == (early, site.count("/0"))


def test_a_large_feed_is_marked_for_as_long_as_it_is_read(bench: Bench, site: Site) -> None:
    """On disk before its first entry is there; a run that is told to stop leaves no mark, and neither does its end."""
    site.pages["/0"] = Reply(rss(item("1", "x", description="y" * MARKED_BYTES_MIN), item("2", "z")))
    context = Context(bench.service, stream="feeds")
    key = feed_key(site.url("/0"))
    messages = feeds(context, None)
    assert any(isinstance(message, Put) and message.type == "entry" for message in messages)
    during = State.of(context.cursor(key)).reading
    messages.close()  # type: ignore[attr-defined]
    stopped = State.of(context.cursor(key))
    bench.run()
    ended = State.of(context.cursor(key))

    assert [True, False, False] == [during, stopped.reading, ended.reading]
    assert ("", True) == (stopped.digest, bool(ended.digest))


def test_a_small_feed_is_not_marked(bench: Bench, site: Site) -> None:
    """It cannot cost the process anything: no write is spent on it."""
    site.pages["/0"] = Reply(rss(item("1", "x"), item("2", "z")))
    context = Context(bench.service, stream="feeds")
    messages = feeds(context, None)
    assert any(isinstance(message, Put) and message.type == "entry" for message in messages)

    assert None is context.cursor(feed_key(site.url("/0")))
    messages.close()  # type: ignore[attr-defined]
