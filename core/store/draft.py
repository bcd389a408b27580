"""What one batch of changes will do: decided change by change, then written in a few statements."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

import apsw
import msgspec

from core.model.ids import uuid7
from core.model.manifest import TypeSpec
from core.store import current, facts
from core.store.current import Latest
from core.store.facts import Replaced
from core.store.fold import at_of, rev_above, valid_time_of
from core.store.prepare import Batch, Prepared, change_hash, provenance
from core.store.values import Commit

SCHEMA_VERSION = 1

Name = tuple[str, str]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log stands: its last position, and this writer's origin with the last position in its log."""

    seq: int
    origin: int
    origin_seq: int


class Draft:
    """The facts and current rows that a batch makes, seen in order: a key may come twice in one batch."""

    def __init__(
        self,
        db: apsw.Connection,
        batch: Batch,
        *,
        types: Mapping[str, TypeSpec],
        place: Place,
        producer: int | None,
        now: float,
    ) -> None:
        self._db = db
        self._types = types
        self._place = place
        self._producer = producer
        self._transaction_time = batch.transaction_time
        self._now = now
        self._latest = current.look_up(db, ((good.change.type, good.change.key) for good in batch.prepared))
        self._made: dict[int, Replaced] = {}
        self._facts: list[facts.Row] = []
        self._current: dict[Name, current.Row] = {}
        self._live: Counter[str] = Counter()
        self._did: Counter[str] = Counter()
        for prepared in batch.prepared:
            self._did[self._take(prepared)] += 1

    @property
    def size(self) -> int:
        """How many facts the batch makes."""
        return len(self._facts)

    def write(self) -> None:
        """Put everything into the database, within the caller's transaction."""
        self._db.executemany(facts.INSERT, self._facts)
        self._db.executemany(current.UPSERT, self._current.values())
        self._db.executemany(current.ADD_TO_TALLY, self._live.items())

    def commit(self, *, quarantined: int) -> Commit:
        """What the batch did, for the one who sent it."""
        return Commit(
            new=self._did["new"],
            updated=self._did["updated"],
            same=self._did["same"],
            deleted=self._did["deleted"],
            quarantined=quarantined,
            head=self._place.seq + self.size,
        )

    def _take(self, prepared: Prepared) -> str:
        """Decide one change: new, updated, same or deleted."""
        change = prepared.change
        latest = self._latest.get((change.type, change.key))
        if latest is None:
            if prepared.change_hash is None:
                return "same"
            self._add(prepared, None)
            self._live[change.type] += 1
            return "new"
        if latest.change_hash == prepared.change_hash:
            return "same"
        replaced = self._made.get(latest.seq) or facts.replaced(self._db, latest.seq)
        if prepared.change_hash is None:
            self._add(prepared, replaced)
            self._live[change.type] -= 1
            return "deleted"
        if latest.deleted:
            self._add(prepared, replaced)
            self._live[change.type] += 1
            return "new"
        if self._is_same_today(prepared, replaced):
            self._db.execute(current.SET_CHANGE_HASH, (prepared.change_hash, change.type, change.key))
            return "same"
        self._add(prepared, replaced)
        return "updated"

    def _is_same_today(self, prepared: Prepared, replaced: Replaced) -> bool:
        """Whether only the manifest changed: with today's volatile fields, both versions hash to the same."""
        volatile = self._spec(prepared.change.type).volatile
        return change_hash(replaced.value, replaced.common, volatile) == prepared.change_hash

    def _add(self, prepared: Prepared, replaced: Replaced | None) -> None:
        change = prepared.change
        is_put = change.action == "put"
        value, common = (change.value, change.common) if is_put else ({}, {})
        spec = self._spec(change.type)
        valid_time = valid_time_of(spec, value, change.valid_time)
        generation, order = rev_above(
            replaced.rev if replaced is not None else None, order_key=change.order_key, known_at=self._now
        )
        seq = self._place.seq + len(self._facts) + 1
        fact_id = uuid7(self._now).bytes
        self._facts.append(
            facts.Row(
                seq=seq,
                id=fact_id,
                type=change.type,
                key=change.key,
                action=change.action,
                value=facts.json_text(value),
                common=facts.json_text(common) if common else None,
                value_hash=hashlib.sha256(prepared.canonical).digest(),
                causation=replaced.id if replaced is not None else None,
                transaction_time=self._transaction_time,
                valid_time=valid_time,
                schema_version=SCHEMA_VERSION,
                producer=self._producer,
                derivation=provenance(change.derivation, "derivation"),
                origin=self._place.origin,
                origin_seq=self._place.origin_seq + len(self._facts) + 1,
                known_at=self._now,
                rev_generation=generation,
                rev_order=order,
                recorded_at=self._now,
            )
        )
        name = (change.type, change.key)
        at = at_of(spec, value, valid_time=valid_time, known_at=self._now)
        self._current[name] = current.Row(*name, seq, not is_put, prepared.change_hash, at)
        self._latest[name] = Latest(seq, not is_put, prepared.change_hash)
        self._made[seq] = Replaced(fact_id, (generation, order), value, common)

    def _spec(self, type_name: str) -> TypeSpec:
        return self._types.get(type_name) or TypeSpec(name=type_name)
