"""The write side of one open store: transactions on its log, and the last positions in it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw

from core.model.clock import Clock
from core.model.manifest import TypeSpec
from core.store import current, facts, streams
from core.store.connection import close_checkpointed, open_for_writing
from core.store.draft import Draft, Place
from core.store.migrate import migrate
from core.store.prepare import Batch
from core.store.quarantine import Quarantine
from core.store.schema import APPLICATION_ID, MIGRATIONS
from core.store.values import Commit, Origin

T = TypeVar("T")

EPOCH_BYTES = 16

_NEW_META = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
_COUNT_OPEN = "UPDATE meta SET value = value + 1 WHERE name = 'opens'"
_ORIGIN = "SELECT id FROM origin WHERE log = ? AND epoch = ?"
_NEW_ORIGIN = "INSERT INTO origin (log, epoch) VALUES (?, ?) ON CONFLICT (log, epoch) DO NOTHING"
_PRODUCER = "SELECT id FROM producer WHERE document = ?"
_NEW_PRODUCER = "INSERT INTO producer (document) VALUES (?) ON CONFLICT (document) DO NOTHING"


class Ledger:
    """One writable connection and what the log stands at; owned by one thread at a time.

    After a failed transaction it is of no more use: abandon it and open another, which reads everything anew.
    """

    def __init__(self, db: apsw.Connection, *, types: Mapping[str, TypeSpec], origin: Origin, clock: Clock) -> None:
        self._db = db
        self._types = types
        self._clock = clock
        self._quarantine = Quarantine(db)
        self._recorded_at: float = db.execute(facts.LAST_RECORDED_AT).get or 0.0
        self._origin = self._number_of(_ORIGIN, _NEW_ORIGIN, (origin.log, origin.epoch))
        self._origin_seq: int = db.execute(facts.LAST_ORIGIN_SEQ, (self._origin,)).get or 0
        self.head: int = db.execute(facts.HEAD).get or 0

    @classmethod
    def open(cls, path: Path, *, mode_of: Path, types: Mapping[str, TypeSpec], origin: Origin, clock: Clock) -> Ledger:
        """The store at `path`, made or brought to this version where needed."""
        db = open_for_writing(path, mode_of=mode_of)
        try:
            migrate(db, path, application_id=APPLICATION_ID, steps=MIGRATIONS)
            return cls(db, types=types, origin=origin, clock=clock)
        except BaseException:
            db.close()
            raise

    def count_open(self) -> None:
        """Note that a writer came; the first one gives the store its epoch."""
        with self._db:
            self._db.execute(_NEW_META, ("store_epoch", secrets.token_bytes(EPOCH_BYTES)))
            self._db.execute(_NEW_META, ("opens", 0))
            self._db.execute(_COUNT_OPEN)

    def transaction(self, works: Sequence[Callable[[Ledger], T]]) -> list[T]:
        """Do all of `works` together: flushed when this returns, undone by `abandon` when it raises."""
        self._db.execute("BEGIN IMMEDIATE")
        results = [work(self) for work in works]
        self._db.execute("COMMIT")
        return results

    def apply(self, batch: Batch) -> Commit:
        """Add what changed to the log, fold it into the current state, set the cursor, keep what was refused."""
        now = self._now()
        place = Place(seq=self.head, origin=self._origin, origin_seq=self._origin_seq)
        producer = self._number_of(_PRODUCER, _NEW_PRODUCER, (batch.producer,)) if batch.producer else None
        draft = Draft(self._db, batch, types=self._types, place=place, producer=producer, now=now)
        draft.write()
        self.head += draft.size
        self._origin_seq += draft.size
        # A record that came both good and bad in one batch stays in quarantine, where it is seen.
        self._quarantine.clear((good.change.type, good.change.key) for good in batch.prepared)
        self._quarantine.put(batch.refused, now=now)
        if batch.cursor is not None:  # In the transaction of its records. INV-02.
            streams.put_cursor(self._db, *batch.cursor, now=now)
        return draft.commit(quarantined=len(batch.refused))

    def set_cursor(self, stream: str, text: str | None) -> None:
        """Set where the stream resumes."""
        streams.put_cursor(self._db, stream, text, now=self._now())

    def note_run(self, row: tuple[Any, ...]) -> None:
        """Keep how a run went."""
        streams.put_run(self._db, row)

    def rebuild(self) -> None:
        """Fold every fact again."""
        current.rebuild(self._db, self._types)

    def close(self) -> None:
        """Close properly, the write-ahead log folded into the file."""
        close_checkpointed(self._db)

    def abandon(self) -> None:
        """Close after a failure: what was not committed is undone."""
        self._db.close()

    def _number_of(self, find: str, make: str, what: tuple[Any, ...]) -> int:
        """The row number of something that many facts share, made at its first use."""
        number = self._db.execute(find, what).get
        if number is None:
            self._db.execute(make, what)
            number = self._db.execute(find, what).get
        return int(number)

    def _now(self) -> float:
        """The commit's time: it never goes back, whatever is done to the owner's clock."""
        self._recorded_at = max(self._clock.now(), self._recorded_at)
        return self._recorded_at
