"""What keeps, removes and mends in a store that somebody else serves: as in one's own, where the caller may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.model.fact import JsonObject
from core.netstore.client.line import Line
from core.netstore.client.replies import read, whole
from core.netstore.limits import GRACE_S, RETRY_MAX
from core.store import Collected, Condition, Policy, Quarantined, Receipt, Retried, Verification


class DistantCare:
    """Care of a store, over a line to it. A receipt names who the server knows, and behind that who says to act."""

    _line: Line

    def receipts(self, limit: int, *, before: int | None = None) -> list[Receipt]:
        """The receipts of what left the store or came by other than the usual way, the latest first."""
        return read(self._ask("receipts", limit=limit, before=before), "receipts", list[Receipt])

    def policies(self) -> dict[str, Policy]:
        """The retention policies of the types that have one; all others are permanent."""
        return read(self._ask("policies"), "policies", dict[str, Policy])

    def set_policy(self, type_name: str, policy: Policy, *, actor: str) -> None:
        """Keep how long superseded facts of a type are kept."""
        self._ask("set_policy", store=type_name, policy=policy, actor=actor)

    def compact(self, *, actor: str) -> list[JsonObject]:
        """Let go what the types' policies let go; the receipts."""
        return read(self._ask("compact", actor=actor), "receipts", list[JsonObject])

    def prune(self, ids: Sequence[str], *, actor: str) -> JsonObject:
        """Remove the facts with these ids (1000 at most); the receipt."""
        return read(self._once("prune", ids=ids, actor=actor), "receipt", JsonObject)

    def erase(
        self, *, ids: Sequence[str] = (), record: tuple[str, str] | None = None, drop_hash: bool = False, actor: str
    ) -> JsonObject:
        """Erase what facts, or all facts of a record, said; the receipt. As `Store.erase`."""
        reply = self._ask("erase", ids=ids, record=record, drop_hash=drop_hash, actor=actor)
        return read(reply, "receipt", JsonObject)

    def verify(self) -> Verification:
        """Every fact checked against its digest, the log against its chain."""
        return read(self._ask("verify"), "verify", Verification)

    def retry_quarantined(
        self, types: Sequence[str] | None = None, *, limit: int = RETRY_MAX, after: int = 0
    ) -> Retried:
        """Commit records in quarantine again (500 at most), of some types or all, after the position `after`."""
        return whole(self._ask("retry_quarantined", types=types, limit=limit, after=after), Retried)

    def drop_quarantined(self, position: int, *, actor: str) -> Quarantined:
        """Let go of a record in quarantine, with a receipt; raises NotFound where there is none."""
        return read(self._once("drop_quarantined", position=position, actor=actor), "dropped", Quarantined)

    def collect_garbage(self, *, grace_s: float = GRACE_S, actor: str) -> Collected:
        """Remove files that nothing names any more; the receipt names them."""
        return whole(self._ask("collect_garbage", grace_s=grace_s, actor=actor), Collected)

    def storage_status(self) -> Condition:
        """Where the log stands, how large it is, and what is wrong with it."""
        return read(self._ask("server_status"), "storage", Condition)

    def _ask(self, op: str, **members: Any) -> JsonObject:
        return self._line.ask({"op": op, **members})

    def _once(self, op: str, **members: Any) -> JsonObject:
        """As `_ask`, for what finds nothing when it is sent again."""
        return self._line.ask({"op": op, **members}, is_repeatable=False)
