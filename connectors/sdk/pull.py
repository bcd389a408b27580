"""One run of one stream: what it yields is committed in batches, each together with the cursor that covers it.

Whatever ends the process, the store holds whole batches with their cursor (INV-02), so the next run goes on from there.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import msgspec
import requests

from connectors.sdk.context import Context, Service, cursor_name
from connectors.sdk.messages import Again, Cursor, Delete, Message, Note, Partial, Progress, Put, Unfit
from connectors.sdk.outcome import Ended
from connectors.sdk.streams import Stream
from connectors.sdk.unanswered import why_unanswered
from core.model.errors import Broken, LockerError, Offline, Retry, Skip, StorageFull
from core.model.fact import Change
from core.model.manifest import StreamSpec
from core.store import Aside, Sample, moment, value_at

BATCH_ROWS_MAX = 500
SAMPLES_MAX = 2000
BATCH_BYTES_MAX = 8 * 1024 * 1024
BATCH_AGE_MAX_S = 2.0
NOTES_MAX = 50
LEVELS = {"info": 0, "warning": 1, "error": 2}

_encode = msgspec.json.Encoder().encode

log = logging.getLogger(__name__)


@dataclass
class Tally:
    """What a run stored, counted."""

    new: int = 0
    updated: int = 0
    same: int = 0
    deleted: int = 0
    quarantined: int = 0

    @property
    def stored(self) -> int:
        """Rows the store took, changed or not."""
        return self.new + self.updated + self.same + self.deleted


@dataclass
class Untimed:
    """Records whose declared `time` holds something that is no moment: how many, and the first of them."""

    count: int = 0
    type: str = ""
    key: str = ""
    path: str = ""

    def see(self, change: Change, path: str | None) -> None:
        """Look at one record; `path` is where its type has the time."""
        said = None if path is None or change.action == "delete" else value_at(change.value, path)
        if said is None or moment(said) is not None:
            return
        if not self.count:
            self.type, self.key, self.path = change.type, change.key, path or ""
        self.count += 1

    @property
    def sentence(self) -> str:
        """What the owner is told."""
        records = "1 record has" if self.count == 1 else f"{self.count} records have"
        return (
            f"{records} no moment where one was declared, such as {self.type} {self.key[:80]!r} at {self.path!r}; "
            "what has no other time stands where it became known"
        )


@dataclass
class Report:
    """What others hear while the run goes on; both are quick and never raise."""

    progress: Callable[[int, int | None], None]
    alive: Callable[[], None]


class Pull:
    """One run of `stream`; `run` returns how it ended and never raises."""

    def __init__(
        self,
        service: Service,
        *,
        spec: StreamSpec,
        load: Callable[[], Stream],
        report: Report,
        is_for_owner: bool = False,
    ) -> None:
        self._service = service
        self._is_for_owner = is_for_owner
        self._spec = spec
        self._load = load
        self._report = report
        self._producer = {"stream": spec.name, "version": service.manifest.version}
        self._key_path: str | None = None
        self._batch: list[Change] = []
        self._aside: list[Aside] = []
        self._samples: list[Sample] = []
        self._batch_since = 0.0
        self._batch_bytes = 0
        self._notes = 0
        self._untimed = Untimed()
        self._partial: LockerError | None = None
        self._is_nothing_read = False
        self._again_s: float | None = None
        self.tally = Tally()

    def run(self) -> Ended:
        """Pull until the source has no more, the process stops, or an error ends it; what is complete is committed."""
        error: LockerError | None = None
        try:
            check_room(self._service.folder, self._service.disk_free_bytes_min)
            stopped = self._pull()
        except Exception as err:
            # The author's function may raise anything; the class decides what follows.
            error, stopped = self._fault(err), False
        if self._untimed.count:
            self._tell(self._untimed.sentence, LEVELS["warning"])
        return Ended(
            stored=self.tally.stored,
            quarantined=self.tally.quarantined,
            error=error,
            partial=self._partial,
            is_nothing_read=self._is_nothing_read,
            stopped=stopped,
            again_s=self._again_s,
        )

    def _pull(self) -> bool:
        stream = self._load()
        self._key_path = stream.key
        context = Context(self._service, stream=self._spec.name, is_for_owner=self._is_for_owner)
        messages = iter(stream.function(context, context.cursor()))
        try:
            return self._take_all(messages)
        finally:
            # What came before a fault is whole: it is kept, so that the next run need not fetch it again.
            self._commit()

    def _take_all(self, messages: Iterator[Message]) -> bool:
        for message in messages:
            self._take(message)
            self._report.alive()
            if self._service.stopping.is_set():
                _close(messages)
                break
        # A function that ended because it saw the stop has not necessarily seen the end of its source.
        return self._service.stopping.is_set()

    def _take(self, message: Message) -> None:
        if isinstance(message, dict):
            self._add(Put(type=self._only_type(), value=message))
        elif isinstance(message, (Put, Delete)):
            self._add(message)
        elif isinstance(message, Sample):
            self._note_size(0)
            self._samples.append(message)
            self._commit_if_large()
        elif isinstance(message, Cursor):
            self._cursor(message)
        elif isinstance(message, Progress):
            self._report.progress(message.done, message.total)
        elif isinstance(message, Note):
            self._note(message)
        elif isinstance(message, Unfit):
            self._set_aside(Aside(type=message.type, key=str(message.key), reason=message.reason, value=message.value))
        elif isinstance(message, Skip):
            self._set_aside(self._unnamed(message))
        elif isinstance(message, Partial):
            self._partial = self._partial or message.error
            self._is_nothing_read = self._is_nothing_read or message.is_all
        elif isinstance(message, Again):
            self._again_s = max(0.0, message.after_s)
        else:
            raise Broken(f"stream {self._spec.name!r} yielded a {type(message).__name__}, which is no row")

    def _add(self, row: Put | Delete) -> None:
        change = self._service.rows.change(row, key_path=self._key_path)
        self._untimed.see(change, self._service.manifest.types[change.type].time)
        self._note_size(_weight(change))
        self._batch.append(change)
        self._commit_if_large()

    def _set_aside(self, record: Aside) -> None:
        self._note_size(0)
        self._aside.append(record)
        self._commit_if_large()

    def _note_size(self, size: int) -> None:
        if not self._batch and not self._aside and not self._samples:
            self._batch_since, self._batch_bytes = self._service.clock.monotonic(), 0
        self._batch_bytes += size

    def _commit_if_large(self) -> None:
        rows = len(self._batch) + len(self._aside)
        age_s = self._service.clock.monotonic() - self._batch_since
        is_full = rows >= BATCH_ROWS_MAX or len(self._samples) >= SAMPLES_MAX
        if is_full or self._batch_bytes >= BATCH_BYTES_MAX or age_s > BATCH_AGE_MAX_S:
            self._commit()

    def _cursor(self, message: Cursor) -> None:
        name = cursor_name(self._spec.name, message.part)
        if not (self._batch or self._aside or self._samples) and self._service.store.cursor(name) == message.value:
            return
        self._commit((name, message.value))

    def _commit(self, cursor: tuple[str, Any] | None = None) -> None:
        batch, self._batch = self._batch, []
        aside, self._aside = self._aside, []
        samples, self._samples = self._samples, []
        if not batch and not aside and not samples and cursor is None:
            return
        check_room(self._service.folder, self._service.disk_free_bytes_min)
        commit = self._service.store.commit(batch, cursor=cursor, producer=self._producer, aside=aside, samples=samples)
        self.tally.new += commit.new
        self.tally.updated += commit.updated
        self.tally.same += commit.same
        self.tally.deleted += commit.deleted
        self.tally.quarantined += commit.quarantined

    def _note(self, note: Note) -> None:
        self._notes += 1
        level = LEVELS.get(note.level, 0)
        if self._notes <= NOTES_MAX:
            self._tell(note.text, level)
        else:
            self._log(note.text, level)

    def _log(self, text: str, level: int) -> None:
        log.log(logging.WARNING if level else logging.INFO, "note stream=%s %s", self._spec.name, text)

    def _tell(self, text: str, level: int) -> None:
        self._log(text, level)
        try:
            self._service.core.diary(text, level)
        except LockerError as err:
            log.warning("the diary did not take a note problem=%s", err.code)

    def _unnamed(self, error: Skip) -> Aside:
        """A record of which nothing is known but what is wrong with it: the reason tells it from others."""
        types = self._spec.types or (self._spec.name,)
        return Aside(type=types[0], key=hashlib.sha256(error.detail.encode()).hexdigest()[:24], reason=error.detail)

    def _only_type(self) -> str:
        if len(self._spec.types) != 1:
            raise Broken(
                f"stream {self._spec.name!r} has {len(self._spec.types)} types, so a plain dict has none",
                remedy="Yield Put(type=…, value=…).",
            )
        return self._spec.types[0]

    def _fault(self, err: Exception) -> LockerError:
        error = error_of(err, folder=self._service.manifest.folder)
        if isinstance(error, Broken):
            log.exception("run failed stream=%s", self._spec.name)
        elif not isinstance(err, LockerError):
            # What the network raised says more than its class; it is for the log alone.
            log.warning("run ended early stream=%s", self._spec.name, exc_info=err)
        return error


def error_of(error: Exception, *, folder: str = "") -> LockerError:
    """`error` as one of ours: what the network, the disk or the author's code raised, grouped by its remedy.

    With the connector's `folder` an exception of the author's code is told with its line there.
    """
    if isinstance(error, Skip):
        return Broken(f"a bad record ended the whole run: {error.detail}", remedy="Yield the error; do not raise it.")
    if isinstance(error, LockerError):
        return error
    if isinstance(error, (requests.ConnectionError, requests.Timeout)):
        return Offline(f"the source did not answer: {why_unanswered(error)}")
    if isinstance(error, requests.JSONDecodeError):
        return Retry("the source answered something that is not JSON")
    if isinstance(error, requests.RequestException):
        return Retry("the source's answer cannot be used")
    if isinstance(error, apsw.FullError) or (isinstance(error, OSError) and error.errno in _FULL):
        return StorageFull("there is no room left on the disk")
    # The text of a foreign exception may hold a secret; the service's log has it, redacted.
    where = f" in {line}" if (line := line_of(error, folder)) else ""
    return Broken(f"an unexpected {type(error).__name__}{where} stopped the run", remedy="See the service's log.")


def line_of(error: Exception, folder: str) -> str:
    """The innermost line of a file in `folder` that `error` went through, such as `sync.py line 12`; else nothing."""
    found = ""
    for frame, number in traceback.walk_tb(error.__traceback__ if folder else None):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(folder):
            found = f"{path.relative_to(folder).as_posix()} line {number}"
    return found


def _weight(change: Change) -> int:
    """About how many bytes a change brings; what cannot be written as JSON is set aside by the store anyway."""
    try:
        return len(_encode(change.value))
    except (TypeError, ValueError, RecursionError):
        return 0


def check_room(folder: Path, bytes_min: int) -> None:
    """Raise StorageFull when the disk of `folder` has less free room than syncing leaves to the owner."""
    free = shutil.disk_usage(folder).free
    if free < bytes_min:
        raise StorageFull(f"only {free // 2**20} MiB are free; syncing leaves {bytes_min // 2**20} MiB")


def _close(messages: Iterator[Message]) -> None:
    close = getattr(messages, "close", None)
    if close is not None:
        close()


_FULL = (errno.ENOSPC, errno.EDQUOT)
