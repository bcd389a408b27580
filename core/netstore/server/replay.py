"""Ops that read the log: all of it in one reply, a page of it, or all that comes from here on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec

from core.model.errors import BadRequest, BodyTooLarge, CursorTooOld, CursorUnknown, FactDamaged
from core.netstore import protocol
from core.netstore.limits import HEARTBEAT_S_MAX, HEARTBEAT_S_MIN, REPLAY_FACTS_MAX, STORES_MAX
from core.netstore.server.call import Answer, Call, Follow, LongReply
from core.netstore.server.door import ServedStore
from core.netstore.server.log import PAGE_FACTS, lines_after, lines_between
from core.netstore.server.tail import oldest_of

PAGE_BYTES_MAX = 16 * 1024 * 1024
SCANNED_FACTS_MAX = 50_000
_HELD_BYTES_MAX = 16 * 1024 * 1024
_WHOLE_START, _WHOLE_END = b'{"ok":true,"facts":[', b"]}"
_PAGING = ("since", "limit", "stores", "until")


class _Replay(msgspec.Struct):
    since: Any = None
    until: Any = None
    limit: int = REPLAY_FACTS_MAX
    stores: list[str] = []
    full: bool = False


class _Subscribe(msgspec.Struct):
    stores: list[str] = []
    cursor: Any = None
    heartbeat_s: float | None = None


def replay(call: Call) -> Answer:
    """The log up to where it stands now: whole for who does not page, else a page of it."""
    asked = protocol.params(call.request, _Replay)
    if not any(name in call.request for name in _PAGING):
        return _whole(call, is_full=asked.full)
    return _page(call, asked)


def subscribe(call: Call) -> Answer:
    """From here on this connection is told of facts."""
    asked = protocol.params(call.request, _Subscribe)
    types = _types(asked.stores)
    store = call.store
    tail = call.desk.tail_of(store)
    head = store.head()
    since = head
    if asked.cursor is not None:
        since = _position(store, asked.cursor)
    beat_s = asked.heartbeat_s
    if beat_s is not None:
        beat_s = min(max(beat_s, HEARTBEAT_S_MIN), HEARTBEAT_S_MAX)
    return Follow(
        tail=tail,
        types=types,
        since=since,
        head=head,
        heartbeat_s=beat_s,
        catches_up=asked.cursor is not None,
    )


def _page(call: Call, asked: _Replay) -> bytes:
    store, types = call.store, _types(asked.stores)
    if not 1 <= asked.limit <= REPLAY_FACTS_MAX:
        raise BadRequest(f"limit is {asked.limit}, allowed are 1 to {REPLAY_FACTS_MAX}.")
    epoch, head = store.epoch(), store.head()
    end = head if asked.until is None else _known_place(store, asked.until, head=head)
    place = 0 if asked.since is None else _position(store, asked.since)
    texts: list[bytes] = []
    size = scanned = 0
    while place < end and len(texts) < asked.limit and size < PAGE_BYTES_MAX and scanned < SCANNED_FACTS_MAX:
        wanted = PAGE_FACTS if types else min(PAGE_FACTS, asked.limit - len(texts))
        try:
            lines = lines_after(store, place, limit=wanted, is_full=asked.full)
        except FactDamaged:
            if not texts:
                raise
            break  # What is good comes first; the next page begins with what is not.
        if not lines:
            place = end
        for line in lines:
            if line.seq > end or len(texts) == asked.limit:
                break
            place, scanned = line.seq, scanned + 1
            if not types or line.type in types:
                texts.append(line.text)
                size += len(line.text)
        if lines and lines[-1].seq > end:
            place = max(place, end) if len(texts) < asked.limit else place
    call.counts.facts_replayed += len(texts)
    following = {"store_epoch": epoch, "seq": place} if place < end else None
    return protocol.spliced({"ok": True}, "facts", texts, {"next": following, "head": head, "store_epoch": epoch})


def _whole(call: Call, *, is_full: bool) -> Answer:
    """Everything up to now in one frame: held where it is small, else read twice, to know its length first."""
    store, limit = call.store, call.desk.limits.reply_bytes_max
    head = store.head()
    held: list[bytes] = []
    length, count, held_to, holds = len(_WHOLE_START) + len(_WHOLE_END), 0, 0, True
    for line in lines_between(store, 0, head, is_full=is_full):
        length += len(line.text) + (count > 0)
        count += 1
        if length > limit:
            raise BodyTooLarge(f"The whole log is more than {limit} bytes; replay it in pages, with limit and since.")
        if holds := holds and length <= _HELD_BYTES_MAX:
            held.append(line.text)
            held_to = line.seq
    call.counts.facts_replayed += count
    body = b"".join((_WHOLE_START, b",".join(held)))
    if holds:
        return body + _WHOLE_END
    rest = lines_between(store, held_to, head, is_full=is_full)
    tail = protocol.with_request_id(b"{}", call.request)[1:]
    texts = (b"," + line.text for line in rest) if held else _listed(line.text for line in rest)
    pieces = itertools.chain((body,), _pieces(texts), (b"]", tail))
    return LongReply(length - len(_WHOLE_END) + 1 + len(tail), pieces)


def _listed(texts: Iterator[bytes]) -> Iterator[bytes]:
    """The texts with commas between them."""
    yield next(texts)
    for text in texts:
        yield b"," + text


def _pieces(texts: Iterator[bytes]) -> Iterator[bytes]:
    """The texts, joined so that each piece is worth a call."""
    while batch := list(itertools.islice(texts, PAGE_FACTS)):
        yield b"".join(batch)


def _types(stores: list[str]) -> frozenset[str]:
    if len(stores) > STORES_MAX:
        raise BadRequest(f"{len(stores)} stores, allowed are {STORES_MAX}.")
    return frozenset(stores)


def _known_place(store: ServedStore, cursor: object, *, head: int) -> int:
    place = protocol.cursor_of(cursor, epoch=store.epoch())
    if place > head:
        raise CursorUnknown("The cursor is ahead of this store's log.")
    return place


def _position(store: ServedStore, cursor: object) -> int:
    """The position a cursor names; raises CursorTooOld below what is retained, CursorUnknown where it cannot be."""
    place = _known_place(store, cursor, head=store.head())
    oldest = oldest_of(store)
    if place < oldest and not (place == 0 and isinstance(cursor, int)):
        raise CursorTooOld(f"Facts up to {oldest} are not retained.", floor=oldest)
    return place
