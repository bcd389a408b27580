"""A feed that tests write: a real little web server whose entries change when told."""

from __future__ import annotations

import html
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FeedSource:
    """Serves RSS 2.0 at /<name>; `entries[name]` maps guid to title and may be changed at any time."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, str]] = {}
        self.delay_s = 0.0
        self.asked: list[str] = []
        source = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = self.path.lstrip("/")
                source.asked.append(name)
                time.sleep(source.delay_s)
                known = source.entries.get(name)
                body = b"" if known is None else source.document(name, dict(known)).encode()
                self.send_response(404 if known is None else 200)
                self.send_header("Content-Type", "application/rss+xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> FeedSource:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def url(self, name: str) -> str:
        """The address of one feed."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/{name}"

    def pause(self, seconds: float) -> None:
        """Let the world go on for a moment."""
        time.sleep(seconds)

    @staticmethod
    def document(name: str, entries: dict[str, str]) -> str:
        """The feed as RSS 2.0."""
        items = "".join(
            f'<item><guid isPermaLink="false">{html.escape(guid)}</guid><title>{html.escape(title)}</title>'
            f"<link>http://example.test/{html.escape(guid)}</link></item>"
            for guid, title in entries.items()
        )
        head = f"<title>{html.escape(name)}</title><link>http://example.test/</link><description/>"
        return f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel>{head}{items}</channel></rss>'
