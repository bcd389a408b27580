"""The routes of feeds beside the common ones: lists in and out, and an entry as it may be shown."""

from __future__ import annotations

from flask import Response, request

from connectors.feeds.entries import html_of, place_of
from connectors.feeds.identity import feed_key
from connectors.feeds.markup import shown
from connectors.feeds.opml import OPML_BYTES_MAX, Outline, read_opml, write_opml
from connectors.feeds.subscriptions import FEEDS_MAX, clean_url, known_feeds, shown_url, subscriptions
from connectors.sdk import Context, Delete, Put, route
from core.model.errors import BodyTooLarge, Conflict, LockerError, NotFound
from core.model.ids import key_from_path

REFUSED_SHOWN_MAX = 20
BATCH = 500
STREAM_PATH = "/sync/feeds"
# Nothing of a shown entry runs, and nothing but pictures and sound is fetched from elsewhere.
POLICY = "default-src 'none'; img-src http: https: data:; media-src http: https:; base-uri 'none'; form-action 'none'"


@route("/opml")
def export(context: Context) -> Response:
    """Every feed that is followed, as a list for other programs."""
    known = known_feeds(context)
    outlines = []
    for feed in subscriptions(context, known):
        value = known.get(feed.key, {})
        outlines.append(
            Outline(
                url=shown_url(feed.url),
                title=str(value.get("title") or feed.title),
                site=str(value.get("link") or ""),
                folders=feed.folders,
            )
        )
    headers = {"Content-Disposition": 'attachment; filename="feeds.opml"'}
    return Response(write_opml("Feeds", outlines), content_type="text/x-opml; charset=utf-8", headers=headers)


@route("/opml", methods=["POST"])
def import_list(context: Context) -> dict[str, object]:
    """Follow every feed of a list: kept as `subscription` records, beside the addresses in the settings."""
    if (request.content_length or 0) > OPML_BYTES_MAX:
        raise BodyTooLarge(f"the list has more than {OPML_BYTES_MAX} bytes", remedy="Split the list.")
    followed = {feed.url for feed in subscriptions(context, known_feeds(context))}
    added: dict[str, Put] = {}
    refused: list[str] = []
    known = 0
    for outline in read_opml(request.get_data()):
        url = clean_url(outline.url)
        if url is None or url != shown_url(url):
            # A name and password in an address would stand in a record; the settings are their place.
            refused.append(shown_url(outline.url[:200]))
        elif url in followed or feed_key(url) in added:
            known += 1
        else:
            added[feed_key(url)] = _subscription(context, url, outline)
    if added and len(followed) + len(added) > FEEDS_MAX:
        raise Conflict(
            f"{len(followed)} feeds are followed and the list has {len(added)} more: together over {FEEDS_MAX}",
            remedy="Send a shorter list, or give up feeds first.",
        )
    puts = list(added.values())
    for start in range(0, len(puts), BATCH):
        context.save(puts[start : start + BATCH])
    if puts:
        _sync_soon(context)
    return {"added": len(puts), "known": known, "refused": refused[:REFUSED_SHOWN_MAX], "refused_count": len(refused)}


@route("/subscriptions/<key>", methods=["DELETE"])
def unfollow(context: Context, key: str) -> dict[str, object]:
    """Follow an imported feed no more; what it brought stays."""
    name = key_from_path(key)
    if context.record("subscription", name) is None:
        raise NotFound(
            "no imported subscription has this key", remedy="Addresses typed into the settings are removed there."
        )
    context.save([Delete(type="subscription", key=name)])
    _sync_soon(context)
    return {"removed": name}


@route("/entries/<key>/html")
def entry_html(context: Context, key: str) -> Response:
    """An entry as a page that a browser may show: cleaned of scripts, frames and counters."""
    record = context.record("entry", key_from_path(key))
    if record is None:
        raise NotFound("there is no entry of this key")
    feed = context.record("feed", str(record.value.get("feed", "")))
    value = {} if feed is None else feed.value
    place = place_of(record.value, link=str(value.get("link") or ""), url=str(value.get("url") or ""))
    body = shown(html_of(record.value), base=place.base, home=place.home)
    headers = {
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    page = f'<!doctype html><meta charset="utf-8"><body>{body}</body>'
    return Response(page, content_type="text/html; charset=utf-8", headers=headers)


def _subscription(context: Context, url: str, outline: Outline) -> Put:
    key = feed_key(url)
    value = {
        "key": key,
        "url": url,
        "title": outline.title[:500],
        "site": outline.site[:2048],
        "folders": [folder[:200] for folder in outline.folders],
        "added_at": context.now(),
    }
    return Put(type="subscription", key=key, value=value, common={"title": outline.title[:500] or shown_url(url)})


def _sync_soon(context: Context) -> None:
    try:
        context.core.at(STREAM_PATH, context.now())
    except LockerError as err:
        # What was imported is kept; the next regular run fetches it.
        context.log.warning("the core did not take an early run problem=%s", err.code)
