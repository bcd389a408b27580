"""REST access to the stored data: types, records, what changed, the change feed and files.

It needs a store and nothing of a running connector, so it answers the same whether the service is signed in or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from core.model.errors import BadRequest, CursorTooOld
from core.model.ids import key_to_path
from core.model.manifest import Manifest, TypeSpec, spec_of
from core.records import asked
from core.records.answers import Answer, Header, Request, Route, json_answer
from core.records.listing import Listing
from core.records.media import HEAD_BYTES, content_type_of
from core.records.numbers import Numbers
from core.records.retaining import Retaining
from core.records.tags import UNCACHED, Tags, depth, is_current
from core.records.upkeep import Upkeep, writer
from core.store import FilePart, Reader, Store

FACTS_PAGE = 500

_SHOWN_IN_PLACE = ("image/", "audio/", "video/", "application/pdf")


class Chunks(Iterator[bytes]):
    """An open file's bytes; the file is let go at their end, or by `close` when the reader leaves before."""

    def __init__(self, part: FilePart) -> None:
        self._part = part
        self._chunks = iter(part)

    def __next__(self) -> bytes:
        chunk = next(self._chunks, None)
        if chunk is None:
            self.close()
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Let go of the file."""
        self._part.close()


class DataApi:
    """The data routes over what `reads` gives; `base` is the path under which the service is seen from outside.

    `writes` gives the writer, waited for where it is being opened; without it, what `reads` gives has to be that.
    """

    def __init__(
        self,
        reads: Callable[[], Store | Reader],
        *,
        manifest: Manifest,
        base: str,
        writes: Callable[[], Store] | None = None,
    ) -> None:
        self._reads = reads
        self._writes = writes or (lambda: writer(reads()))
        self._manifest = manifest
        self._base = base
        self._tags = Tags(reads, manifest.types)
        self._listing = Listing(reads, manifest=manifest, base=base, tags=self._tags)

    @property
    def _store(self) -> Store | Reader:
        return self._reads()

    @property
    def routes(self) -> tuple[Route, ...]:
        """What the webservice adds."""
        return (
            Route(name="types", handler=self.types),
            Route(name="records", handler=self._listing.records),
            Route(name="changes", handler=self._listing.changes),
            Route(name="facts", handler=self.facts),
            *Upkeep(self._reads, self._writes).routes(self.files),
            Numbers(self._reads, self._writes, base=self._base).route,
            Retaining(self._reads, self._writes).route,
        )

    def types(self, request: Request) -> Answer:
        """`GET /types`: how the records of each type are read, and how many there are."""
        request.only()
        depth(request, 1)
        counts = self._store.counts()
        declared = self._manifest.types
        types = {name: self._type(spec_of(declared, name), counts.get(name, 0)) for name in {**declared, **counts}}
        return self._tags.tagged(request, lambda: json_answer({"types": types}))

    def facts(self, request: Request) -> Answer:
        """`GET /facts?since=`: every fact after the cursor, up to where the store stood when asked, as JSON lines."""
        depth(request, 1)
        request.only("since", "limit")
        epoch, head = self._store.epoch(), self._store.head()
        since = _position(request.query.get("since", ""), self._store)
        floor = self._store.floor()
        if 0 < since < floor:
            raise CursorTooOld(f"facts from before position {floor} may have been removed", floor=floor)
        limit = request.number("limit", default=head - since, least=1, most=2**53) if head > since else 0
        headers = (("content-type", "application/jsonl"), *UNCACHED)
        return Answer(headers=headers, body=self._lines(epoch, since, head, limit))

    def files(self, request: Request) -> Answer:
        """`GET /files/<digest>`: the file, or the range of it that was asked for."""
        depth(request, 2)
        request.only()
        digest = request.path[1]
        if is_current(request, f'"{digest}"'):
            return Answer(status=304, headers=(("etag", f'"{digest}"'),))
        size = self._store.files.size(digest)
        with self._store.files.open_file(digest, length=HEAD_BYTES) as head:
            headers = _file_headers(digest, content_type_of(b"".join(head)))
        span = _range(request.headers.get("range", ""), size)
        if span is None:
            return Answer(status=416, headers=(*headers, ("content-range", f"bytes */{size}")))
        start, length = span
        headers += (("content-length", str(length)),)
        if length < size:
            headers += (("content-range", f"bytes {start}-{start + length - 1}/{size}"),)
        part = self._store.files.open_file(digest, start=start, length=length)
        return Answer(status=206 if length < size else 200, headers=headers, body=Chunks(part))

    def _lines(self, epoch: str, since: int, head: int, limit: int) -> Iterator[bytes]:
        encode = msgspec.json.encode
        while since < head and limit > 0:
            page = self._store.facts(since, limit=min(FACTS_PAGE, limit))
            lines = [{**self._listing.fact(fact), "cursor": f"{epoch}.{fact.seq}"} for fact in page if fact.seq <= head]
            if not lines:
                return
            limit -= len(lines)
            since = page[-1].seq
            yield b"".join(encode(line) + b"\n" for line in lines)

    def _type(self, spec: TypeSpec, count: int) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.to_builtins(spec)
        network = self._manifest.network_of(spec.name)
        return {**document, "network": network, "count": count, "href": f"{self._base}records/{key_to_path(spec.name)}"}


def _position(cursor: str, store: Store | Reader) -> int:
    """The position that a cursor names in this store; none is the beginning."""
    if not cursor:
        return 0
    epoch, dot, seq = cursor.rpartition(".")
    if not dot or not seq.isascii() or not seq.isdecimal() or len(seq) > asked.SEQ_DIGITS_MAX:
        raise BadRequest("since must be the cursor of a fact")
    return asked.position(int(seq), epoch, store)


def _file_headers(digest: str, media_type: str) -> tuple[Header, ...]:
    disposition = "inline" if media_type.startswith(_SHOWN_IN_PLACE) else "attachment"
    return (
        ("content-type", media_type),
        ("content-disposition", disposition),
        ("x-content-type-options", "nosniff"),
        ("accept-ranges", "bytes"),
        ("etag", f'"{digest}"'),
        ("cache-control", "private, max-age=31536000, immutable"),
    )


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Start and length of what a Range header asks; the whole file when it asks something we need not serve."""
    unit, _, spans = header.partition("=")
    first, dash, last = spans.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or "," in spans or not (_is_number(first) and _is_number(last)):
        return 0, size
    if not first:
        length = min(int(last or 0), size)
        return (size - length, length) if length else None
    if int(first) >= size:
        return None
    end = min(int(last), size - 1) if last else size - 1
    return (int(first), end - int(first) + 1) if int(first) <= end else (0, size)


def _is_number(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal() and len(text) < 19)
