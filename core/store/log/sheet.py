"""The rows that one transaction adds: facts in order, and what they make of the current state."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import apsw
import msgspec

from core.model.errors import BadRecord
from core.model.fact import JsonObject
from core.model.ids import UUID7_RANDOM_BYTES, uuid7_number
from core.model.manifest import TypeSpec
from core.store.log import current, facts
from core.store.log.current import Latest
from core.store.log.digest import as_kept, digest_of
from core.store.log.facts import FIRST_ORIGIN, Replaced, json_text
from core.store.log.fold import Rev, Version, at_of, rev_above
from core.store.log.prepare import Prepared, provenance
from core.store.log.receipts import OWN_TYPES
from core.store.log.shared import Shared, Source
from core.store.words.text import Put

# A record: its type and its key.
Name = tuple[str, str]

# A type is what a connector declares, or an app's own: dozens. Names made up without end fill the store for good.
TYPES_MAX = 10_000

# Where in a row of `facts.INSERT`.
_PRODUCER_AT, _ORIGIN_AT = 12, 14
_TYPES = "SELECT count(*), coalesce(max(id), 0) FROM type"
_NEW_TYPE = "INSERT INTO type (name, id) VALUES (?, ?)"


class Place(msgspec.Struct, kw_only=True):
    """Where the log stands: its last position, and the last position of this writer's own origin."""

    seq: int
    origin_seq: int


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A fact to be written, as its maker gives it.

    `value` and `common` are the documents, `value_text` and `common_text` the JSON that is stored of them;
    `change_hash` is None for a deletion. `declared` is the moment at the type's time path, `producer` a row's number
    and its document. `source`, `origin_seq`, `known_at` and `rev` are None for a fact made here.
    """

    id: bytes | str
    type_name: str
    key: str
    value: JsonObject = {}
    common: JsonObject = {}
    value_text: str = "{}"
    common_text: str | None = None
    value_hash: bytes
    change_hash: bytes | None = None
    declared: float | None = None
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
        number_of: Callable[[str], int | None],
        place: Place,
        own: Source,
        now: float,
    ) -> None:
        self._db = db
        self._types = types
        self._number_of = number_of
        self._numbers: dict[str, int] = {}
        self._new_types: dict[str, int] = {}
        self._place = place
        self._own = own
        self.now = now
        self._order = int(now * 1000)
        self._id = 0
        self._latest: dict[Name, Latest] = {}
        self._first = place.seq + 1
        self._facts: list[tuple[Any, ...]] = []
        self.puts: list[Put] = []
        self._current: dict[Name, tuple[Any, ...]] = {}
        self._past: dict[tuple[int, str, int], tuple[Any, ...]] = {}
        self._live: Counter[int] = Counter()
        self._anew: set[tuple[int, str]] = set()

    @property
    def size(self) -> int:
        """How many facts there are."""
        return len(self._facts)

    @property
    def digests(self) -> list[bytes]:
        """The facts' own digests, in order."""
        return [row[-1] for row in self._facts]

    def look_up(self, names: Iterable[Name]) -> None:
        """Learn what is known of these records, all at once; only of these may be asked."""
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for type_name, key in names:
            wanted[type_name].append(key)
        for type_name, keys in wanted.items():
            number = self._known(type_name)
            if number is not None:
                for key, latest in current.look_up(self._db, number, keys):
                    self._latest[type_name, key] = latest

    def latest(self, name: Name) -> Latest | None:
        """What is known of a record, with the facts gathered so far."""
        # Most often there is nothing on the sheet yet: an unchanged record puts nothing there.
        row = self._current.get(name) if self._current else None
        return self._latest.get(name) if row is None else Latest(*row[2:])

    def fresh_id(self) -> bytes:
        """A UUIDv7 of this moment, one above the last: what comes in order is put into the index at its end."""
        self._id = self._id + 1 if self._id else uuid7_number(self.now, os.urandom(UUID7_RANDOM_BYTES))
        return self._id.to_bytes(16, "big")

    def replaced(self, latest: Latest) -> Replaced:
        """The fact that counts in `latest`."""
        if latest.seq < self._first:
            return facts.replaced(self._db, latest.seq)
        return facts.replaced_in(self._facts[latest.seq - self._first], now=self.now)

    def begin(
        self,
        name: Name,
        prepared: Prepared,
        *,
        value_hash: bytes,
        declared: float | None,
        transaction_time: float | None,
        producer: tuple[int, str] | None,
    ) -> None:
        """Take a put of a record of which nothing is known, made here: what `add` would do, in fewer steps."""
        type_name, key = name
        type_id = self._numbers.get(type_name) or self._numbered(type_name)
        change, own, now, place, fact_id = prepared.change, self._own, self.now, self._place, self.fresh_id()
        value, common = json_text(change.value), json_text(change.common) if change.common else None
        number, document = (None, None) if producer is None else producer
        derivation = None if change.derivation is None else provenance(change.derivation, "derivation")
        valid_time = as_kept(declared if change.valid_time is None else change.valid_time)
        order = None if change.order_key == self._order else change.order_key
        seq = place.seq = place.seq + 1
        own_seq = place.origin_seq = place.origin_seq + 1
        origin_seq = None if own_seq == seq and own.number == FIRST_ORIGIN else own_seq
        digest = digest_of((
            seq, fact_id, type_name, key, 0, value, common, value_hash, None, transaction_time, valid_time, 1,
            document, derivation, own.log, own.epoch, origin_seq, None, 0, order, now,
        ))  # fmt: skip
        self._facts.append((
            seq, fact_id, type_id, key, 0, value, common, value_hash, None, transaction_time, valid_time, 1,
            number, derivation, own.number, origin_seq, None, 0, order, now, digest,
        ))  # fmt: skip
        self.puts.append(Put(seq, type_id, type_name, change.value, change.common))
        at = at_of(declared, valid_time=valid_time, known_at=now)
        self._live[type_id] += 1
        self._current[name] = (type_id, key, seq, 0, prepared.change_hash, at)

    def add(self, new: New, latest: Latest | None, replaced: Replaced | None) -> int:
        """Take a fact that follows `replaced`, the one that counts; its seq. Raises BadRecord for a type too many."""
        type_id = self._numbered(new.type_name)
        self._place.seq += 1
        seq = self._place.seq
        known_at = self.now if new.known_at is None else new.known_at
        before = None if replaced is None else replaced.version
        rev = new.rev or rev_above(None if before is None else before.rev, order_key=new.order_key, known_at=known_at)
        self._facts.append(self._row(new, seq, type_id, known_at, rev))
        if new.change_hash is not None:
            self.puts.append(Put(seq, type_id, new.type_name, new.value, new.common))
        at = at_of(new.declared, valid_time=new.valid_time, known_at=known_at)
        row = (type_id, new.key, seq, int(new.change_hash is None), new.change_hash, at)
        if latest is None or before is None:
            self._live[type_id] += new.change_hash is not None
        elif not self._follows(row, latest, before, Version(seq, rev, new.value_hash, known_at)):
            return seq
        self._current[new.type_name, new.key] = row
        return seq

    def write(self, shared: Shared) -> None:
        """Put everything into the database, with what its facts share, within the caller's transaction."""
        shared.write(
            origins={row[_ORIGIN_AT] for row in self._facts}, producers={row[_PRODUCER_AT] for row in self._facts}
        )
        if self._new_types:
            self._db.executemany(_NEW_TYPE, self._new_types.items())
        self._db.executemany(facts.INSERT, self._facts)
        self._db.executemany(current.UPSERT, self._current.values())
        if self._past:
            self._db.executemany(current.PUT_PAST, self._past.values())
        self._db.executemany(current.ADD_TO_TALLY, self._live.items())
        if self._anew:
            specs = {self._known(name): spec for name, spec in self._types.items()}
            for type_id, key in self._anew:
                self._weigh_anew(type_id, key, specs.get(type_id) or TypeSpec(name=""))

    def _known(self, type_name: str) -> int | None:
        """The number of a type that facts are of, those of this sheet counted."""
        number = self._numbers.get(type_name)
        if number is None and (number := self._number_of(type_name)) is not None:
            self._numbers[type_name] = number
        return number

    def _numbered(self, type_name: str) -> int:
        """The type's number, written with the first fact of it: one that is refused leaves nothing behind."""
        number = self._known(type_name)
        if number is None:
            count, last = self._db.execute(_TYPES).get
            if count + len(self._new_types) >= TYPES_MAX and type_name not in OWN_TYPES:
                raise BadRecord(f"the store has {TYPES_MAX} types already, and {type_name!r} would be one more")
            number = int(last) + len(self._new_types) + 1
            self._new_types[type_name] = self._numbers[type_name] = number
        return number

    def _row(self, new: New, seq: int, type_id: int, known_at: float, rev: Rev) -> tuple[Any, ...]:
        source, origin_seq, now = new.source or self._own, new.origin_seq, self.now
        if origin_seq is None:
            origin_seq = self._place.origin_seq = self._place.origin_seq + 1
        elif source.number == self._own.number:  # Of this very log, come back: it goes on behind.
            self._place.origin_seq = max(self._place.origin_seq, origin_seq)
        number, producer = (None, None) if new.producer is None else new.producer
        said = (
            int(new.change_hash is None),
            new.value_text,
            new.common_text,
            new.value_hash,
            new.causation,
            None if new.transaction_time == now else as_kept(new.transaction_time),
            as_kept(new.valid_time),
            new.schema_version,
        )
        placed = (
            # Left out only where the fact became known here and now: among such facts, a time can become a position.
            None if origin_seq == seq and source.number == FIRST_ORIGIN and known_at == now else origin_seq,
            None if known_at == now else as_kept(known_at),
            rev[0],
            None if rev[1] == int(known_at * 1000) else rev[1],
            now,
        )
        digest = digest_of(
            (seq, new.id, new.type_name, new.key, *said, producer, new.derivation, source.log, source.epoch, *placed)
        )
        return (seq, new.id, type_id, new.key, *said, number, new.derivation, source.number, *placed, digest)

    def _follows(self, row: tuple[Any, ...], latest: Latest, before: Version, version: Version) -> bool:
        """Fold a fact after the one that counts, whether it counts now; one from elsewhere may be older than that."""
        type_id, key, seq, deleted, _, at = row
        counts = (version.rev, version.value_hash) > (before.rev, before.value_hash)
        if not counts or version.known_at < before.known_at:
            self._anew.add((type_id, key))
        if not counts:
            self._past[type_id, key, seq] = (type_id, key, seq, deleted, at, seq, version.known_at)
            return False
        self._past[type_id, key, latest.seq] = (
            type_id, key, latest.seq, latest.deleted, latest.at, seq, version.known_at,
        )  # fmt: skip
        if latest.deleted != deleted:  # An edit leaves the count, and its page, as they are.
            self._live[type_id] += latest.deleted - deleted
        return True

    def _weigh_anew(self, type_id: int, key: str, spec: TypeSpec) -> None:
        """Fold all facts of a record again: one came from elsewhere that is not simply the newest."""
        versions = current.versions_of(self._db, type_id, key)
        row, past = current.rows_of(self._db, type_id, key, versions, spec)
        self._db.execute(current.UPSERT, row)
        self._db.executemany(current.PUT_PAST, past)
