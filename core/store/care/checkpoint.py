"""The chain over the log: one row per thousand facts says what the log was up to there, so that no fact goes unseen.

A row's digest has two halves: the chained one, over the row before and its own facts, and that of its own facts
alone. So when retention removes facts, only the rows whose facts changed are reckoned anew from facts.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import apsw

from core.store.log.facts import SEQ_MAX

EVERY_FACTS = 1000

_HALF_BYTES = 32

LAST = "SELECT seq, facts, digest FROM checkpoint ORDER BY seq DESC LIMIT 1"
BEFORE = "SELECT seq, facts, digest FROM checkpoint WHERE seq < ? ORDER BY seq DESC LIMIT 1"
AFTER = "SELECT seq, facts, digest FROM checkpoint WHERE seq > ? ORDER BY seq LIMIT 1"
_ALL = "SELECT seq, facts, digest FROM checkpoint ORDER BY seq"
_PUT = """
    INSERT INTO checkpoint (seq, facts, digest) VALUES (?, ?, ?)
    ON CONFLICT (seq) DO UPDATE SET facts = excluded.facts, digest = excluded.digest
"""
_REMOVE = "DELETE FROM checkpoint WHERE seq = ?"
_DIGESTS = "SELECT seq, row_digest FROM fact WHERE seq > ? AND seq <= ? ORDER BY seq"


class Mark(NamedTuple):
    """What the log is up to `seq`: how many facts, the chained digest, and that of the facts since the mark before."""

    seq: int
    facts: int
    chain: bytes
    segment: bytes

    @property
    def digest(self) -> bytes:
        """Both digests, as they are kept."""
        return self.chain + self.segment

    def holds_after(self, before: Mark) -> bool:
        """Whether this mark is what `before` and its own segment make."""
        return self == _next(before, self.seq, facts=self.facts - before.facts, segment=self.segment)


ORIGIN = Mark(0, 0, bytes(_HALF_BYTES), bytes(_HALF_BYTES))


def mark_of(row: tuple[Any, ...]) -> Mark:
    """The mark in a row of this module's statements; raises ValueError for one that no store of ours wrote."""
    seq, facts, digest = row
    if (
        not isinstance(digest, bytes)
        or len(digest) != 2 * _HALF_BYTES
        or type(seq) is not int
        or type(facts) is not int
    ):
        raise ValueError("a checkpoint has a column it cannot have")
    return Mark(seq, facts, digest[:_HALF_BYTES], digest[_HALF_BYTES:])


def segment_of(digests: Iterable[bytes]) -> bytes:
    """The digest of some facts, by their rows' digests in order."""
    return hashlib.sha256(b"".join(digests)).digest()


class Chain:
    """The chain of an open store, kept by its writer within the transactions that add facts.

    It belongs to one connection; after a failed transaction it is dropped with it.
    """

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._last: Mark | None = None
        self._short: Mark | None = None  # A mark of few facts at the end, which the next one takes in.
        self._seq = 0
        self._pending: list[bytes] = []

    def add(self, seq: int, digests: Sequence[bytes]) -> None:
        """Take note of facts just written, by their rows' digests; `seq` is the last of them."""
        if self._last is None:
            self._catch_up()
        else:
            self._seq = seq
            self._pending.extend(digests)
        if len(self._pending) >= EVERY_FACTS:
            self._set_mark()

    def close(self) -> Mark:
        """Set a mark at the last fact, within a transaction of the caller; what the log is up to there."""
        if self._last is None:
            self._catch_up()
        if self._pending and (self._short is None or self._short.seq != self._seq):
            self._set_mark()
        return self._short or self._last or ORIGIN

    def renew(self, changed: Iterable[int]) -> Mark:
        """Reckon anew what covers the facts that changed or went, and set a mark at the last fact."""
        places = sorted(set(changed))
        before_old = before = ORIGIN
        renewed: list[tuple[int, int, bytes]] = []
        for old in [mark_of(row) for row in self._db.execute(_ALL)]:
            facts, segment = old.facts - before_old.facts, old.segment
            if bisect_right(places, before_old.seq) < bisect_right(places, old.seq):
                digests = [digest for _, digest in self._db.execute(_DIGESTS, (before_old.seq, old.seq))]
                facts, segment = len(digests), segment_of(digests)
            mark = _next(before, old.seq, facts=facts, segment=segment)
            if mark != old:
                renewed.append((mark.seq, mark.facts, mark.digest))
            before_old, before = old, mark
        self._db.executemany(_PUT, renewed)
        self._last, self._short, self._pending = None, None, []
        return self.close()

    def _catch_up(self) -> None:
        """Read what the log holds beyond its last full mark, marks that are missing set."""
        self._last = last = next((mark_of(row) for row in self._db.execute(LAST)), ORIGIN)
        before = next((mark_of(row) for row in self._db.execute(BEFORE, (last.seq,))), ORIGIN)
        if 0 < last.facts - before.facts < EVERY_FACTS:
            digests = [digest for _, digest in self._db.execute(_DIGESTS, (before.seq, last.seq))]
            # Where they are not those that were there, the mark stays, to tell.
            if len(digests) == last.facts - before.facts and segment_of(digests) == last.segment:
                self._last, self._short, self._seq, self._pending = before, last, last.seq, digests
        for seq, digest in self._db.execute(_DIGESTS, (last.seq, SEQ_MAX)):
            self._seq = seq
            self._pending.append(digest)
            if len(self._pending) >= EVERY_FACTS:
                self._set_mark()

    def _set_mark(self) -> None:
        if self._short is not None:
            self._db.execute(_REMOVE, (self._short.seq,))
        segment = segment_of(self._pending)
        mark = _next(self._last or ORIGIN, self._seq, facts=len(self._pending), segment=segment)
        self._db.execute(_PUT, (mark.seq, mark.facts, mark.digest))
        self._last, self._short, self._pending = mark, None, []


def _next(before: Mark, seq: int, *, facts: int, segment: bytes) -> Mark:
    total = before.facts + facts
    place = b"%d %d" % (seq, total)
    return Mark(seq, total, hashlib.sha256(before.chain + segment + place).digest(), segment)
