"""A store's log as JSON texts, ready to be put into replies and pushes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from core.netstore.facts import fact_text
from core.netstore.server.door import ServedStore

PAGE_FACTS = 1000


class Line(msgspec.Struct, frozen=True, gc=False):
    """One fact as text, with what it is chosen by."""

    seq: int
    type: str
    text: bytes


def lines_after(store: ServedStore, seq: int, *, limit: int, is_full: bool) -> list[Line]:
    """The facts that follow position `seq`, in order; only an empty answer means that there are no more."""
    return [
        Line(fact.seq, fact.type, fact_text(fact, is_full=is_full))
        for fact in store.facts(seq, limit=min(limit, PAGE_FACTS))
    ]


def lines_between(store: ServedStore, since: int, until: int, *, is_full: bool) -> Iterator[Line]:
    """All facts after `since` up to `until`, read in pages while they are asked for."""
    while since < until and (page := lines_after(store, since, limit=PAGE_FACTS, is_full=is_full)):
        since = page[-1].seq
        yield from page if since <= until else (line for line in page if line.seq <= until)
