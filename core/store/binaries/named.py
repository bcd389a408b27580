"""What names a file: 64 hexadecimal digits anywhere in a retained fact, in quarantine, in a cursor or in a producer.

Receipts name files that are gone or may go, so they keep none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

from core.store.log.receipts import TYPES
from core.store.rows import Rows

PAGE_ROWS = 1000

_DIGITS = 64
_RUNS = re.compile(r"[0-9a-fA-F]{64,}")
_RECEIPTS = ", ".join(f"'{name}'" for name in TYPES.values())
_FACTS = f"""
    SELECT value, common, seq, key, derivation FROM fact
    WHERE seq > ? AND type NOT IN (SELECT id FROM type WHERE name IN ({_RECEIPTS})) ORDER BY seq LIMIT {PAGE_ROWS}
"""
_QUARANTINE = f"""
    SELECT value, sample, position, key, reason FROM quarantine WHERE position > ? ORDER BY position LIMIT {PAGE_ROWS}
"""
_CURSORS = "SELECT value FROM cursor"
_PRODUCERS = "SELECT document FROM producer"

ByDigest = MutableMapping[str, Any]


def spare_named(files: ByDigest, rows: Rows) -> int:
    """Take out of `files` what anything names; the position up to which facts were looked at."""
    for statement in (_CURSORS, _PRODUCERS):
        spare(files, (text for row in rows(statement, ()) for text in row))
    _spare_paged(files, rows, _QUARANTINE, 0)
    return spare_since(files, rows, 0)


def spare_since(files: ByDigest, rows: Rows, since: int) -> int:
    """Take out of `files` what facts after the position `since` name; the position of the last of these."""
    return _spare_paged(files, rows, _FACTS, since)


def spare(files: ByDigest, texts: Iterable[object]) -> None:
    """Take out of `files` each that one of the texts names."""
    for digest in digests_in(texts):
        files.pop(digest, None)


def digests_in(texts: Iterable[object]) -> Iterator[str]:
    """Every 64 digits in a row, also those within longer rows: a file is rather kept than missed."""
    for text in texts:
        if not isinstance(text, str) or len(text) < _DIGITS:
            continue
        for run in _RUNS.findall(text):
            digits = run.lower()
            for start in range(len(digits) - _DIGITS + 1):
                yield digits[start : start + _DIGITS]


def _spare_paged(files: ByDigest, rows: Rows, statement: str, since: int) -> int:
    while page := rows(statement, (since,)):
        for row in page:
            spare(files, (row[0], row[1], row[3], row[4]))
        since = page[-1][2]
    return since
