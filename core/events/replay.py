"""What a stream missed: events read from the logs, from its own cursor up to where the live streams stand."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from core.events.cursor import Position, Positions, encode_cursor
from core.events.logs import PAGE_ENTRIES_MAX, Log
from core.events.tail import frame
from core.events.viewer import Viewer
from core.model.errors import CursorUnknown, LockerError, Retry

CHUNK_BYTES_MAX = 1024 * 1024
CHUNK_PAGES_MAX = 20

log = logging.getLogger(__name__)


@dataclass
class Chunk:
    """Frames for one client and the positions after them; short enough to be sent before more is read."""

    positions: dict[str, Position]
    frames: bytearray = field(default_factory=bytearray)
    pages: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it should be sent before more is read."""
        return len(self.frames) >= CHUNK_BYTES_MAX or self.pages >= CHUNK_PAGES_MAX


def started(cursor: Mapping[str, Position] | None, logs: Mapping[str, Log], tail: Positions) -> dict[str, Position]:
    """Where a stream starts: at the tail without a cursor, else at the cursor's place in every log.

    Raises CursorUnknown when a log has another epoch, is shorter, or has let go of what followed; and for a cursor
    that shares no log with this house. A log that the cursor does not name began after it. Blocks.
    """
    if cursor is None:
        return dict(tail)
    if cursor and not any(uid in logs for uid in cursor):
        raise CursorUnknown("the cursor names no log of this Locker")
    for uid, position in cursor.items():
        end = tail.get(uid)
        if end is not None and (position.epoch != end.epoch or position.seq > end.seq):
            raise CursorUnknown("the cursor was given before a store was restored")
    for uid, end in tail.items():
        if uid in logs and cursor.get(uid, Position(end.epoch, 0)).seq < logs[uid].floor() and cursor:
            raise CursorUnknown("what followed the cursor is not kept any more")
    return dict(cursor)


def read_chunk(logs: Mapping[str, Log], positions: Positions, tail: Positions, viewer: Viewer) -> Chunk:
    """The next frames for the viewer, at most up to the tail. Blocks."""
    chunk = Chunk(dict(positions))
    for uid, end in tail.items():
        try:
            if uid in logs:
                _read_log(chunk, logs[uid], end, viewer)
            else:
                chunk.positions[uid] = end
        except (CursorUnknown, Retry):
            raise
        except LockerError as err:
            # A store beyond repair comes back under a new epoch; until then it has nothing to show.
            log.warning("a log cannot be read service=%s: %s", logs[uid].service, err)
            chunk.positions[uid] = end
        if chunk.is_full:
            break
    return chunk


def _read_log(chunk: Chunk, source: Log, end: Position, viewer: Viewer) -> None:
    at = chunk.positions.get(source.uid, Position(end.epoch, 0))
    if at.epoch != end.epoch and at.seq > 0:
        raise CursorUnknown("a store was restored meanwhile")
    while at.seq < end.seq:
        if chunk.is_full:
            return
        chunk.pages += 1
        entries = [entry for entry in source.page(at.seq, limit=PAGE_ENTRIES_MAX) if entry.seq <= end.seq]
        if not entries:
            break
        for entry in entries:
            at = chunk.positions[source.uid] = Position(end.epoch, entry.seq)
            if viewer.wanted.wants(entry) and viewer.may_see(entry):
                chunk.frames += frame(msgspec.json.encode(source.event(entry)), encode_cursor(chunk.positions))
                if len(chunk.frames) >= CHUNK_BYTES_MAX:
                    return
    chunk.positions[source.uid] = end
