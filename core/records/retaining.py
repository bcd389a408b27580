"""REST access to what a store lets go: policies set, facts compacted, and what facts said erased for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from core.model.errors import BadRequest, MethodNotAllowed, NotFound
from core.records.answers import Answer, Request, Route, json_answer
from core.records.tags import UNCACHED, depth
from core.records.upkeep import READING, actor_of
from core.store import Policy, Reader, Store

Kind = TypeVar("Kind", bound=msgspec.Struct)

IDS_MAX = 1000


class Policies(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The types whose superseded facts may go, each with its policy; every other type keeps all of them."""

    policies: dict[str, Policy]


class Erasing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to erase: all facts of the record of that `type` and `key`, or the facts of these `ids`.

    `drop_hash` takes the hashes too: of a short value they tell what it was.
    """

    type: str | None = None
    key: str | None = None
    ids: list[str] = []
    drop_hash: bool = False

    @property
    def record(self) -> tuple[str, str] | None:
        """The record that is meant; raises BadRequest where it is not exactly one record, or facts by their ids."""
        if (self.type is None) != (self.key is None) or (self.type is None) == (not self.ids):
            raise BadRequest("what to erase is either a type and a key, or ids", remedy="Name one of the two.")
        if len(self.ids) > IDS_MAX:
            raise BadRequest(f"{len(self.ids)} ids at once, allowed are {IDS_MAX}")
        return None if self.type is None or self.key is None else (self.type, self.key)


class Retaining:
    """The routes below `/retention`; all but its reading is done by `writes`, the one who writes the store."""

    def __init__(self, reads: Callable[[], Store | Reader], writes: Callable[[], Store]) -> None:
        self._reads = reads
        self._writes = writes

    @property
    def route(self) -> Route:
        """`/retention`."""
        return Route(name="retention", handler=self.retention, methods=(*READING, "PUT", "POST"))

    def retention(self, request: Request) -> Answer:
        """`GET` and `PUT /retention`, `POST /retention/compact`, `POST /retention/erase`."""
        request.only()
        if request.method == "POST":
            return self._deed(request)
        depth(request, 1)
        if request.method == "PUT":
            set_policies(self._writes(), _asked(request, Policies), actor=actor_of(request))
        return json_answer({"policies": msgspec.to_builtins(self._reads().policies())}, headers=UNCACHED)

    def _deed(self, request: Request) -> Answer:
        deed = request.path[1:]
        if not deed:
            raise MethodNotAllowed("POST goes to /retention/compact or /retention/erase", allow=(*READING, "PUT"))
        if deed == ("compact",):
            return json_answer({"receipts": self._writes().compact(actor=actor_of(request))})
        if deed == ("erase",):
            return json_answer(erase(self._writes(), _asked(request, Erasing), actor=actor_of(request)))
        raise NotFound("POST goes to /retention/compact or /retention/erase")


def set_policies(store: Store, wanted: Policies, *, actor: str) -> None:
    """Keep exactly these policies; all are looked at before any is set."""
    for policy in wanted.policies.values():
        policy.check()
    now = store.policies()
    for name in sorted({*now, *wanted.policies}):
        policy = wanted.policies.get(name, Policy())
        if policy != now.get(name, Policy()):
            store.set_policy(name, policy, actor=actor)


def erase(store: Store, what: Erasing, *, actor: str) -> dict[str, object]:
    """Erase what is named; the receipt's document. Raises NotFound where there is no such fact."""
    return store.erase(ids=what.ids, record=what.record, drop_hash=what.drop_hash, actor=actor)


def _asked(request: Request, kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(request.document(), kind)
    except msgspec.ValidationError as err:
        raise BadRequest(f"the body does not fit: {err}") from err
