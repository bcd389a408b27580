"""One request on its way to an answer, with everything that an op may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from core.model.fact import JsonObject
from core.netstore.protocol import Refusal
from core.netstore.server.counts import Counts
from core.netstore.server.desk import Desk
from core.netstore.server.door import Door, Grant, ServedStore
from core.netstore.server.tail import Tail

ACTOR_LETTERS_MAX = 200


class Unknown(Exception):
    """The store has no such op; it travels as `unknown_op`."""


class LongReply(msgspec.Struct, frozen=True):
    """A reply too large to be held: its body's length, and its body in pieces, made while it is sent."""

    length: int
    pieces: Iterator[bytes]


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    """From here on the connection is told of facts: those of `types` (all where empty) after `since`."""

    tail: Tail
    types: frozenset[str]
    since: int
    head: int
    heartbeat_s: float | None
    catches_up: bool


class Caller:
    """Who speaks on a connection, and which service's store they mean; its connection's, but for `revoke`."""

    def __init__(self, door: Door, *, transport: str, address: str) -> None:
        self.door = door
        self.transport = transport
        self.address = address
        self.grant: Grant | None = door.open_to if door.grant_of is None else None
        self.service: str | None = None
        self.failures = 0
        self.is_revoked = False

    @property
    def is_known(self) -> bool:
        """Whether they may do more than greet."""
        return self.grant is not None

    def revoke(self, is_gone: Callable[[Grant], bool]) -> bool:
        """Be unknown from here on, where a token made them known whose grant is gone; whether it was so."""
        grant = self.grant
        if self.door.grant_of is None or grant is None or not is_gone(grant):
            return False
        self.grant, self.is_revoked = None, True
        return True

    @property
    def actor(self) -> str:
        """Who it is, for receipts."""
        grant = self.grant
        return "nobody" if grant is None else grant.actor

    def actor_for(self, said: str | None) -> str:
        """The same, and behind it for whom they say to act."""
        return f"{self.actor}: {said[:ACTOR_LETTERS_MAX]}" if said else self.actor


class Call(msgspec.Struct, frozen=True, gc=False):
    """A request, and whom and what it concerns; `find_store` gives the store it means."""

    op: str
    request: JsonObject
    caller: Caller
    desk: Desk
    counts: Counts
    find_store: Callable[[], ServedStore]

    @property
    def store(self) -> ServedStore:
        """The store that the request means; raises NotFound or Forbidden."""
        return self.find_store()

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """What the store's own `method` answers; Unknown where it has none."""
        do = getattr(self.store, method, None)
        if not callable(do):
            raise Unknown(self.op)
        return do(*arguments, **named)


Answer = bytes | LongReply | Follow
Do = Callable[[Call], Answer]


class Op(msgspec.Struct, frozen=True):
    """What does it, and the scope it needs; None: nobody need be known."""

    do: Do
    scope: str | None


class Refused(Exception):
    """An op's answer is this refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
