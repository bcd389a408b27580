"""What left a store, or came into it, by other than the usual way: each with a receipt that nothing removes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import apsw
import msgspec

from core.model.errors import BadRecord
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
# No index serves it: it is asked once for many.
_ARE_HERE = "SELECT verb, at, document FROM receipt WHERE at IN ({}) AND document IN ({})"
VERB_LETTERS_MAX = 64
ACTOR_LETTERS_MAX = 512
#: What the document of a receipt may have. What lets facts go leaves more than one receipt rather.
RECEIPT_BYTES_MAX = 1024 * 1024
# What the name of the store that it comes from adds to one that was left elsewhere.
_MARK_BYTES_MAX = 1024
# What these say of positions, nothing else tells: they are the last to be cut.
_POSITIONS = frozenset({"ranges", "lost"})
#: Where a receipt was left first, in the document of one that came with an import.
FROM_STORE = "from_store"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt: what was done, when, by whom, and the rest as its document says."""

    seq: int
    verb: str
    at: float
    actor: str
    document: JsonObject


class Left(msgspec.Struct, frozen=True):
    """A receipt as it goes from store to store, and the epoch of the one in which it was left."""

    store_epoch: Annotated[str, msgspec.Meta(max_length=64)]
    verb: Annotated[str, msgspec.Meta(max_length=VERB_LETTERS_MAX)]
    at: float
    actor: Annotated[str, msgspec.Meta(max_length=ACTOR_LETTERS_MAX)]
    document: JsonObject

    def can_be_kept(self) -> bool:
        """Whether its document is one that a store of ours would have left."""
        return len(msgspec.json.encode(self.document)) <= RECEIPT_BYTES_MAX + _MARK_BYTES_MAX


def put_receipt(
    db: apsw.Connection, verb: Verb, *, actor: str, at: float, document: JsonObject, once: bool = False
) -> int:
    """Leave a receipt within the caller's transaction; its number. `once`: not where the same is there already.

    The document is kept as `bounded` has it.
    """
    text = msgspec.json.encode(bounded(document)).decode()
    if once and (there := db.execute(_SAME, (verb, text)).get) is not None:
        return int(there)
    db.execute(_PUT, (verb, at, actor, text))
    return db.last_insert_rowid()


def bounded(document: JsonObject) -> JsonObject:
    """The document, its longest lists cut until it fits; `<list>_left_out` says how many are not in it.

    Raises BadRecord for one that is too large without its lists.
    """
    kept = dict(document)
    while len(msgspec.json.encode(kept)) > RECEIPT_BYTES_MAX:
        lists = [name for name, value in kept.items() if isinstance(value, (list, tuple)) and value]
        if not lists:
            raise BadRecord(f"a receipt has more than {RECEIPT_BYTES_MAX} bytes")
        longest = max(lists, key=lambda name: (name not in _POSITIONS, len(msgspec.json.encode(kept[name]))))
        stays = len(kept[longest]) // 2
        kept[longest] = kept[longest][:stays]
        kept[f"{longest}_left_out"] = len(document[longest]) - stays
    return kept


def take_in(db: apsw.Connection, left: Sequence[Left]) -> int:
    """Keep what was left in another store, which its document then names, within the caller's transaction.

    How many came; one that is here already adds nothing. All that are here are looked through once for these.
    """
    its = [msgspec.json.encode(one.document).decode() for one in left]
    marked = [msgspec.json.encode({FROM_STORE: one.store_epoch, **one.document}).decode() for one in left]
    times, texts = {one.at for one in left}, {*its, *marked}
    places = (", ".join("?" * len(some)) for some in (times, texts))
    here = set(db.execute(_ARE_HERE.format(*places), (*times, *texts)).fetchall())
    came = 0
    for one, text, with_mark in zip(left, its, marked, strict=True):
        if here.isdisjoint({(one.verb, one.at, text), (one.verb, one.at, with_mark)}):
            db.execute(_PUT, (one.verb, one.at, one.actor, with_mark))
            here.add((one.verb, one.at, with_mark))
            came += 1
    return came


def receipt_of(row: tuple[Any, ...]) -> Receipt:
    """The receipt in a row of `LIST`; raises ValueError for one that no store of ours wrote."""
    seq, verb, at, actor, document = row
    return Receipt(seq=seq, verb=verb, at=at, actor=actor, document=msgspec.json.decode(document, type=JsonObject))
