"""A receipt in words: what left a store, or came into it by other than the usual way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.store import FROM_STORE, Receipt
from core.web.dashboard.values import plain
from core.web.dashboard.words import count

VERB_LENGTH_MAX = 40
NAME_LENGTH_MAX = 80

_OF_VERSIONS = {"compact": "Let go by policy", "prune": "Removed", "erase": "Erased"}


def receipt_words(receipt: Receipt) -> str:
    """One sentence; the file is its child's, so nothing in it is taken for granted.

    One that came with an import says so: it tells of another store.

    >>> receipt_words(Receipt(seq=1, verb="erase", at=1.0, actor="owner", document={"count": 2, "unreachable": ["/b"]}))
    'Erased: 2 versions. Backups that still hold it: /b'
    >>> receipt_words(Receipt(seq=1, verb="prune", at=1.0, actor="owner", document={"count": 1, "from_store": "6f…"}))
    'Removed: 1 version, in the store that this was imported from'
    """
    came = "" if FROM_STORE not in receipt.document else ", in the store that this was imported from"
    return _words(receipt, receipt.document) + came


def _words(receipt: Receipt, document: Mapping[str, Any]) -> str:
    if receipt.verb in _OF_VERSIONS:
        words = f"{_OF_VERSIONS[receipt.verb]}: {count(_number(document.get('count')), 'version')}"
        backups = document.get("unreachable")
        if isinstance(backups, list) and backups:
            words += f". Backups that still hold it: {plain(', '.join(map(str, backups)), 10 * NAME_LENGTH_MAX)}"
        return words
    if receipt.verb == "salvage":
        return f"Taken over after damage: {count(_number(document.get('salvaged')), 'fact')} salvaged"
    if receipt.verb == "collect":
        return f"Files that nothing named: {count(_number(document.get('count')), 'file')} removed"
    if receipt.verb == "delete_samples":
        point = plain(document.get("point", ""), NAME_LENGTH_MAX)
        return f"Numbers of {point} deleted: {_number(document.get('count')):,}"
    if receipt.verb == "drop":
        record = f"{document.get('type', '')} {document.get('key', '')}"
        return f"Let go of what was set aside: {plain(record, NAME_LENGTH_MAX)}"
    if receipt.verb == "import":
        return f"Imported: {count(_number(document.get('added')), 'fact')}"
    return plain(receipt.verb, VERB_LENGTH_MAX)


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
