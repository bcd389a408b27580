"""A website made of what a test says: each path has an answer, every request is remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.sax.saxutils import escape


@dataclass
class Asked:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]


@dataclass
class Reply:
    """One answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Answer = Reply | Callable[[Asked], Reply]


class Site:
    """Serves `pages`, which may change at any time; an ETag of a page is answered with 304."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def url(self, path: str) -> str:
        """The address of a page."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def count(self, path: str) -> int:
        """How often a page was asked for."""
        return sum(asked.path == path for asked in self.asked)

    def reply(self, asked: Asked) -> Reply:
        """The answer to a request."""
        self.asked.append(asked)
        page = self.pages.get(asked.path, Reply(status=404))
        reply = page(asked) if callable(page) else page
        tag = reply.headers.get("ETag")
        if tag is not None and asked.headers.get("If-None-Match") == tag:
            return Reply(status=304, headers={"ETag": tag})
        return reply


def rss(*items: str, title: str = "A feed", link: str = "http://example.test/", extra: str = "") -> bytes:
    """A feed in RSS 2.0 of ready-made items."""
    head = f"<title>{escape(title)}</title><link>{escape(link)}</link>{extra}"
    return (
        f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel>{head}{"".join(items)}</channel></rss>'
    ).encode()


def item(guid: str | None = None, title: str = "", link: str = "", description: str = "", extra: str = "") -> str:
    """One item; what is empty is left out."""
    parts = {"title": title, "link": link, "description": description}
    guid_part = "" if guid is None else f'<guid isPermaLink="false">{escape(guid)}</guid>'
    return f"<item>{guid_part}{''.join(f'<{n}>{escape(t)}</{n}>' for n, t in parts.items() if t)}{extra}</item>"


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            reply = site.reply(Asked(self.path, dict(self.headers.items())))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 304:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if reply.status != 304:
                self.wfile.write(reply.body)

        def log_message(self, *_: Any) -> None:
            """What was asked is remembered; nothing is printed."""

    return Handler
