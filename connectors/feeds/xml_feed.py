"""RSS and Atom, read by feedparser and turned into plain JSON, markup left as the source wrote it."""

from __future__ import annotations

import calendar
import io
import re
from typing import Any
from xml.sax import SAXException

import feedparser

from connectors.feeds.charset import decoded

DEPTH_MAX = 40

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*?\?>")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_HALF = re.compile("[\ud800-\udfff]")
_ENTITY = re.compile(r"<!ENTITY", re.IGNORECASE)
_UNKEPT = ("_parsed",)

Found = tuple[str, dict[str, str], list[dict[str, Any]], list[float | None], list[str]]


def parse(body: bytes, *, content_type: str) -> Found | None:
    """Format, head, entries and notes of an XML feed; None when it is none."""
    document, notes = _prepared(body, content_type)
    parsed = feedparser.parse(
        io.BytesIO(document),
        sanitize_html=False,
        resolve_relative_uris=False,
        response_headers={"content-type": "application/xml; charset=utf-8"},
    )
    if not parsed.get("version") and not parsed.entries:
        return None
    if parsed.bozo:
        notes.append(_fault(parsed.get("bozo_exception")))
    head = {name: _text(parsed.feed.get(name)) for name in ("title", "link")}
    entries = [plain(entry) for entry in parsed.entries]
    return parsed.get("version") or "xml", head, entries, [_moment(entry) for entry in parsed.entries], notes


def plain(value: Any, depth: int = 0) -> Any:
    """What feedparser made, as JSON: its time tuples left out, since the texts they were read from are there."""
    if isinstance(value, dict):
        if depth > DEPTH_MAX:
            return None
        # The plain dictionary below: feedparser's own also answers to names that it does not hold.
        items = dict[Any, Any].items(value)
        return {str(k): plain(v, depth + 1) for k, v in items if not str(k).endswith(_UNKEPT)}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value] if depth <= DEPTH_MAX else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return _sound(str(value))


def _moment(entry: Any) -> float | None:
    """When the entry was published, else changed, as feedparser understood its date."""
    for name in ("published_parsed", "updated_parsed", "created_parsed"):
        # A plain look-up: feedparser answers one name with another, and says so in a warning.
        parts = dict[Any, Any].get(entry, name)
        if parts is not None:
            try:
                return float(calendar.timegm(parts))
            except (ValueError, OverflowError, TypeError):
                continue
    return None


def _prepared(body: bytes, content_type: str) -> tuple[bytes, list[str]]:
    """The document in UTF-8 and saying so, without what stands before its declaration or cannot stand in XML; notes."""
    text, note = decoded(body, content_type)
    notes = [] if note is None else [note]
    if _ENTITY.search(text[:4096]):
        # Feeds need no entities of their own; documents that declare some are old, or a trap for parsers.
        notes.append("it declares entities of its own, which are not read")
    text = _CONTROL.sub("", _DECLARATION.sub("", text.lstrip("\ufeff \t\r\n"), count=1))
    return b'<?xml version="1.0" encoding="utf-8"?>' + text.encode("utf-8", "replace"), notes


def _fault(error: object) -> str:
    if isinstance(error, SAXException):
        return f"it is not well-formed XML ({error.getMessage()}); what could be read is kept"
    return "it is not quite a feed; what could be read is kept"


def _text(value: Any) -> str:
    return _sound(value).strip() if isinstance(value, str) else ""


def _sound(text: str) -> str:
    """Text without halves of surrogate pairs, which JSON in UTF-8 cannot carry; itself where it has none."""
    return _HALF.sub("?", text)
