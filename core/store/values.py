"""What passes a store's face beside the words of the model: who writes, what a commit did, pages, runs, quarantine."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from core.model.fact import Fact, Record

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


class FactPage(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of one record, newest first; `next` is the `after` of the following page, None at the end."""

    facts: list[Fact]
    next: str | None


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be stored: why, how often it came so, and the beginning of what came.

    A good version of the same type and key clears it.
    """

    type: str
    key: str
    code: str
    reason: str
    sample: str
    first_seen: float
    last_seen: float
    times: int
