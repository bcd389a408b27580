"""Files that nothing names any more: found by looking at everything that could name them, removed with a receipt.

A file is named by 64 hexadecimal digits anywhere in a retained fact, in what is in quarantine, in a cursor or in a
producer. The receipt is durable before the first file goes: a crash between leaves files that the next time finds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from core.model.fact import JsonObject
from core.store.binaries.files import Files
from core.store.binaries.shelves import Kept
from core.store.log.ledger import Ledger
from core.store.numbers.recorder import Submit

GRACE_S = 86_400.0
FILES_PER_RECEIPT = 1000
PAGE_ROWS = 1000
PAGE_BYTES = 16 * 1024 * 1024

_DIGITS = 64
_RUNS = re.compile(r"[0-9a-fA-F]{64,}")
_FACTS = f"SELECT value, common, seq, key, derivation FROM fact WHERE seq > ? ORDER BY seq LIMIT {PAGE_ROWS}"
_QUARANTINE = f"""
    SELECT value, sample, position, key, reason FROM quarantine WHERE position > ? ORDER BY position LIMIT {PAGE_ROWS}
"""
_CURSORS = "SELECT value FROM cursor"
_PRODUCERS = "SELECT document FROM producer"

Row = tuple[Any, ...]
Rows = Callable[[str, Row], list[Row]]


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
        """Remove what nothing names and nobody put for `grace_s`: who names a file puts it before, within that time."""
        before = now - grace_s
        old = {kept.digest: kept for kept in self._files.walk() if kept.size is not None and kept.put_at < before}
        if not old:
            return Collected(0, 0)
        seq = self._spare(old)
        count = size = 0
        while old:
            part = {digest: old.pop(digest) for digest in list(old)[:FILES_PER_RECEIPT]}
            self._submit(_receipt(part, since=seq, grace_s=grace_s, actor=actor), bulk=True)
            gone = self._files.remove(part, put_before=before)
            count, size = count + gone.files, size + gone.bytes
        return Collected(count, size)

    def _spare(self, old: dict[str, Kept]) -> int:
        """Take out of `old` what something names; the position up to which facts were looked at."""
        for statement in (_CURSORS, _PRODUCERS):
            spare(old, (text for row in self._rows(statement, ()) for text in row))
        seq = 0
        for statement in (_QUARANTINE, _FACTS):
            place = 0
            for row in _pages(self._rows, statement, 0):
                place = row[2]
                spare(old, (row[0], row[1], row[3], row[4]))
            seq = place
        return seq


def spare(old: dict[str, Kept], texts: Iterable[object]) -> None:
    """Take out of `old` each file that one of the texts names."""
    for text in texts:
        if isinstance(text, str) and len(text) >= _DIGITS:
            for digest in _digests(text):
                old.pop(digest, None)


def _digests(text: str) -> Iterator[str]:
    """Every 64 digits in a row, also those within longer rows: a file is rather kept than missed."""
    for run in _RUNS.findall(text):
        digits = run.lower()
        for start in range(len(digits) - _DIGITS + 1):
            yield digits[start : start + _DIGITS]


def _pages(rows: Rows, statement: str, since: int) -> Iterator[Row]:
    while page := rows(statement, (since,)):
        yield from page
        since = page[-1][2]


def _receipt(part: dict[str, Kept], *, since: int, grace_s: float, actor: str) -> Callable[[Ledger], None]:
    """Spares what facts after `since` name, and leaves the receipt of the rest, in one transaction."""

    def do(ledger: Ledger) -> None:
        for row in _pages(ledger.rows, _FACTS, since):
            spare(part, (row[0], row[1], row[3], row[4]))
        if part:
            document: JsonObject = {
                "count": len(part),
                "bytes": sum(kept.size or 0 for kept in part.values()),
                "digests": sorted(part),
                "grace_s": grace_s,
            }
            ledger.leave_receipt("collect", actor=actor, document=document)

    return do
