"""The write side of one open store: transactions on its log, and the last positions in it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw

from core.model.clock import Clock
from core.model.errors import LeftOut, LockerError
from core.model.fact import JsonObject
from core.model.manifest import TypeSpec
from core.store.care.checkpoint import Chain
from core.store.care.condition import note_verify
from core.store.care.erasure import Erasable, erase, finish
from core.store.care.retention import Retention
from core.store.care.seal import put_seal, remove_seal
from core.store.care.verify import Verification
from core.store.connection import close_checkpointed
from core.store.log import current, facts, streams
from core.store.log.adding import do_run, in_runs
from core.store.log.declarations import Declarations
from core.store.log.draft import Draft
from core.store.log.entries import Intake, Judged, names, own_fact
from core.store.log.incarnation import epoch_in, put_epoch
from core.store.log.prepare import Batch
from core.store.log.quarantine import Quarantine, Waiting
from core.store.log.receipts import Left, Verb, put_receipt, take_in
from core.store.log.shared import Shared
from core.store.log.sheet import TYPES_MAX, Place, Sheet
from core.store.migrate import migrate, version_of
from core.store.numbers.samples import SAMPLE_TYPE, Recording, Sampled, Samples
from core.store.schema import APPLICATION_ID, MIGRATIONS
from core.store.trust import refuse_active
from core.store.values import Appended, Commit, Origin, TakenIn
from core.store.words.text import TextIndex

T = TypeVar("T")

EPOCH_BYTES = 16
INDEX_FACTS = 500

_NEW_META = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
_COUNT_OPEN = "UPDATE meta SET value = value + 1 WHERE name = 'opens'"
_TYPE = "SELECT id FROM type WHERE name = ?"


class Ledger:
    """One writable connection and what the log stands at; owned by one thread at a time.

    After a failed transaction it is of no more use: abandon it and open another, which reads everything anew.
    """

    def __init__(
        self,
        db: apsw.Connection,
        *,
        types: Mapping[str, TypeSpec],
        origin: Origin,
        clock: Clock,
        timezone: str | None = None,
    ) -> None:
        self._db = db
        #: How long the last transaction's flush took.
        self.flush_s = 0.0
        self._types = types
        self._clock = clock
        self.quarantine = Quarantine(db)
        self._samples = Samples(db, timezone=timezone)
        self._text = TextIndex(db, types)
        self._chain = Chain(db)
        self._recorded_at: float = db.execute(facts.LAST_RECORDED_AT).get or 0.0
        self._numbers: dict[str, int] = {}
        self._shared = Shared(db)
        #: In which facts are made here: that of `origin`, unless the store is in a later one already.
        self.epoch = epoch_in(db, origin.epoch)
        self._own = self._shared.source(origin.log, self.epoch)
        self._shared.write(origins=(self._own.number,), producers=())
        self.head: int = db.execute(facts.HEAD).get or 0
        self._origin_seq = self._last_of_own()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        connect: Callable[[], apsw.Connection],
        types: Mapping[str, TypeSpec],
        origin: Origin,
        clock: Clock,
        timezone: str | None = None,
    ) -> Ledger:
        """The store at `path`, to which `connect` connects, made or brought to this version where needed."""
        db = connect()
        try:
            if version_of(db, path, application_id=APPLICATION_ID, newest=len(MIGRATIONS)):
                refuse_active(db, path)
            migrate(db, path, application_id=APPLICATION_ID, steps=MIGRATIONS)
            return cls(db, types=types, origin=origin, clock=clock, timezone=timezone)
        except BaseException:
            db.close()
            raise

    def count_open(self) -> None:
        """Note that a writer came, and in which epoch it makes facts; the first one gives the store its own epoch."""
        with self._db:
            remove_seal(self._db)
            self._db.execute(_NEW_META, ("store_epoch", secrets.token_bytes(EPOCH_BYTES)))
            self._db.execute(_NEW_META, ("opens", 0))
            put_epoch(self._db, self.epoch)
            self._db.execute(_COUNT_OPEN)

    def transaction(
        self, works: Sequence[Callable[[Ledger], T]], gives_way: Callable[[], bool] = lambda: False
    ) -> list[T]:
        """Do `works` together, all or as many as are done before it `gives_way`, but one at least.

        They are flushed when this returns, undone by `abandon` when it raises.
        """
        results: list[T] = []
        self._db.execute("BEGIN IMMEDIATE")
        for run in in_runs(works):
            results += do_run(self, run)
            if gives_way():
                break
        begun = time.monotonic()
        self._db.execute("COMMIT")
        self.flush_s = time.monotonic() - begun
        return results

    def apply(
        self, batch: Batch, recording: Recording | None = None, *, index: bool = True, clears: bool = True
    ) -> Commit:
        """Add what changed to the log, fold it into the current state, set the cursor, keep numbers and the refused.

        `index` puts its words into the text index at once; else `index_text` does, later. `clears` lets go of older
        versions in quarantine.
        """
        sheet, place = self._sheet()
        draft = Draft(sheet, batch, types=self._types, producer=self._shared.producer(batch.producer))
        self._write(sheet, place, index=index)
        # A record that came both good and bad in one batch stays in quarantine, where it is seen.
        refused = [*batch.refused, *draft.refused]
        self.quarantine.clear(draft.stored() if clears else ())
        self.quarantine.put(refused, now=sheet.now, head=self.head)
        if batch.cursor is not None:  # In the transaction of its records. INV-02.
            streams.put_cursor(self._db, *batch.cursor, now=sheet.now)
        odd = 0 if recording is None else self.record(recording).quarantined
        return draft.commit(quarantined=len(refused) + odd, head=self.head)

    def append(
        self, judged: Sequence[Judged | LockerError], *, atomic: bool, index: bool = True
    ) -> list[Appended | LockerError]:
        """Add facts as they came; what cannot be added is answered by its error.

        `atomic`: then none is added, and the others are answered by LeftOut. `index` puts their words into the text
        index at once; else `index_text` does, later.
        """
        sheet, place = self._sheet()
        intake = Intake(self._db, sheet, types=self._types)
        intake.look_up([one for one in judged if isinstance(one, Judged)])
        answers = [self._take(intake, one) for one in judged]
        if atomic and any(isinstance(answer, LockerError) for answer in answers):
            self._shared.write(origins=(), producers=())
            return [answer if isinstance(answer, LockerError) else LeftOut() for answer in answers]
        self._write(sheet, place, index=index)
        self.quarantine.clear(_taken(judged, answers))
        return answers

    def record(self, recording: Recording) -> Sampled:
        """Keep numbers of points, and in quarantine what is none."""
        kept = self._samples.put(recording.prepared)
        self.quarantine.clear((SAMPLE_TYPE, point) for point in recording.prepared)
        self.quarantine.put(recording.refused, now=self.now(), head=self.head)
        return Sampled(kept=kept, quarantined=len(recording.refused))

    def delete_samples(self, point: str, *, since: float, until: float, actor: str) -> tuple[int, float | None]:
        """Delete numbers of the range, as many as go at once; how many, and where the rest begins."""
        return self._samples.delete(point, since=since, until=until, now=self.now(), actor=actor)

    @property
    def is_indexed(self) -> bool:
        """Whether the text index reaches the end of the log."""
        return self._text.reached >= self.head

    def index_text(self) -> bool:
        """Put the words of some facts that lag behind into the text index; whether none does any more."""
        return self._text.catch_up(INDEX_FACTS)

    def counting(self, type_name: str, key: str) -> tuple[int, float] | None:
        """Position of the fact that counts of a record, deleted or not, and when it was stored; None for no record."""
        found: tuple[int, float] | None = self._db.execute(current.COUNTING, (type_name, key)).fetchone()
        return found

    def rows(self, statement: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """The rows as the transaction under way sees them."""
        return self._db.execute(statement, parameters).fetchall()

    def now(self) -> float:
        """The time of the transaction under way: it never goes back, whatever is done to the owner's clock."""
        self._recorded_at = max(self._clock.now(), self._recorded_at)
        return self._recorded_at

    def set_cursor(self, stream: str, text: str | None) -> None:
        """Set where the stream resumes."""
        streams.put_cursor(self._db, stream, text, now=self.now())

    def note_run(self, row: tuple[Any, ...]) -> None:
        """Keep how a run went."""
        streams.put_run(self._db, row)

    def rebuild(self) -> None:
        """Fold every fact again."""
        current.rebuild(self._db, self._types)
        Declarations(self._db, self._types).settle()
        self._text.rebuild()
        self._samples.rebuild()

    def keep_up(self) -> None:
        """Fold every fact again where the folds were made by other declarations than today's.

        Indexes that an earlier version made in its own way are made anew; words that it made in its own way are left
        to `index_text`.
        """
        declarations = Declarations(self._db, self._types)
        if declarations.are_folded:
            declarations.settle_indexes()
            self._text.keep_up()
        else:
            self.rebuild()
        if not self._samples.is_folded:
            self._samples.settle()

    def retention(self, *, actor: str) -> Retention:
        """What lets facts go, for `actor`, within the transaction that is under way."""
        return Retention(
            self._db,
            types=self._types,
            text=self._text,
            chain=self._chain,
            note=self._note,
            now=self.now(),
            actor=actor,
        )

    def erase(self, folder: Path, what: Erasable, *, actor: str) -> JsonObject:
        """Erase what facts said, within the transaction that is under way; `finish_erasing` after its commit."""
        done = erase(self._db, self.retention(actor=actor), self._text, what, folder=folder)
        self._shared.forget_producers()  # One that only erased facts had is gone.
        return done

    def finish_erasing(self, folder: Path) -> bool:
        """Do outside of any transaction what an erasure left to do; whether all is done."""
        return finish(self._db, folder)

    def note_verify(self, found: Verification) -> None:
        """Keep what a verification found."""
        note_verify(self._db, found, at=self._clock.now())

    def leave_receipt(self, verb: Verb, *, actor: str, document: JsonObject) -> int:
        """Keep for good what was done; the receipt's number."""
        return put_receipt(self._db, verb, actor=actor, at=self.now(), document=document)

    def take_waiting(self, waiting: Sequence[Waiting]) -> TakenIn:
        """Keep in quarantine what waits in another store's; what of it came."""
        return self.quarantine.take_in(waiting, now=self.now())

    def take_receipts(self, left: Sequence[Left]) -> int:
        """Keep what was left in another store; how many came."""
        return take_in(self._db, left)

    def close(self) -> None:
        """Close properly: the chain ended, the small tables sealed, the write-ahead log folded into the file."""
        # A full disk keeps both from being written; the store is whole without.
        with suppress(apsw.Error), self._db:
            self._chain.close()
            put_seal(self._db)
        close_checkpointed(self._db)

    def interrupt(self) -> None:
        """Let the statement under way fail; from any thread."""
        self._db.interrupt()

    def abandon(self) -> None:
        """Close after a failure: what was not committed is undone."""
        self._db.close()

    def _sheet(self) -> tuple[Sheet, Place]:
        place = Place(seq=self.head, origin_seq=self._origin_seq)
        sheet = Sheet(
            self._db, types=self._types, number_of=self._type_number, place=place, own=self._own, now=self.now()
        )
        return sheet, place

    def _write(self, sheet: Sheet, place: Place, *, index: bool) -> None:
        sheet.write(self._shared)
        if index and place.seq > self.head:
            self._text.add(sheet.puts, since=self.head, head=place.seq)
        if sheet.size:
            self._chain.add(place.seq, sheet.digests)
        self.head, self._origin_seq = place.seq, place.origin_seq

    def _note(self, type_name: str, key: str, value: JsonObject) -> int:
        """Add a fact of the store's own, whose type nobody else may write."""
        (added,) = self.append([own_fact(type_name, key, value)], atomic=True)
        if isinstance(added, LockerError):
            raise added
        return added.seq

    def _take(self, intake: Intake, one: Judged | LockerError) -> Appended | LockerError:
        if isinstance(one, LockerError):
            return one
        entry = one.entry
        source = None if entry.origin is None else self._shared.source(entry.origin, entry.origin_epoch or 1)
        try:
            return intake.take(one, producer=self._shared.producer(one.producer), source=source)
        except LockerError as err:
            return err

    def _type_number(self, name: str) -> int | None:
        """The number of a type that facts are of already."""
        number = self._numbers.get(name)
        if number is None:
            number = self._db.execute(_TYPE, (name,)).get
            if number is not None and len(self._numbers) < TYPES_MAX:
                self._numbers[name] = number
        return number

    def _last_of_own(self) -> int:
        """The last position in this writer's own log."""
        own = self._own.number
        numbered: int = self._db.execute(facts.LAST_ORIGIN_SEQ, (own,)).get
        if own != facts.FIRST_ORIGIN:
            return numbered
        return max(numbered, self._db.execute(facts.LAST_UNNUMBERED, (own,)).get or 0)


def _taken(judged: Sequence[Judged | LockerError], answers: Sequence[Appended | LockerError]) -> list[tuple[str, str]]:
    """The records of which a fact is new in the log; one that was there already says nothing of what came after it."""
    paired = zip(judged, answers, strict=True)
    return names(
        [
            one
            for one, answer in paired
            if isinstance(one, Judged) and isinstance(answer, Appended) and not answer.duplicate
        ]
    )
