"""The rows that one transaction adds: facts in order, and what they make of the current state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import apsw
import msgspec

from core.model.fact import JsonObject
from core.model.manifest import TypeSpec
from core.store import current, facts
from core.store.current import Latest
from core.store.digest import digest_of
from core.store.facts import FIRST_ORIGIN, Replaced
from core.store.fold import Rev, Version, at_of, declared_at, rev_above

Name = tuple[int, str]


class Place(msgspec.Struct, kw_only=True):
    """Where the log stands: its last position, and the last position of this writer's own origin."""

    seq: int
    origin_seq: int


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A log that facts were made in: the number of its row, and what the row says."""

    number: int
    log: str
    epoch: int


class New(NamedTuple):
    """A fact to be written, as far as its maker says; `rev`, `known_at` and `origin_seq` are None for one made here."""

    id: bytes | str
    type_name: str
    key: str
    value: JsonObject
    value_text: str
    common_text: str | None
    value_hash: bytes
    change_hash: bytes | None
    valid_time: float | None
    order_key: int | None = None
    causation: bytes | str | None = None
    transaction_time: float | None = None
    schema_version: int = 1
    producer: tuple[int, str] | None = None
    derivation: str | None = None
    source: Source | None = None
    origin_seq: int | None = None
    known_at: float | None = None
    rev: Rev | None = None


class Sheet:
    """What a transaction adds, gathered in order and written in a few statements; a key may come more than once."""

    def __init__(
        self,
        db: apsw.Connection,
        *,
        types: Mapping[str, TypeSpec],
        number_of: Callable[[str], int],
        place: Place,
        own: Source,
        now: float,
    ) -> None:
        self._db = db
        self._types = types
        self._number_of = number_of
        self._place = place
        self._own = own
        self.now = now
        self._latest: dict[Name, Latest] = {}
        self._made: dict[int, Replaced] = {}
        self._facts: list[tuple[Any, ...]] = []
        self._current: dict[Name, current.Row] = {}
        self._past: dict[tuple[int, str, int], current.Past] = {}
        self._live: Counter[int] = Counter()
        self._anew: set[Name] = set()
        self._specs: dict[int, TypeSpec] = {}

    @property
    def size(self) -> int:
        """How many facts there are."""
        return len(self._facts)

    def look_up(self, names: list[tuple[str, str]]) -> None:
        """Learn what is known of the records (type, key), all at once; only of these may be asked."""
        wanted: dict[int, list[str]] = {}
        for type_name, key in names:
            number = self._number_of(type_name)
            if (number, key) not in self._latest:
                wanted.setdefault(number, []).append(key)
        self._latest.update(current.look_up(self._db, wanted))

    def latest(self, type_name: str, key: str) -> Latest | None:
        """What is known of a record, with the facts gathered so far."""
        return self._latest.get((self._number_of(type_name), key))

    def replaced(self, latest: Latest) -> Replaced:
        """The fact that counts in `latest`."""
        return self._made.get(latest.seq) or facts.replaced(self._db, latest.seq)

    def keep_change_hash(self, type_name: str, key: str, change_hash: bytes) -> None:
        """Note under another hash that nothing changed: only what the manifest calls volatile did."""
        self._db.execute(current.SET_CHANGE_HASH, (change_hash, self._number_of(type_name), key))

    def add(self, new: New, latest: Latest | None, replaced: Replaced | None) -> int:
        """Take a fact that follows `replaced`, the one that counts; its seq."""
        self._place.seq += 1
        seq, type_id = self._place.seq, self._number_of(new.type_name)
        known_at = self.now if new.known_at is None else new.known_at
        rev = new.rev or rev_above(
            replaced.version.rev if replaced is not None else None, order_key=new.order_key, known_at=known_at
        )
        self._facts.append(self._row(new, seq, type_id, known_at, rev))
        spec = self._specs[type_id] = self._types.get(new.type_name) or TypeSpec(name=new.type_name)
        at = at_of(declared_at(spec, new.value), valid_time=new.valid_time, known_at=known_at)
        made = Replaced(new.id, Version(seq, rev, new.value_hash, known_at), new.value_text, new.common_text)
        self._made[seq] = made
        row = current.Row(type_id, new.key, seq, new.change_hash is None, new.change_hash, at)
        self._fold(row, made, latest, replaced)
        return seq

    def write(self) -> None:
        """Put everything into the database, within the caller's transaction."""
        self._db.executemany(facts.INSERT, self._facts)
        self._db.executemany(current.UPSERT, self._current.values())
        if self._past:
            self._db.executemany(current.PUT_PAST, self._past.values())
        self._db.executemany(current.ADD_TO_TALLY, self._live.items())
        for type_id, key in self._anew:
            self._weigh_anew(type_id, key)

    def _row(self, new: New, seq: int, type_id: int, known_at: float, rev: Rev) -> tuple[Any, ...]:
        source = new.source or self._own
        if new.origin_seq is None:
            self._place.origin_seq += 1
        origin_seq = self._place.origin_seq if new.origin_seq is None else new.origin_seq
        number, producer = (None, None) if new.producer is None else new.producer
        seen = (
            None if new.transaction_time == self.now else new.transaction_time,
            new.valid_time,
            new.schema_version,
        )
        placed = (
            None if origin_seq == seq and source.number == FIRST_ORIGIN else origin_seq,
            None if known_at == self.now else known_at,
            rev[0],
            None if rev[1] == int(known_at * 1000) else rev[1],
            self.now,
        )
        deleted = int(new.change_hash is None)
        said = (deleted, new.value_text, new.common_text, new.value_hash, new.causation, *seen)
        digest = digest_of(
            (seq, new.id, new.type_name, new.key, *said, producer, new.derivation, source.log, source.epoch, *placed)
        )
        return (seq, new.id, type_id, new.key, *said, number, new.derivation, source.number, *placed, digest)

    def _fold(self, row: current.Row, made: Replaced, latest: Latest | None, replaced: Replaced | None) -> None:
        name = (row.type, row.key)
        if latest is None or replaced is None:
            self._live[row.type] += not row.deleted
        else:
            weight, weight_before = _weight(made.version), _weight(replaced.version)
            if weight <= weight_before or made.version.known_at < replaced.version.known_at:
                self._anew.add(name)
            if weight <= weight_before:
                self._past[*name, row.seq] = current.Past(*row[:4], row.at, row.seq, made.version.known_at)
                return
            past = (*name, latest.seq, latest.deleted, latest.at, row.seq, made.version.known_at)
            self._past[*name, latest.seq] = current.Past(*past)
            self._live[row.type] += latest.deleted - row.deleted
        self._current[name] = row
        self._latest[name] = Latest(row.seq, row.deleted, row.change_hash, row.at)

    def _weigh_anew(self, type_id: int, key: str) -> None:
        """Fold all facts of a record again: one came from elsewhere that is not simply the newest."""
        spec = self._specs[type_id]
        versions = current.versions_of(self._db, type_id, key)
        row, past = current.rows_of(self._db, type_id, key, versions, spec)
        self._db.execute(current.UPSERT, row)
        self._db.executemany(current.PUT_PAST, past)


def _weight(version: Version) -> tuple[Rev, bytes]:
    return version.rev, version.value_hash
