"""The owner's first day: start, add a feed, read it, lose power, start again."""

from __future__ import annotations

from pathlib import Path

import psutil
import requests

from tests.fakes.feed_source import FeedSource
from tests.fakes.house import House, open_house


def test_a_feed_arrives_and_stays(tmp_path: Path) -> None:
    """INV-07: install, sync, read; an edit becomes a second version; what rolls out of the feed stays."""
    with FeedSource() as source, open_house(tmp_path) as house:
        source.entries["news"] = {"1": "First", "2": "Second"}
        house.install("feeds", settings={"urls": [source.url("news")]})

        runs = house.sync("feeds")
        entries = house.records("feeds", "entry")

        assert ["ok"] == [run["status"] for run in runs]
        assert {"First", "Second"} == {record["common"]["title"] for record in entries.values()}

        source.entries["news"] = {"2": "Second, mended", "3": "Third"}
        house.sync("feeds")
        entries = house.records("feeds", "entry")
        mended = next(record for record in entries.values() if record["common"]["title"].startswith("Second"))
        history = house.get(f"/Me/feeds/{mended['href']}/history" if "/" not in mended["href"][:1] else mended["href"])

        assert {"First", "Second, mended", "Third"} == {record["common"]["title"] for record in entries.values()}
        assert history.ok


def test_power_cut_loses_nothing(tmp_path: Path) -> None:
    """INV-05: kill -9 of the core in mid-sync: no orphan, and after the next start every entry is there once."""
    with FeedSource() as source, open_house(tmp_path) as house:
        names = [f"f{n}" for n in range(8)]
        for name in names:
            source.entries[name] = {f"{name}-{n}": f"{name} {n}" for n in range(50)}
        house.install("feeds", settings={"urls": [source.url(name) for name in names]})
        source.delay_s = 0.05
        house.post("/Me/feeds/sync")
        house.wait(lambda: house.records("feeds", "entry"), what="a first entry")
        below = house.kill()
        psutil.wait_procs(below, timeout=5)

        assert [] == [process for process in below if process.is_running() and process.status() != "zombie"]

        house.start()
        house.sync("feeds")
        entries = house.records("feeds", "entry")

        assert {f"{name} {n}" for name in names for n in range(50)} == {r["common"]["title"] for r in entries.values()}
        assert 400 == len(entries)


def test_syncing_leaves_the_owner_room(tmp_path: Path) -> None:
    """With less free room than the owner wants left, a sync says so and stores nothing; with enough it goes on."""
    terabytes = {"LOCKER_LIMITS_DISK_FREE_BYTES_MIN": str(1024 * 1024**3)}
    with FeedSource() as source, open_house(tmp_path, environment=terabytes) as house:
        source.entries["news"] = {"1": "First"}
        house.install("feeds", settings={"urls": [source.url("news")]})
        (held,) = house.sync("feeds")
        house.stop()
        house.environment = {"LOCKER_LIMITS_DISK_FREE_BYTES_MIN": "0"}
        house.start()
        (run,) = house.sync("feeds")

        assert ("storage_full", 0) == (held["problem"]["type"], held["new"])
        assert ("ok", {"First"}) == (
            run["status"],
            {r["common"]["title"] for r in house.records("feeds", "entry").values()},
        )


def test_a_fresh_child_knows_when_its_streams_are_due(tmp_path: Path) -> None:
    """The core keeps the times over all starts, and tells them with the greeting."""
    with FeedSource() as source, open_house(tmp_path) as house:
        source.entries["news"] = {"1": "First"}
        house.install("feeds", settings={"urls": [source.url("news")]})
        house.sync("feeds")
        before = house.get("/Me/feeds/status").json()["streams"]["feeds"]["next_at"]
        house.post("/core/feeds/stop")
        after = house.get("/Me/feeds/status").json()["streams"]["feeds"]["next_at"]

        assert before is not None
        assert before == after


def test_sync_now_asks_what_the_schedule_leaves_alone(tmp_path: Path) -> None:
    """A feed that failed is left alone by the core's own runs; the dashboard's button asks it, as the owner."""
    with FeedSource() as source, open_house(tmp_path) as house:
        house.install("feeds", settings={"urls": [source.url("news")]})
        runs = [run["status"] for _ in range(3) for run in house.sync("feeds")]
        asked = len(source.asked)
        source.entries["news"] = {"1": "First"}
        before = house.get("/Me/feeds/status").json()["streams"]["feeds"]["run"]["id"]
        assert house.post("/core/feeds/at", json={"path": "/sync/feeds", "at": 0}).ok
        house.wait(
            lambda: house.get("/Me/feeds/status").json()["streams"]["feeds"]["run"]["id"] != before,
            what="the core's own run",
        )
        left_alone = len(source.asked)
        _press_sync(house)
        house.wait(lambda: house.records("feeds", "entry"), what="the entry")

    assert ["failed"] * 3 == runs
    assert asked == left_alone


def _press_sync(house: House) -> None:
    """The button of the service's page, from a browser that is logged in."""
    host = {"Host": f"locker.localhost:{house.port}"}
    address = house.login_url.replace("locker.localhost", "127.0.0.1")
    login = requests.get(address, headers=host, timeout=10, allow_redirects=False)
    own = {
        **host, "Cookie": login.headers["set-cookie"].partition(";")[0], "Sec-Fetch-Site": "same-origin",
        "Origin": f"http://locker.localhost:{house.port}",
    }  # fmt: skip
    answer = requests.post(f"{house.url}/services/feeds/sync", headers=own, data={}, timeout=30, allow_redirects=False)
    assert answer.status_code == 303, answer.text


def test_a_feed_that_fails_is_told_as_long_as_it_fails(tmp_path: Path) -> None:
    """By its address, also in the runs that leave it alone for a while; the others are up to date."""
    with FeedSource() as source, open_house(tmp_path) as house:
        source.entries["news"] = {"1": "First"}
        house.install("feeds", settings={"urls": [source.url("news"), source.url("missing")]})
        runs = [run for _ in range(4) for run in house.sync("feeds")]
        source.entries["missing"] = {"2": "Second"}

        assert ["partial"] * 4 == [run["status"] for run in runs]
        assert all(
            f"1 of 2 feeds could not be read: {source.url('missing')}" in run["problem"]["detail"] for run in runs
        )
        assert {"First"} == {r["common"]["title"] for r in house.records("feeds", "entry").values()}
