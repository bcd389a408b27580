"""A request and an answer as the SDK's own routes see them, apart from any web framework."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from core.model.errors import BadRequest, LockerError, MethodNotAllowed
from core.model.problem import problem_response

QUERY_BYTES_MAX = 8 * 1024
QUERY_FIELDS_MAX = 32
JSON_TYPE = "application/json"

Header = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked: `path` in segments without empty ones, header names in lower case, the body already read."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def actor(self) -> str:
        """Who asks, as the core says."""
        return self.headers.get("x-locker-actor", "")

    def only(self, *names: str) -> None:
        """Raise BadRequest unless every query parameter is one of `names`."""
        for name in self.query:
            if name not in names:
                known = f"it takes {', '.join(names)}" if names else "it takes none"
                raise BadRequest(f"{name[:40]!r} is not a parameter of this route; {known}")

    def number(self, name: str, *, default: int, least: int, most: int) -> int:
        """A whole number from the query; raises BadRequest when it is none, or outside its range."""
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdecimal() or len(text) > 18 or not least <= int(text) <= most:
            raise BadRequest(f"{name} must be a whole number from {least} to {most}")
        return int(text)

    def document(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object."""
        if not self.body.strip():
            return {}
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as err:
            raise BadRequest("the body must be a JSON object") from err


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is answered: bytes at once, or chunks as they come (an iterator is read in a thread)."""

    status: int = 200
    headers: Sequence[Header] = ()
    body: bytes | Iterator[bytes] | AsyncIterator[bytes] = b""


Handler = Callable[[Request], Answer] | Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """Answers one first path segment. A plain `handler` may block, for it runs in a thread; an async one never does."""

    name: str
    handler: Handler
    methods: tuple[str, ...] = ("GET", "HEAD")

    def check(self, request: Request) -> None:
        """Raise MethodNotAllowed when the route does not answer this method."""
        if request.method not in self.methods:
            raise MethodNotAllowed(f"/{self.name} answers {', '.join(self.methods)}", allow=self.methods)


def json_answer(document: Any, *, status: int = 200, headers: Sequence[Header] = ()) -> Answer:
    """`document` as JSON."""
    body = msgspec.json.encode(document)
    return Answer(status=status, headers=(("content-type", JSON_TYPE), *headers), body=body)


def problem_answer(error: LockerError) -> Answer:
    """The problem document of `error`."""
    status, headers, body = problem_response(error)
    return Answer(status=status, headers=tuple(headers), body=body)


def parse_query(raw: bytes) -> dict[str, str]:
    """The query's parameters; raises BadRequest when one comes twice, or when it is too long or not UTF-8."""
    if len(raw) > QUERY_BYTES_MAX:
        raise BadRequest(f"the query has more than {QUERY_BYTES_MAX} bytes")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
    except ValueError as err:
        raise BadRequest("the query is not percent-encoded UTF-8") from err
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRequest("a query parameter stands there twice")
    return found
