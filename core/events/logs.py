"""Every log as the same thing to read: facts of a service's store, or what services published without one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.events.cursor import Position
from core.events.match import event_of, idr_of
from core.model.errors import FactDamaged, LockerError
from core.model.event import Event, Idr
from core.model.fact import Fact

PAGE_ENTRIES_MAX = 100

log = logging.getLogger(__name__)


class LogSource(Protocol):
    """A service's store as this room reads it, whether the child runs or not; called from threads, several at once.

    `account` is the source's own account id, None before sign-in. `epoch` is empty and `head` 0 where there is no
    store yet; `floor` is the first position that the store answers for, 0 where it answers for all. `facts` may give
    fewer than `limit`; only an empty answer means that there are no more.
    """

    @property
    def uid(self) -> str: ...
    @property
    def account(self) -> str | None: ...
    def network_of(self, type_name: str, /) -> str: ...
    def epoch(self) -> str: ...
    def head(self) -> int: ...
    def floor(self) -> int: ...
    def facts(self, since: int, /, *, limit: int) -> Sequence[Fact]: ...
    def previous(self, fact: Fact, /) -> Fact | None: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One place of a log: enough to decide who wants it, before the event itself is made."""

    seq: int
    service: str
    idr: Idr
    content: Fact | Event


class Log(Protocol):
    """A sequence of entries that only grows, under one epoch. Every method blocks."""

    @property
    def uid(self) -> str: ...
    @property
    def service(self) -> str: ...

    def head(self) -> Position:
        """Where the log ends."""

    def floor(self) -> int:
        """The position up to which entries may be missing: 0 where everything is kept."""

    def page(self, since: int, *, limit: int) -> list[Entry]:
        """The entries after `since`, the earliest first; only an empty answer means that there are no more."""

    def event(self, entry: Entry) -> Event:
        """The entry as it is heard."""


class FactLog:
    """The log of a service's store."""

    def __init__(self, service: str, source: LogSource) -> None:
        self.uid = source.uid
        self.service = service
        self._source = source
        self._account = source.account or source.uid

    def head(self) -> Position:
        """The store's epoch and last position."""
        return Position(self._source.epoch(), self._source.head())

    def floor(self) -> int:
        """The last position whose fact may be gone: the store answers for what comes after it."""
        try:
            return max(0, self._source.floor() - 1)
        except LockerError as err:
            # As with heads: one damaged store keeps nobody from hearing the others.
            log.warning("a log's floor cannot be read service=%s: %s", self.service, err)
            return 0

    def page(self, since: int, *, limit: int = PAGE_ENTRIES_MAX) -> list[Entry]:
        """Facts after `since`; one that is not what was written is passed over, so that it hides none behind it."""
        while True:
            try:
                facts = self._source.facts(since, limit=limit)
            except FactDamaged as damaged:
                log.error("damaged fact passed over service=%s seq=%d", self.service, damaged.seq)
                since = damaged.seq
                continue
            return [Entry(fact.seq, self.service, self._idr(fact), fact) for fact in facts]

    def event(self, entry: Entry) -> Event:
        """The fact with what it replaced, read from the same store."""
        assert isinstance(entry.content, Fact)
        try:
            before = self._source.previous(entry.content)
        except FactDamaged:
            before = None  # What it replaced cannot be told; that it came can.
        network = self._source.network_of(entry.content.type)
        return event_of(entry.content, before, service_id=self.service, network=network, account=self._account)

    def _idr(self, fact: Fact) -> Idr:
        return idr_of(fact, network=self._source.network_of(fact.type), account=self._account)


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of a log, where they begin, and where the log ended when they were read."""

    head: Position
    start: Position
    entries: list[Entry]

    @property
    def is_last(self) -> bool:
        """Whether the log had no more."""
        return not self.entries or self.entries[-1].seq >= self.head.seq


def read_page(source: Log, known: Position | None) -> Page:
    """The entries after the known position. Blocks.

    What lies past the head that the log itself names is left for the next page, so that a position is never ahead
    of its log, whatever is in a file that its child could have written.
    """
    head = source.head()
    start = resumed(source, known, head)
    if start.seq >= head.seq:
        return Page(head, start, [])
    entries = source.page(start.seq, limit=PAGE_ENTRIES_MAX)
    return Page(head, start, [entry for entry in entries if entry.seq <= head.seq])


def resumed(source: Log, known: Position | None, head: Position) -> Position:
    """Where to read on: where it was left, or the beginning of a log that is new, shorter or of another epoch.

    A restored store may lack facts that were delivered and hold others under their numbers, so only its
    beginning is sure to miss none; listeners take what they know already (at least once). A store that is away
    for the moment has no epoch and changes nothing.
    """
    if known is None:
        return Position(head.epoch, 0)
    is_away = not head.epoch and known.epoch
    if is_away or (known.epoch == head.epoch and known.seq <= head.seq):
        return known
    if known.seq > 0:
        log.warning("a log began anew and is read from its start service=%s", source.service)
    return Position(head.epoch, 0)


def heads_of(logs: Mapping[str, Log]) -> dict[str, Position]:
    """Where every log ends that can be read. Blocks."""
    heads = {}
    for uid, each in logs.items():
        try:
            heads[uid] = each.head()
        except LockerError as err:
            # One damaged store keeps nobody from hearing the others.
            log.warning("a log cannot be read service=%s: %s", each.service, err)
    return heads
