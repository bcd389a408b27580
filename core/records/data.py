"""REST access to the stored data: types, records, histories, the change feed and files.

It needs a store and nothing of a running connector, so it answers the same whether the service is signed in or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from core.model.errors import BadRequest, CursorUnknown, NotFound
from core.model.fact import Fact, Record
from core.model.ids import key_from_path, key_to_path
from core.model.manifest import Manifest, TypeSpec
from core.records.answers import Answer, Header, Request, Route, json_answer
from core.records.media import HEAD_BYTES, content_type_of
from core.store import FilePart, Reader, Store

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
AFTER_BYTES_MAX = 4096
FACTS_PAGE = 500

Order = Literal["key", "newest"]

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
    """The data routes over what `reads` gives; `base` is the path under which the service is seen from outside."""

    def __init__(self, reads: Callable[[], Store | Reader], *, manifest: Manifest, base: str) -> None:
        self._reads = reads
        self._manifest = manifest
        self._base = base
        # A changed declaration changes what is shown of the same facts, so it is part of every ETag.
        self._shape = blake2b(msgspec.json.encode(dict(manifest.types)), digest_size=4).hexdigest()

    @property
    def _store(self) -> Store | Reader:
        return self._reads()

    @property
    def routes(self) -> tuple[Route, ...]:
        """What the webservice adds."""
        return (
            Route(name="types", handler=self.types),
            Route(name="records", handler=self.records),
            Route(name="facts", handler=self.facts),
            Route(name="files", handler=self.files),
        )

    def types(self, request: Request) -> Answer:
        """`GET /types`: how the records of each type are read, and how many there are."""
        request.only()
        _depth(request, 1)
        counts = self._store.counts()
        types = {name: self._type(spec, counts.get(name, 0)) for name, spec in self._manifest.types.items()}
        return self._tagged(request, lambda: json_answer({"types": types}))

    def records(self, request: Request) -> Answer:
        """`GET /records/<type>[/<key>[/history]]`."""
        _depth(request, 2, 3, 4)
        type_name = request.path[1]
        if type_name not in self._manifest.types:
            known = ", ".join(self._manifest.types) or "none"
            raise NotFound(f"this service has no type {type_name[:64]!r}; it has {known}")
        if len(request.path) == 2:
            return self._page(request, type_name)
        key = key_from_path(request.path[2])
        if len(request.path) == 3:
            return self._one(request, type_name, key)
        if request.path[3] != "history":
            raise NotFound("only …/history follows a record's key")
        return self._history(request, type_name, key)

    def facts(self, request: Request) -> Answer:
        """`GET /facts?since=`: every fact after the cursor, up to where the store stood when asked, as JSON lines."""
        _depth(request, 1)
        request.only("since", "limit")
        epoch, head = self._store.epoch(), self._store.head()
        since = _position(request.query.get("since", ""), epoch)
        if since > head:
            raise CursorUnknown("the cursor lies beyond the end of this store")
        limit = request.number("limit", default=head - since, least=1, most=2**53) if head > since else 0
        headers = (("content-type", "application/jsonl"), ("cache-control", "private, no-cache"))
        return Answer(headers=headers, body=self._lines(epoch, since, head, limit))

    def files(self, request: Request) -> Answer:
        """`GET /files/<digest>`: the file, or the range of it that was asked for."""
        _depth(request, 2)
        request.only()
        digest = request.path[1]
        if _is_current(request, f'"{digest}"'):
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

    def _page(self, request: Request, type_name: str) -> Answer:
        request.only("limit", "after", "order")
        limit = request.number("limit", default=LIMIT_DEFAULT, least=1, most=LIMIT_MAX)
        order = _order(request)
        after = _after(request)

        def make() -> Answer:
            page = self._store.records(type_name, limit=limit, after=after, order=order)
            return json_answer({"records": [self._record(r) for r in page.records], "next": page.next})

        return self._tagged(request, make)

    def _one(self, request: Request, type_name: str, key: str) -> Answer:
        request.only()
        record = self._store.record(type_name, key)
        if record is None:
            raise NotFound(f"there is no {type_name} {key[:80]!r}")
        tag = f'"{self._store.epoch()[:8]}.{self._shape}.{record.seq}"'
        if _is_current(request, tag):
            return Answer(status=304, headers=_cache_headers(tag))
        return json_answer(self._record(record), headers=_cache_headers(tag))

    def _history(self, request: Request, type_name: str, key: str) -> Answer:
        request.only("limit", "after")
        limit = request.number("limit", default=LIMIT_DEFAULT, least=1, most=LIMIT_MAX)
        after = _after(request)
        page = self._store.history(type_name, key, limit=limit, after=after)
        if not page.facts and after is None:
            raise NotFound(f"there is no {type_name} {key[:80]!r}")
        return self._tagged(
            request, lambda: json_answer({"facts": [self._fact(fact) for fact in page.facts], "next": page.next})
        )

    def _lines(self, epoch: str, since: int, head: int, limit: int) -> Iterator[bytes]:
        encode = msgspec.json.encode
        while since < head and limit > 0:
            page = self._store.facts(since, limit=min(FACTS_PAGE, limit))
            lines = [{**self._fact(fact), "cursor": f"{epoch}.{fact.seq}"} for fact in page if fact.seq <= head]
            if not lines:
                return
            limit -= len(lines)
            since = page[-1].seq
            yield b"".join(encode(line) + b"\n" for line in lines)

    def _record(self, record: Record) -> dict[str, Any]:
        return {
            "key": record.key,
            "value": record.value,
            "common": record.common,
            "at": record.at,
            "seq": record.seq,
            "href": f"{self._base}records/{record.type}/{key_to_path(record.key)}",
        }

    def _fact(self, fact: Fact) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.to_builtins(fact)
        document["href"] = f"{self._base}records/{fact.type}/{key_to_path(fact.key)}"
        return document

    def _type(self, spec: TypeSpec, count: int) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.to_builtins(spec)
        network = self._manifest.network_of(spec.name)
        return {**document, "network": network, "count": count, "href": f"{self._base}records/{spec.name}"}

    def _tagged(self, request: Request, make: Callable[[], Answer]) -> Answer:
        tag = f'"{self._store.epoch()[:8]}.{self._shape}.{self._store.head()}"'
        if _is_current(request, tag):
            return Answer(status=304, headers=_cache_headers(tag))
        answer = make()
        return Answer(status=answer.status, headers=(*answer.headers, *_cache_headers(tag)), body=answer.body)


def _depth(request: Request, *allowed: int) -> None:
    if len(request.path) not in allowed:
        raise NotFound(f"nothing stands at /{'/'.join(request.path)[:200]}")


def _after(request: Request) -> str | None:
    after = request.query.get("after")
    if after is not None and not 0 < len(after.encode()) <= AFTER_BYTES_MAX:
        raise BadRequest("after must be the `next` of the page before")
    return after


def _order(request: Request) -> Order:
    order = request.query.get("order", "key")
    if order == "key":
        return "key"
    if order == "newest":
        return "newest"
    raise BadRequest(f"order must be key or newest, not {order[:40]!r}")


def _position(cursor: str, epoch: str) -> int:
    """The position that a cursor names in the store of this epoch; none is the beginning."""
    if not cursor:
        return 0
    there, dot, seq = cursor.rpartition(".")
    if not dot or not seq.isascii() or not seq.isdecimal() or len(seq) > 18:
        raise BadRequest("since must be the cursor of a fact")
    if there != epoch:
        raise CursorUnknown("the cursor was given by another store, or before a restore")
    return int(seq)


def _cache_headers(tag: str) -> tuple[Header, ...]:
    return (("etag", tag), ("cache-control", "private, no-cache"))


def _is_current(request: Request, tag: str) -> bool:
    known = request.headers.get("if-none-match", "")
    return known.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in known.split(",")]


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
