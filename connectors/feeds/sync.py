"""The stream of feeds: every feed that is due is asked, and what it says is kept.

An entry that a feed has stopped listing is not deleted: feeds show the newest few, the store keeps them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from connectors.feeds.crawl import Crawl
from connectors.feeds.enclosures import enclosures
from connectors.feeds.entries import puts
from connectors.feeds.fetch import Fetched, State, fetch, put_off
from connectors.feeds.reading import Document, Reading, WebPage
from connectors.feeds.subscriptions import Subscription, clean_url, known_feeds, shown_url, subscriptions
from connectors.sdk import Again, Context, Cursor, Message, Partial, Progress, Put, stream
from core.model.errors import Broken, LockerError, Offline, UserActionNeeded

FEED_BYTES_MAX = 16 * 1024 * 1024
FETCH_S = 60.0
RUN_S_MAX = 600.0
AGAIN_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one feed came to."""

    feed: Subscription
    fetched: Fetched
    document: Document | None = None
    entries: tuple[Put, ...] = ()

    @property
    def error(self) -> LockerError | None:
        """What went wrong with it."""
        return self.fetched.error


@stream("entry")
def entries(context: Context, cursor: Any) -> Iterator[Message]:
    """New and changed entries of every feed that is followed, with a record of how each feed is."""
    feeds = subscriptions(context)
    known = known_feeds(context)
    yield from _unfollowed(feeds, known)
    states = {feed.key: _state(context, feed, known) for feed in feeds}
    due = [feed for feed in feeds if not states[feed.key].gone and states[feed.key].not_before <= context.now()]
    with Reading() as reading:
        yield from _crawled(context, reading, _from(due, cursor), states)
    if context.settings.get("keep_enclosures") is True:
        yield from enclosures(context)


def _crawled(
    context: Context, reading: Reading, due: list[Subscription], states: dict[str, State]
) -> Iterator[Message]:
    started, unreached, failed, done = context.now(), [], [], 0
    left = {feed.key for feed in due}
    jobs = [(_host(states[feed.key].url or feed.url), feed) for feed in due]
    for outcome in Crawl(jobs, partial(_visit, context, reading, states)):
        done += 1
        left.discard(outcome.feed.key)
        if outcome.error is not None:
            failed.append(outcome)
        if outcome.fetched.reached:
            yield from _rows(context, outcome)
        else:
            unreached.append(outcome)
        yield Progress(done, len(due))
        if context.now() - started > RUN_S_MAX and left:
            yield Cursor({"resume": next(feed.key for feed in due if feed.key in left)})
            yield Again(AGAIN_S)
            break
    else:
        yield Cursor({})
    if due and len(unreached) == done:
        # Not one server answered: it is our network that is away, and no feed is blamed for that.
        raise Offline(f"none of the feeds can be reached: {unreached[0].fetched.error}")
    for outcome in unreached:
        yield from _rows(context, outcome)
    if failed:
        yield Partial(_summary(failed, len(due)))


def _visit(context: Context, reading: Reading, states: dict[str, State], feed: Subscription) -> Outcome:
    """Fetch and read one feed; a fault of ours with it is told as such and spares the others."""
    state = states[feed.key]
    try:
        with context.new_session(body_bytes_max=FEED_BYTES_MAX, deadline_s=FETCH_S) as session:
            fetched = fetch(session, feed.url, state, now=context.now())
            found = _read(reading, fetched)
            named = _named(feed, found)
            if named is not None:
                # People type the address of a site: the feed that its page names is asked from then on.
                fetched = fetch(session, feed.url, State(url=named), now=context.now())
                found = _read(reading, fetched)
        return _outcome(feed, fetched, found)
    except LockerError as err:
        error = err
    except Exception as err:
        # The edge of a thread that reads what strangers wrote: whatever it is, it is one feed's.
        context.log.exception("a feed could not be read key=%s", feed.key)
        error = Broken(f"an unexpected {type(err).__name__} while reading it")
    return Outcome(feed=feed, fetched=Fetched(state=put_off(state, now=context.now(), asked_s=None), error=error))


def _read(reading: Reading, fetched: Fetched) -> Document | WebPage | None:
    if fetched.body is None:
        return None
    return reading.document(fetched.body, content_type=fetched.content_type, url=shown_url(fetched.url))


def _named(feed: Subscription, found: Document | WebPage | None) -> str | None:
    if not isinstance(found, WebPage) or not found.alternates:
        return None
    try:
        return clean_url(urljoin(feed.url, found.alternates[0]))
    except ValueError:
        return None


def _outcome(feed: Subscription, fetched: Fetched, found: Document | WebPage | None) -> Outcome:
    if found is None:
        return Outcome(feed=feed, fetched=fetched)
    if isinstance(found, WebPage):
        raise UserActionNeeded(
            "the address answers, but not with a feed", remedy="Look for the feed's own address on that page."
        )
    rows = puts(found, feed=feed.key, url=shown_url(fetched.url))
    return Outcome(feed=feed, fetched=fetched, document=found, entries=tuple(rows))


def _rows(context: Context, outcome: Outcome) -> Iterator[Message]:
    yield from outcome.entries
    yield from _feed_record(context, outcome)
    yield Cursor(msgspec.to_builtins(outcome.fetched.state), part=outcome.feed.key)


def _feed_record(context: Context, outcome: Outcome) -> Iterator[Put]:
    """How the feed is, where that is news: nothing is written for a feed that did not change."""
    feed, state, document, error = outcome.feed, outcome.fetched.state, outcome.document, outcome.error
    record = context.record("feed", feed.key)
    before: dict[str, Any] = {} if record is None else record.value
    if document is None and error is None and before.get("status") == "ok":
        return
    value: dict[str, Any] = {
        "key": feed.key,
        "url": shown_url(feed.url),
        "title": (document.title if document else before.get("title")) or feed.title or shown_url(feed.url),
        "link": (document.link if document else before.get("link")) or "",
        "format": (document.format if document else before.get("format")) or "",
        "status": "ok" if error is None else "gone" if state.gone else "failing",
        "notes": list(document.notes) if document else before.get("notes", []),
        "problem": None if error is None else {"type": error.code, "detail": error.detail, "remedy": error.remedy},
        "moved_to": shown_url(state.url) if state.url else None,
        "checked_at": context.now(),
    }
    yield Put(type="feed", key=feed.key, value=value, common=_shared(value))


def _shared(value: dict[str, Any]) -> dict[str, Any]:
    shared = {"title": value["title"], "link": value["link"]}
    return {name: text for name, text in shared.items() if text}


def _unfollowed(feeds: list[Subscription], known: dict[str, dict[str, Any]]) -> Iterator[Message]:
    followed = {feed.key for feed in feeds}
    for key, value in known.items():
        if key not in followed and value.get("status") != "unfollowed":
            changed = {**value, "status": "unfollowed", "problem": None}
            yield Put(type="feed", key=key, value=changed, common=_shared(changed))


def _state(context: Context, feed: Subscription, known: dict[str, dict[str, Any]]) -> State:
    if known.get(feed.key, {}).get("status") == "unfollowed":
        # Followed again: what was known of its absence counts no more.
        return State()
    return State.of(context.cursor(feed.key))


def _from(due: list[Subscription], cursor: Any) -> list[Subscription]:
    """The feeds in their order, beginning where a run that took too long left off."""
    resume = cursor.get("resume") if isinstance(cursor, dict) else None
    place = next((n for n, feed in enumerate(due) if feed.key == resume), 0)
    return due[place:] + due[:place]


def _summary(failed: list[Outcome], count: int) -> LockerError:
    first = failed[0]
    assert first.error is not None
    if len(failed) == 1 == count:
        return first.error
    return type(first.error)(f"{len(failed)} of {count} feeds: {first.error.detail}", remedy=first.error.remedy)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
