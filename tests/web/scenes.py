"""A Locker in full use: every state a service can be in, long texts, and much of everything."""

from __future__ import annotations

from pathlib import Path

from core.model.manifest import parse_manifest
from core.registry import FolderFault
from core.web import ChildDetails, ChildState, Notice
from tests.web.fake_reader import FakeReader
from tests.web.fakes import World
from tests.web.samples import NOTES, letter, pending, run, set_aside

MINUTE = 60.0
HOUR = 3600.0
LONG = "Anunusuallylongwordwithoutanyblankinit" * 4


def furnish(world: World) -> None:
    """Fill the world."""
    now = world.clock.now()
    world.catalog.manifests["notes"] = parse_manifest(NOTES, "/c/notes")
    for connector, service_id in (
        ("feeds", "feeds"),
        ("feeds", "feeds-news"),
        ("mail", "mail"),
        ("mail", "mail-work"),
        ("feeds", "feeds-old"),
        ("feeds", "feeds-partial"),
        ("notes", "notes"),
    ):
        world.install(connector, service_id)
    world.services.settings["mail"] = {
        "accounts": [{"host": "imap.example.org", "port": 993, "password": "secret-one"}],
        "since": "year",
        "token": "secret-two",
    }
    world.services.disable("feeds-old")
    world.children.states["feeds"] = ChildState("running")
    world.children.figures["feeds"] = ChildDetails(
        pid=4711,
        memory_bytes=48_300_000,
        cpu_s=3.2,
        started_at=now - 12 * MINUTE,
        holds=("watching",),
        sandbox="Landlock, ABI 5",
    )
    world.children.states["mail-work"] = ChildState(
        "failed", "child_died", "mail-work ended with exit code 1 before its first line", now + 40, 4
    )
    feeds = world.readers.setdefault("feeds", FakeReader())
    for number in range(120):
        feeds.put(
            "entry",
            f"https://example.org/entry/{number}",
            _entry(number),
            common={
                "title": f"Entry {number}: how the lighthouse keepers kept time",
                "summary": "A short account of lamps, clocks and fog signals along a northern coast. " * 2,
                "link": f"https://example.org/entry/{number}",
                "author": "Ada Keeper",
                "at": now - number * HOUR,
            },
        )
    feeds.put("entry", "awkward", {"title": LONG, "link": "http://localhost:9999/admin"}, common={"title": LONG})
    feeds.put("feed", "https://example.org/feed", {"title": "Coast Notes"}, common={"title": "Coast Notes"})
    feeds.put("entry", "plain-key", _entry(1), common={"title": "First wording"})
    feeds.put("entry", "plain-key", {**_entry(1), "title": "Second wording"}, common={"title": "Second wording"})
    feeds.all_runs = [
        run("entry", now - 5 * MINUTE, now - 5 * MINUTE + 4, new=12, updated=3, same=105),
        run("entry", now - 35 * MINUTE, now - 35 * MINUTE + 70, status="partial", new=108, quarantined=2,
                problem={"type": "bad_record", "detail": "2 records could not be read"}),
    ]  # fmt: skip
    feeds.aside = [set_aside("entry", "tag:x,2026:1", "nested deeper than 64 levels", last_seen=now - HOUR, times=3)]
    world.schedule.at("feeds", "/sync/entry", now + 25 * MINUTE)
    news = world.readers.setdefault("feeds-news", FakeReader())
    news.put("entry", "1", _entry(1), common={"title": "One"})
    news.all_runs = [
        run("entry", now - 2 * HOUR, now - 2 * HOUR + 30, status="failed",
                problem={"type": "offline", "detail": "news.example.org has no address: is the network up?"})
    ]  # fmt: skip
    world.schedule.entries["feeds-news", "/sync/entry"] = pending(
        "feeds-news", "/sync/entry", now + 3 * MINUTE, tries=2, last_problem="it answered 503"
    )
    partial = world.readers.setdefault("feeds-partial", FakeReader())
    partial.put("entry", "1", _entry(1), common={"title": "One"})
    partial.all_runs = [
        run("entry", now - HOUR, now - HOUR + 3, status="partial", new=1, quarantined=2,
                problem={"type": "bad_record", "detail": "2 of 12 feeds could not be read"})
    ]  # fmt: skip
    world.readers["notes"] = FakeReader(incarnation="")
    world.services.open_doors("notes", ["/dav"])
    for connector, service_id in (("feeds", "feeds-gone"), ("mail", "mail-gone")):
        world.install(connector, service_id)
        world.services.uninstall(service_id, erase=False)
    world.children.logs["feeds"] = [f"2026-11-20 08:00:{s:02d} INFO fetched feed number={s} new=0" for s in range(60)]
    world.catalog.folder_faults = [
        FolderFault(Path("/home/ada/connectors/birds"), "birds", (
            "streams.sightings.frequency: 'often' is not a number and one of s m h d w, such as 30m",
            "settings.region: must be a table with at least a type",
            "colour: is not a key of connector.toml"))
    ]  # fmt: skip
    world.notices = [
        Notice("This kernel cannot sandbox connectors, so each can read everything that you can.", None, None),
        Notice("The key to your secrets lies beside the data, in Me/key: keep backups of Me apart.", is_advice=True),
    ]
    world.events.letters[7] = letter(7, "mail", "/hear/entries", last_tried=now - HOUR)


def _entry(number: int) -> dict[str, object]:
    return {
        "id": f"https://example.org/entry/{number}",
        "title": f"Entry {number}: how the lighthouse keepers kept time",
        "link": f"https://example.org/entry/{number}",
        "published": "2026-11-19T07:30:00Z",
        "tags": [{"term": "coast", "scheme": None}, {"term": "clocks", "scheme": None}],
        "content": [{"type": "text/html", "value": "<p>Some <script>alert(1)</script> text</p>", "size": 1234.5}],
        "read": False,
    }
