"""Where all logs end: each new entry is read once, made into a frame once, and shown to every stream that wants it."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping

import msgspec

from core.events.bus import Bus
from core.events.cursor import Position, encode_cursor
from core.events.logs import Entry, Log, read_page, resumed
from core.events.viewer import Filter, Viewer
from core.model.problem import as_locker_error

RECHECK_S = 60.0
CATCH_UP_PAGES_MAX = 10

log = logging.getLogger(__name__)


class Tail:
    """The common reading position of all live streams. Lives on the loop; `run` follows the bus until cancelled.

    Streams read the logs by themselves only up to this position, then join: so nothing is missed in between, and
    the cursor in a frame is the same for all of them.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._positions: dict[str, Position] = {}
        self._viewers: dict[Filter, set[Viewer]] = defaultdict(set)
        self._turn = asyncio.Lock()
        self._read_at: dict[str, int] = {}
        self._cursor: str | None = None

    @property
    def positions(self) -> dict[str, Position]:
        """How far each log has been read, by its uid."""
        return dict(self._positions)

    @property
    def cursor(self) -> str:
        """The same as text."""
        if self._cursor is None:
            self._cursor = encode_cursor(self._positions)
        return self._cursor

    async def run(self) -> None:
        """Read on whenever a log has grown."""
        while True:
            tells = self._bus.tells
            try:
                if await self._step():
                    continue
            except Exception:
                # The edge of the task: streams stand still until the next tell, and go on from where they are.
                log.exception("event streams stand still")
            try:
                async with asyncio.timeout(RECHECK_S):
                    await self._bus.grown(tells)
            except TimeoutError:
                self._read_at.clear()

    async def catch_up(self) -> None:
        """Bring the position to the end of every log as it is now, tells or no tells.

        A log that grows faster than it is read is not waited for.
        """
        for source in self._bus.logs().values():
            for _ in range(CATCH_UP_PAGES_MAX):
                if not await self._follow(source):
                    break

    async def join(self, viewer: Viewer, positions: Mapping[str, Position]) -> bool:
        """Whether the viewer stands where the tail stands; from now on it is shown everything."""
        async with self._turn:
            if any(positions.get(uid, Position(at.epoch, 0)) != at for uid, at in self._positions.items()):
                return False
            viewer.cursor = self.cursor
            viewer.behind = False
            self._viewers[viewer.wanted].add(viewer)
            return True

    def leave(self, viewer: Viewer) -> None:
        """Show the viewer nothing more."""
        group = self._viewers.get(viewer.wanted, set())
        group.discard(viewer)
        if not group:
            self._viewers.pop(viewer.wanted, None)

    async def _step(self) -> bool:
        """Read a page of each log that has grown; whether any of them has more."""
        has_more = False
        for uid, source in self._bus.logs().items():
            told = self._bus.told(source.service)
            if self._read_at.get(uid) == told:
                continue
            if await self._follow(source):
                has_more = True
            else:
                self._read_at[uid] = told
        return has_more

    async def _follow(self, source: Log) -> bool:
        """Read a page of one log, with no stream joining meanwhile; whether it has more."""
        try:
            async with self._turn:
                return await (self._follow_page(source) if self._viewers else self._skip(source))
        except Exception as err:
            # The store is another program's: whatever is wrong with it must not keep back the other logs.
            log.warning("a log cannot be read service=%s: %s", source.service, as_locker_error(err))
            return False

    async def _skip(self, source: Log) -> bool:
        """With nobody looking on, the end of the log is where the next stream starts."""
        head = await asyncio.to_thread(source.head)
        start = resumed(source, self._positions.get(source.uid), head)
        self._place(source.uid, head if start.epoch == head.epoch else start)
        return False

    async def _follow_page(self, source: Log) -> bool:
        known = self._positions.get(source.uid)
        page = await asyncio.to_thread(read_page, source, known)
        if known is not None and known.seq > 0 and page.start != known:
            self._end_viewers(source.service)
        wanted = [(entry, self._viewers_of(entry)) for entry in page.entries]
        shown = [entry for entry, viewers in wanted if viewers]
        rendered = await asyncio.to_thread(_rendered, source, shown) if shown else {}
        self._place(source.uid, page.start)
        for entry, viewers in wanted:
            self._place(source.uid, Position(page.head.epoch, entry.seq))
            if viewers:
                shared = frame(rendered[entry.seq], self.cursor)
                for viewer in viewers:
                    viewer.push(self.cursor, shared)
        return not page.is_last

    def _place(self, uid: str, position: Position) -> None:
        if self._positions.get(uid) != position:
            self._positions[uid] = position
            self._cursor = None

    def _viewers_of(self, entry: Entry) -> list[Viewer]:
        groups = [viewers for wanted, viewers in self._viewers.items() if wanted.wants(entry)]
        return [viewer for viewers in groups for viewer in viewers if viewer.may_see(entry)]

    def _end_viewers(self, service: str) -> None:
        """A log that began anew cannot be continued: the streams end, and their cursors are refused."""
        log.warning("a log began anew; event streams are ended service=%s", service)
        for wanted, viewers in list(self._viewers.items()):
            if wanted.services is None or service in wanted.services:
                for viewer in list(viewers):
                    viewer.close()


def frame(event: bytes, cursor: str) -> bytes:
    """An event's JSON as server-sent text; it has no line breaks of its own."""
    return b"id: %s\ndata: %s\n\n" % (cursor.encode("ascii"), event)


def _rendered(source: Log, entries: list[Entry]) -> dict[int, bytes]:
    return {entry.seq: msgspec.json.encode(source.event(entry)) for entry in entries}
