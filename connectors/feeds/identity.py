"""Which entry is which: the key of each entry of a document, the same for ever while the entry is edited.

A guid is an entry's name until two entries claim it. From then on it names none of them without more, and the feed
remembers that: whichever of them stands in a later document keeps the key under which it is stored.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FEED_DIGITS = 16
ENTRY_DIGITS = 24
SHARED_DIGITS = 12
SHARED_MAX = 2000

TIMES = ("published", "date_published", "updated", "date_modified", "created")
_PUBLISHED = ("published", "date_published")

Entry = Mapping[str, Any]
Stored = Callable[[str], Entry | None]


@dataclass(frozen=True, kw_only=True)
class Identities:
    """The key of each entry in its order, and the guids that are known to be shared, oldest first."""

    keys: tuple[str, ...]
    shared: tuple[str, ...]


def feed_key(url: str) -> str:
    """The key of a feed's record, from the address under which it was subscribed."""
    return _digest(url, FEED_DIGITS)


def identified(
    entries: Sequence[Entry], *, feed: str, shared: Iterable[str] = (), stored: Stored = lambda _: None
) -> Identities:
    """Decide what each of `entries` is; `stored` gives the current value of a record by its key."""
    judge = _Judge(feed, shared, stored)
    claims: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        claims[claimed_id(entry)].append(entry)
    for own, claimants in claims.items():
        if own and len({_variant(entry) for entry in claimants}) > 1:
            judge.note_shared(own)
    keys = tuple(judge.key(entry) for entry in entries)
    return Identities(keys=keys, shared=judge.shared)


def claimed_id(entry: Entry) -> str:
    """The guid that an entry claims, empty where it has none."""
    own = entry.get("id")
    if isinstance(own, int) and not isinstance(own, bool):
        return str(own)
    return _text(own)


def link_of(entry: Entry) -> str:
    """The link of an entry, as its source wrote it."""
    return _text(entry.get("link")) or _text(entry.get("url")) or _text(entry.get("external_url"))


class _Judge:
    """Decides key by key; a guid found to be shared counts as such for the entries after it."""

    def __init__(self, feed: str, shared: Iterable[str], stored: Stored) -> None:
        self._feed = feed
        self._stored = stored
        self._shared = dict.fromkeys(shared)

    @property
    def shared(self) -> tuple[str, ...]:
        return tuple(self._shared)[-SHARED_MAX:]

    def note_shared(self, own: str) -> None:
        self._shared[_digest(own, SHARED_DIGITS)] = None

    def key(self, entry: Entry) -> str:
        own = claimed_id(entry)
        if not own:
            return self._named(_variant(entry))
        plain, exact = self._named(own), self._named(f"{own}\n{_variant(entry)}")
        first = self._stored(plain)
        if first is not None and _variant(first) == _variant(entry):
            return plain
        if _digest(own, SHARED_DIGITS) in self._shared:
            return exact
        if self._stored(exact) is None and (first is None or not _is_another(first, entry)):
            return plain
        self.note_shared(own)
        return exact

    def _named(self, identity: str) -> str:
        return f"{self._feed}.{_digest(identity, ENTRY_DIGITS)}"


def _is_another(first: Entry, entry: Entry) -> bool:
    """Whether one guid stands for two entries: another link and another title, and not the same time of publishing."""
    link, title = link_of(first), _text(first.get("title"))
    if not link or not link_of(entry) or link == link_of(entry) or title == _text(entry.get("title")):
        return False
    published = _first(first, _PUBLISHED)
    return not published or published != _first(entry, _PUBLISHED)


def _variant(entry: Entry) -> str:
    """What tells an entry from others of its guid: its link, else its title and date, else its text."""
    link = link_of(entry)
    if link:
        return link
    told = [_text(entry.get(name)) for name in ("title", *TIMES)]
    if any(told):
        return "\n".join(told)
    return "\n".join(_texts(entry))


def _texts(entry: Entry) -> list[str]:
    content = entry.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    bodies = [part.get("value") for part in parts]
    bodies += [entry.get(name) for name in ("content_html", "content_text", "summary")]
    return [_text(body) for body in bodies if _text(body)]


def _first(entry: Entry, names: Iterable[str]) -> str:
    return next((text for name in names if (text := _text(entry.get(name)))), "")


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:digits]
