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
from core.store.log.sheet import New, Sheet
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
        self._done = [self._take(prepared) for prepared in batch.prepared]

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

    def _take(self, prepared: Prepared) -> str:
        """Decide one change: new, updated, same, deleted, or refused."""
        change = prepared.change
        latest = self._sheet.latest(change.type, change.key)
        if latest is None:
            if prepared.change_hash is None:
                return "same"
            return "new" if self._add(prepared, None, None) else "refused"
        if latest.change_hash == prepared.change_hash:
            return "same"
        replaced = self._sheet.replaced(latest)
        if not latest.deleted and prepared.change_hash is not None and self._is_same(change, replaced):
            return "same"
        if not self._add(prepared, latest, replaced):
            return "refused"
        if prepared.change_hash is None:
            return "deleted"
        return "new" if latest.deleted else "updated"

    def _is_same(self, change: Change, replaced: Replaced) -> bool:
        stored = (object_of(replaced.value), object_of(replaced.common))
        try:
            return is_same((change.value, change.common), stored, spec_of(self._types, change.type).volatile)
        except BadRecord:
            return False  # Whoever adds it says what is wrong.

    def _add(self, prepared: Prepared, latest: Latest | None, replaced: Replaced | None) -> bool:
        change = prepared.change
        if prepared.change_hash is None:
            self._sheet.add(self._tombstone(change, replaced), latest, replaced)
            return True
        try:
            value_hash = value_hash_of(prepared)
        except BadRecord as err:  # INV-09.
            self.refused.append(refusal_of(change, err))
            return False
        declared = declared_at(spec_of(self._types, change.type), change.value)
        new = New(
            id=self._sheet.fresh_id(),
            type_name=change.type,
            key=change.key,
            value=change.value,
            common=change.common,
            value_text=json_text(change.value),
            common_text=json_text(change.common) if change.common else None,
            value_hash=value_hash,
            change_hash=prepared.change_hash,
            declared=declared,
            valid_time=declared if change.valid_time is None else change.valid_time,
            order_key=change.order_key,
            causation=None if replaced is None else replaced.id,
            transaction_time=self._transaction_time,
            producer=self._producer,
            derivation=provenance(change.derivation, "derivation"),
        )
        try:
            self._sheet.add(new, latest, replaced)
        except BadRecord as err:
            self.refused.append(refusal_of(change, err))
            return False
        return True

    def _tombstone(self, change: Change, replaced: Replaced | None) -> New:
        return New(
            id=self._sheet.fresh_id(),
            type_name=change.type,
            key=change.key,
            value_hash=_HASH_OF_NOTHING,
            valid_time=change.valid_time,
            order_key=change.order_key,
            causation=None if replaced is None else replaced.id,
            transaction_time=self._transaction_time,
            producer=self._producer,
            derivation=provenance(change.derivation, "derivation"),
        )
