"""Ops that read what is known: one record, its life, records that fit, words, where a fact comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from core.model.errors import NotFound
from core.model.fact import Fact, Record
from core.model.filter import Path
from core.netstore import protocol
from core.netstore.asked import filter_of, moment
from core.netstore.facts import fact_text
from core.netstore.server.call import Answer, Call
from core.store import FactPage, Found, Page

LIMIT_DEFAULT = 100
SEARCH_LIMIT_DEFAULT = 20
LINEAGE_FACTS_MAX = 1000


class _Read(msgspec.Struct):
    store: str
    key: str
    as_of: Any = None
    full: bool = False


class _History(msgspec.Struct):
    store: str
    key: str
    since: int = 0
    as_of: Any = None
    limit: int = LIMIT_DEFAULT
    after: str | None = None
    valid_from: float | None = None
    valid_to: float | None = None
    full: bool = False


class _Query(msgspec.Struct):
    store: str
    where: Any = None
    order: str = "key"
    limit: int = LIMIT_DEFAULT
    after: str | None = msgspec.field(default=None, name="cursor")
    as_of: Any = None


class _Records(_Query):
    # Named here: a field that is inherited keeps the name it came with.
    after: str | None = msgspec.field(default=None, name="after")
    fields: list[Path] = []


class _Search(msgspec.Struct):
    q: str
    stores: list[str] = []
    limit: int = SEARCH_LIMIT_DEFAULT
    cursor: str | None = None
    as_of: Any = None
    full: bool = False


class _Lineage(msgspec.Struct):
    fact_id: str


def read(call: Call) -> Answer:
    """A record as it stands, or stood: whether there is one, its value, and the fact that says so."""
    asked = protocol.params(call.request, _Read)
    record: Record | None = call.ask("record", asked.store, asked.key, as_of=moment(asked.as_of))
    if record is None:
        return protocol.success({"found": False, "value": None, "fact": None})
    if asked.full:
        return protocol.success({"found": True, "record": record})
    fact = fact_at(call, record.seq)
    return protocol.success({"found": True, "value": record.value, "fact": msgspec.Raw(fact_text(fact, is_full=False))})


def history(call: Call) -> Answer:
    """The facts of a record, newest first: after `since`, up to `as_of`; valid times from and to inclusive."""
    asked = protocol.params(call.request, _History)
    page: FactPage = call.ask(
        "history", asked.store, asked.key, limit=asked.limit, after=asked.after, as_of=moment(asked.as_of)
    )
    found = [fact for fact in page.facts if fact.seq > asked.since]
    following = page.next if len(found) == len(page.facts) else None
    texts = [fact_text(fact, is_full=asked.full) for fact in found if _is_valid_within(fact, asked)]
    return protocol.spliced({"ok": True}, "facts", texts, {"next": following})


def query(call: Call) -> Answer:
    """Records that fit, in an order; a page may end early, even empty, where no index serves: `next` goes on."""
    page = _page(call, protocol.params(call.request, _Query))
    items = [{"key": record.key, "value": record.value, "seq": record.seq} for record in page.records]
    return protocol.success({"items": items, "next": page.next})


def records(call: Call) -> Answer:
    """The same as the store's own method gives it: whole records, or the fields asked for."""
    asked = protocol.params(call.request, _Records)
    page = _page(call, asked, fields=asked.fields)
    return protocol.success({"records": page.records, "next": page.next})


def search(call: Call) -> Answer:
    """Records by their words, the best first; `indexed_seq` says how far the index has come."""
    asked = protocol.params(call.request, _Search)
    found: Found = call.ask(
        "search", asked.q, types=asked.stores, limit=asked.limit, after=asked.cursor, as_of=moment(asked.as_of)
    )
    if asked.full:
        return protocol.success({"found": found})
    hits = [
        {
            "store": hit.type,
            "key": hit.key,
            "seq": hit.seq,
            "snippet": hit.snippet.text or hit.title.text,
            "rank": hit.rank,
        }
        for hit in found.hits
    ]
    reached = call.store.storage_status().indexed_seq
    return protocol.success({"hits": hits, "next": found.next, "indexed_seq": reached})


def lineage(call: Call) -> Answer:
    """What a fact follows, oldest first, itself last; the digest tells whether two devices know the same chain."""
    asked = protocol.params(call.request, _Lineage)
    fact: Fact | None = call.ask("fact", asked.fact_id)
    if fact is None:
        raise NotFound(f"There is no fact {asked.fact_id!r:.80}.")
    chain = [fact]
    while chain[-1].causation is not None and len(chain) < LINEAGE_FACTS_MAX:
        parent = call.ask("fact", chain[-1].causation)
        if parent is None or parent.seq >= chain[-1].seq:
            break
        chain.append(parent)
    chain.reverse()
    digest = hashlib.sha256()
    for one in chain:
        digest.update(f"{one.id}:{one.value_hash}:{one.causation or ''}\n".encode())
    is_whole = chain[0].causation is None
    return protocol.spliced(
        {"ok": True},
        "chain",
        [fact_text(one, is_full=False) for one in chain],
        {"digest": digest.hexdigest(), "complete": is_whole},
    )


def _page(call: Call, asked: _Query, *, fields: Sequence[Path] = ()) -> Page:
    page: Page = call.ask(
        "records",
        asked.store,
        limit=asked.limit,
        after=asked.after,
        order=asked.order,
        where=filter_of(asked.where),
        as_of=moment(asked.as_of),
        fields=fields,
    )
    return page


def fact_at(call: Call, seq: int) -> Fact:
    """The fact at this position; raises NotFound where there is none any more."""
    found = call.store.facts(seq - 1, limit=1)
    if not found or found[0].seq != seq:
        raise NotFound("There is no fact at this position.")
    return found[0]


def _is_valid_within(fact: Fact, asked: _History) -> bool:
    if asked.valid_from is None and asked.valid_to is None:
        return True
    if fact.valid_time is None:
        return False
    return (asked.valid_from is None or fact.valid_time >= asked.valid_from) and (
        asked.valid_to is None or fact.valid_time <= asked.valid_to
    )
