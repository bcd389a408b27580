"""Finding records by their words: those of today, or as they stood at some position or time.

Of very many matches only a bounded number is ranked at once: the 500 that were recorded last, then the 500 before,
and so on as pages are turned. So the most frequent word is found as quickly as a rare one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from core.model.errors import BadRequest, FileDamaged
from core.model.fact import JsonObject, Record
from core.model.manifest import TypeSpec, spec_of
from core.store.asking.asof import AsOf, AtSeq, settled
from core.store.log.facts import KNOWN_AT, SEQ_MAX, object_of
from core.store.log.fold import common_of
from core.store.pages import place_of, word_of
from core.store.rows import BoundedRows
from core.store.words.snippet import Marked, Marker, beginning
from core.store.words.text import Reading, type_mark
from core.store.words.wanted import Wanted, expression

HITS_MAX = 200
RANKED_MAX = 500
EXAMINED_MAX = 20 * RANKED_MAX
TEXT_BYTES_MAX = 8 * 1024 * 1024

_TYPES = "SELECT id, name FROM type"
_MATCHES = """
    SELECT rowid AS seq, relevance(text, ?1) AS score FROM text WHERE text MATCH ?2 AND rowid <= ?3
    ORDER BY rowid DESC LIMIT ?4
"""
# Which of some versions count: only these are answered.
_CURRENT = """
    SELECT f.seq, f.type, f.key, c.at FROM json_each(?1) m CROSS JOIN fact f ON f.seq = m.value
    CROSS JOIN current c ON c.type = f.type AND c.key = f.key AND c.seq = f.seq
"""
_THEN = """
    SELECT f.seq, f.type, f.key, coalesce(c.at, p.at) FROM json_each(?1) m CROSS JOIN fact f ON f.seq = m.value
    LEFT JOIN current c ON c.type = f.type AND c.key = f.key AND c.seq = f.seq
    LEFT JOIN past p ON p.type = f.type AND p.key = f.key AND p.seq = f.seq
    WHERE {known} AND (c.seq IS NOT NULL OR {lasted})
"""
_AT_SEQ = _THEN.format(known="f.seq <= ?2", lasted="p.until_seq > ?2")
_AT_TIME = _THEN.format(known=f"{KNOWN_AT} <= ?2", lasted="p.until_known > ?2")
_TEXTS = "SELECT f.value, f.common, f.seq FROM json_each(?) j CROSS JOIN fact f ON f.seq = j.value"
_RANKED_SHAPE = (int, float)
_SHAPE = (int, int, str, float)


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was found; `rank` is higher for a better fit, `after` leads on from it."""

    type: str
    key: str
    seq: int
    at: float
    rank: float
    title: Marked
    snippet: Marked
    value: JsonObject
    common: JsonObject
    after: str

    @property
    def rest(self) -> Marked:
        """The snippet without what the title says already."""
        return self.snippet.after(self.title.text)

    @property
    def record(self) -> Record:
        """The record as it is found: this version of it counts."""
        return Record(type=self.type, key=self.key, value=self.value, common=self.common, at=self.at, seq=self.seq)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The hits of one page, the best first; `next` is the `after` of the following page, None at the end.

    `types` counts the records found of each type among those that were ranked together with this page's, if that was
    asked for; `is_capped` says that there may be more than these.
    """

    hits: list[Hit]
    next: str | None
    types: Mapping[str, int]
    is_capped: bool

    @property
    def count(self) -> int:
        """How many records were found, as far as they were counted."""
        return sum(self.types.values())


class _Place(msgspec.Struct, frozen=True, array_like=True, tag="search"):
    """The last position of the matches that are ranked together, and of them the last hit shown."""

    top: int
    rank: float | None = None
    seq: int = 0


class _Worth(NamedTuple):
    """How a match stands to the others that are ranked with it: the greater first."""

    rank: float
    seq: int


class _Match(NamedTuple):
    worth: _Worth
    type: int
    key: str
    at: float


class Search:
    """One search in one store, a page at a time."""

    def __init__(
        self,
        rows: BoundedRows,
        types: Mapping[str, TypeSpec],
        wanted: Wanted,
        *,
        only: Sequence[str] = (),
        as_of: AsOf | None = None,
        is_counted: bool = True,
    ) -> None:
        """`is_counted` asks for `Found.types`, for which every match that is ranked has to be looked at."""
        self._rows = rows
        self._is_counted = is_counted
        self._specs = types
        self._wanted = wanted
        self._as_of = settled(rows, as_of, only)
        self._names: dict[int, str] = dict(rows(_TYPES))
        numbers = [number for number, name in self._names.items() if name in only]
        self._is_vain = wanted.is_empty or (bool(only) and not numbers)
        self._expression = "" if self._is_vain else expression(wanted, marks=tuple(map(type_mark, numbers)))

    def page(self, *, limit: int, after: str | None = None) -> Found:
        """The best `limit` hits, 200 at most, after those of the page that gave `after`.

        A page may hold fewer hits than its limit, even none, where `next` leads on: of each group of matches that
        are ranked together only those that count are hits.
        """
        if not 1 <= limit <= HITS_MAX:
            raise BadRequest(f"limit is {limit}", remedy=f"Ask for 1 to {HITS_MAX}.")
        place = self._first() if after is None else place_of(after, _Place)
        if self._is_vain:
            return Found(hits=[], next=None, types={}, is_capped=False)
        try:
            return self._page(place, limit)
        except (msgspec.MsgspecError, ValueError, TypeError, KeyError, RecursionError) as err:
            raise FileDamaged("the store holds a row that cannot be read") from err

    def _page(self, place: _Place, limit: int) -> Found:
        examined = 0
        while True:
            ranked = self._ranked(place.top)
            examined += len(ranked)
            if ranked:  # What is written from now on must not move the group.
                place = msgspec.structs.replace(place, top=ranked[0].seq)
            is_last = len(ranked) < RANKED_MAX
            after = sorted((one for one in ranked if _is_after(one, place)), reverse=True)
            standing = self._standing(ranked) if self._is_counted else self._counting(after, limit + 1)
            left = sorted((match for match in standing if _is_after(match.worth, place)), reverse=True)
            if left or is_last or examined >= EXAMINED_MAX:
                break
            place = _Place(ranked[-1].seq - 1)
        hits = self._hits(left[:limit], place.top)
        shown = [one.worth for one in left[:limit] if not hits or one.worth >= (hits[-1].rank, hits[-1].seq)]
        following: _Place | None = None
        if len(shown) < len(left):
            following = _Place(place.top, *shown[-1])
        elif not is_last:
            following = _Place(ranked[-1].seq - 1)
        return Found(
            hits=hits,
            next=None if following is None else word_of(following),
            types=Counter(self._names[match.type] for match in standing) if self._is_counted else {},
            is_capped=not is_last,
        )

    def _first(self) -> _Place:
        return _Place(self._as_of.seq if isinstance(self._as_of, AtSeq) else SEQ_MAX)

    def _ranked(self, top: int) -> list[_Worth]:
        """The last versions up to `top` that fit, in falling order, whether they count or not."""
        rows = self._rows(_MATCHES, (len(self._wanted.terms), self._expression, top, RANKED_MAX))
        _check(rows, _RANKED_SHAPE)
        return [_Worth(score, seq) for seq, score in rows]

    def _counting(self, ranked: list[_Worth], most: int) -> list[_Match]:
        """The first of these that count, at least `most` where there are so many."""
        found: list[_Match] = []
        for start in range(0, len(ranked), 2 * most):
            found += self._standing(ranked[start : start + 2 * most])
            if len(found) >= most:
                break
        return found

    def _standing(self, ranked: list[_Worth]) -> list[_Match]:
        """Those of the versions that count, in the order given."""
        seqs = msgspec.json.encode([one.seq for one in ranked]).decode()
        if self._as_of is None:
            rows = self._rows(_CURRENT, (seqs,))
        elif isinstance(self._as_of, AtSeq):
            rows = self._rows(_AT_SEQ, (seqs, self._as_of.seq))
        else:
            rows = self._rows(_AT_TIME, (seqs, self._as_of.time))
        _check(rows, _SHAPE)
        standing = {seq: rest for seq, *rest in rows}
        return [_Match(one, *standing[one.seq]) for one in ranked if one.seq in standing]

    def _hits(self, matches: list[_Match], top: int) -> list[Hit]:
        """The matches with their words, as many as are read at once."""
        wanted = msgspec.json.encode([match.worth.seq for match in matches]).decode()
        rows = self._rows(_TEXTS, (wanted,), bytes_max=TEXT_BYTES_MAX)
        texts = {seq: (object_of(value), object_of(common)) for value, common, seq in rows}
        marker = Marker(self._wanted)
        readings: dict[str, Reading] = {}
        hits = []
        for match in matches:
            if match.worth.seq in texts:
                name = self._names[match.type]
                spec = spec_of(self._specs, name)
                reading = readings.setdefault(name, Reading(spec))
                hits.append(_hit(match, top, spec, reading, marker, *texts[match.worth.seq]))
        return hits


def _hit(
    match: _Match, top: int, spec: TypeSpec, reading: Reading, marker: Marker, value: JsonObject, own: JsonObject
) -> Hit:
    body = reading.body(value, own)
    return Hit(
        type=spec.name,
        key=match.key,
        seq=match.worth.seq,
        at=match.at,
        rank=match.worth.rank,
        title=marker.title(reading.title(value, own) or beginning(body)),
        snippet=marker.snippet(body),
        value=value,
        common=common_of(spec, value, own),
        after=word_of(_Place(top, *match.worth)),
    )


def _is_after(one: _Worth, place: _Place) -> bool:
    return place.rank is None or one < (place.rank, place.seq)


def _check(rows: Sequence[tuple[Any, ...]], shape: tuple[type, ...]) -> None:
    """Raise ValueError for rows that no store of ours has."""
    if {tuple(map(type, row)) for row in rows} - {shape}:
        raise ValueError("a match has a column of a type it cannot have")
