"""What passes a store's face beside the words of the model: who writes, what a commit did, pages, runs, quarantine."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from core.model.fact import Action, Fact, JsonObject, Record

LIMIT_MAX = 1000
BATCH_CHANGES_MAX = 500

RunStatus = Literal["ok", "partial", "failed", "held"]
Order = Literal["key", "newest"]


class Origin(msgspec.Struct, frozen=True):
    """The log that facts made here belong to: `<device>/<service uid>`, or `<device>` for the owner's layer."""

    log: str
    epoch: int


class Aside(msgspec.Struct, frozen=True, kw_only=True):
    """A record that its source or its connector could not make fit to be stored: what it is, and why."""

    type: str
    key: str
    reason: str
    value: Any = None


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit did, counted in changes; `head` is the store's last position after it.

    A record that comes back after its deletion counts as new.
    """

    new: int = 0
    updated: int = 0
    same: int = 0
    deleted: int = 0
    quarantined: int = 0
    head: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as somebody else made it, to be added as it is: nothing is compared, only its id is.

    What is None is filled in: `id` with a UUIDv7, `value_hash` with ours, `causation` with the fact that it follows,
    `transaction_time` with the clock. `if_seq` lets it in only while the record's latest fact is that one (0: none).
    `origin`, `origin_epoch`, `origin_seq`, `known_at` and `rev` belong to facts that another store made.
    """

    type: str
    key: str
    id: str | None = None
    action: Action = "put"
    value: JsonObject = {}
    common: JsonObject = {}
    value_hash: str | None = None
    causation: str | None = None
    transaction_time: float | None = None
    valid_time: float | None = None
    schema_version: int = 1
    producer: JsonObject | None = None
    derivation: JsonObject | None = None
    if_seq: int | None = None
    origin: str | None = None
    origin_epoch: int | None = None
    origin_seq: int | None = None
    known_at: float | None = None
    rev: tuple[int, int] | None = None


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an entry: its place in the log, and whether a fact of its id stood there already.

    `warnings` are `clock_suspect` (its time lies a day ahead), `stale_parent` (it follows a fact that is not the
    record's latest) and, where a server takes facts by their value, `hash_unverified` (the hash that it came with is of
    another kind, and is not kept).
    """

    seq: int
    id: str
    recorded_at: float
    duplicate: bool
    causation: str | None
    value_hash: str
    warnings: tuple[str, ...] = ()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a sync stream; `problem` is its problem document where it did not end well."""

    id: str
    stream: str
    started_at: float
    ended_at: float
    status: RunStatus
    new: int = 0
    updated: int = 0
    same: int = 0
    deleted: int = 0
    quarantined: int = 0
    problem: dict[str, Any] | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Records in the asked order; `next` is the `after` of the following page, None at the end.

    A page may hold fewer records than its limit where they are large.
    """

    records: list[Record]
    next: str | None


class Verbatim(msgspec.Struct, frozen=True, gc=False):
    """As `Record`, its value as the very JSON that it is stored as."""

    type: str
    key: str
    value: msgspec.Raw
    common: JsonObject
    at: float
    seq: int


class VerbatimPage(msgspec.Struct, frozen=True, kw_only=True):
    """As `Page`."""

    records: list[Verbatim]
    next: str | None


class FactPage(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of one record, newest first; `next` is the `after` of the following page, None at the end."""

    facts: list[Fact]
    next: str | None


class TakenIn(msgspec.Struct, frozen=True):
    """How many records that wait in another store's quarantine wait here now too, and for how many there is no room."""

    set_aside: int = 0
    no_room: int = 0


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be stored: why, how often it came so, and the beginning of what came.

    A good version of the same type and key clears it. `can_retry` says that it is kept as the change it was.
    """

    position: int
    type: str
    key: str
    code: str
    reason: str
    sample: str
    first_seen: float
    last_seen: float
    times: int
    can_retry: bool = False
