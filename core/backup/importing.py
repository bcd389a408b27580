"""Facts out of a file or an archive into the stores of this Me: an export of ours, or a framed log or snapshot."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import msgspec

from core.backup.archive import CHUNK_BYTES, CONTENTS, Contents, Item, lines_of
from core.backup.exporting import FORMAT, HEADER
from core.backup.unpacking import LINE_BYTES_MAX, RATIO_MAX, is_archive, items, opened, text_of
from core.model.errors import BadRequest, FileDamaged, FormatTooNew, LockerError
from core.model.fact import JsonObject
from core.model.ids import is_service_id
from core.model.strict import decode_object
from core.store import (
    RECEIPT_LINE_BYTES_MAX,
    SET_ASIDE_LINE_BYTES_MAX,
    Exported,
    FramedFile,
    Import,
    Imported,
    Store,
)

JSON_BYTES_MAX = 64 * 1024 * 1024
FACT_LINE_BYTES_MAX = 16 * 1024 * 1024

FACTS, SERIES, SERVICE, OWNER = "facts.jsonl", "series.jsonl", "service.json", "owner"
SET_ASIDE, RECEIPTS, RUNS = "quarantine.jsonl", "receipts.jsonl", "runs.jsonl"
_FILE = re.compile(r"files/([0-9a-f]{2})/([0-9a-f]{62})")
# What stands directly in the export of one service, so that its folder may be named as well as the whole.
_OF_ONE = frozenset(
    {FACTS, SERIES, SET_ASIDE, RECEIPTS, RUNS, SERVICE}
    | {"schema.json", "facts.snap", "records", "csv", "parquet", "files"}
)

OpenStore = Callable[[str], AbstractContextManager[Store]]


class ImportDone(msgspec.Struct, kw_only=True):
    """What an import did in each service, what it found wrong with the archive, and what it left alone and why."""

    services: dict[str, Imported] = {}
    damages: list[str] = []
    left: dict[str, str] = {}

    @property
    def is_whole(self) -> bool:
        """Whether everything that was ever in the source is in the stores now."""
        return not (self.damages or self.left) and all(done.is_whole for done in self.services.values())


def import_from(
    source: Path, *, open_store: OpenStore, into: str | None, actor: str, any_hash: bool = False
) -> ImportDone:
    """Take the facts and files of `source` into the stores that `open_store` opens; again adds nothing twice.

    A file of facts goes `into` a service that is named; an archive goes to the services of the same ids, or the one
    in it `into` the named one. With `any_hash`, a fact whose hash is not ours is taken by its value. Raises NotFound,
    BadRequest for what is none of these, FormatTooNew.
    """
    if source.is_dir() or is_archive(source):
        return _Archive(source, open_store=open_store, into=into, actor=actor, any_hash=any_hash).take()
    if into is None:
        raise BadRequest(f"{source.name} does not say which service its facts are of", remedy="Name it: --into ID.")
    with opened(source) as file, open_store(into) as store:
        taking = Import(store, source=source.name, actor=actor, any_hash=any_hash)
        if (head := file.read(1)) and head not in b"{ \t\r\n":
            file.seek(0)
            _take_frames(taking, FramedFile(file, size=source.stat().st_size, name=source.name))
        else:
            file.seek(0)
            _take_lines(taking, iter(lambda: file.read(CHUNK_BYTES), b""))
        return ImportDone(services={into: taking.finish()})


class _Archive:
    """One archive being taken in, entry by entry; one store is open at a time."""

    def __init__(self, source: Path, *, open_store: OpenStore, into: str | None, actor: str, any_hash: bool) -> None:
        self._source = source
        self._open_store = open_store
        self._into = into
        self._actor = actor
        self._any_hash = any_hash
        self._stack = ExitStack()
        self._present: _Service | None = None
        self._refused: str | None = None
        self._done = ImportDone()

    def take(self) -> ImportDone:
        contents = Contents()
        faults: list[str] | None = None
        with self._stack:
            for item in items(self._source, ratio_max=RATIO_MAX):
                if item.name == CONTENTS:
                    faults = contents.faults(lines_of(item, line_bytes_max=LINE_BYTES_MAX))
                    continue
                passed = _Passed(item, contents)
                self._take(passed)
                passed.drain()
            self._leave()
        if not self._done.services and not self._done.left:
            raise BadRequest(f"{self._source} holds no facts", remedy="Name an export, a framed log or a snapshot.")
        # The folder of one service has no contents of its own: it is a part of a whole that has.
        is_part = faults is None and self._source.is_dir() and (self._source / FACTS).exists()
        self._done.damages += (
            ["it breaks off: its contents are missing"] if faults is None and not is_part else faults or []
        )
        return self._done

    def _take(self, item: _Passed) -> None:
        first, _, rest = item.name.partition("/")
        if item.name == HEADER:
            self._check_header(text_of(item, bytes_max=JSON_BYTES_MAX))
        elif first in _OF_ONE:
            self._enter(self._into or self._source.name)
            self._give(item.name, item)
        elif rest and (is_service_id(first) or first == OWNER):
            self._enter(first)
            self._give(rest, item)

    def _give(self, name: str, item: _Passed) -> None:
        if self._present is not None:
            self._present.take(name, item)

    def _enter(self, service_id: str) -> None:
        if (self._present is not None and self._present.id == service_id) or self._refused == service_id:
            return
        self._leave()
        self._refused = None
        if self._into is not None and self._done.services:
            raise BadRequest(
                f"{self._source.name} holds more than one service; {next(iter(self._done.services))} was imported",
                remedy="Leave --into out, or name the folder of the one in an unpacked export.",
            )
        try:
            store = self._stack.enter_context(self._open_store(self._into or service_id))
        except LockerError as err:
            if self._into is not None:
                raise
            self._refused = service_id
            self._done.left[service_id] = f"{err.detail} {err.remedy}"
            return
        name = f"{self._source.name}: {service_id}"
        taking = Import(store, source=name, actor=self._actor, any_hash=self._any_hash)
        self._present = _Service(service_id, store, taking)

    def _leave(self) -> None:
        if self._present is not None:
            self._done.services[self._into or self._present.id] = self._present.finish()
            self._present = None
            self._stack.close()

    def _check_header(self, text: bytes) -> None:
        try:
            header = msgspec.json.decode(text, type=JsonObject)
        except msgspec.MsgspecError as err:
            raise FileDamaged(
                f"{self._source} cannot be read: {HEADER} is no JSON", remedy="Use another copy of it."
            ) from err
        written = header.get("format")
        if isinstance(written, int) and written > FORMAT:
            raise FormatTooNew(f"{self._source} has format {written}; this Locker knows up to {FORMAT}")


class _Service:
    """What comes out of the archive for one store."""

    def __init__(self, service_id: str, store: Store, taking: Import) -> None:
        self.id = service_id
        self._store = store
        self._taking = taking
        self._facts = 0
        self._digest = ""
        self._said: Exported | None = None

    def take(self, name: str, item: _Passed) -> None:
        """Take one entry: tables are made of facts and need not be taken, and runs are of the service that had them."""
        if name == FACTS:
            self._facts, self._digest = _take_lines(self._taking, item)
        elif name == SERIES:
            samples = _objects(self._taking, item, line_bytes_max=LINE_BYTES_MAX)
            self._taking.take_samples(self._store.series, (sample for sample, _ in samples))
        elif name == SET_ASIDE:
            self._taking.take_set_aside(_objects(self._taking, item, line_bytes_max=SET_ASIDE_LINE_BYTES_MAX))
        elif name == RECEIPTS:
            self._taking.take_receipts(_objects(self._taking, item, line_bytes_max=RECEIPT_LINE_BYTES_MAX))
        elif name == SERVICE:
            self._note(text_of(item, bytes_max=JSON_BYTES_MAX))
        elif match := _FILE.fullmatch(name):
            self._take_file(match[1] + match[2], item)

    def finish(self) -> Imported:
        """The end of this service; what it says of itself is compared with what came."""
        if self._said is None:
            self._taking.note_damage("its end is missing: more may be")
        elif (self._said.facts, self._said.facts_sha256) != (self._facts, self._digest):
            self._taking.note_damage(
                f"{FACTS} is not what was written: {self._said.facts} facts were, {self._facts} came"
            )
        return self._taking.finish()

    def _note(self, text: bytes) -> None:
        try:
            known = msgspec.json.decode(text, type=JsonObject)
            if isinstance(known.get("format"), int) and known["format"] > FORMAT:
                raise FormatTooNew(f"{self.id} has format {known['format']}; this Locker knows up to {FORMAT}")
            self._said = msgspec.convert(known, Exported)
        except msgspec.MsgspecError:
            self._taking.note_damage(f"{SERVICE} cannot be read")

    def _take_file(self, digest: str, item: _Passed) -> None:
        if self._store.files.exists(digest):
            return
        if self._store.files.put_file(_Readable(iter(item))) != digest:
            self._taking.note_damage(f"file {digest} does not hold what its name says")
            return
        self._taking.done.files += 1


class _Passed:
    """An item whose bytes are noted for the contents as they pass, whether anybody wants them or not."""

    def __init__(self, item: Item, contents: Contents) -> None:
        self.name = item.name
        self.size = item.size
        self._chunks = contents.watched(item.name, item, size=item.size)

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def drain(self) -> None:
        """Let the rest pass."""
        for _ in self._chunks:
            pass


class _Readable:
    """Pieces as the source of a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _size: int, /) -> bytes:
        return next(self._chunks, b"")


def _take_frames(taking: Import, framed: FramedFile) -> None:
    for document in framed:
        taking.take(document, size_bytes=framed.fact_bytes)
    report = framed.report
    taking.note_unreadable(report.unreadable)
    for damage in report.damages:
        taking.note_damage(f"{damage.bytes} bytes at {damage.at} are damaged ({damage.fault}) and were skipped")
    if report.is_search_spent:
        taking.note_damage("the search behind the damage was given up: more whole facts may be there")
    if report.is_partial:
        said = "an unknown number of" if report.declared is None else str(report.declared)
        taking.note_damage(f"the snapshot is partial: {said} facts were written, {report.facts} came")


def _take_lines(taking: Import, chunks: Iterator[bytes] | _Passed) -> tuple[int, str]:
    """How many lines came, and what they hash to."""
    digest, count = hashlib.sha256(), 0
    for line in lines_of(chunks, line_bytes_max=FACT_LINE_BYTES_MAX, passed_over=taking.note_unreadable):
        digest.update(line + b"\n")
        if not line.strip():
            continue
        count += 1
        try:
            document = decode_object(line)
        except ValueError:
            taking.note_unreadable()
        else:
            taking.take(document, size_bytes=len(line))
    return count, digest.hexdigest()


def _objects(taking: Import, item: _Passed, *, line_bytes_max: int) -> Iterator[tuple[JsonObject, int]]:
    """The objects in the lines, each with how many bytes it had."""
    for line in lines_of(item, line_bytes_max=line_bytes_max, passed_over=taking.note_unreadable):
        try:
            yield decode_object(line), len(line)
        except ValueError:
            taking.note_unreadable()
