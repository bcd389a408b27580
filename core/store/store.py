"""A connector's own store: the one writer of its facts, with everything that can be asked of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from core.model.clock import Clock
from core.model.errors import BadRecord, BadRequest, Broken, LockerError
from core.model.fact import Change, JsonObject
from core.model.manifest import TypeSpec
from core.store.binaries.files import FILES_BYTES_MAX, Files
from core.store.binaries.garbage import GRACE_S, Collected, Garbage
from core.store.care.erasure import Erasable, finish_in
from core.store.care.findings import Findings
from core.store.care.recovery import refuse_damaged, settle
from core.store.care.retention import Policy
from core.store.care.verify import Verification
from core.store.connection import fault_of, identity
from core.store.home import DiskHome, Home, MemoryHome, make_folder
from core.store.lock import WriterLock
from core.store.log.adding import PIECE_FACTS, Adding, Answers
from core.store.log.entries import judge
from core.store.log.flushes import Committing
from core.store.log.incarnation import epoch_beside
from core.store.log.indexer import Indexer
from core.store.log.ledger import INDEX_FACTS, Ledger
from core.store.log.mending import RETRY_MAX, Mending, Retried
from core.store.log.prepare import Batch, check_count, prepare_all, provenance, set_aside
from core.store.log.quarantine import Waiting
from core.store.log.receipts import Left, Verb
from core.store.log.streams import cursor_text, run_row
from core.store.log.writer import Work, Writer
from core.store.numbers.recorder import Recorder
from core.store.numbers.samples import Sample, prepare_samples
from core.store.reader import STORE_NAME
from core.store.reads import Reads
from core.store.rows import Row
from core.store.values import Appended, Aside, Commit, Entry, Origin, Quarantined, Run, TakenIn

T = TypeVar("T")

APPEND_ENTRIES_MAX = 1000


def _untold_commit(head: int) -> None:
    """`on_commit` until somebody sets it."""


def _untold_removal() -> None:
    """`on_removed` until somebody sets it."""


class Store(Reads):
    """The one writer of a store, from `open` to `close`; thread-safe, and only for the process that opened it.

    Set `on_commit` to be told the head after each commit that added facts: in order, after the writers got their
    answers, on the writer's thread, so it must return at once. Set `on_removed` to be told when facts were removed or
    what they said was erased, before whoever asked for it gets the answer: copies in memory are to go by then.
    """

    series: Recorder

    def __init__(
        self,
        home: Home,
        *,
        types: Mapping[str, TypeSpec],
        origin: Origin,
        clock: Clock,
        found: Findings | None = None,
        timezone: str | None = None,
        files_bytes_max: int = FILES_BYTES_MAX,
    ) -> None:
        super().__init__(home.path, types)
        path = home.path
        self.on_commit: Callable[[int], None] = _untold_commit
        self.on_removed: Callable[[], None] = _untold_removal
        self.was_clean = home.was_clean
        self.found = found
        self._clock = clock
        self._origin = origin
        self._timezone = timezone
        self._home = home
        self._closing = threading.Lock()
        self._reader = home.reader(types)
        self.series = Recorder(self.rows, self._submit)
        self._mending = Mending(self._submit, types=self._types, clock=clock)
        self.files = Files(path.parent, bytes_max=files_bytes_max)
        self.files.clear_unfinished()
        ledger = self._open_ledger()
        try:
            ledger.count_open()
            home.note_epoch(ledger.epoch)
            ledger.transaction([Ledger.rebuild if found is not None and found.folds_differ else Ledger.keep_up])
            ledger.finish_erasing(path.parent)
        except BaseException:
            ledger.abandon()
            raise
        self._indexer = Indexer(self._index_text, name=f"store-indexer {path.parent.name}")
        self._writer = Writer(ledger, path=path, reopen=self._open_ledger, after_commit=self._after_commit)
        if not ledger.is_indexed:
            self._indexer.stir()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        types: Mapping[str, TypeSpec],
        origin: Origin,
        clock: Clock,
        timezone: str | None = None,
        files_bytes_max: int = FILES_BYTES_MAX,
    ) -> Store:
        """The store in `folder`, made where there is none; nobody else may write it until `close`.

        Raises WriterBusy naming the process that writes it now, FormatTooNew, or FileDamaged.
        `was_clean` then tells whether the writer before closed it properly, and `found` what was found if not. A
        damaged store is FileDamaged until its owner accepts what could be salvaged (`accept_salvage`).

        `timezone` is the owner's, whose hours and days the rollups of series are; None: as they were. The files have
        `files_bytes_max` bytes together.
        """
        path = folder / STORE_NAME
        make_folder(folder)
        try:
            lock = WriterLock.acquire(folder)
        except OSError as err:
            raise fault_of(err, path) from err
        try:
            found = settle(folder, was_clean=lock.was_clean, at=clock.now())
            refuse_damaged(folder, found)
            epoch = epoch_beside(origin.epoch, lock.last, is_new=identity(path) is None)
            lock.note_epoch(epoch)  # First: a store that was made and is lost again must have been heard of.
            return cls(
                DiskHome(path, lock),
                types=types,
                origin=Origin(origin.log, epoch),
                clock=clock,
                found=found,
                timezone=timezone,
                files_bytes_max=files_bytes_max,
            )
        except Exception as err:
            lock.release(clean=lock.was_clean)
            raise fault_of(err, path) from err

    @classmethod
    def in_memory(
        cls, *, types: Mapping[str, TypeSpec], origin: Origin, clock: Clock, timezone: str | None = None
    ) -> Store:
        """A new store in this process's memory, which is gone once it is closed: it has no lock and no database file.

        It holds a gibibyte at most; its files lie in a temporary folder that goes with it.
        """
        home = MemoryHome()
        try:
            return cls(home, types=types, origin=origin, clock=clock, timezone=timezone)
        except Exception as err:
            home.release(clean=False)
            raise fault_of(err, home.path) from err

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, statement: str, parameters: Row = (), *, bytes_max: int | None = None) -> list[Row]:
        return self._reader.rows(statement, parameters, bytes_max=bytes_max)

    def commit(
        self,
        changes: Sequence[Change],
        *,
        cursor: tuple[str, Any] | None = None,
        producer: JsonObject | None = None,
        bulk: bool = True,
        aside: Sequence[Aside] = (),
        samples: Sequence[Sample] = (),
    ) -> Commit:
        """Store what `changes` (500 at most) change, and the stream's `cursor` with them: all of it or nothing.

        Durable when it returns. A put that changes nothing but volatile fields writes nothing; a change that cannot
        be stored goes to quarantine, the others go on; `aside` are records that the caller found unfit already, kept
        there in the same transaction; `samples` are numbers of points. `bulk=False` lets a single write pass between
        bulk batches.
        """
        check_count(len(changes) + len(aside))
        prepared, refused = prepare_all(changes, self._types)
        batch = Batch(
            prepared=prepared,
            refused=[*refused, *set_aside(aside)],
            cursor=None if cursor is None else cursor_text(*cursor),
            producer=_producer(producer),
            transaction_time=self._clock.now(),
        )
        size = sum(good.size_bytes for good in prepared)
        recording = prepare_samples(samples) if samples else None
        done = self._submit(
            lambda ledger: ledger.apply(batch, recording, index=bulk),
            bulk=bulk,
            changes=len(changes) + len(samples),
            size_bytes=size,
        )
        if not bulk or self._indexer.is_stuck:
            self._indexer.stir()
        return done

    def append(self, entries: Sequence[Entry], *, atomic: bool = False) -> list[Appended | LockerError]:
        """Add facts (1000 at most) as somebody made them, in order; durable when it returns.

        Nothing is compared but ids: a fact that is there already is answered as a duplicate and adds nothing. One
        that cannot be added is answered by its error, InvalidFact, HashMismatch, ConflictingDuplicate or SeqMoved,
        and the others go on; with `atomic`, none is added then, and the others are LeftOut. Where the disk fails on the
        way, what was added before stays and is answered as such, the rest by what happened; that is raised where
        nothing was added.
        """
        if len(entries) > APPEND_ENTRIES_MAX:
            raise BadRequest(f"{len(entries)} facts at once, allowed are {APPEND_ENTRIES_MAX}")
        if not entries:
            return []
        bulk = len(entries) > 1
        works = self._works(entries, atomic=atomic, index=bulk)
        self._mine().do_all(works, bulk=bulk)
        if not bulk or self._indexer.is_stuck:
            self._indexer.stir()
        return _answers(works)

    def append_together(self, batches: Sequence[Sequence[Entry]]) -> list[list[Appended | LockerError] | LockerError]:
        """Add single writes of several callers, who share a flush; of each batch the answers, or what kept it out.

        Each is answered as by `append`, and in order; what fails in one leaves the others as they are.
        """
        works = [self._works(batch, atomic=False, index=False) for batch in batches]
        if not any(works):
            return [[] for _ in batches]
        self._mine().do_all([work for of_one in works for work in of_one], bulk=False)
        self._indexer.stir()
        return [_answers_or_error(of_one) for of_one in works]

    def set_cursor(self, stream: str, value: Any) -> None:
        """Set where the stream resumes, apart from any records; None forgets it."""
        stream, text = cursor_text(stream, value)
        self._submit(lambda ledger: ledger.set_cursor(stream, text), bulk=False)

    def note_run(self, run: Run) -> None:
        """Keep how a run went; the same id again replaces it."""
        row = run_row(run)
        self._submit(lambda ledger: ledger.note_run(row), bulk=False)

    def set_policy(self, type_name: str, policy: Policy, *, actor: str) -> None:
        """Keep how long superseded facts of a type are kept; it takes effect with the next `compact`."""
        self._submit(lambda ledger: ledger.retention(actor=actor).set_policy(type_name, policy), bulk=False)

    def compact(self, *, actor: str) -> list[JsonObject]:
        """Let go what the types' policies let go, in steps between which others write; the receipts."""
        receipts: list[JsonObject] = []
        while done := self._submit(lambda ledger: ledger.retention(actor=actor).compact(), bulk=True):
            receipts.append(done)
            self._after_removal()
        return receipts

    def prune(self, ids: Sequence[str], *, actor: str) -> JsonObject:
        """Remove the facts with these ids (1000 at most); the receipt. Raises NotFound where there is none."""
        receipt = self._submit(lambda ledger: ledger.retention(actor=actor).prune(ids), bulk=True)
        self._after_removal()
        return receipt

    def erase(
        self,
        *,
        ids: Sequence[str] = (),
        record: tuple[str, str] | None = None,
        drop_hash: bool = False,
        actor: str,
    ) -> JsonObject:
        """Erase what the facts with these ids, or all facts of a record (type, key), said, in every copy in reach.

        The receipt names copies that are out of reach. Where a reader keeps old bytes in the write-ahead log, they go
        when the store is closed. Raises NotFound where there is no such fact.
        """
        what = Erasable(ids=tuple(ids), record=record, drop_hash=drop_hash)
        folder = self.path.parent
        receipt = self._submit(lambda ledger: ledger.erase(folder, what, actor=actor), bulk=True)
        self._after_removal()
        finish_in(folder, self.path, connect=self._home.connect)
        return receipt

    def verify(self, *, wait: Callable[[float], object] = time.sleep) -> Verification:
        """As every reader's, and what it found is kept for the status."""
        found = super().verify(wait=wait)
        self._submit(lambda ledger: ledger.note_verify(found), bulk=False)
        return found

    def committing(self) -> Committing:
        """How large the last commits were, how long their flushes took, and how much waits."""
        return self._writer.committing()

    def leave_receipt(self, verb: Verb, *, actor: str, document: JsonObject) -> int:
        """Keep for good what was done to this store from elsewhere; the receipt's number."""
        return self._submit(lambda ledger: ledger.leave_receipt(verb, actor=actor, document=document), bulk=False)

    def take_waiting(self, waiting: Sequence[Waiting]) -> TakenIn:
        """Let wait here too what waits in another store's quarantine; what waits here already stays as it is.

        Left out is what has gone on since or is deleted here, and counted what there is no room for.
        """
        return self._submit(lambda ledger: ledger.take_waiting(waiting), bulk=True)

    def take_receipts(self, left: Sequence[Left]) -> int:
        """Keep what was left in another store, with its time; how many came: one that is here already adds nothing."""
        return self._submit(lambda ledger: ledger.take_receipts(left), bulk=True)

    def retry_quarantined(
        self, types: Sequence[str] | None = None, *, limit: int = RETRY_MAX, after: int = 0
    ) -> Retried:
        """Commit records in quarantine again (500 at most), of some types or all, after the position `after`."""
        return self._mending.retry(types=types, limit=limit, after=after)

    def drop_quarantined(self, position: int, *, actor: str) -> Quarantined:
        """Let go of a record in quarantine, with a receipt; raises NotFound where there is none."""
        return self._mending.drop(position, actor=actor)

    def collect_garbage(self, *, grace_s: float = GRACE_S, actor: str) -> Collected:
        """Remove files that nothing names any more and nobody put for `grace_s`; the receipt names them."""
        return Garbage(self.files, self.rows, self._submit).collect(now=self._clock.now(), grace_s=grace_s, actor=actor)

    def index_all(self) -> None:
        """Put the words of all facts that lag behind into the text index, in steps between which others write."""
        while not self._index_text():
            pass

    def rebuild(self) -> None:
        """Fold all facts into the current state again, in one transaction; it ends as it was."""
        self._submit(lambda ledger: ledger.rebuild(), bulk=True)

    def close(self) -> None:
        """Commit what waits, close, and let the next process write; again does nothing. Reads raise Retry after it."""
        with self._closing:
            if not self._home.is_mine:
                return
            self._indexer.close()
            # The reader first: the last to close folds the write-ahead log into the file.
            self._reader.end()
            clean = False
            try:
                clean = self._writer.close()
            finally:
                # Else the lock ends with the process: two writers at once would be worse than none.
                if self._writer.is_at_rest:
                    self._home.release(clean=clean)

    def _works(self, entries: Sequence[Entry], *, atomic: bool, index: bool) -> list[Work[Answers]]:
        """What adds these entries, in pieces that let others pass between them, unless they are added as one."""
        judged = [judge(entry, self._types) for entry in entries]
        size = APPEND_ENTRIES_MAX if atomic else PIECE_FACTS
        works: list[Work[Answers]] = []
        for start in range(0, len(judged), size):
            piece, before = judged[start : start + size], works[-1] if works else None
            works.append(_work(Adding(piece, atomic=atomic, index=index), before=before))
        return works

    def _index_text(self) -> bool:
        return self._submit(lambda ledger: ledger.index_text(), bulk=True, changes=INDEX_FACTS)

    def _after_commit(self, head: int) -> None:
        self.on_commit(head)

    def _after_removal(self) -> None:
        self.on_removed()
        self._indexer.stir()  # The index may have had to forget everything.

    def _open_ledger(self) -> Ledger:
        return Ledger.open(
            self.path,
            connect=self._home.connect,
            types=self._types,
            origin=self._origin,
            clock=self._clock,
            timezone=self._timezone,
        )

    def _submit(self, do: Callable[[Ledger], T], *, bulk: bool, changes: int = 1, size_bytes: int = 0) -> T:
        return self._mine().submit(do, bulk=bulk, changes=changes, size_bytes=size_bytes)

    def _mine(self) -> Writer:
        if not self._home.is_mine:
            raise Broken(f"{self.path} is closed, or open in the process that this one was forked from")
        return self._writer


def _work(adding: Adding, *, before: Work[Answers] | None) -> Work[Answers]:
    """Its work, which fails as the piece `before` it did: what comes again must not come behind it."""
    size = sum(len(one.canonical) for one in adding.judged if not isinstance(one, LockerError))
    return Work(adding, changes=len(adding.judged), size_bytes=size, before=before)


def _answers(works: Sequence[Work[Answers]]) -> Answers:
    """What became of each entry; raises what kept all of them from being added."""
    errors = [work.error for work in works if work.error is not None]
    if len(errors) == len(works):
        raise errors[0]
    return [answer for work in works for answer in (work.result if work.error is None else [work.error] * work.changes)]


def _answers_or_error(works: Sequence[Work[Answers]]) -> Answers | LockerError:
    try:
        return _answers(works) if works else []
    except LockerError as err:
        return err


def _producer(document: JsonObject | None) -> str | None:
    try:
        return provenance(document, "producer")
    except BadRecord as err:
        raise BadRequest(str(err)) from err
