"""Who may come in by a listener, and which stores lie behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from core.model.errors import Forbidden, LockerError
from core.model.fact import Fact
from core.store import Appended, Condition, Entry

READ, WRITE, ADMIN = "read", "write", "admin"


class ServedStore(Protocol):
    """What the server itself needs of a store; ops beyond it are answered where the store has their methods."""

    def append(self, entries: Sequence[Entry], *, atomic: bool = False) -> list[Appended | LockerError]:
        """Add facts, durable when it returns."""

    def head(self) -> int:
        """The position of the last fact."""

    def epoch(self) -> str:
        """The store's incarnation."""

    def facts(self, since: int, *, limit: int) -> list[Fact]:
        """The facts after a position, in order."""

    def floor(self) -> int:
        """The first position that can be asked for; 0 where everything was retained."""

    def storage_status(self) -> Condition:
        """How large the store is, how far its index has come, and what is wrong with it."""


class Grant(msgspec.Struct, frozen=True):
    """What a caller may do, and in which services' stores; None means all of them."""

    actor: str
    scopes: frozenset[str] = frozenset({READ, WRITE})
    services: frozenset[str] | None = None

    @property
    def only_service(self) -> str | None:
        """The one service that is meant where none is named."""
        return next(iter(self.services)) if self.services is not None and len(self.services) == 1 else None

    def allows(self, scope: str, service: str | None) -> bool:
        """Whether `scope` in the store of `service` is granted."""
        return scope in self.scopes and (self.services is None or service in self.services)

    def check(self, scope: str, service: str | None) -> None:
        """Raise Forbidden unless `scope` in the store of `service` is granted."""
        if scope not in self.scopes:
            raise Forbidden(f"This needs the scope {scope}.")
        if self.services is not None and service not in self.services:
            raise Forbidden("The token is not for this service.")


OWNER = Grant("owner", frozenset({READ, WRITE, ADMIN}))


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of one listener.

    `store_of` gives a service's store, or raises NotFound; None stands for a caller that named no service. `grant_of`
    gives what a token opens, None for a wrong one; without it nobody is asked for a token, and `open_to` is what
    everybody may. `is_allowed` judges the process at the other end of a Unix socket; other users are refused anyway.
    With `any_hash` a fact whose hash is of a kind that cannot be checked here is taken by its value, with a warning.
    """

    store_of: Callable[[str | None], ServedStore]
    grant_of: Callable[[str], Grant | None] | None = None
    open_to: Grant = OWNER
    is_allowed: Callable[[int], bool] | None = None
    any_hash: bool = False


def one_store(store: ServedStore, *, service: str | None = None) -> Callable[[str | None], ServedStore]:
    """The `store_of` of a door that leads to one store; a caller that names another service is refused."""

    def store_of(wanted: str | None) -> ServedStore:
        if wanted is not None and wanted != service:
            raise Forbidden("Another service's store is not served here.")
        return store

    return store_of
