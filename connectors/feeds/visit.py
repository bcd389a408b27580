"""Asking for one feed, on a thread of the crawl: what came is read elsewhere, one document at a time."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import msgspec

from connectors.feeds.fetch import Fetched, State, fetch, put_off
from connectors.feeds.reading import WebPage
from connectors.feeds.subscriptions import Subscription, clean_url
from connectors.sdk import Context
from core.model.errors import Broken

FEED_BYTES_MAX = 16 * 1024 * 1024
FETCH_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """A feed to be asked, and what is remembered of it; `page` is the state of a web page that named the address."""

    feed: Subscription
    state: State
    page: State | None = None

    @property
    def host(self) -> str:
        """The server that will be asked."""
        return urlsplit(self.state.url or self.feed.url).netloc.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A feed that was asked."""

    job: Job
    fetched: Fetched


def visit(context: Context, job: Job) -> Visit:
    """Ask for a feed; a fault of ours with it is told as such and spares the others."""
    try:
        with context.new_session(body_bytes_max=FEED_BYTES_MAX, deadline_s=FETCH_S) as session:
            fetched = fetch(session, job.feed.url, job.state, now=context.now())
    except Exception:
        # The edge of a thread that hears what strangers say: whatever it is, it is one feed's.
        context.log.exception("a feed could not be asked key=%s", job.feed.key)
        error = Broken("Locker met something unexpected while asking for it", remedy="See the service's log.")
        fetched = Fetched(state=job.state, error=error)
    if fetched.error is not None and job.page is not None:
        # What a page names is believed when it has answered once.
        fetched = _back_at(job.page, fetched, now=context.now())
    return Visit(job=job, fetched=fetched)


def named_by(page: WebPage, job: Job) -> Job | None:
    """The job of asking what a web page names as its feed; None where it names none, or was itself named by a page."""
    if job.page is not None or not page.alternates:
        return None
    try:
        url = clean_url(urljoin(job.state.url or job.feed.url, page.alternates[0]))
    except ValueError:
        return None
    return None if url is None else Job(feed=job.feed, state=job.state.anew(url=url), page=job.state)


def _back_at(page: State, fetched: Fetched, *, now: float) -> Fetched:
    asked_s = fetched.error.retry_after_s if fetched.error is not None else None
    return Fetched(
        state=msgspec.structs.replace(put_off(page, now=now, asked_s=asked_s), reading=False),
        error=fetched.error,
        reached=fetched.reached,
    )
