"""What can be asked of a store that somebody else serves: the same as of one's own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from core.model.fact import Fact, JsonObject, Record
from core.model.filter import Filter, Path
from core.netstore.asked import filter_document, moment_document
from core.netstore.client.line import Line
from core.netstore.client.replies import Stretch, fact_in, facts_in, read, read_stretch, whole
from core.netstore.client.series import DistantSeries
from core.netstore.protocol import Cursor
from core.store import AsOf, ChangePage, Count, FactPage, Found, Page, Quarantined, Run

# A page is asked for while the one before is read: so many that asking costs nothing, and both ends are at work.
REPLAY_FACTS = 2000
# So long a page waits for the next one's request to go out: while it is read, no other thread has a turn.
REQUEST_S = 0.0005


class DistantReads:
    """The reads of a store, over a line to it."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.series = DistantSeries(line)
        # Positions are of the incarnation that was met first: after a restore they are refused, not misread.
        self._met: str | None = None

    def head(self) -> int:
        """The position of the last fact."""
        return read(self._standing("head"), "head", int)

    def epoch(self) -> str:
        """The store's incarnation."""
        return read(self._standing("store_epoch"), "store_epoch", str)

    def opens(self) -> int:
        """How often a writer opened the store."""
        return read(self._line.ask({"op": "counts"}), "opens", int)

    def counts(self) -> dict[str, int]:
        """How many records of each type there are."""
        return read(self._line.ask({"op": "counts"}), "counts", dict[str, int])

    def count(self, type_name: str, *, where: Filter | None = None, as_of: AsOf | None = None) -> Count:
        """How many records of the type there are. As `Store.count`."""
        return whole(self._line.ask({"op": "count", "store": type_name, **_when(where, as_of)}), Count)

    def floor(self, types: Sequence[str] = ()) -> int:
        """The first position that the store can be asked for, about these types or all; 0: it retained everything."""
        return read(self._line.ask({"op": "counts", "stores": list(types)}), "floor", int)

    def fact_count(self) -> int:
        """How many facts are held."""
        return read(self._line.ask({"op": "stats"}), "facts_total", int)

    def record(self, type_name: str, key: str, *, as_of: AsOf | None = None) -> Record | None:
        """The record's state, the latest or that of a moment; None when there is none or it is deleted."""
        reply = self._line.ask({"op": "read", "store": type_name, "key": key, "full": True, **_when(None, as_of)})
        return None if reply.get("record") is None else read(reply, "record", Record)

    def records(
        self,
        type_name: str,
        *,
        limit: int,
        after: str | None = None,
        order: str = "key",
        where: Filter | None = None,
        as_of: AsOf | None = None,
        fields: Sequence[Path] = (),
    ) -> Page:
        """A page of records. As `Store.records`."""
        request: JsonObject = {"op": "records", "store": type_name, "limit": limit, "after": after, "order": order}
        if fields:
            request["fields"] = fields
        return whole(self._line.ask({**request, **_when(where, as_of)}), Page)

    def history(
        self, type_name: str, key: str, *, limit: int, after: str | None = None, as_of: AsOf | None = None
    ) -> FactPage:
        """The versions of one record, newest first; those of a moment's past alone."""
        request = {"op": "history", "store": type_name, "key": key, "limit": limit, "after": after, "full": True}
        reply = self._line.ask({**request, **_when(None, as_of)})
        return FactPage(facts=facts_in(reply), next=None if reply.get("next") is None else str(reply["next"]))

    def search(
        self,
        text: str,
        *,
        limit: int,
        types: Sequence[str] = (),
        after: str | None = None,
        as_of: AsOf | None = None,
    ) -> Found:
        """The records that fit the words of `text`, the best first. As `Store.search`."""
        request = {"op": "search", "q": text, "stores": types, "limit": limit, "cursor": after, "full": True}
        return read(self._line.ask({**request, **_when(None, as_of)}), "found", Found)

    def changes(
        self,
        start: AsOf | None,
        end: AsOf | None,
        *,
        limit: int,
        after: str | None = None,
        type_name: str | None = None,
    ) -> ChangePage:
        """What changed after one moment, up to another. As `Store.changes`."""
        request = {
            "op": "changes",
            "start": moment_document(start),
            "end": moment_document(end),
            "limit": limit,
            "after": after,
            "store": type_name,
        }
        return whole(self._line.ask(request), ChangePage)

    def fact(self, fact_id: str) -> Fact | None:
        """The fact of this id; None where there is none."""
        found = self._line.ask({"op": "fact", "fact_id": fact_id}).get("fact")
        return None if found is None else fact_in(found)

    def facts(self, since: int, *, limit: int) -> list[Fact]:
        """The facts after position `since`, in order; only an empty answer means that there are no more."""
        return facts_in(self._line.ask({"op": "replay", "since": self._at(since), "limit": limit, "full": True}))

    def replay(self, since: int = 0) -> Iterator[Fact]:
        """Every fact after `since` up to where the log stands now, read in pages, the next one while this is used."""
        page = self._stretch(self._at(since), None)
        until = None if page.next is None else Cursor(page.next.store_epoch, page.head)
        ahead = ThreadPoolExecutor(1, thread_name_prefix="netstore replay")
        try:
            while page.next is not None:
                coming = ahead.submit(self._stretch, page.next, until)
                time.sleep(REQUEST_S)
                yield from page.read()
                page = coming.result()
            yield from page.read()
        finally:
            ahead.shutdown(wait=False)

    def previous(self, fact: Fact) -> Fact | None:
        """The version of the record that `fact` replaced; None for the first."""
        found = self._line.ask({"op": "previous", "seq": fact.seq}).get("fact")
        return None if found is None else fact_in(found)

    def shared(self, fact: Fact) -> JsonObject:
        """The fact's shared fields, those declared by path included."""
        return read(self._line.ask({"op": "shared", "seq": fact.seq}), "common", JsonObject)

    def cursor(self, stream: str) -> Any:
        """Where the stream resumes."""
        return self._line.ask({"op": "cursor", "stream": stream}).get("value")

    def runs(self, stream: str | None = None, *, limit: int) -> list[Run]:
        """The runs of one stream or of all, the latest first."""
        return read(self._line.ask({"op": "runs", "stream": stream, "limit": limit}), "runs", list[Run])

    def quarantined(self, limit: int) -> list[Quarantined]:
        """The records that could not be stored, the latest first."""
        return read(self._line.ask({"op": "quarantined", "limit": limit}), "quarantined", list[Quarantined])

    def _standing(self, name: str) -> JsonObject:
        """A greeting that says where the store stands; raises TokenRequired or Forbidden where it is not told."""
        greeting = self._line.ask({"op": "hello"})
        if name not in greeting:
            # A greeting keeps it from those who may not read without a word; a read is refused with the reason.
            self._line.ask({"op": "stats"})
        return greeting

    def _at(self, seq: int) -> int | Cursor:
        """A position as it is asked for: 0 is the same in every store, any other is of one."""
        if seq <= 0:
            return seq
        if self._met is None:
            self._met = self.epoch()
        return Cursor(self._met, seq)

    def _stretch(self, since: int | Cursor, until: Cursor | None) -> Stretch:
        request = {"op": "replay", "since": since, "until": until, "limit": REPLAY_FACTS, "full": True}
        return self._line.ask_for(request, read_stretch)


def _when(where: Filter | None, as_of: AsOf | None) -> JsonObject:
    """A request's members for a filter and a moment, where there are any."""
    members: JsonObject = {}
    if where is not None:
        members["where"] = filter_document(where)
    if as_of is not None:
        members["as_of"] = moment_document(as_of)
    return members
