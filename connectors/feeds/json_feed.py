"""JSON Feed, versions 1 and 1.1: items as they are, whatever types their fields have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors.feeds.charset import decoded

Found = tuple[str, dict[str, str], list[dict[str, Any]], list[float | None], list[str]]

_MARK = "jsonfeed.org/version/"


def parse(body: bytes) -> Found | None:
    """Format, head, items and notes of a JSON Feed; None when it is none."""
    text, note = decoded(body, "charset=utf-8")
    try:
        document = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if not isinstance(document, dict) or _MARK not in str(document.get("version")):
        return None
    notes = [] if note is None else [note]
    items = document.get("items")
    if not isinstance(items, list):
        items, notes = [], [*notes, "its items are no list"]
    entries = [item for item in items if isinstance(item, dict)]
    if len(entries) < len(items):
        notes.append(f"{len(items) - len(entries)} of its items are no objects")
    wrong = [name for name in ("title", "home_page_url") if not isinstance(document.get(name, ""), str)]
    notes += [f"its {name} is no text" for name in wrong]
    head = {"title": _text(document.get("title")), "link": _text(document.get("home_page_url"))}
    version = str(document["version"]).rpartition("/")[2][:8]
    return f"json{version}", head, entries, [_moment(item) for item in entries], notes


def _moment(item: dict[str, Any]) -> float | None:
    for name in ("date_published", "date_modified"):
        try:
            parsed = datetime.fromisoformat(_text(item.get(name)).upper())
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
    return None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
