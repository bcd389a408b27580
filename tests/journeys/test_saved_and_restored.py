"""A machine is lost: what was saved while everything went on comes back elsewhere, and goes on when told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fakes.feed_source import FeedSource
from tests.fakes.house import ROOT, House, open_house

PHRASE = "correct horse battery"


def locker(house: House, *words: str, code: int = 0, stdin: str = "") -> Any:
    """What a command over this house's Me answers as JSON; its complaint where it answers nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", *words, "--me", str(house.me), "--config", str(house.config), "--json"],
        cwd=ROOT, env=dict(os.environ), input=stdin, text=True, capture_output=True, timeout=100, check=False,
    )  # fmt: skip
    assert code == done.returncode, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def titles(house: House) -> set[str]:
    """The titles of all entries."""
    return {record["common"]["title"] for record in house.records("feeds", "entry").values()}


def test_a_backup_made_while_syncing_comes_back_whole(tmp_path: Path) -> None:
    """Saved in the middle of a sync, restored into another Me, at rest until the owner lets it take over."""
    archive = tmp_path / "saved.tar.gz"
    with FeedSource() as source:
        with open_house(tmp_path / "lost") as house:
            names = [f"f{n}" for n in range(6)]
            for name in names:
                source.entries[name] = {f"{name}-{n}": f"{name} {n}" for n in range(40)}
            house.install("feeds", settings={"urls": [source.url(name) for name in names]})
            house.sync("feeds")
            source.delay_s = 0.1
            for name in names:
                source.entries[name] |= {f"{name}-more{n}": f"{name} more {n}" for n in range(40)}
            house.post("/Me/feeds/sync")
            saved = locker(house, "backup", str(archive), "--passphrase-file", "-", stdin=PHRASE)
            uid = house.get("/map").json()["installed"]["feeds"]

        facts = saved["inventory"]["databases"]["feeds/store.db"]["facts"]
        assert saved["has_secrets"]
        assert 240 <= facts <= 500
        assert uid["id"] == "feeds"

        new = House(tmp_path / "new")
        restored = locker(new, "restore", str(archive), "--passphrase-file", "-", stdin=PHRASE)
        assert ["feeds"] == restored["resting"]
        with open_house(tmp_path / "new") as house:
            assert facts == len(house.get("/Me/feeds/facts").text.splitlines())
            assert {f"{name} {n}" for name in names for n in range(40)} <= titles(house)
            assert house.get("/map").json()["installed"]["feeds"]["paused"]
            assert "takes over" in _front_page(house)
            _expect_rest(house, source)

            assert {"taken_over": ["feeds"]} == locker(house, "restore", "--take-over")

            house.sync("feeds")
            assert {f"{name} more {n}" for name in names for n in range(40)} <= titles(house)
            assert 480 == len(house.records("feeds", "entry"))
            assert "takes over" not in _front_page(house)

        bare = House(tmp_path / "bare")
        locker(bare, "restore", str(archive), "--without-secrets")
        with open_house(tmp_path / "bare") as house:
            assert {f"{name} {n}" for name in names for n in range(40)} <= titles(house)
            assert "need a sign-in" in _front_page(house)


def _expect_rest(house: House, source: FeedSource) -> None:
    """What came back is neither synced nor resumed, whoever asks; what is installed anew syncs."""
    command = f"restore --take-over --me {house.me}"
    for path in ("/Me/feeds/sync", "/Me/feeds//%73ync/entry", "/core/feeds/resume"):
        answer = house.post(path)
        assert (409, "user_action_needed") == (answer.status_code, answer.json()["type"]), answer.text
        assert command in answer.json()["remedy"]
    assert command in locker(house, "sync", "feeds", code=4)
    assert command in locker(house, "status")["notices"][0]
    page = house.get("/services/feeds").text
    assert command in page
    assert "/services/feeds/resume" not in page
    house.post("/core/feeds/at", json={"path": "/sync/entry", "at": 0})
    house.wait(lambda: any("rests" in str(call["last_problem"]) for call in house.get("/core/feeds/at").json()))
    assert house.get("/map").json()["installed"]["feeds"]["paused"]

    source.entries["anew"] = {"1": "Anew"}
    house.install("feeds", id="anew", settings={"urls": [source.url("anew")]})
    house.sync("anew")
    assert 1 == len(house.records("anew", "entry"))


def _front_page(house: House) -> str:
    return house.get("/", headers={"Accept": "text/html"}).text


def test_what_one_machine_exports_another_takes_in_while_it_runs(tmp_path: Path) -> None:
    """Facts with their history and ids; the service is off meanwhile and on again; once more adds nothing."""
    with FeedSource() as source:
        source.entries["news"] = {"1": "First", "2": "Second"}
        with open_house(tmp_path / "one") as house:
            house.install("feeds", settings={"urls": [source.url("news")]})
            house.sync("feeds")
            source.entries["news"] = {"1": "First, mended", "2": "Second"}
            house.sync("feeds")
            sent = locker(house, "export", str(tmp_path / "out.zip"))
        source.entries["news"] = {}
        with open_house(tmp_path / "two") as house:
            house.install("feeds", settings={"urls": [source.url("news")]})
            house.sync("feeds")

            came = locker(house, "import", str(tmp_path / "out.zip"))
            again = locker(house, "import", str(tmp_path / "out.zip"))

            assert {"First, mended", "Second"} == titles(house)
            feeds = next(one for one in sent["services"] if one["service"] == "feeds")
            assert (feeds["facts"], 0) == (came["services"]["feeds"]["added"], came["services"]["feeds"]["known"])
            assert (0, feeds["facts"]) == (again["services"]["feeds"]["added"], again["services"]["feeds"]["known"])
            service = house.get("/map").json()["installed"]["feeds"]
            assert service["enabled"]
