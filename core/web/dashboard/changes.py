"""What changed between two days: the records of a service that are not the same at the end of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from flask import Response

from core.model.errors import BadRequest
from core.model.fact import JsonObject, Record
from core.model.manifest import Manifest, TypeSpec
from core.store import AsOf, Changed, ChangePage
from core.web.dashboard.asked import UNANSWERED, day_words, moment_of, trouble_of
from core.web.dashboard.overview import types_of
from core.web.dashboard.records import record_href, spec_of, title_of
from core.web.dashboard.values import at_path
from core.web.dashboard.versions import Changes, changes_between
from core.web.dashboard.visit import Page, Visit, query_of
from core.web.parts import Reader
from core.web.records import manifest_of

CHANGES_SHOWN = 50
SPANS_DAYS = ((1, "Since yesterday"), (7, "Last 7 days"), (30, "Last 30 days"))


@dataclass(frozen=True)
class Row:
    """What became of one record; `changes` where it was there at both moments."""

    action: str
    href: str
    title: str
    type: str
    at: float
    changes: Changes | None


@dataclass(frozen=True)
class Span:
    """Two days that are compared by one press."""

    label: str
    href: str
    is_chosen: bool


def changes(visit: Visit) -> Response:
    """What is not the same at the end of two days, today's and last week's unless others are named."""
    service = visit.parts.services.get(visit.service_id)
    manifest = manifest_of(visit.parts, service)
    today = date.fromisoformat(visit.words.day(visit.words.now))
    asked = {
        "from": visit.query.get("from", "").strip() or str(today - timedelta(days=7)),
        "to": visit.query.get("to", "").strip() or str(today),
        "type": visit.query.get("type", ""),
    }
    after, trouble = visit.query.get("after"), None
    rows: list[Row] = []
    page = ChangePage(changes=[], next=None)
    with visit.parts.reader(service.id) as reader:
        counts = dict(reader.counts())
        has_store = bool(reader.epoch())
        try:
            days = _Days.of(visit, asked)
            page = reader.changes(
                days.start, days.end, limit=CHANGES_SHOWN, after=after, type_name=asked["type"] or None
            )
            rows = [_row(reader, service.id, manifest, one, days=days) for one in page.changes]
        except UNANSWERED as error:
            trouble = trouble_of(error)
    return visit.show(
        "changes",
        trouble=trouble,
        service=service,
        has_store=has_store,
        asked=asked,
        first=day_words(asked["from"]),
        last=day_words(asked["to"]),
        today=str(today),
        types=types_of(counts, manifest),
        spans=_spans(today, asked),
        rows=rows,
        next_page=query_of({**asked, "after": page.next}) if page.next else None,
        first_page=query_of(asked) if after else None,
    )


@dataclass(frozen=True)
class _Days:
    """The two days as they were named, and the moments that they stand for."""

    first: str
    last: str
    start: AsOf | None
    end: AsOf | None

    @classmethod
    def of(cls, visit: Visit, asked: Mapping[str, str]) -> _Days:
        first, last = asked["from"], asked["to"]
        days = cls(first, last, moment_of(visit, first), moment_of(visit, last))
        if visit.parts.library.moment(first) > visit.parts.library.moment(last):
            raise BadRequest(f"{day_words(first)} comes after {day_words(last)}", remedy="Name the earlier day first.")
        return days


def _row(reader: Reader, service_id: str, manifest: Manifest | None, one: Changed, *, days: _Days) -> Row:
    spec = spec_of(manifest, one.type)
    before = None if one.action == "new" else reader.record(one.type, one.key, as_of=days.start)
    after = None if one.action == "delete" else reader.record(one.type, one.key, as_of=days.end)
    known = after or before
    return Row(
        action=one.action,
        href=record_href(service_id, one.type, one.key, as_of=days.first if one.action == "delete" else days.last),
        title=title_of(spec, one.key, known.value, known.common) if known else one.key,
        type=one.type,
        at=one.recorded_at,
        changes=changes_between(_said(spec, before), _said(spec, after)) if before and after else None,
    )


def _said(spec: TypeSpec, record: Record) -> JsonObject:
    """A state, its shared fields without those that only repeat what stands in the value."""
    declared = {"title": spec.title, **spec.common}
    own = {
        name: value
        for name, value in record.common.items()
        if name not in declared or at_path(record.value, declared[name]) != value
    }
    return {"value": record.value, "common": own}


def _spans(today: date, asked: Mapping[str, str]) -> Sequence[Span]:
    found = []
    for days, label in SPANS_DAYS:
        chosen = {"from": str(today - timedelta(days=days)), "to": str(today)}
        is_chosen = all(asked[name] == day for name, day in chosen.items())
        found.append(Span(label, query_of({**asked, **chosen}), is_chosen))
    return found


PAGES = (Page("GET", "/services/<id>/changes", changes),)
