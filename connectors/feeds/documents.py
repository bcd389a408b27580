"""A feed as it was fetched, whatever its format: what it says of itself, and its entries as plain JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from connectors.feeds import json_feed, xml_feed
from core.model.errors import UserActionNeeded

ENTRIES_MAX = 5000
_SPACE = b" \t\r\n\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class Document:
    """One fetched feed. `entries` are its items as the source wrote them, `moments` when each was published.

    `notes` say what is wrong with the document.
    """

    format: str
    title: str = ""
    link: str = ""
    entries: tuple[dict[str, Any], ...] = ()
    moments: tuple[float | None, ...] = ()
    notes: tuple[str, ...] = field(default=())


def parse(body: bytes, *, content_type: str, url: str) -> Document:
    """The feed in `body`; raises UserActionNeeded when there is none. Faults of the document become notes."""
    if body.lstrip(_SPACE).startswith(b"{"):
        found = json_feed.parse(body)
    else:
        found = xml_feed.parse(body, content_type=content_type, url=url)
    if found is None:
        raise UserActionNeeded(
            "the address answers, but not with a feed", remedy="Look for the feed's own address on that page."
        )
    form, head, entries, moments, notes = found
    if len(entries) > ENTRIES_MAX:
        notes = [*notes, f"it has {len(entries)} entries; the first {ENTRIES_MAX} are kept"]
    return Document(
        format=form,
        title=head.get("title", ""),
        link=head.get("link", ""),
        entries=tuple(entries[:ENTRIES_MAX]),
        moments=tuple(moments[:ENTRIES_MAX]),
        notes=tuple(notes),
    )
