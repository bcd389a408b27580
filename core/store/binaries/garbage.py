"""Files that nothing names any more: found by looking at everything that could name them, removed with a receipt.

The receipt is durable before the first file goes: a crash between leaves files that the next time finds.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from core.model.fact import JsonObject
from core.store.binaries.files import Files
from core.store.binaries.named import spare_named, spare_since
from core.store.binaries.shelves import Kept
from core.store.log.ledger import Ledger
from core.store.log.writer import Submit
from core.store.rows import Rows

GRACE_S = 86_400.0
FILES_PER_RECEIPT = 1000


class Collected(msgspec.Struct, frozen=True):
    """What a collection removed."""

    files: int
    bytes: int


class Garbage:
    """The files of one store that nothing names; only for its writer."""

    def __init__(self, files: Files, rows: Rows, submit: Submit) -> None:
        self._files = files
        self._rows = rows
        self._submit = submit

    def collect(self, *, now: float, grace_s: float, actor: str) -> Collected:
        """Remove files that nothing names and nobody has put for `grace_s`: a file is put before it is named."""
        before = now - grace_s
        old = {kept.digest: kept for kept in self._files.walk() if kept.size is not None and kept.put_at < before}
        if not old:
            return Collected(0, 0)
        seq = spare_named(old, self._rows)
        count = size = 0
        while old:
            part = {digest: old.pop(digest) for digest in list(old)[:FILES_PER_RECEIPT]}
            self._submit(_receipt(part, since=seq, grace_s=grace_s, actor=actor), bulk=True)
            gone = self._files.remove(part, put_before=before)
            count, size = count + gone.files, size + gone.bytes
        return Collected(count, size)


def _receipt(part: dict[str, Kept], *, since: int, grace_s: float, actor: str) -> Callable[[Ledger], None]:
    """Spares what facts after `since` name, and leaves the receipt of the rest, in one transaction."""

    def do(ledger: Ledger) -> None:
        spare_since(part, ledger.rows, since)
        if part:
            document: JsonObject = {
                "count": len(part),
                "bytes": sum(kept.size or 0 for kept in part.values()),
                "digests": sorted(part),
                "grace_s": grace_s,
            }
            ledger.leave_receipt("collect", actor=actor, document=document)

    return do
