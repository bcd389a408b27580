"""Finding records by their words: those of today, or as they stood at some position or time.

Of very many matches only a bounded number is ranked at once: the 500 that were recorded last, then the 500 before,
and so on as pages are turned. So the most frequent word is found as quickly as a rare one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import NoneType
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
_CURRENT = f"""
    SELECT m.seq, m.score, f.type, f.key, c.at FROM ({_MATCHES}) m CROSS JOIN fact f ON f.seq = m.seq
    LEFT JOIN current c ON c.type = f.type AND c.key = f.key AND c.seq = m.seq
"""
_THEN = f"""
    SELECT m.seq, m.score, f.type, f.key, CASE WHEN ({{known}}) THEN coalesce(c.at, iif({{lasted}}, p.at, NULL)) END
    FROM ({_MATCHES}) m CROSS JOIN fact f ON f.seq = m.seq
    LEFT JOIN current c ON c.type = f.type AND c.key = f.key AND c.seq = m.seq
    LEFT JOIN past p ON p.type = f.type AND p.key = f.key AND p.seq = m.seq
"""
_AT_SEQ = _THEN.format(known="m.seq <= ?5", lasted="p.until_seq > ?5")
_AT_TIME = _THEN.format(known=f"{KNOWN_AT} <= ?5", lasted="p.until_known > ?5")
_TEXTS = "SELECT f.value, f.common, f.seq FROM json_each(?) j CROSS JOIN fact f ON f.seq = j.value"
_SHAPE: tuple[Any, ...] = (int, float, int, str, (float, NoneType))


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

    `types` counts the records found of each type among those that were ranked together with this page's;
    `is_capped` says that there may be more than these.
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


class _Match(NamedTuple):
    seq: int
    rank: float
    type: int
    key: str
    at: float | None


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
    ) -> None:
        self._rows = rows
        self._specs = types
        self._wanted = wanted
        self._as_of = settled(rows, as_of)
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
            matches = self._matches(place.top)
            examined += len(matches)
            if matches:  # What is written from now on must not move the group.
                place = msgspec.structs.replace(place, top=matches[0].seq)
            is_last = len(matches) < RANKED_MAX
            counted = [match for match in matches if match.at is not None]
            left = sorted((match for match in counted if _is_after(match, place)), key=_worth, reverse=True)
            if left or is_last or examined >= EXAMINED_MAX:
                break
            place = _Place(matches[-1].seq - 1)
        hits = self._hits(left[:limit], place.top)
        shown = [match for match in left[:limit] if not hits or _worth(match) >= (hits[-1].rank, hits[-1].seq)]
        following: _Place | None = None
        if len(shown) < len(left):
            following = _Place(place.top, shown[-1].rank, shown[-1].seq)
        elif not is_last:
            following = _Place(matches[-1].seq - 1)
        return Found(
            hits=hits,
            next=None if following is None else word_of(following),
            types=Counter(self._names[match.type] for match in counted),
            is_capped=not is_last,
        )

    def _first(self) -> _Place:
        return _Place(self._as_of.seq if isinstance(self._as_of, AtSeq) else SEQ_MAX)

    def _matches(self, top: int) -> list[_Match]:
        """The last versions up to `top` that fit, in falling order; `at` is None for one that does not count."""
        parameters = (len(self._wanted.terms), self._expression, top, RANKED_MAX)
        if self._as_of is None:
            rows = self._rows(_CURRENT, parameters)
        elif isinstance(self._as_of, AtSeq):
            rows = self._rows(_AT_SEQ, (*parameters, self._as_of.seq))
        else:
            rows = self._rows(_AT_TIME, (*parameters, self._as_of.time))
        if not all(all(map(isinstance, row, _SHAPE)) for row in rows):
            raise ValueError("a match has a column of a type it cannot have")
        return [_Match(*row) for row in rows]

    def _hits(self, matches: list[_Match], top: int) -> list[Hit]:
        """The matches with their words, as many as are read at once."""
        wanted = msgspec.json.encode([match.seq for match in matches]).decode()
        rows = self._rows(_TEXTS, (wanted,), bytes_max=TEXT_BYTES_MAX)
        texts = {seq: (object_of(value), object_of(common)) for value, common, seq in rows}
        marker = Marker(self._wanted)
        readings: dict[str, Reading] = {}
        hits = []
        for match in matches:
            if match.seq in texts:
                name = self._names[match.type]
                spec = spec_of(self._specs, name)
                reading = readings.setdefault(name, Reading(spec))
                hits.append(_hit(match, top, spec, reading, marker, *texts[match.seq]))
        return hits


def _hit(
    match: _Match, top: int, spec: TypeSpec, reading: Reading, marker: Marker, value: JsonObject, own: JsonObject
) -> Hit:
    body = reading.body(value, own)
    return Hit(
        type=spec.name,
        key=match.key,
        seq=match.seq,
        at=match.at or 0.0,
        rank=match.rank,
        title=marker.title(reading.title(value, own) or beginning(body)),
        snippet=marker.snippet(body),
        value=value,
        common=common_of(spec, value, own),
        after=word_of(_Place(top, match.rank, match.seq)),
    )


def _worth(match: _Match) -> tuple[float, int]:
    return match.rank, match.seq


def _is_after(match: _Match, place: _Place) -> bool:
    return place.rank is None or _worth(match) < (place.rank, place.seq)
