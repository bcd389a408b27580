"""The framed log and the snapshot: facts as frames in one file, as Igniter writes them and as we do.

A log is frames of facts and nothing else. A snapshot begins with a header frame and, where it is ours, ends with a
trailer that says how many facts there are and what their frames hash to. Damage never ends the reading: it goes on at
the next whole frame, and what was skipped is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import msgspec

from core.model.errors import BadRequest, FormatTooNew
from core.model.fact import Fact, JsonObject
from core.model.frames import (
    OVERHEAD_BYTES,
    SEARCHED_BYTES_MAX,
    BadFrame,
    FrameFault,
    FrameSearch,
    encode_frame,
    frame_at,
)
from core.model.strict import decode_object

FORMAT = 1
CODEC = "json"
# A value and its shared fields have 4 MiB each at most.
FRAME_BYTES_MAX = SEARCHED_BYTES_MAX
CHUNK_BYTES = 1024 * 1024
DAMAGES_TOLD_MAX = 100
# So many times its own size a file may cost in sums while frames are searched for behind damage.
SEARCH_FACTOR = 16

HEADER = "snapshot_header"
TRAILER = "snapshot_trailer"

_WINDOW_BYTES = FRAME_BYTES_MAX + OVERHEAD_BYTES
_MESSAGE_PACK = frozenset({*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF})
# As the wire lists them, ours behind the incumbent's.
_FIELDS = (
    "id", "store", "key", "value", "value_hash", "causation", "transaction_time", "valid_time", "schema_version",
    "producer", "derivation", "action", "common", "origin", "origin_epoch", "origin_seq", "known_at", "rev", "seq",
    "recorded_at",
)  # fmt: skip


class Readable(Protocol):
    """Where frames are read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class Damage(msgspec.Struct, frozen=True):
    """Bytes of a file that no frame could be made of: where they begin, how many, and what was wrong there."""

    at: int
    bytes: int
    fault: str


class FramedReport(msgspec.Struct, kw_only=True):
    """What a framed file was found to be, true once it was read to its end."""

    kind: str = "log"
    facts: int = 0
    declared: int | None = None
    damages: list[Damage] = []
    bytes_skipped: int = 0
    unreadable: int = 0
    is_partial: bool = False
    #: The search behind damage was given up: there may be more whole frames.
    is_search_spent: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether everything that was ever in it was read."""
        return not (self.is_partial or self.bytes_skipped or self.unreadable)


def framed_snapshot(
    facts: Iterable[Fact], *, fact_count: int, written_at: float, store_epoch: str, first_seq: int, last_seq: int
) -> Iterator[bytes]:
    """A snapshot of these facts, frame by frame."""
    header = {
        "type": HEADER, "fact_count": fact_count, "written_at": written_at, "format": FORMAT, "codec": CODEC,
        "store_epoch": store_epoch, "first_seq": first_seq, "last_seq": last_seq,
    }  # fmt: skip
    yield encode_frame(msgspec.json.encode(header))
    digest, count = hashlib.sha256(), 0
    for fact in facts:
        frame = encode_frame(msgspec.json.encode(wire_form(fact)))
        digest.update(frame)
        count += 1
        yield frame
    trailer = {"type": TRAILER, "fact_count": count, "digest": digest.hexdigest()}
    yield encode_frame(msgspec.json.encode(trailer))


def wire_form(fact: Fact) -> JsonObject:
    """The fact as a flat object with the wire's names in the wire's order."""
    said = {**msgspec.structs.asdict(fact), "store": fact.type}
    return {field: said[field] for field in _FIELDS}


class FramedFile:
    """The facts in a framed file of `size` bytes, as JSON objects; iterate it once, then ask for its `report`.

    `fact_bytes` is how many bytes the fact given last had.
    Raises FormatTooNew for a newer layout, and BadRequest for bodies in another codec than JSON.
    """

    def __init__(self, file: Readable, *, size: int, name: str) -> None:
        self._file = file
        self._name = name
        self._data = bytearray()
        self._start = 0
        self._base = 0
        self._is_over = False
        self._search = FrameSearch(
            bytes_max=FRAME_BYTES_MAX, checked_bytes_max=SEARCH_FACTOR * max(size, _WINDOW_BYTES)
        )
        self._digest = hashlib.sha256()
        self._trailer: JsonObject | None = None
        self._is_ours = False
        self.report = FramedReport()
        self.fact_bytes = 0

    def __iter__(self) -> Iterator[JsonObject]:
        is_first = True
        for body in self._bodies():
            document = self._document(body)
            if is_first:
                self._refuse_foreign(body, document)
            if document is None:
                self.report.unreadable += 1
            elif document.get("type") == HEADER and "key" not in document and is_first:
                self._note_header(document)
            elif document.get("type") == TRAILER and "key" not in document:
                self._trailer = document
            else:
                self.report.facts += 1
                self._digest.update(encode_frame(body))
                self.fact_bytes = len(body)
                yield document
            is_first = False
        self._conclude()

    def _bodies(self) -> Iterator[bytes]:
        while True:
            found = self._frame()
            if isinstance(found, bytes):
                self._start += len(found) + OVERHEAD_BYTES
                yield found
            elif found is None:
                return
            else:
                self._skip(found)

    def _frame(self) -> bytes | BadFrame | None:
        """The body at the present place; None at the end of the file."""
        while True:
            if self._start == len(self._data) and not self._more():
                return None
            found = frame_at(self._data, self._start, bytes_max=FRAME_BYTES_MAX)
            is_cut = isinstance(found, BadFrame) and found.fault is FrameFault.TRUNCATED
            if not (is_cut and self._more()):
                return found

    def _skip(self, bad: BadFrame) -> None:
        """Go to the next whole frame, or to the end, and note what lies between."""
        begin = self._base + self._start
        self._start += 1
        while True:
            while len(self._data) - self._start < 2 * _WINDOW_BYTES and self._more():
                pass
            stop = len(self._data) if self._is_over else len(self._data) - _WINDOW_BYTES
            place = self._search.find(self._data, self._start, stop=stop)
            self._start = stop if place is None else place
            if place is not None or self._is_over:
                break
        skipped = self._base + self._start - begin
        self.report.bytes_skipped += skipped
        self.report.is_search_spent = self._search.is_spent
        if len(self.report.damages) < DAMAGES_TOLD_MAX:
            self.report.damages.append(Damage(begin, skipped, bad.fault.value))

    def _more(self) -> bool:
        """Read on; whether anything came."""
        if self._is_over:
            return False
        if self._start:
            del self._data[: self._start]
            self._base += self._start
            self._start = 0
        chunk = self._file.read(CHUNK_BYTES)
        self._is_over = not chunk
        self._data += chunk
        return bool(chunk)

    def _document(self, body: bytes) -> JsonObject | None:
        try:
            return decode_object(body)
        except ValueError:
            return None

    def _refuse_foreign(self, body: bytes, document: JsonObject | None) -> None:
        codec = CODEC
        if document is None and body and body[0] in _MESSAGE_PACK:
            codec = "MessagePack"
        elif document is not None and document.get("type") == HEADER:
            codec = str(document.get("codec", CODEC))
        if codec not in (CODEC, "json_crc32"):
            raise BadRequest(
                f"{self._name} is written in {codec[:40]}; Locker reads {CODEC}",
                remedy="Let the program that wrote it write it again with its JSON codec.",
            )

    def _note_header(self, header: JsonObject) -> None:
        written = header.get("format", FORMAT)
        if not isinstance(written, int) or written > FORMAT:
            raise FormatTooNew(f"{self._name} has format {written!r:.40}; this Locker knows up to {FORMAT}")
        count: Any = header.get("fact_count")
        self.report.kind = "snapshot"
        self.report.declared = count if isinstance(count, int) else None
        self._is_ours = "format" in header

    def _conclude(self) -> None:
        if self.report.kind == "log":
            return
        is_complete = self.report.declared == self.report.facts
        if self._is_ours:
            said = self._trailer or {}
            is_complete = is_complete and said == {
                "type": TRAILER, "fact_count": self.report.facts, "digest": self._digest.hexdigest()
            }  # fmt: skip
        self.report.is_partial = not is_complete
