"""What one batch of changes will do, decided change by change: an unchanged record adds nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping

from core.model.errors import BadRecord
from core.model.fact import Change
from core.model.manifest import TypeSpec, spec_of
from core.store.log.current import Latest
from core.store.log.facts import Replaced, json_text, object_of
from core.store.log.fold import declared_at
from core.store.log.prepare import Batch, Prepared, Refusal, is_same, provenance, refusal_of, value_hash_of
from core.store.log.sheet import Name, New, Sheet
from core.store.values import Commit

SAME_MOMENT_S = 1.0

_HASH_OF_NOTHING = hashlib.sha256(b"{}").digest()


class Draft:
    """The facts that a batch makes, put on the sheet of its transaction; a key may come twice in one batch."""

    def __init__(
        self, sheet: Sheet, batch: Batch, *, types: Mapping[str, TypeSpec], producer: tuple[int, str] | None
    ) -> None:
        self._sheet = sheet
        self._types = types
        self._producer = producer
        # None stands for the time of the commit: the same, unless the clock was set back in between.
        is_now = abs(batch.transaction_time - sheet.now) < SAME_MOMENT_S
        self._transaction_time = None if is_now else batch.transaction_time
        self.refused: list[Refusal] = []
        self._names = [(good.change.type, good.change.key) for good in batch.prepared]
        sheet.look_up(self._names)
        self._done = list(map(self._take, batch.prepared, self._names))

    def stored(self) -> Iterator[tuple[str, str]]:
        """The records (type, key) that are as the batch says now, whether or not that changed anything."""
        return (name for name, did in zip(self._names, self._done, strict=True) if did != "refused")

    def commit(self, *, quarantined: int, head: int) -> Commit:
        """What the batch did, for the one who sent it."""
        did = Counter(self._done)
        return Commit(
            new=did["new"],
            updated=did["updated"],
            same=did["same"],
            deleted=did["deleted"],
            quarantined=quarantined,
            head=head,
        )

    def _take(self, prepared: Prepared, name: Name) -> str:
        """Decide one change: new, updated, same, deleted, or refused."""
        latest = self._sheet.latest(name)
        if prepared.change_hash == (None if latest is None else latest.change_hash):
            return "same"
        try:
            return self._begin(prepared, name) if latest is None else self._change(prepared, latest)
        except BadRecord as err:  # INV-09.
            self.refused.append(refusal_of(prepared.change, err))
            return "refused"

    def _begin(self, prepared: Prepared, name: Name) -> str:
        value_hash = value_hash_of(prepared)
        declared = declared_at(spec_of(self._types, name[0]), prepared.change.value)
        self._sheet.begin(
            name,
            prepared,
            value_hash=value_hash,
            declared=declared,
            transaction_time=self._transaction_time,
            producer=self._producer,
        )
        return "new"

    def _change(self, prepared: Prepared, latest: Latest) -> str:
        change, replaced = prepared.change, self._sheet.replaced(latest)
        if prepared.change_hash is None:
            self._sheet.add(self._tombstone(change, replaced), latest, replaced)
            return "deleted"
        if not latest.deleted and self._is_same(change, replaced):
            return "same"
        self._sheet.add(self._version(prepared, prepared.change_hash, replaced), latest, replaced)
        return "new" if latest.deleted else "updated"

    def _is_same(self, change: Change, replaced: Replaced) -> bool:
        stored = (object_of(replaced.value), object_of(replaced.common))
        try:
            return is_same((change.value, change.common), stored, spec_of(self._types, change.type).volatile)
        except BadRecord:
            return False  # Whoever adds it says what is wrong.

    def _version(self, prepared: Prepared, change_hash: bytes, replaced: Replaced) -> New:
        change = prepared.change
        declared = declared_at(spec_of(self._types, change.type), change.value)
        return New(
            id=self._sheet.fresh_id(),
            type_name=change.type,
            key=change.key,
            value=change.value,
            common=change.common,
            value_text=json_text(change.value),
            common_text=json_text(change.common) if change.common else None,
            value_hash=value_hash_of(prepared),
            change_hash=change_hash,
            declared=declared,
            valid_time=declared if change.valid_time is None else change.valid_time,
            order_key=change.order_key,
            causation=replaced.id,
            transaction_time=self._transaction_time,
            producer=self._producer,
            derivation=provenance(change.derivation, "derivation"),
        )

    def _tombstone(self, change: Change, replaced: Replaced) -> New:
        return New(
            id=self._sheet.fresh_id(),
            type_name=change.type,
            key=change.key,
            value_hash=_HASH_OF_NOTHING,
            valid_time=change.valid_time,
            order_key=change.order_key,
            causation=replaced.id,
            transaction_time=self._transaction_time,
            producer=self._producer,
            derivation=provenance(change.derivation, "derivation"),
        )
