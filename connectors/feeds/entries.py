"""One entry of a feed: its record, and what it shares with records of all types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from connectors.feeds.identity import identified, link_of
from connectors.feeds.markup import safe_address, squeezed, text_of
from connectors.feeds.reading import Document
from connectors.sdk import Put

TITLE_LETTERS_MAX = 500
SUMMARY_LETTERS_MAX = 500

_HTML_TYPES = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True)
class Place:
    """Where an entry stands: the address its relative links start from, and the host of its feed."""

    base: str
    home: str

    def address(self, link: str) -> str:
        """The absolute address of `link`, empty where it may not lead."""
        return (safe_address(link, base=self.base, home=self.home) or "") if link else ""


def puts(document: Document, *, feed: str, url: str, keys: Sequence[str] | None = None) -> Iterator[Put]:
    """The entries of a fetched feed as records, each made when it is wanted; `keys` as they were identified.

    Of entries with one key the last counts.
    """
    keys = identified(document.entries, feed=feed).keys if keys is None else keys
    last = {key: place for place, key in enumerate(keys)}
    for number, (entry, key, at) in enumerate(zip(document.entries, keys, document.moments, strict=True)):
        if last[key] == number:
            place = place_of(entry, link=document.link, url=url)
            yield Put(type="entry", key=key, value={**entry, "feed": feed}, common=_shared(entry, place), at=at)


def html_of(value: dict[str, Any]) -> str:
    """The entry's richest markup, escaped text where it has none."""
    bodies = [(_text(part.get("value")), _is_html(part)) for part in _objects(value.get("content"))]
    bodies += [(_text(value.get("content_html")), True), (_text(value.get("content_text")), False)]
    bodies += [(_text(value.get("summary")), _is_html(value.get("summary_detail")))]
    # A teaser marked as HTML is less than the whole text that is plain, so the order decides before the kind.
    body, is_html = next(((text, kind) for text, kind in bodies if text), ("", True))
    return body if is_html else _escaped(body)


def place_of(value: dict[str, Any], *, link: str, url: str) -> Place:
    """Where an entry's relative links start from; `link` is what the feed says it belongs to, `url` its own address."""
    home = (urlsplit(url).hostname or "").rstrip(".")
    parts = [*_objects(value.get("content")), value.get("summary_detail"), value.get("title_detail")]
    for part in parts:
        base = part.get("base") if isinstance(part, dict) else None
        if isinstance(base, str) and base:
            return Place(base=_joined(url, base), home=home)
    return Place(base=_joined(url, link), home=home)


def enclosures_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The files an entry brings along: address, media type and size as the feed tells them."""
    links = [item for item in _objects(value.get("links")) if item.get("rel") == "enclosure"]
    found = []
    for item in [*links, *_objects(value.get("attachments"))]:
        address = _text(item.get("href")) or _text(item.get("url"))
        if address.startswith(("http://", "https://")):
            media_type = _text(item.get("type")) or _text(item.get("mime_type"))
            found.append({"url": address, "type": media_type, "length": item.get("length")})
    return found


def _shared(entry: dict[str, Any], place: Place) -> dict[str, Any]:
    markup = html_of(entry)
    shared: dict[str, Any] = {
        "title": _title(entry),
        "text": text_of(markup) if markup else "",
        "link": place.address(_unwrapped(_joined(place.base, link_of(entry))) if link_of(entry) else ""),
        "author": _author(entry),
        "thumbnail": place.address(_thumbnail(entry)),
        "summary": _summary(entry),
    }
    return {name: value for name, value in shared.items() if value}


def _title(entry: dict[str, Any]) -> str:
    title = _text(entry.get("title"))
    words = text_of(title) if _is_html(entry.get("title_detail")) else squeezed(title)
    return words.replace("\n", " ")[:TITLE_LETTERS_MAX]


def _summary(entry: dict[str, Any]) -> str:
    """The teaser, where the entry has one beside its content."""
    summary = _text(entry.get("summary"))
    if not summary or summary in html_of(entry):
        return ""
    words = text_of(summary) if _is_html(entry.get("summary_detail")) else squeezed(summary)
    return words[:SUMMARY_LETTERS_MAX]


def _author(entry: dict[str, Any]) -> str:
    people = entry.get("authors")
    people = people if isinstance(people, list) else [entry.get("author")]
    names = [_text(one.get("name")) if isinstance(one, dict) else _text(one) for one in people]
    return ", ".join(name for name in names if name) or _text(entry.get("author"))


def _thumbnail(entry: dict[str, Any]) -> str:
    for picture in _objects(entry.get("media_thumbnail")):
        if _text(picture.get("url")):
            return _text(picture["url"])
    if image := _text(entry.get("image")) or _text(entry.get("banner_image")):
        return image
    pictures = [item["url"] for item in enclosures_of(entry) if str(item["type"]).startswith("image/")]
    return pictures[0] if pictures else ""


def _joined(base: str, link: str) -> str:
    try:
        return urljoin(base, link)
    except ValueError:
        return base


def _unwrapped(link: str) -> str:
    """The address behind a search engine's counting redirect."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return link
    if parts.path != "/url" or not (parts.hostname or "").startswith("www.google."):
        return link
    query = parse_qs(parts.query)
    inner = (query.get("url") or query.get("q") or [""])[0]
    return inner if inner.startswith(("http://", "https://")) else link


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_html(detail: Any) -> bool:
    return isinstance(detail, dict) and detail.get("type") in _HTML_TYPES


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _escaped(text: str) -> str:
    lines = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return lines.replace("\n", "<br>\n")
