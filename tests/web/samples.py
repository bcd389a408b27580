"""Connectors and rows that the web room's tests are furnished with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.events import DeadLetter
from core.registry import Service
from core.schedule import Pending
from core.store import Quarantined, Run

FEEDS = """
name = "feeds"
title = "Feeds"
description = "Web feeds: RSS, Atom and JSON Feed."
version = "1.0"
provides = ["entry/feeds", "feed/feeds"]
[types.entry]
key = "id"
title = "title"
[types.feed]
key = "url"
[streams.entry]
title = "Entries"
types = ["entry", "feed"]
frequency = "30m"
[settings.feeds]
type = "array"
title = "Feeds"
description = "The addresses of the feeds."
minItems = 1
items = { type = "string", format = "url" }
[settings.keep_html]
type = "boolean"
title = "Keep the HTML"
default = true
"""
MAIL = """
name = "mail"
title = "Mail"
description = "Mailboxes over IMAP."
provides = ["message/mail", "contact/mail"]
uses = ["entry/feeds", "photo"]
[types.message]
key = "id"
[types.contact]
key = "id"
[streams.message]
title = "Messages"
[settings.accounts]
type = "array"
title = "Accounts"
items = { type = "object", title = "Account", required = ["host", "password"], properties = { \
host = { type = "string", title = "Server" }, \
port = { type = "integer", title = "Port", default = 993, minimum = 1, maximum = 65535 }, \
password = { type = "string", title = "Password", secret = true } } }
[settings.since]
type = "string"
title = "From when on"
enum = ["always", "year", "month"]
default = "year"
[settings.token]
type = "string"
title = "App token"
secret = true
"""
NOTES = """
name = "notes"
title = "Notes"
description = "Keeps what you write, in a file of its own."
run = "node connector.js"
[types.note]
key = "id"
[doors]
paths = ["/api", "/dav"]
[features.import]
path = "/list"
accept = ".opml,.xml"
title = "Import a list"
[features.export]
path = "/list"
title = "Export the list"
"""
SETTINGS: Mapping[str, dict[str, Any]] = {"feeds": {"feeds": ["https://example.org/feed"]}, "mail": {"accounts": []}}


def service(service_id: str, connector: str, title: str, *, enabled: bool = True) -> Service:
    """An installed service."""
    uid = f"uid-{service_id}"
    return Service(
        id=service_id, uid=uid, connector=connector, title=title, enabled=enabled, installed_at=1_700_000_000.0
    )


def pending(service_id: str, path: str, at: float, *, tries: int = 0, last_problem: str | None = None) -> Pending:
    """A call that is due."""
    return Pending(service=service_id, path=path, at=at, kind="asked", tries=tries, last_problem=last_problem)


def letter(
    number: int, service_id: str = "mail", path: str = "/hear", *, last_tried: float = 1_700_000_100.0
) -> DeadLetter:
    """An event that its listener kept refusing."""
    return DeadLetter(
        id=number, service=service_id, path=path, first_seen=1_700_000_000.0, last_tried=last_tried, tries=10,
        problem="it answered 500", events="[]",
    )  # fmt: skip


def run(stream: str, started_at: float, ended_at: float, **more: Any) -> Run:
    """One run of a stream, well ended unless told."""
    return Run(
        **{"id": f"{stream}-{started_at}", "status": "ok", **more},
        stream=stream,
        started_at=started_at,
        ended_at=ended_at,
    )


def set_aside(type_name: str, key: str, reason: str, *, last_seen: float, times: int = 1) -> Quarantined:
    """A record in quarantine."""
    return Quarantined(
        position=1,
        type=type_name, key=key, code="bad_record", reason=reason, sample="{", first_seen=last_seen,
        last_seen=last_seen, times=times,
    )  # fmt: skip
