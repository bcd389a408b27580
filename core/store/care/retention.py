"""What a store lets go, by policy or by wish: never without a receipt in the same transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import apsw
import msgspec

from core.model.errors import BadRequest, NotFound
from core.model.fact import JsonObject
from core.model.manifest import TypeSpec, spec_of
from core.store.asking.asof import floors_in
from core.store.care.checkpoint import Chain, Mark
from core.store.care.findings import spans_of
from core.store.log import current
from core.store.log.facts import HEAD, id_text, stored_id
from core.store.log.receipts import COMPACT, PRUNE, TYPES, Verb, bounded, put_receipt
from core.store.words.text import TextIndex

COMPACT_FACTS_MAX = 20_000
PRUNE_IDS_MAX = 1000
# A receipt tells so many types and stretches of positions at most.
TYPES_TOLD_MAX = 500
RANGES_TOLD_MAX = COMPACT_FACTS_MAX

POLICIES = "SELECT value FROM meta WHERE name = 'policies'"
_PUT_META = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_FLOOR = "SELECT value FROM meta WHERE name = 'floor_seq'"
_FLOORS = "SELECT value FROM meta WHERE name = 'floors'"
_NUMBER = "SELECT id FROM type WHERE name = ?"
_SUPERSEDED = """
    SELECT seq, until_seq, key FROM past WHERE type = ? AND until_known <= ? ORDER BY until_seq, seq LIMIT ?
"""
EXPENDABLE = """
    SELECT count(*) FROM (
        SELECT 1 FROM past WHERE type = (SELECT id FROM type WHERE name = ?) AND until_known <= ? LIMIT ?
    )
"""
_OF_ID = "SELECT f.seq, f.id, f.type, t.name, f.key FROM fact f CROSS JOIN type t ON t.id = f.type WHERE f.id = ?"
_OF_RECORD = """
    SELECT f.seq, f.id, f.type, t.name, f.key FROM fact f CROSS JOIN type t ON t.id = f.type WHERE f.seq IN (
        SELECT seq FROM current WHERE type = (SELECT id FROM type WHERE name = ?1) AND key = ?2
        UNION ALL SELECT seq FROM past WHERE type = (SELECT id FROM type WHERE name = ?1) AND key = ?2)
    ORDER BY f.seq
"""
_UNTIL = "SELECT until_seq FROM past WHERE type = ? AND key = ? AND seq = ?"
_DIGEST = "SELECT row_digest FROM fact WHERE seq = ?"
_DELETE_FACT = "DELETE FROM fact WHERE seq = ?"
_CURRENT = "SELECT deleted FROM current WHERE type = ? AND key = ?"
_DELETE_CURRENT = "DELETE FROM current WHERE type = ? AND key = ?"
_DELETE_PASTS = "DELETE FROM past WHERE type = ? AND key = ?"
_DELETE_TALLY = "DELETE FROM tally WHERE type = ?1 AND NOT EXISTS (SELECT 1 FROM current WHERE type = ?1)"

Note = Callable[[str, str, JsonObject], int]
_Record = tuple[int, str, str]  # The type by its number and its name, and the key.


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a type's superseded facts are kept.

    permanent       for ever
    ephemeral       not at all: only what counts is kept
    rolling_window  for `duration_s` after they were superseded
    """

    kind: Literal["permanent", "ephemeral", "rolling_window"] = "permanent"
    duration_s: float | None = None

    def check(self) -> None:
        """Raise BadRequest for a window without a duration, or a duration without a window."""
        if (self.kind == "rolling_window") != (self.duration_s is not None) or (self.duration_s or 0) < 0:
            raise BadRequest("a rolling_window has a duration_s of 0 or more, the other policies have none")

    def until(self, now: float) -> float | None:
        """By when a fact must have been superseded to go now; None where none goes."""
        return None if self.kind == "permanent" else now - (self.duration_s or 0.0)


class Target(msgspec.Struct, frozen=True):
    """A fact that is to go: its place, its id as stored, and its record."""

    seq: int
    id: bytes | str
    type: int
    type_name: str
    key: str


class Retention:
    """Removes facts of one open store, each method within one transaction of the caller.

    `note(type, key, value)` adds a fact of the store's own to the log and returns its seq. Facts that are receipts are
    never removed.
    """

    def __init__(
        self,
        db: apsw.Connection,
        *,
        types: Mapping[str, TypeSpec],
        text: TextIndex,
        chain: Chain,
        note: Note,
        now: float,
        actor: str,
    ) -> None:
        self._db = db
        self._types = types
        self._text = text
        self._chain = chain
        self._note = note
        self._now = now
        self._actor = actor

    def set_policy(self, type_name: str, policy: Policy) -> None:
        """Keep a type's policy; it takes effect when `compact` is next called."""
        policy.check()
        _refuse_receipts(type_name)
        put_policies(self._db, {**policies(self._db), type_name: policy})

    def compact(self, *, facts_max: int = COMPACT_FACTS_MAX) -> JsonObject | None:
        """Remove facts that the policies let go, at most `facts_max`; the receipt's document, None where none go.

        What counts is never removed, nor what counted within its type's window.
        """
        gone: list[int] = []
        floors: dict[str, int] = {}
        records: list[_Record] = []
        applied: dict[str, Policy] = {}
        for name, policy in sorted(policies(self._db).items()):
            number: Any = self._db.execute(_NUMBER, (name,)).get
            until = policy.until(self._now)
            if until is None or number is None or name in TYPES.values():
                continue
            limit = facts_max - len(gone)
            found: Any = self._db.execute(_SUPERSEDED, (number, until, limit)).fetchall()
            gone += [seq for seq, _, _ in found]
            floors |= {name: max(until_seq for _, until_seq, _ in found)} if found else {}
            records += [(number, name, key) for _, _, key in found]
            applied |= {name: policy} if found else {}
            if len(applied) >= TYPES_TOLD_MAX:
                break
        if not gone:
            return None
        gone.sort()
        went = self.digest(gone)
        self._delete(gone)
        # One that went may have ended the span of one that stays, where facts came in another order than they count.
        self._refold(records)
        floor = self._raise_floors(floors)
        said = {"policies": msgspec.to_builtins(applied), "floor_seq": floor}
        return self.sign(COMPACT, gone, went, said)

    def prune(self, ids: Sequence[str]) -> JsonObject:
        """Remove the facts with these ids, whether they count or not; the receipt's document.

        Where the one that counts goes, the one before it counts again; a record without facts is gone. Raises NotFound
        where none is there, BadRequest for receipts and for more than 1000.
        """
        if len(ids) > PRUNE_IDS_MAX:
            raise BadRequest(f"{len(ids)} ids at once, allowed are {PRUNE_IDS_MAX}")
        targets = self.targets(ids)
        head = int(self._db.execute(HEAD).get or 0)
        # One that counts stops counting at the receipt, whose position is the next.
        floors: dict[str, int] = {}
        for one in targets:
            until: Any = self._db.execute(_UNTIL, (one.type, one.key, one.seq)).get or head + 1
            floors[one.type_name] = max(floors.get(one.type_name, 0), until)
        went = self.digest(one.seq for one in targets)
        self._delete([one.seq for one in targets])
        self.refold(targets)
        known = {id_text(one.id) for one in targets}
        said: JsonObject = {
            "ids": sorted(known),
            "unknown": sorted(set(ids) - known),
            "floor_seq": self._raise_floors(floors),
        }
        return self.sign(PRUNE, [one.seq for one in targets], went, said)

    def targets(self, ids: Iterable[str] = (), record: tuple[str, str] | None = None) -> list[Target]:
        """The facts with these ids, or all of a record (type, key), in order; raises NotFound where there are none."""
        rows: list[tuple[Any, ...]] = [
            row for fact_id in sorted(set(ids)) for row in self._db.execute(_OF_ID, (stored_id(fact_id),))
        ]
        if record is not None:
            rows += self._db.execute(_OF_RECORD, record)
        found = sorted({Target(*row) for row in rows}, key=lambda one: one.seq)
        if not found:
            raise NotFound("there is no such fact")
        for one in found:
            _refuse_receipts(one.type_name)
        return found

    def refold(self, targets: Iterable[Target]) -> None:
        """Fold the records of these facts again, out of the facts that are left."""
        self._refold((one.type, one.type_name, one.key) for one in targets)

    def _refold(self, records: Iterable[_Record]) -> None:
        for type_id, type_name, key in dict.fromkeys(records):
            live_before = self._db.execute(_CURRENT, (type_id, key)).get == 0
            versions = current.versions_of(self._db, type_id, key)
            self._db.execute(_DELETE_CURRENT, (type_id, key))
            self._db.execute(_DELETE_PASTS, (type_id, key))
            live = False
            if versions:
                spec = spec_of(self._types, type_name)
                row, past = current.rows_of(self._db, type_id, key, versions, spec)
                self._db.execute(current.UPSERT, row)
                self._db.executemany(current.PUT_PAST, past)
                live = not row.deleted
            self._db.execute(current.ADD_TO_TALLY, (type_id, live - live_before))
            self._db.execute(_DELETE_TALLY, (type_id,))

    def digest(self, seqs: Iterable[int]) -> str:
        """SHA-256 over the positions and digests of facts as they are now, in order."""
        whole = hashlib.sha256()
        for seq in seqs:
            whole.update(b"%d:%b" % (seq, self._db.execute(_DIGEST, (seq,)).get or b""))
        return whole.hexdigest()

    def sign(self, verb: Verb, seqs: Sequence[int], went: str, said: JsonObject) -> JsonObject:
        """Renew the chain, and leave the receipt: in the table of receipts, and in the log as a fact.

        Where the positions are more stretches than one tells, further receipts tell the rest. Told is the first.
        """
        stays = self._chain.renew(seqs)
        ranges = [[span.first, span.last] for span in spans_of(list(seqs))]
        done = self._leave(
            verb,
            count=len(seqs),
            ranges=ranges[:RANGES_TOLD_MAX],
            said={**said, "went": went, "stays": _told(stays)},
        )
        for start in range(RANGES_TOLD_MAX, len(ranges), RANGES_TOLD_MAX):
            self._leave(verb, count=0, ranges=ranges[start : start + RANGES_TOLD_MAX], said={"goes_on": True})
        return done

    def _leave(self, verb: Verb, *, count: int, ranges: list[list[int]], said: JsonObject) -> JsonObject:
        document = bounded(
            {"verb": verb, "actor": self._actor, "at": self._now, "count": count, "ranges": ranges, **said}
        )
        number = put_receipt(self._db, verb, actor=self._actor, at=self._now, document=document)
        self._note(TYPES[verb], str(number), document)
        return document

    def _delete(self, seqs: Sequence[int]) -> None:
        self._text.remove(seqs)
        self._db.executemany(_DELETE_FACT, [(seq,) for seq in seqs])

    def _raise_floors(self, floors: Mapping[str, int]) -> int:
        """The first position that this store answers for, of all types and of each, never lower than before."""
        floor = int(self._db.execute(_FLOOR).get or 0)
        text: Any = self._db.execute(_FLOORS).get
        # What went before floors were kept by type may have been of any.
        by_type = floors_in(text) if text is not None else {"": floor}
        for name, its in floors.items():
            by_type[name] = max(its, by_type.get(name, by_type.get("", 0)))
        floor = max(floor, *floors.values())
        self._db.execute(_PUT_META, ("floor_seq", floor))
        self._db.execute(_PUT_META, ("floors", msgspec.json.encode(by_type).decode()))
        return floor


def policies(db: apsw.Connection) -> dict[str, Policy]:
    """The policies of the types that have one."""
    text: Any = db.execute(POLICIES).get
    return {} if text is None else policies_of((text,))


def policies_of(row: tuple[Any, ...]) -> dict[str, Policy]:
    """The policies in a row of `POLICIES`."""
    return msgspec.json.decode(row[0], type=dict[str, Policy])


def put_policies(db: apsw.Connection, by_type: Mapping[str, Policy]) -> None:
    """Keep the policies, those that let nothing go left out; within the caller's transaction."""
    kept = {name: policy for name, policy in sorted(by_type.items()) if policy.kind != "permanent"}
    db.execute(_PUT_META, ("policies", msgspec.json.encode(kept).decode()))


def _refuse_receipts(type_name: str) -> None:
    if type_name in TYPES.values():
        raise BadRequest(f"{type_name} are receipts: they are never removed", remedy="Leave them out.")


def _told(mark: Mark) -> JsonObject:
    return {"facts": mark.facts, "seq": mark.seq, "digest": mark.chain.hex()}
