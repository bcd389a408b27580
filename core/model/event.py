"""Events and their addresses: `type://network/context?id=account#key`."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import quote, unquote

import msgspec

from core.model.errors import BadRequest

EventAction = Literal["new", "update", "delete"]
_SAFE = "-._~"
_PART_BYTES_MAX = 2048


class Idr(msgspec.Struct, frozen=True):
    """The address of a record or of something a service says.

    Written by a grammar of its own, since URL parsers lower-case the host and refuse `_` in a scheme: every
    part is percent-encoded UTF-8, so a key may hold `#`, `/`, `?`, `%` and blanks.

    >>> str(Idr("tweet", "twitter", "timeline", "me", "10/39"))
    'tweet://twitter/timeline?id=me#10%2F39'
    >>> Idr.parse("tweet://twitter/timeline?id=me#10%2F39").key
    '10/39'
    """

    type: str
    network: str
    context: str = ""
    account: str = ""
    key: str = ""

    def __str__(self) -> str:
        account = f"?id={quote(self.account, safe=_SAFE)}" if self.account else ""
        key = f"#{quote(self.key, safe=_SAFE)}" if self.key else ""
        head = f"{quote(self.type, safe=_SAFE)}://{quote(self.network, safe=_SAFE)}"
        return f"{head}/{quote(self.context, safe=_SAFE)}{account}{key}"

    @classmethod
    def parse(cls, text: str) -> Idr:
        """The address written in `text`; raises BadRequest naming the part that is missing."""
        if len(text) > 5 * _PART_BYTES_MAX:
            raise BadRequest("the IDR is too long")
        head, _, key = text.partition("#")
        kind, scheme, rest = head.partition("://")
        path, question, query = rest.partition("?")
        network, _, context = path.partition("/")
        if not scheme or not kind or not network:
            raise BadRequest(f"{text[:80]!r} is not an IDR", remedy="Write type://network/context?id=account#key.")
        if question and not query.startswith("id="):
            raise BadRequest(f"{text[:80]!r}: only ?id=account may follow the path")
        try:
            parts = [unquote(part, errors="strict") for part in (kind, network, context, query[3:], key)]
        except UnicodeDecodeError as err:
            raise BadRequest(f"{text[:80]!r} is not percent-encoded UTF-8") from err
        return cls(*parts)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A committed fact as a listener sees it, or something a service published.

    `seq` is the position in the service's log (0 for a published event without a fact), `at` the commit time in
    epoch seconds; `before` is the value that an update or delete replaced.
    """

    id: str
    idr: str
    action: EventAction
    service: str
    type: str
    key: str
    seq: int
    at: float
    value: dict[str, Any]
    common: dict[str, Any] = {}
    before: dict[str, Any] | None = None
