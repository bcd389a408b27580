"""What a stream yields: rows, where it stands, how far it is, and what went wrong beside the good rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.model.errors import LockerError, Skip
from core.store import Sample


@dataclass(frozen=True, kw_only=True)
class Put:
    """A record's new value. A plain dict does the same where the stream has one type and no more needs saying.

    `key` is taken from the value by the type's declaration unless given; `at` is the moment the record speaks of,
    in epoch seconds; `order_key` is the source's own revision, where it counts them.
    """

    type: str
    value: dict[str, Any]
    common: dict[str, Any] = field(default_factory=dict)
    key: str | int | None = None
    at: float | None = None
    order_key: int | None = None


@dataclass(frozen=True, kw_only=True)
class Delete:
    """The record is gone from the source: its history stays, its current state ends."""

    type: str
    key: str | int


@dataclass(frozen=True, kw_only=True)
class Unfit:
    """A record that cannot be used: kept in quarantine with its reason until a good version of its key comes.

    A `BadRecord` says the same of a record that has no key: it is kept under its reason.
    """

    type: str
    key: str | int
    reason: str
    value: Any = None


@dataclass(frozen=True)
class Cursor:
    """Where the next run resumes. When the line after `yield Cursor(…)` runs, it and all before it are on disk.

    `part` names one of several independent positions of a stream that reads many sources.
    """

    value: Any
    part: str = ""


@dataclass(frozen=True)
class Progress:
    """How far the run is, for the owner to see."""

    done: int
    total: int | None = None


@dataclass(frozen=True)
class Note:
    """A sentence for the owner's diary: `level` is "info", "warning" or "error"."""

    text: str
    level: str = "info"


@dataclass(frozen=True)
class Partial:
    """A part of the source failed and the rest goes on; the run ends as `partial` with this as its problem.

    `is_all` says that nothing of the source could be read: the run ends as `failed`, whatever it noted of that.
    """

    error: LockerError
    is_all: bool = False


@dataclass(frozen=True)
class Again:
    """There is more to fetch: the next run is due this soon, if this one ends well."""

    after_s: float


Message = Put | Delete | Sample | Unfit | Cursor | Progress | Note | Partial | Again | Skip | dict[str, Any]
