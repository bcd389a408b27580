"""The stream of feeds: every feed that is due is asked, and what it says is kept.

An entry that a feed has stopped listing is not deleted: feeds show the newest few, the store keeps them all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from connectors.feeds.crawl import Crawl
from connectors.feeds.enclosures import enclosures
from connectors.feeds.entries import puts
from connectors.feeds.fetch import Fetched, State, interrupted, met, put_off
from connectors.feeds.identity import identified
from connectors.feeds.reading import Document, Reading, WebPage
from connectors.feeds.subscriptions import Subscription, known_feeds, shown_url, subscriptions
from connectors.feeds.summary import summary
from connectors.feeds.visit import Job, Visit, named_by, visit
from connectors.sdk import Again, Context, Cursor, Message, Note, Partial, Progress, Put, Unfit, stream
from core.model.errors import Broken, LockerError, Offline, UserActionNeeded

RUN_S_MAX = 600.0
AGAIN_S = 60.0
# A document of this size could cost the process its memory; the reading of a smaller one is not worth a mark on disk.
MARKED_BYTES_MIN = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one feed came to."""

    feed: Subscription
    fetched: Fetched
    document: Document | None = None

    @property
    def error(self) -> LockerError | None:
        """What went wrong with it."""
        return self.fetched.error


Taking = Generator[Message, None, Outcome | Job]


@dataclass
class Tally:
    """How far a run is: what is left to do, what could not be reached, what failed.

    `others` is how many failed before, which this run does not ask; `well` how many it need not ask.
    """

    left: set[str]
    others: int = 0
    well: int = 0
    done: int = 0
    unreached: list[Outcome] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)

    @property
    def is_nothing_read(self) -> bool:
        """Whether not one feed that is followed can be read."""
        return not self.left and not self.well and len(self.failed) == self.done + self.others

    def note(self, outcome: Outcome) -> None:
        """Count one feed as done."""
        self.done += 1
        self.left.discard(outcome.feed.key)
        if outcome.error is not None:
            self.failed.append(outcome)
        if not outcome.fetched.reached:
            self.unreached.append(outcome)


@stream("feeds")
def feeds(context: Context, cursor: Any) -> Iterator[Message]:
    """New and changed entries of every feed that is followed, with a record of how each feed is."""
    known = known_feeds(context)
    followed = subscriptions(context, known)
    yield from _unfollowed(followed, known)
    states = yield from _states(context, followed, known)
    broken_off = [_broken_off(context, feed, states[feed.key]) for feed in followed if states[feed.key].reading]
    now = context.now()
    due = [feed for feed in followed if states[feed.key].is_due(now=now, is_for_owner=context.is_for_owner)]
    asked = {feed.key for feed in due}
    for outcome in broken_off:
        yield Note(f"{shown_url(outcome.feed.url)}: {outcome.error}", level="warning")
        yield from _feed_rows(context, outcome)
    with Reading() as reading:
        waiting = [feed for feed in followed if feed.key not in asked and states[feed.key].not_before > now]
        failing = [*broken_off, *_left_alone(waiting, states, known)]
        left = {feed.key for feed in due}
        well = sum(_is_well(states[feed.key]) for feed in waiting)
        tally = Tally(left=left, failed=failing, others=len(failing), well=well)
        yield from _crawled(context, reading, _from(due, cursor), states, tally)
    if context.settings.get("keep_enclosures") is True:
        yield from enclosures(context)
    if not followed:
        raise UserActionNeeded(
            "No feed is followed yet.", remedy="Add an address in the settings, or import a list (OPML) on the page."
        )


def _crawled(
    context: Context, reading: Reading, due: list[Subscription], states: dict[str, State], tally: Tally
) -> Iterator[Message]:
    started = context.now()
    jobs = [Job(feed=feed, state=states[feed.key]) for feed in due]
    while jobs and not _is_late(context, started):
        pages: list[Job] = []
        for visited in Crawl([(job.host, job) for job in jobs], partial(visit, context)):
            outcome = yield from _visited(context, reading, visited)
            if isinstance(outcome, Job):
                # People type the address of a site: the feed that its page names is asked from then on.
                pages.append(outcome)
                continue
            tally.note(outcome)
            yield Progress(tally.done, len(due))
            if _is_late(context, started):
                break
        jobs = pages
    yield from _ended(context, due, tally)


def _ended(context: Context, due: list[Subscription], tally: Tally) -> Iterator[Message]:
    if tally.left:
        yield Cursor({"resume": next(feed.key for feed in due if feed.key in tally.left)})
        yield Again(AGAIN_S)
    else:
        yield Cursor({})
    if tally.unreached and len(tally.unreached) == tally.done:
        # Not one server answered: it is our network that is away, and no feed is blamed for that.
        offline = Offline(f"none of the feeds can be reached: {tally.unreached[0].error}")
        yield Partial(offline, is_all=True)
        raise offline
    for outcome in tally.unreached:
        yield from _feed_rows(context, outcome)
    if tally.failed:
        failures = [(shown_url(one.feed.url), one.error) for one in tally.failed if one.error is not None]
        yield Partial(summary(failures, tally.done + tally.others + tally.well), is_all=tally.is_nothing_read)


def _visited(context: Context, reading: Reading, visited: Visit) -> Taking:
    """Take in what one feed answered; where it is a web page that names a feed, the job of asking that one."""
    job, fetched = visited.job, visited.fetched
    with _marked(context, job, fetched):
        found, error = _read(context, reading, visited)
        if isinstance(found, WebPage):
            if (named := named_by(found, job)) is not None:
                return named
            error = UserActionNeeded(
                "the address answers, but not with a feed", remedy="Look for the feed's own address on that page."
            )
        outcome = Outcome(feed=job.feed, fetched=fetched)
        if isinstance(found, Document):
            outcome = yield from _entries(context, visited, found)
        elif error is not None and fetched.error is None:
            outcome = _failed(context, job, error)
        if outcome.fetched.reached:
            yield from _feed_rows(context, outcome)
    return outcome


@contextlib.contextmanager
def _marked(context: Context, job: Job, fetched: Fetched) -> Iterator[None]:
    """Remember on disk, for as long as a large document is read and taken in, that it is."""
    if fetched.body is None or len(fetched.body) < MARKED_BYTES_MIN:
        yield
        return
    state = msgspec.to_builtins(job.page or job.state)
    context.keep(job.feed.key, {**state, "reading": True})
    try:
        yield
    finally:
        # It came to an end, if only because the process was told to stop: the feed is not to blame for that.
        with contextlib.suppress(LockerError):
            if State.of(context.cursor(job.feed.key)).reading:
                context.keep(job.feed.key, state)


def _read(context: Context, reading: Reading, visited: Visit) -> tuple[Document | WebPage | None, LockerError | None]:
    fetched = visited.fetched
    if fetched.body is None:
        return None, None
    try:
        found = reading.document(fetched.body, content_type=fetched.content_type, url=shown_url(fetched.url))
    except LockerError as err:
        return None, err
    except Exception as err:
        return None, _unexpected(context, visited.job, err)
    return found, None


def _entries(context: Context, visited: Visit, document: Document) -> Generator[Message, None, Outcome]:
    """The entries of a document; what comes of it when one of them cannot be made a record."""
    job, fetched = visited.job, visited.fetched
    try:
        identities = identified(
            (*document.entries, *document.refused),
            feed=job.feed.key,
            shared=job.state.shared,
            stored=partial(_stored, context),
        )
        kept, refused = identities.keys[: len(document.entries)], identities.keys[len(document.entries) :]
        yield from puts(document, feed=job.feed.key, url=shown_url(fetched.url), keys=kept)
        for key, named in zip(refused, document.refused, strict=True):
            yield Unfit(type="entry", key=key, reason=named["reason"], value=named)
    except Exception as err:
        # What strangers wrote may break what we make of it: that is one feed's fault, and spares the others.
        return _failed(context, job, _unexpected(context, job, err))
    state = msgspec.structs.replace(fetched.state, shared=identities.shared)
    known = Fetched(state=state, url=fetched.url)
    return Outcome(feed=job.feed, fetched=known, document=document)


def _stored(context: Context, key: str) -> dict[str, Any] | None:
    record = context.record("entry", key)
    return None if record is None else record.value


def _failed(context: Context, job: Job, error: LockerError) -> Outcome:
    state = put_off(job.page or job.state, now=context.now(), asked_s=None)
    return Outcome(feed=job.feed, fetched=Fetched(state=state, error=error))


def _unexpected(context: Context, job: Job, error: Exception) -> LockerError:
    context.log.error("a feed could not be read key=%s", job.feed.key, exc_info=error)
    return Broken("Locker met something unexpected while reading it", remedy="See the service's log.")


def _broken_off(context: Context, feed: Subscription, state: State) -> Outcome:
    """A feed in whose reading the process ended: it waits, so that the others have their turn."""
    error = Broken(
        "Locker ended while it read this feed; it is read again later",
        remedy="Unsubscribe from it if that happens again.",
    )
    return Outcome(feed=feed, fetched=Fetched(state=interrupted(state, now=context.now()), error=error))


def _feed_rows(context: Context, outcome: Outcome) -> Iterator[Message]:
    yield from _feed_record(context, outcome)
    yield Cursor(msgspec.to_builtins(outcome.fetched.state), part=outcome.feed.key)


def _feed_record(context: Context, outcome: Outcome) -> Iterator[Put]:
    """How the feed is, where that is news: nothing is written for a feed that did not change."""
    feed, state, document, error = outcome.feed, outcome.fetched.state, outcome.document, outcome.error
    record = context.record("feed", feed.key)
    before: dict[str, Any] = {} if record is None else record.value
    moved_to = shown_url(state.url) if state.url else None
    if document is None and error is None and (before.get("status"), before.get("moved_to")) == ("ok", moved_to):
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
        "moved_to": moved_to,
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


def _states(
    context: Context, followed: list[Subscription], known: dict[str, dict[str, Any]]
) -> Generator[Message, None, dict[str, State]]:
    """What is remembered of each feed; where that cannot be read, the owner is told, and it is asked anew."""
    states = {}
    for feed in followed:
        try:
            state = State.of(context.cursor(feed.key))
        except Broken as err:
            yield Note(f"{shown_url(feed.url)}: {err}", level="warning")
            state = State()
        if known.get(feed.key, {}).get("status") == "unfollowed":
            # Followed again: what was known of its absence counts no more.
            state = state.anew()
        states[feed.key] = state
    return states


def _left_alone(
    waiting: list[Subscription], states: dict[str, State], known: dict[str, dict[str, Any]]
) -> Iterator[Outcome]:
    """Those that failed of the feeds whose next turn has not come, each with what it met: they fail still."""
    for feed in waiting:
        state, problem = states[feed.key], known.get(feed.key, {}).get("problem")
        if problem and state.failures and not (state.gone or state.reading):
            yield Outcome(feed=feed, fetched=Fetched(state=state, error=met(problem)))


def _is_well(state: State) -> bool:
    return not (state.failures or state.gone or state.reading)


def _is_late(context: Context, started: float) -> bool:
    return context.now() - started > RUN_S_MAX


def _from(due: list[Subscription], cursor: Any) -> list[Subscription]:
    """The feeds in their order, beginning where a run that took too long left off."""
    resume = cursor.get("resume") if isinstance(cursor, dict) else None
    place = next((n for n, feed in enumerate(due) if feed.key == resume), 0)
    return due[place:] + due[:place]
