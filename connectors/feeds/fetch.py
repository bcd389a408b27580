"""Fetching one feed: politely, only when it changed, and never trusting what comes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec
import requests

from connectors.sdk import AnswerTooLarge, Session, retry_after_s, why_unanswered
from core.model.errors import (
    Broken,
    Forbidden,
    LockerError,
    NotFound,
    Offline,
    RateLimited,
    Reauthorise,
    Retry,
    UserActionNeeded,
)

ACCEPT = (
    "application/atom+xml, application/rss+xml, application/feed+json, application/rdf+xml;q=0.9, "
    "application/xml;q=0.8, text/xml;q=0.8, application/json;q=0.7, */*;q=0.1"
)
BACKOFF_FIRST_S = 3600.0
BACKOFF_MAX_S = 7 * 86400.0
RETRY_AFTER_MAX_S = 7 * 86400.0
# What a server asks for binds the owner's own request too, for as long as that is a sign of load and not of a ban.
RETRY_AFTER_OWNER_S = 86400.0

_PERMANENT = (301, 308)
_KINDS = {kind.code: kind for kind in (Broken, NotFound, Offline, RateLimited, Reauthorise, Retry, UserActionNeeded)}


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of a feed from one fetch to the next; kept as a part of the stream's cursor.

    `url` is where it moved for good; `digest` names the body that was read last; until `not_before` it is left alone,
    and until `asked_until`, for as long as its server asked for, when the owner wants it now as well.
    `reading` stands while a large body is being read, so that a feed whose reading ended the process is known by it;
    `shared` are the guids that more than one of its entries claims.
    """

    etag: str = ""
    modified: str = ""
    digest: str = ""
    url: str = ""
    gone: bool = False
    failures: int = 0
    not_before: float = 0.0
    asked_until: float = 0.0
    reading: bool = False
    shared: tuple[str, ...] = ()

    @classmethod
    def of(cls, cursor: object) -> State:
        """The state that was kept, a fresh one when there is none; raises Broken when it cannot be read."""
        try:
            return msgspec.convert(cursor, cls) if cursor is not None else cls()
        except msgspec.ValidationError as err:
            raise Broken(
                "what was remembered of this feed cannot be read; it is asked as if for the first time"
            ) from err

    def is_due(self, *, now: float, is_for_owner: bool) -> bool:
        """Whether the feed may be asked now; the owner need not wait for what is our own caution."""
        return not self.gone and not self.reading and (self.asked_until if is_for_owner else self.not_before) <= now

    def anew(self, *, url: str = "") -> State:
        """The state of a feed of which nothing is known but its entries, asked at `url` from now on."""
        return State(url=url, shared=self.shared)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What fetching came to: a new `body`, or an `error`, or neither when nothing changed; and the next state."""

    state: State
    url: str = ""
    body: bytes | None = None
    content_type: str = ""
    error: LockerError | None = None
    reached: bool = True


def fetch(session: Session, url: str, state: State, *, now: float) -> Fetched:
    """Ask for the feed at `url` (or where it moved); never raises what a server can cause."""
    address = state.url or url
    headers = {"Accept": ACCEPT}
    if state.etag:
        headers["If-None-Match"] = state.etag
    if state.modified:
        headers["If-Modified-Since"] = state.modified
    try:
        answer = session.get(address, headers=headers)
    except (LockerError, requests.RequestException, UnicodeError, ValueError) as err:
        error = _fault(err, _host(address))
        return _failed(state, error, now=now, reached=not isinstance(error, Offline))
    return _understood(answer, state, url, now=now)


def _understood(answer: requests.Response, state: State, url: str, *, now: float) -> Fetched:
    if answer.status_code == 304:
        moved = _moved_to(answer, state, url)
        same = msgspec.structs.replace(state, failures=0, not_before=0.0, asked_until=0.0, url=moved)
        return Fetched(state=same, url=answer.url)
    if answer.status_code == 410:
        error: LockerError = NotFound("the feed is gone for good, says its server", remedy="Unsubscribe from it.")
        return Fetched(state=State(gone=True, url=state.url, shared=state.shared), url=answer.url, error=error)
    if answer.status_code != 200:
        return _failed(state, _refusal(answer, now), now=now)
    digest = hashlib.sha256(answer.content).hexdigest()[:32]
    fresh = State(
        etag=answer.headers.get("ETag", "")[:1024],
        modified=answer.headers.get("Last-Modified", "")[:100],
        digest=digest,
        url=_moved_to(answer, state, url),
        shared=state.shared,
    )
    body = None if digest == state.digest else answer.content
    return Fetched(state=fresh, url=answer.url, body=body, content_type=answer.headers.get("Content-Type", ""))


def put_off(state: State, *, now: float, asked_s: float | None) -> State:
    """The state after a failure: as long as the server asked, and longer the more often it failed."""
    failures = state.failures + 1
    ceiling_s = min(BACKOFF_FIRST_S * (1 << min(failures - 1, 12)), BACKOFF_MAX_S)
    wait_s = ceiling_s * random.uniform(0.5, 1.0) if failures > 1 else 0.0  # noqa: S311  # spreads load, no secret
    wait_s = max(wait_s, min(asked_s or 0.0, RETRY_AFTER_MAX_S))
    return msgspec.structs.replace(
        state,
        failures=failures,
        not_before=now + wait_s if wait_s else 0.0,
        asked_until=now + min(asked_s, RETRY_AFTER_OWNER_S) if asked_s else 0.0,
    )


def met(problem: Mapping[str, Any]) -> LockerError:
    """The problem that a feed's record tells, as the error that it was: what helps follows from its class."""
    kind = _KINDS.get(str(problem.get("type")), Retry)
    return kind(str(problem.get("detail")), remedy=str(problem.get("remedy")))


def interrupted(state: State, *, now: float) -> State:
    """The state of a feed whose reading never came to its end: left alone for a while, longer each time."""
    begun = msgspec.structs.replace(state, reading=False, failures=max(state.failures, 1))
    return put_off(begun, now=now, asked_s=None)


def _failed(state: State, error: LockerError, *, now: float, reached: bool = True) -> Fetched:
    later = put_off(state, now=now, asked_s=error.retry_after_s)
    return Fetched(state=later, error=error, reached=reached)


def _fault(error: Exception, host: str) -> LockerError:
    """What kept an answer from coming, as the owner should read it."""
    if isinstance(error, Forbidden):
        return UserActionNeeded(error.detail, remedy=error.remedy)
    if isinstance(error, LockerError):
        return error
    if isinstance(error, AnswerTooLarge):
        return Broken(f"{host}: {error}", remedy="Unsubscribe from it.")
    if isinstance(error, requests.exceptions.InvalidURL):
        return Broken(f"the address cannot be fetched: {error}", remedy="Correct the address.")
    if isinstance(error, requests.TooManyRedirects):
        return Broken(f"{host} redirects in circles", remedy="Look for the feed's new address.")
    if isinstance(error, (requests.exceptions.ContentDecodingError, requests.exceptions.ChunkedEncodingError)):
        return Retry(f"{host}: the answer broke off or is damaged")
    return Offline(f"{host} did not answer: {why_unanswered(error)}")


def _refusal(answer: requests.Response, now: float) -> LockerError:
    host, status = _host(answer.url), answer.status_code
    asked_s = retry_after_s(answer.headers, now=now)
    if status == 429:
        return RateLimited(f"{host} asked for fewer requests", retry_after_s=asked_s)
    if status in (401, 403):
        return UserActionNeeded(f"{host} does not give this feed to us ({status})", remedy="Check its address.")
    if status == 404:
        return NotFound(f"{host} has nothing at this address", remedy="Look for the feed's new address.")
    return Retry(f"{host} answered {status}", retry_after_s=asked_s)


def _moved_to(answer: requests.Response, state: State, url: str) -> str:
    """Where the feed is from now on: as far as the redirects said "for good"; the first that did not ends it."""
    address = state.url or url
    for hop in answer.history:
        if hop.status_code not in _PERMANENT:
            break
        address = urljoin(hop.url, hop.headers.get("Location", ""))
    return "" if address == url or len(address) > 2048 else address


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "the address"
    except ValueError:
        return "the address"
