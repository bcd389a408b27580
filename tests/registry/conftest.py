"""A registry over a scratch Me: real files, the real documents file, a clock that stands still."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.model.clock import ManualClock
from core.registry import Catalog, Environments, Reads, Services
from core.store import Documents
from core.vault import open_master_key

FEEDS = """
name = "feeds"
title = "Feeds"
provides = ["entry/feeds"]
[types.entry]
key = "id"
[streams.entry]
title = "Entries"
[settings.urls]
type = "array"
minItems = 1
required = true
items = { type = "string", format = "url" }
[settings.keep_html]
type = "boolean"
default = true
"""
MAIL = """
name = "mail"
title = "Mail"
is = "connector"
provides = ["message/mail", "contact"]
uses = ["entry"]
[types.message]
key = "id"
[doors]
paths = ["/api", "/imap"]
[settings.token]
type = "string"
secret = true
[settings.accounts]
type = "array"
items = { type = "object", required = ["host"], properties = { \
host = { type = "string" }, port = { type = "integer", default = 993 }, \
password = { type = "string", secret = true } } }
[settings.folder]
type = "string"
format = "folder"
[limits]
reads = [{ setting = "folder" }]
"""


def write_connector(path: Path, text: str, *, folder: str | None = None) -> Path:
    """A connector's folder with this manifest, named like the connector unless told."""
    name = folder or next(line.split('"')[1] for line in text.splitlines() if line.startswith("name"))
    (path / name).mkdir(parents=True, exist_ok=True)
    (path / name / "connector.toml").write_text(text)
    return path / name


class Registry:
    """Everything that a core would open for this room; `reopen` is a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.me = folder / "Me"
        self.home = folder / "home"
        self.connectors = folder / "checkout" / "connectors"
        for path in (self.me, self.home, self.connectors, folder / "checkout" / "config"):
            path.mkdir(parents=True)
        self.clock = ManualClock()
        self.changes: list[tuple[str, str]] = []
        write_connector(self.connectors, FEEDS)
        write_connector(self.connectors, MAIL)
        self.reopen()

    def reopen(self) -> Services:
        """What the next start of the core would find."""
        self.documents = Documents(self.me / "locker.json", self.clock)
        self.catalog = Catalog([self.connectors])
        self.services = Services(
            self.documents,
            self.catalog,
            me=self.me,
            clock=self.clock,
            master=open_master_key(self.me),
            environments=Environments(self.folder / "checkout" / ".venv.connectors", python=Path(sys.executable)),
            reads=Reads(home=self.home, protected=[self.me, self.folder / "checkout"]),
            on_change=lambda service_id, what: self.changes.append((service_id, what)),
        )
        return self.services

    def install_feeds(self, **options: Any) -> Any:
        """A service of feeds with one address."""
        return self.services.install("feeds", settings={"urls": ["https://a.example/feed"]}, **options)

    def install_mail(self, **options: Any) -> Any:
        """A service of mail with three secrets."""
        return self.services.install("mail", settings=MAIL_SETTINGS, **options)


MAIL_SETTINGS: dict[str, Any] = {
    "token": "SECRET-token",
    "accounts": [
        {"host": "a.example", "port": 1, "password": "SECRET-a"},
        {"host": "b.example", "port": 2, "password": "SECRET-b"},
    ],
}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


@pytest.fixture
def tree() -> Callable[[Path], set[str]]:
    """The names of everything below a folder."""
    return lambda folder: {str(path.relative_to(folder)) for path in folder.rglob("*")}


def everything_in(folder: Path) -> bytes:
    """The content of every file below the folder, joined."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
