"""Faults that the original had, one by one, at a whole core."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pytest
import requests

from tests.fakes.feed_source import FeedSource
from tests.fakes.house import ROOT, House, open_house

APP_KEY, APP_SECRET = "app-key-0123456789", "app-secret-0123456789"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A core that knows the little programs, with keys of an app of the owner's own."""
    config = tmp_path / "config"
    config.mkdir()
    paths = json.dumps([str(ROOT / "connectors"), str(ROOT / "tests" / "fakes" / "programs")])
    (config / "locker.toml").write_text(f"connector_paths = {paths}\n")
    (config / "apikeys.toml").write_text(f'[echoes-handshake]\nkey = "{APP_KEY}"\nsecret = "{APP_SECRET}"\n')
    (config / "apikeys.toml").chmod(0o600)
    with open_house(tmp_path) as started:
        yield started


def test_port_taken(house: House) -> None:
    """A child that finds the suggested port in use serves at one of its own choice, and is reached there."""
    house.install("port-taken")
    told = house.get("/Me/port-taken/").json()

    assert told["suggested"] != told["chosen"]


def test_broken_me_json_set_aside(house: House) -> None:
    """What a child writes into its me.json is not gone by: the same program runs, and the copy is mended."""
    house.install("obedient")
    assert "obedient" == house.get("/Me/obedient/").json()["name"]
    record = house.me / "obedient" / "me.json"
    whole = json.loads(record.read_text())
    for text in ('{"id": "obedient", "run": "python evil.py", "connector": "slow", "enabled": false}', "{torn", ""):
        house.stop()
        record.write_text(text)
        house.start()

        assert "obedient" == house.get("/Me/obedient/").json()["name"]
        assert whole == json.loads(record.read_text())
        assert ["obedient"] == list(house.get("/map").json()["installed"])


class _Forms(HTMLParser):
    """How each form of a page sends what was typed into it, and where every link leads."""

    def __init__(self) -> None:
        super().__init__()
        self.methods: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.methods.append((given.get("method") or "get").lower())
        self.addresses += [given[name] or "" for name in ("href", "src", "action") if name in given]


def test_app_keys_never_in_url(house: House) -> None:
    """Keys of the owner's app reach their own connector in its greeting, and are in no address, log, form or file."""
    house.install("echoes-handshake")
    house.install("feeds")
    assert house.get("/Me/echoes-handshake/").ok
    assert house.get("/Me/feeds/status").ok
    browser = requests.Session()
    browser.headers["Host"] = f"locker.localhost:{house.port}"
    welcome = browser.get(house.login_url.replace("locker.localhost", "127.0.0.1"), timeout=10)
    browser.headers["Cookie"] = welcome.headers["set-cookie"].split(";")[0]
    paths = ("/", "/services/echoes-handshake", "/install/echoes-handshake", "/services/feeds", "/install/feeds")
    pages = {path: browser.get(house.url + path, timeout=10) for path in paths}
    answers = [house.get(path).text for path in ("/map", "/core/echoes-handshake/log", "/available", "/diary")]
    processes = [text for each in house.children() for text in (*each.cmdline(), *_environment(each))]
    files = [path.read_bytes() for path in house.me.rglob("*") if path.is_file() and not path.is_socket()]

    assert [200] * len(paths) == [page.status_code for page in pages.values()]
    for page in pages.values():
        forms = _Forms()
        forms.feed(page.text)
        assert {"post"} >= set(forms.methods)
        assert not any(APP_KEY in address or APP_SECRET in address for address in forms.addresses)
    texts = [page.text for page in pages.values()] + answers + processes + house.output
    assert not any(APP_SECRET in text for text in texts)
    assert not any(APP_SECRET.encode() in content for content in files)


def _environment(process: psutil.Process) -> list[str]:
    return [f"{name}={value}" for name, value in process.environ().items()]


def test_diary_torn_line(house: House) -> None:
    """kill -9 while the diary is written loses at most the line that was not answered yet, and the page still reads."""
    house.install("obedient")
    answered: list[str] = []
    asked: list[str] = []

    def write() -> None:
        for number in range(10_000):
            asked.append(f"line {number} " + "x" * 2000)
            try:
                answer = house.post("/core/obedient/diary", json={"message": asked[-1]})
            except requests.RequestException:
                return
            assert answer.ok, answer.text
            answered.append(asked[-1])

    writer = threading.Thread(target=write)
    writer.start()
    house.wait(lambda: len(answered) > 20, what="twenty lines")
    house.kill()
    writer.join(60)
    house.start()
    kept = [entry["message"] for entry in house.get("/diary?since=0&limit=1000").json()["entries"]][::-1]

    assert kept in (answered[-1000:], asked[-1000:])
    assert house.post("/core/obedient/diary", json={"message": "and on"}).ok
    assert "and on" == house.get("/diary?since=0").json()["entries"][0]["message"]


def test_append_answers_after_write(house: House) -> None:
    """What was answered stands on the disk: killed at that moment, the core has lost nothing of it."""
    house.install("obedient")
    event = {"idr": "note://obedient/#1", "action": "new", "data": {"text": "answered"}}
    answers = [
        house.post("/core/obedient/event", json=event),
        house.post("/core/obedient/diary", json={"message": "answered"}),
        house.post("/tokens", json={"label": "answered", "scopes": ["read"]}),
    ]
    house.kill()
    with contextlib.closing(sqlite3.connect(house.me / "core.db")) as db:
        published = [json.loads(value) for (value,) in db.execute("SELECT value FROM published")]
    house.start()

    assert all(answer.ok for answer in answers)
    assert [event["data"]] == published
    assert "answered" in [entry["message"] for entry in house.get("/diary?since=0").json()["entries"]]
    assert ["answered"] == [token["label"] for token in house.get("/tokens").json()]


def test_state_updated_is_stable(house: House) -> None:
    """When a service was last updated is when its run ended: asked again, later or after a restart, it is the same."""
    with FeedSource() as source:
        source.entries["news"] = {"1": "First"}
        house.install("feeds", settings={"urls": [source.url("news")]})
        house.sync("feeds")
        told = [house.get("/Me/feeds/status").json()["streams"]["feeds"]["run"] for _ in range(2)]
        house.post("/core/feeds/restart")
        told.append(house.get("/Me/feeds/status").json()["streams"]["feeds"]["run"])
        house.sync("feeds")
        later = house.get("/Me/feeds/status").json()["streams"]["feeds"]["run"]

    assert told[0]["ended_at"] is not None
    assert [told[0]] * 3 == told
    assert later["ended_at"] > told[0]["ended_at"]
