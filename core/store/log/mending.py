"""What can be done about records in quarantine: try them again, once what refused them is mended, or drop them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from core.model.clock import Clock
from core.model.errors import BadRequest, NotFound, Skip
from core.model.fact import Change
from core.model.manifest import TypeSpec, spec_of
from core.store.log.ledger import Ledger
from core.store.log.prepare import Batch, canonical_value, explained, prepare
from core.store.log.quarantine import Tryable
from core.store.log.refused import change_in, head_in
from core.store.log.writer import Submit
from core.store.values import Commit, Quarantined

RETRY_MAX = 500

# What a retry stored, by type and key: at which position, and where the log had ended when that was refused.
Stored = dict[tuple[str, str], tuple[int, int]]


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """What became of records that were tried again, counted.

    `refused` are in quarantine still, and `kept` were not tried: they are kept only in part, or their connector
    refused them and must send them again. Of `superseded` a later version is stored: they stay, and write nothing.
    `next` is the `after` of the following call, None at the end.
    """

    new: int = 0
    updated: int = 0
    same: int = 0
    deleted: int = 0
    refused: int = 0
    kept: int = 0
    superseded: int = 0
    next: int | None = None


class Mending:
    """The quarantine of one store, for the one who writes it."""

    def __init__(self, submit: Submit, *, types: Mapping[str, TypeSpec], clock: Clock) -> None:
        self._submit = submit
        self._types = types
        self._clock = clock

    def retry(self, *, types: Sequence[str] | None, limit: int, after: int) -> Retried:
        """Commit records again, in the order in which they came; one transaction."""
        if not 1 <= limit <= RETRY_MAX:
            raise BadRequest(f"limit is {limit}", remedy=f"Try 1 to {RETRY_MAX} at once.")
        return self._submit(lambda ledger: self._retry(ledger, types, limit, after), bulk=True, changes=limit)

    def drop(self, position: int, *, actor: str) -> Quarantined:
        """Let go of one, with a receipt; what it was."""

        def do(ledger: Ledger) -> Quarantined:
            gone = ledger.quarantine.drop(position)
            if gone is None:
                raise NotFound(f"no record in quarantine has the position {position}")
            said = {name: getattr(gone, name) for name in ("type", "key", "code", "reason", "first_seen", "times")}
            ledger.leave_receipt("drop", actor=actor, document=said)
            return gone

        return self._submit(do, bulk=False)

    def _retry(self, ledger: Ledger, types: Sequence[str] | None, limit: int, after: int) -> Retried:
        waiting = ledger.quarantine.tryable(types, limit=limit + 1, after=after)
        counts = {"refused": 0, "kept": 0, "superseded": 0, "new": 0, "updated": 0, "same": 0, "deleted": 0}
        stored: Stored = {}
        for one in waiting[:limit]:
            counts[self._again(ledger, one, stored)] += 1
        return Retried(**counts, next=waiting[limit - 1].position if len(waiting) > limit else None)

    def _again(self, ledger: Ledger, one: Tryable, stored: Stored) -> str:
        change = change_in(one.value, one.type, self._types.get(one.type))
        if change is None:
            return "kept"
        try:
            batch = self._batch(change)
            if _is_superseded(ledger, one, change, stored):
                ledger.quarantine.explain(one.position, f"a later version of {change.key} is stored")
                return "superseded"
            # Another version of the same record may have been refused after this one: that has its own turn.
            done = ledger.apply(batch, clears=False)
        except Skip as err:
            reason = str(explained(change, err, self._types))
            ledger.quarantine.refuse_again(one.position, err.code, reason, now=ledger.now())
            return "refused"
        if done.quarantined:
            return "refused"
        ledger.quarantine.let_go(one.position)
        stored[change.type, change.key] = done.head, head_in(one.value) or 0
        return _what(done)

    def _batch(self, change: Change) -> Batch:
        """The batch of one change; raises BadRecord for one that is as bad as before."""
        prepared = prepare(change, volatile=spec_of(self._types, change.type).volatile)
        if change.action == "put":
            canonical_value(change)
        now = self._clock.now()
        return Batch(prepared=[prepared], refused=[], cursor=None, producer=None, transaction_time=now)


def _is_superseded(ledger: Ledger, one: Tryable, change: Change, stored: Stored) -> bool:
    """Whether the record that the change turns out to be of has a version that came after the refusal."""
    counting = ledger.counting(change.type, change.key)
    if counting is None:
        return False
    seq, recorded_at = counting
    head = head_in(one.value)
    mine = stored.get((change.type, change.key))
    if mine is not None and mine[0] == seq:  # Stored by this very retry: what counts is when it was refused.
        return (head or 0) < mine[1]
    return recorded_at > one.last_seen or (head is not None and seq > head)


def _what(done: Commit) -> str:
    return next((name for name in ("new", "updated", "deleted") if getattr(done, name)), "same")
