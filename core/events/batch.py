"""The next events for one listener, read from the logs in turn up to a bound."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from core.events.cursor import Position
from core.events.logs import Entry, Log, read_page
from core.events.match import names_network, names_of, types_of
from core.model.problem import as_locker_error

BATCH_BYTES_MAX = 8 * 1024 * 1024

Allowed = Callable[[str, str], bool]

log = logging.getLogger(__name__)


@dataclass
class Batch:
    """Events as JSON lines, and how far every log has been read to gather them.

    `unread` are the logs that may hold more, `broken` those that could not be read.
    """

    size_max: int
    positions: dict[str, Position]
    unread: list[str]
    lines: list[bytes] = field(default_factory=list)
    body_bytes: int = 0
    passed: int = 0
    is_closed: bool = False
    broken: list[str] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be added."""
        return self.is_closed or len(self.lines) >= self.size_max or self.body_bytes >= BATCH_BYTES_MAX


@dataclass(frozen=True)
class Ear:
    """What one service wants to hear at one path, in normal form, within what it may hear."""

    service: str
    names: frozenset[str]
    allowed: Allowed

    def hears(self, entry: Entry) -> bool:
        """Whether the entry is wanted and allowed.

        What the service itself said is wanted only by a name that says whose events are meant: a service
        that listens to its own type would answer itself for ever.
        """
        wanted = self.names & names_of(entry.idr)
        if entry.service == self.service:
            wanted = frozenset(name for name in wanted if names_network(name))
        return bool(wanted) and any(self.allowed(self.service, name) for name in types_of(entry.idr))


def fill(batch: Batch, logs: Mapping[str, Log], ear: Ear) -> None:
    """Read on, a page of each unread log in turn, until the batch is full or every log is at its end. Blocks."""
    while batch.unread and not batch.is_full:
        for uid in list(batch.unread):
            if batch.is_full:
                return
            try:
                at_end = _fill_page(batch, logs[uid], ear)
            except Exception as err:
                # The store is another program's: whatever is wrong with it must not keep back the other logs.
                log.warning("a log cannot be read service=%s: %s", logs[uid].service, as_locker_error(err))
                batch.broken.append(uid)
                at_end = True
            if at_end:
                batch.unread.remove(uid)


def _fill_page(batch: Batch, source: Log, ear: Ear) -> bool:
    page = read_page(source, batch.positions.get(source.uid))
    batch.positions[source.uid] = page.start
    for entry in page.entries:
        if ear.hears(entry):
            line = msgspec.json.encode(source.event(entry)) + b"\n"
            if batch.lines and batch.body_bytes + len(line) > BATCH_BYTES_MAX:
                batch.is_closed = True
                return False
            batch.lines.append(line)
            batch.body_bytes += len(line)
        batch.positions[source.uid] = Position(page.head.epoch, entry.seq)
        batch.passed += 1
        if batch.is_full:
            return False
    return page.is_last
