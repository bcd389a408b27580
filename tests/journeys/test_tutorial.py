"""docs/tutorial.md, followed to the letter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.fakes.house import ROOT, open_house

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
FILE = re.compile(r"^## \d\. [^\n]*`([\w.]+)`\n+```\w+\n(.*?)^```", flags=re.M | re.S)
BOOKS = [
    {"isbn": "9780441478125", "title": "The Left Hand of Darkness", "author": "Le Guin", "added": "2026-03-01"},
    {"isbn": "9780060512750", "title": "The Dispossessed", "author": "Le Guin", "added": "2026-03-02"},
    {"isbn": "9780156027601", "title": "Invisible Cities", "author": "Calvino", "added": "2026-04-01"},
]


class Shop:
    """The service of the tutorial: a list of books, two on a page."""

    def __init__(self) -> None:
        self.books = [dict(book) for book in BOOKS]
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = int(parse_qs(urlsplit(self.path).query)["page"][0])
                pages = (len(shop.books) + 1) // 2
                body = json.dumps({"books": shop.books[2 * page - 2 : 2 * page], "pages": pages}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/books"


@pytest.fixture
def shop() -> Iterator[Shop]:
    """The service, running."""
    running = Shop()
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield running
    running.server.shutdown()
    running.server.server_close()
    thread.join(5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The connector's folder as the tutorial has it."""
    files = dict(FILE.findall(TUTORIAL))
    assert {"connector.toml", "connector.py", "sync.py", "webservice.py"} == set(files)
    folder = tmp_path / "own" / "reading-list"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_in_locker(tmp_path: Path, folder: Path, shop: Shop) -> None:
    """Install, sync, read, the path of its own, history, and an unchanged rerun that writes nothing."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "locker.toml").write_text(f'connector_paths = ["{folder.parent}"]\n')
    with open_house(tmp_path) as house:
        house.install("reading-list", settings={"address": shop.address})
        first = house.sync("reading-list")
        shop.books[2]["title"] = "Invisible Cities, annotated"
        shop.books.append(
            {"isbn": "9780140283372", "title": "If on a winter's night", "author": "Calvino", "added": "x"}
        )
        shop.books[2]["copies_in_shops"] = 7
        second = house.sync("reading-list")
        third = house.sync("reading-list")
        books = house.records("reading-list", "book")

        assert [(3, 0), (1, 1), (0, 0)] == [(run["new"], run["updated"]) for (run,) in (first, second, third)]
        assert {book["isbn"]: book["title"] for book in shop.books} == {
            key: book["common"]["title"] for key, book in books.items()
        }
        assert {"titles": ["The Dispossessed", "The Left Hand of Darkness"]} == house.get(
            "/Me/reading-list/by/Le%20Guin"
        ).json()
        assert 2 == len(house.get("/Me/reading-list/records/book/9780156027601/history").json()["facts"])


def test_alone(folder: Path, shop: Shop) -> None:
    """Without a core it prints an address, syncs by itself, and answers there."""
    (folder / "settings.json").write_text(json.dumps({"address": shop.address}))
    command = [sys.executable, "connector.py", "--alone", "--settings", "settings.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        try:
            address = next(line.strip() for line in child.stdout if line.startswith("http://127.0.0.1:"))
            origin, _, query = address.partition("/?")
            for _ in range(200):
                answer = requests.get(f"{origin}/records/book?{query}", timeout=10)
                if answer.ok and len(answer.json()["records"]) == len(BOOKS):
                    break
            found = {record["value"]["title"] for record in answer.json()["records"]}
        finally:
            child.terminate()
            child.wait(10)

    assert {book["title"] for book in BOOKS} == found
