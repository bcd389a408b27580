"""Which feeds are followed: the addresses in the settings, and those the owner imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from connectors.feeds.identity import feed_key
from connectors.sdk import Context

# Imports beyond it are refused; addresses typed into the settings, which have a bound of their own, may come on top.
FEEDS_MAX = 10_000
PAGE = 500


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A feed that is followed. `key` stays the same for ever, whatever address the feed moves to."""

    key: str
    url: str
    title: str = ""
    folders: tuple[str, ...] = ()


def subscriptions(context: Context, known: Mapping[str, dict[str, Any]]) -> list[Subscription]:
    """The feeds that are followed, each once, in the order of the settings, then of the imports.

    `known` are all that ever were, as `known_feeds` gives them.
    """
    moved = {feed["moved_to"]: key for key, feed in known.items() if feed.get("moved_to")}
    found: dict[str, Subscription] = {}
    for url, title, folders in _wanted(context):
        key = feed_key(url)
        if key not in known and url in moved:
            # The owner typed the new address of a feed that had moved there: it is the same feed.
            key = moved[url]
        found.setdefault(key, Subscription(key=key, url=url, title=title, folders=folders))
    return list(found.values())


def known_feeds(context: Context) -> dict[str, dict[str, Any]]:
    """Every feed that was ever followed, by key."""
    return {record.key: record.value for record in all_records(context, "feed")}


def all_records(context: Context, type_name: str) -> Iterator[Any]:
    """Every current record of a type, in pages."""
    after: str | None = None
    while True:
        records, after = context.records(type_name, limit=PAGE, after=after)
        yield from records
        if after is None:
            return


def clean_url(text: str) -> str | None:
    """An address as it is compared and kept: host in lower case, no fragment, a `feed:` scheme undone; None if unfit.

    >>> clean_url(" feed://Example.org/rss#top ")
    'http://example.org/rss'
    """
    text = text.strip()
    for scheme, instead in (("feed://", "http://"), ("feed:http", "http")):
        if text.lower().startswith(scheme):
            text = instead + text[len(scheme) :]
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # raises for a port that is none
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or len(text) > 2048:
        return None
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme.lower(), f"{user}{at}{host.lower()}", parts.path or "/", parts.query, ""))


def shown_url(url: str) -> str:
    """The address without a name and password in it, as it may stand in a record; empty when it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _wanted(context: Context) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Address, title and folders of each feed, those typed into the settings first."""
    imported: dict[str, tuple[str, tuple[str, ...]]] = {}
    for record in all_records(context, "subscription"):
        url, folders = clean_url(str(record.value.get("url", ""))), record.value.get("folders")
        if url is not None:
            names = tuple(map(str, folders)) if isinstance(folders, list) else ()
            imported[url] = (str(record.value.get("title", "")), names)
    typed = context.settings.get("urls")
    for text in typed if isinstance(typed, list) else []:
        url = clean_url(text) if isinstance(text, str) else None
        if url is not None:
            yield url, *imported.get(url, ("", ()))
    for url, (title, names) in imported.items():
        yield url, title, names
