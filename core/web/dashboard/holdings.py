"""What a service holds, as the dashboard reads it: from its store, or asked of a child that keeps its data itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec

from core.model.clock import Clock
from core.model.errors import AnswerInvalid, BadRequest, ChildMute, NotFound
from core.model.fact import Fact, Record
from core.model.filter import Filter
from core.model.ids import TYPE_NAME, key_to_path
from core.store import AsOf, Count, FactPage, Page
from core.web.parts import Children, Holdings, Parts

# A page waits in one of the few threads that read, so the questions of one look share this time.
ASK_S = 2.0
RECORDS_MAX = 500


class _TheirRecord(msgspec.Struct):
    key: str
    value: dict[str, Any] = {}
    common: dict[str, Any] = {}
    at: float = 0.0
    seq: int = 0


class _TheirFact(msgspec.Struct):
    seq: int = 0
    action: Literal["put", "delete"] = "put"
    value: dict[str, Any] = {}
    common: dict[str, Any] = {}
    at: float = 0.0
    known_at: float | None = None


class _TheirRecords(msgspec.Struct):
    records: list[_TheirRecord]
    next: str | int | None = None


class _TheirFacts(msgspec.Struct):
    facts: list[_TheirFact]


class _Told(msgspec.Struct):
    counts: dict[str, int] = {}


@contextmanager
def holdings(parts: Parts, service_id: str, *, within_s: float = ASK_S) -> Iterator[Holdings]:
    """The service's store; where it has none and its child runs, the child, asked for so long in all.

    A sleeping child is left asleep.
    """
    with parts.reader(service_id) as reader:
        if reader.epoch() or parts.children.state(service_id).name != "running":
            yield reader
            return
    yield ChildReader(parts.children, service_id, clock=parts.clock, within_s=within_s)


class ChildReader:
    """A child's own answers, read as a store is; all questions together have `within_s`."""

    def __init__(self, children: Children, service_id: str, *, clock: Clock, within_s: float) -> None:
        self._children = children
        self._service_id = service_id
        self._clock = clock
        self._until = clock.monotonic() + within_s

    def epoch(self) -> str:
        """Empty: it is no store of Locker's."""
        return ""

    def counts(self) -> Mapping[str, int]:
        """What the child counts; nothing where it does not say."""
        told = self._ask("/", _Told)
        counts = told.counts if told else {}
        return {name: number for name, number in counts.items() if TYPE_NAME.fullmatch(name) and number >= 0}

    def record(self, type_name: str, key: str, /, *, as_of: AsOf | None = None) -> Record | None:
        """One record, or None."""
        _only_today(None, as_of)
        found = self._ask(f"/records/{type_name}/{key_to_path(key)}", _TheirRecord) if _is_type(type_name) else None
        return _record(type_name, found) if found else None

    def records(
        self,
        type_name: str,
        /,
        *,
        limit: int,
        after: str | None,
        order: str,
        where: Filter | None = None,
        as_of: AsOf | None = None,
    ) -> Page:
        """A page of records; a child that knows no pages is cut at five hundred."""
        _only_today(where, as_of)
        query = {"order": order, "limit": str(limit), **({"after": after} if after else {})}
        path = f"/records/{type_name}?{urlencode(query)}"
        found = self._ask(path, _TheirRecords) if _is_type(type_name) else None
        if found is None:
            return Page(records=[], next=None)
        records = [_record(type_name, one) for one in found.records[:RECORDS_MAX]]
        if order == "newest":
            records.sort(key=lambda one: -one.at)
        return Page(records=records, next=None if found.next is None else str(found.next))

    def count(self, type_name: str, /, *, where: Filter | None = None, as_of: AsOf | None = None) -> Count:
        """How many records of the type the child counts."""
        _only_today(where, as_of)
        return Count(count=self.counts().get(type_name, 0), is_exact=True)

    def history(self, type_name: str, key: str, /, *, limit: int, after: str | None) -> FactPage:
        """The versions of a record, newest first; none where the child keeps none."""
        query = {"limit": str(limit), **({"after": after} if after else {})}
        path = f"/records/{type_name}/{key_to_path(key)}/history?{urlencode(query)}"
        found = self._ask(path, _TheirFacts) if _is_type(type_name) else None
        return FactPage(facts=[_fact(type_name, key, one) for one in found.facts[:limit]] if found else [], next=None)

    def _ask(self, path: str, kind: type[Any]) -> Any:
        left_s = round(self._until - self._clock.monotonic(), 2)
        if left_s <= 0:
            raise ChildMute(f"{self._service_id} took too long to tell what it holds")
        status, body = self._children.call(
            self._service_id, method="GET", path=path, body=b"", content_type="", timeout_s=left_s
        )
        if status == 404:
            return None
        try:
            if status != 200:
                raise AnswerInvalid(f"{self._service_id} answered {status} when it was asked for what it holds")
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as err:
            raise AnswerInvalid(f"{self._service_id} tells what it holds in another form than records have") from err


def _only_today(where: Filter | None, as_of: AsOf | None) -> None:
    """Its answer to anything more is not known to be one: what it does not understand, it may leave out."""
    if where is not None or as_of is not None:
        raise BadRequest("A service that keeps its data by itself is shown here as it is today, unfiltered.")


def _is_type(name: str) -> bool:
    if TYPE_NAME.fullmatch(name) is None:
        raise NotFound(f"There is no type {name[:64]!r}.")
    return True


def _record(type_name: str, one: _TheirRecord) -> Record:
    return Record(type=type_name, key=one.key, value=one.value, common=one.common, at=one.at, seq=one.seq)


def _fact(type_name: str, key: str, one: _TheirFact) -> Fact:
    at = one.at if one.known_at is None else one.known_at
    return Fact(
        seq=one.seq,
        id="",
        type=type_name,
        key=key,
        action=one.action,
        value=one.value,
        common=one.common,
        value_hash="",
        causation=None,
        transaction_time=at,
        valid_time=None,
        schema_version=1,
        producer=None,
        derivation=None,
        origin="",
        origin_epoch=0,
        origin_seq=one.seq,
        known_at=at,
        rev=(0, 0),
        recorded_at=at,
    )
