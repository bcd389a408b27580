"""A web page where a feed was expected: the feeds that it names in its head."""

from __future__ import annotations

from html.parser import HTMLParser

from connectors.feeds.charset import decoded

HEAD_LETTERS_MAX = 256 * 1024
ALTERNATES_MAX = 10

_TYPES = ("application/rss+xml", "application/atom+xml", "application/feed+json")


def alternates(body: bytes, *, content_type: str) -> list[str]:
    """The addresses of the feeds that the page names, as it writes them; none for anything that is no page."""
    text = decoded(body[: 2 * HEAD_LETTERS_MAX], content_type)[0][:HEAD_LETTERS_MAX]
    if "<link" not in text.lower():
        return []
    page = _Page()
    page.feed(text)
    return page.found[:ALTERNATES_MAX]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note each link that leads to a feed."""
        named = {name: value or "" for name, value in attrs}
        kind = named.get("type", "").split(";")[0].strip().lower()
        is_alternate = tag == "link" and "alternate" in named.get("rel", "").lower().split()
        if is_alternate and kind in _TYPES and named.get("href"):
            self.found.append(named["href"].strip())
