"""One search over all services: their hits merged by how well they fit, a page at a time."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import islice

import msgspec

from core.library.links import link_of
from core.library.shelves import Shelf, Shelves, Skipped
from core.model.errors import BadRequest
from core.store import AtTime, Found, Hit, Marked, Search, parse_query, place_of, word_of

HITS_MAX = 200
# The `after` of a page says for each service how far it was shown, so it grows with their number.
AFTER_LETTERS_MAX = 64 * 1024


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was found: where it is, when it speaks of, and why it was found."""

    service: str
    type: str
    key: str
    seq: int
    at: float
    rank: float
    title: Marked
    snippet: Marked
    link: str | None


class Matches(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what was found, the best first; `next` is the `after` of the following page, None at the end.

    `counts` are the records found, by service and type, as far as they were counted: with `is_capped` there may be
    more. `is_cut` says that the query was longer than is looked at. `skipped` are the services whose stores could not
    be read.
    """

    matches: Sequence[Match]
    next: str | None
    counts: Mapping[str, Mapping[str, int]]
    is_capped: bool
    is_cut: bool
    skipped: Sequence[Skipped]

    @property
    def count(self) -> int:
        """How many records were found, as far as they were counted."""
        return sum(sum(types.values()) for types in self.counts.values())


class _Places(msgspec.Struct, frozen=True, array_like=True, tag="library"):
    """How far each service was shown: the `after` of its own next page, or None where it has no more."""

    shown: dict[str, str | None]


class Finder:
    """Searches over all stores."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves

    def find(
        self,
        text: str,
        *,
        services: Sequence[str] = (),
        types: Sequence[str] = (),
        as_of: float | None = None,
        limit: int,
        after: str | None = None,
    ) -> Matches:
        """The best `limit` records for `text`, after those of the page that gave `after`.

        Only these services and types where some are named; with `as_of` as everything was known at that time.
        """
        if not 1 <= limit <= HITS_MAX:
            raise BadRequest(f"limit is {limit}", remedy=f"Ask for 1 to {HITS_MAX}.")
        wanted = parse_query(text)
        shown = _shown(after)
        moment = None if as_of is None else AtTime(as_of)

        def search(shelf: Shelf) -> Found | None:
            if shelf.service in shown and shown[shelf.service] is None:
                return None
            found = Search(shelf.reader.rows, shelf.types, wanted, only=types, as_of=moment)
            return found.page(limit=limit, after=shown.get(shelf.service))

        answers = self._shelves.ask(search, services=services)
        pages = {shelf.service: page for shelf, page in answers.given if page is not None}
        ranked = heapq.merge(*(_of(service, page) for service, page in pages.items()), key=_worth, reverse=True)
        hits = list(islice(ranked, limit))
        for service, page in pages.items():
            shown.update(_progress(service, page, [hit for hit, of in hits if of == service]))
        has_more = any(shown.get(service, "") is not None for service in pages)
        return Matches(
            matches=[_match(hit, service) for hit, service in hits],
            next=word_of(_Places(shown)) if has_more else None,
            counts={service: page.types for service, page in pages.items() if page.types},
            is_capped=any(page.is_capped for page in pages.values()),
            is_cut=wanted.is_cut,
            skipped=answers.skipped,
        )


def _shown(after: str | None) -> dict[str, str | None]:
    if after is None:
        return {}
    if len(after) > AFTER_LETTERS_MAX:
        raise BadRequest("after is no page's end in this order", remedy="Use the next of the page before.")
    return dict(place_of(after, _Places).shown)


def _progress(service: str, page: Found, taken: Sequence[Hit]) -> dict[str, str | None]:
    """Where the service goes on: behind its page, behind the last of its hits that was shown, or where it was."""
    if len(taken) == len(page.hits):
        return {service: page.next}
    return {service: taken[-1].after} if taken else {}


def _of(service: str, page: Found) -> list[tuple[Hit, str]]:
    return [(hit, service) for hit in page.hits]


def _worth(found: tuple[Hit, str]) -> float:
    return found[0].rank


def _match(hit: Hit, service: str) -> Match:
    return Match(
        service=service,
        type=hit.type,
        key=hit.key,
        seq=hit.seq,
        at=hit.at,
        rank=hit.rank,
        title=hit.title if hit.title.text else Marked(hit.key),
        snippet=hit.rest,
        link=link_of(hit.common),
    )
