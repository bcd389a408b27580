"""ETags of what a store answers: they change with the log, with what its types declare, and with what left it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b

import msgspec

from core.model.errors import NotFound
from core.model.manifest import TypeSpec
from core.records.answers import Answer, Header, Request
from core.store import Reader, Store

# For its asker alone, who asks again before using it once more.
UNCACHED: tuple[Header, ...] = (("cache-control", "private, no-cache"),)


class Tags:
    """The ETags of one service's answers."""

    def __init__(self, reads: Callable[[], Store | Reader], types: Mapping[str, TypeSpec]) -> None:
        self._reads = reads
        # A changed declaration changes what is shown of the same facts.
        self._shape = blake2b(msgspec.json.encode(dict(types)), digest_size=4).hexdigest()

    def of(self, seq: int) -> str:
        """The tag of an answer that stands as long as nothing follows this position."""
        return f'"{self._reads().epoch()[:8]}.{self._shape}.{seq}"'

    def tagged(self, request: Request, make: Callable[[], Answer]) -> Answer:
        """What `make` answers, or 304 where the log stands where it stood when the asker had it."""
        tag = self.of(self._reads().head())
        if is_current(request, tag):
            return not_modified(tag)
        answer = make()
        return Answer(status=answer.status, headers=(*answer.headers, *cache_headers(tag)), body=answer.body)


def not_modified(tag: str) -> Answer:
    """That nothing is new."""
    return Answer(status=304, headers=cache_headers(tag))


def cache_headers(tag: str) -> tuple[Header, ...]:
    """The headers of an answer that may be kept by its asker alone, and asked about again."""
    return (("etag", tag), *UNCACHED)


def is_current(request: Request, tag: str) -> bool:
    """Whether the asker has what the tag stands for."""
    known = request.headers.get("if-none-match", "")
    return known.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in known.split(",")]


def depth(request: Request, *allowed: int) -> None:
    """Raise NotFound unless the path has so many segments."""
    if len(request.path) not in allowed:
        raise NotFound(f"nothing stands at /{'/'.join(request.path)[:200]}")
