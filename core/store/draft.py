"""What one batch of changes will do, decided change by change: an unchanged record adds nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

from core.model.ids import uuid7
from core.model.manifest import TypeSpec
from core.store import facts
from core.store.current import Latest
from core.store.facts import Replaced, object_of
from core.store.fold import declared_at
from core.store.prepare import Batch, Prepared, change_hash, provenance
from core.store.sheet import New, Sheet
from core.store.values import Commit


class Draft:
    """The facts that a batch makes, put on the sheet of its transaction; a key may come twice in one batch."""

    def __init__(
        self, sheet: Sheet, batch: Batch, *, types: Mapping[str, TypeSpec], producer: tuple[int, str] | None
    ) -> None:
        self._sheet = sheet
        self._types = types
        self._producer = producer
        self._transaction_time = batch.transaction_time
        self._did: Counter[str] = Counter()
        sheet.look_up([(good.change.type, good.change.key) for good in batch.prepared])
        for prepared in batch.prepared:
            self._did[self._take(prepared)] += 1

    def commit(self, *, quarantined: int, head: int) -> Commit:
        """What the batch did, for the one who sent it."""
        return Commit(
            new=self._did["new"],
            updated=self._did["updated"],
            same=self._did["same"],
            deleted=self._did["deleted"],
            quarantined=quarantined,
            head=head,
        )

    def _take(self, prepared: Prepared) -> str:
        """Decide one change: new, updated, same or deleted."""
        change = prepared.change
        latest = self._sheet.latest(change.type, change.key)
        if latest is None:
            if prepared.change_hash is None:
                return "same"
            self._add(prepared, None, None)
            return "new"
        if latest.change_hash == prepared.change_hash:
            return "same"
        replaced = self._sheet.replaced(latest)
        if prepared.change_hash is not None and not latest.deleted and self._is_same_today(prepared, replaced):
            self._sheet.keep_change_hash(change.type, change.key, prepared.change_hash)
            return "same"
        self._add(prepared, latest, replaced)
        if prepared.change_hash is None:
            return "deleted"
        return "new" if latest.deleted else "updated"

    def _is_same_today(self, prepared: Prepared, replaced: Replaced) -> bool:
        """Whether only the manifest changed: with today's volatile fields, both versions hash to the same."""
        spec = self._types.get(prepared.change.type)
        volatile = spec.volatile if spec is not None else ()
        if not volatile:
            return False
        return change_hash(object_of(replaced.value), object_of(replaced.common), volatile) == prepared.change_hash

    def _add(self, prepared: Prepared, latest: Latest | None, replaced: Replaced | None) -> None:
        change = prepared.change
        is_put = prepared.change_hash is not None
        spec = self._types.get(change.type)
        valid_time = change.valid_time
        if valid_time is None and is_put and spec is not None:
            valid_time = declared_at(spec, change.value)
        new = New(
            uuid7(self._sheet.now).bytes,
            change.type,
            change.key,
            change.value if is_put else {},
            facts.json_text(change.value) if is_put else "{}",
            facts.json_text(change.common) if is_put and change.common else None,
            hashlib.sha256(prepared.canonical).digest(),
            prepared.change_hash,
            valid_time,
            order_key=change.order_key,
            causation=None if replaced is None else replaced.id,
            transaction_time=self._transaction_time,
            producer=self._producer,
            derivation=provenance(change.derivation, "derivation"),
        )
        self._sheet.add(new, latest, replaced)
