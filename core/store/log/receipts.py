"""What left a store, or came into it, by other than the usual way: each with a receipt that nothing removes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import apsw
import msgspec

from core.model.fact import JsonObject

Verb = Literal["compact", "prune", "erase", "salvage", "import", "collect", "delete_samples", "drop"]

COMPACT: Verb = "compact"
PRUNE: Verb = "prune"
ERASE: Verb = "erase"
SALVAGE: Verb = "salvage"

# The receipts that are facts too, so that whoever follows or replays the log reads them there. No verb removes these.
TYPES: dict[Verb, str] = {
    COMPACT: "__compaction_receipts",
    PRUNE: "__fact_prune_receipts",
    ERASE: "__locker_erasures",
}

# Kept for the log's own sake: what an owner looks at, counts or searches is without these.
OWN_TYPES = frozenset({*TYPES.values(), "__locker_sample"})

LIST = "SELECT seq, verb, at, actor, document FROM receipt WHERE seq < ? ORDER BY seq DESC LIMIT ?"
ALL = "SELECT seq, verb, at, actor, document FROM receipt WHERE seq > ? ORDER BY seq LIMIT ?"
_PUT = "INSERT INTO receipt (verb, at, actor, document) VALUES (?, ?, ?, ?)"
_SAME = "SELECT seq FROM receipt WHERE verb = ? AND document = ?"
_IS_HERE = "SELECT 1 FROM receipt WHERE verb = ? AND at = ? AND document IN (?, ?)"
VERB_LETTERS_MAX = 64
#: Where a receipt was left first, in the document of one that came with an import.
FROM_STORE = "from_store"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt: what was done, when, by whom, and the rest as its document says."""

    seq: int
    verb: str
    at: float
    actor: str
    document: JsonObject


def put_receipt(
    db: apsw.Connection, verb: Verb, *, actor: str, at: float, document: JsonObject, once: bool = False
) -> int:
    """Leave a receipt within the caller's transaction; its number. `once`: not where the same is there already."""
    text = msgspec.json.encode(document).decode()
    if once and (there := db.execute(_SAME, (verb, text)).get) is not None:
        return int(there)
    db.execute(_PUT, (verb, at, actor, text))
    return db.last_insert_rowid()


def take_in(db: apsw.Connection, receipts: Iterable[Receipt], *, store_epoch: str) -> int:
    """Keep what was left in another store, which its document then names, within the caller's transaction.

    How many came; one that is here already adds nothing.
    """
    came = 0
    for one in receipts:
        marked = {FROM_STORE: store_epoch, **one.document}
        texts = [msgspec.json.encode(document).decode() for document in (one.document, marked)]
        if db.execute(_IS_HERE, (one.verb, one.at, *texts)).get is None:
            db.execute(_PUT, (one.verb, one.at, one.actor, texts[1]))
            came += 1
    return came


def receipt_of(row: tuple[Any, ...]) -> Receipt:
    """The receipt in a row of `LIST`; raises ValueError for one that no store of ours wrote."""
    seq, verb, at, actor, document = row
    return Receipt(seq=seq, verb=verb, at=at, actor=actor, document=msgspec.json.decode(document, type=JsonObject))
