"""The records of a type in a list; how a record is called and where its page is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Response

from core.model.errors import NotFound
from core.model.fact import Record
from core.model.filter import FILTER_BYTES_MAX
from core.model.ids import key_from_path, key_to_path
from core.model.manifest import Manifest, TypeSpec
from core.store import Count
from core.web.dashboard.asked import (
    EXAMPLE_RECORDS,
    NEWEST,
    UNANSWERED,
    Asked,
    asked_or_trouble,
    day_words,
    examples,
    orders,
    sorted_by,
    trouble_of,
)
from core.web.dashboard.holdings import holdings
from core.web.dashboard.overview import keeps_itself, types_of
from core.web.dashboard.values import at_path, first_words, plain
from core.web.dashboard.visit import Page, Visit
from core.web.parts import Holdings
from core.web.records import manifest_of

RECORDS_SHOWN = 50
TITLE_LENGTH_MAX = 160
WORDS_LENGTH_MAX = 80
SUMMARY_LENGTH_MAX = 240


@dataclass(frozen=True)
class Row:
    """A record in a list."""

    href: str
    title: str
    summary: str
    at: float
    sorted_by: str


@dataclass(frozen=True)
class Looked:
    """A page of what was asked for, and how much there is of it, where it was counted."""

    records: Sequence[Record]
    next: str | None
    count: Count | None = None


def records(visit: Visit) -> Response:
    """The records of a type, a page at a time: today's or a past day's, filtered and in an order."""
    service, type_name = visit.parts.services.get(visit.service_id), key_from_path(visit.names["type"])
    manifest = manifest_of(visit.parts, service)
    spec = spec_of(manifest, type_name)
    asked, trouble = asked_or_trouble(visit)
    with holdings(visit.parts, service.id) as reader:
        counts = dict(reader.counts())
        has_store = bool(reader.epoch())
        is_asleep = not has_store and visit.parts.children.state(service.id).name != "running"
        if type_name not in counts and (manifest is None or type_name not in manifest.types):
            raise NotFound(f"{service.id} has no type {type_name[:64]!r}.")
        looked = Looked([], None)
        if trouble is None and asked.fault is None:
            try:
                looked = _look(reader, type_name, asked, after=visit.query.get("after"))
            except UNANSWERED as error:
                trouble = trouble_of(error)
        sample = looked.records
        if has_store and not sample:
            sample = reader.records(type_name, limit=EXAMPLE_RECORDS, after=None, order=NEWEST).records
    path = sorted_by(spec, asked.order)
    return visit.show(
        "records",
        status=asked.fault.status if asked.fault else 200,
        trouble=trouble,
        service=service,
        asked=asked,
        can_ask=has_store,
        is_answered=trouble is None and asked.fault is None,
        filter_max=FILTER_BYTES_MAX,
        orders=orders(spec),
        examples=examples(spec, sample) if has_store else [],
        today=visit.words.day(visit.words.now),
        day=day_words(asked.as_of),
        matching=looked.count,
        type_name=type_name,
        types=types_of(counts, manifest),
        counts=counts,
        total=counts.get(type_name, 0),
        rows=[_row(service.id, spec, record, as_of=asked.as_of, path=path) for record in looked.records],
        next_page=asked.href(after=looked.next) if looked.next else None,
        is_first_page="after" not in visit.query,
        must_wake=is_asleep and keeps_itself(manifest),
        can_wake=service.enabled,
        has_streams=bool(manifest and manifest.streams),
    )


def _look(reader: Holdings, type_name: str, asked: Asked, *, after: str | None) -> Looked:
    """What is asked for; only what was narrowed down is counted anew, and only on the first page."""
    page = reader.records(
        type_name, limit=RECORDS_SHOWN, after=after, order=asked.order, where=asked.where, as_of=asked.moment
    )
    is_counted = after is None and not asked.is_plain
    count = reader.count(type_name, where=asked.where, as_of=asked.moment) if is_counted else None
    return Looked(page.records, page.next, count)


def _row(service_id: str, spec: TypeSpec, record: Record, *, as_of: str, path: str | None) -> Row:
    title = title_of(spec, record.key, record.value, record.common)
    summary = " ".join(plain(record.common.get("summary") or record.common.get("text") or "").split())
    return Row(
        href=record_href(service_id, record.type, record.key, as_of=as_of),
        title=title,
        summary=plain(summary.removeprefix(title.removesuffix("…")).lstrip(" -–:."), SUMMARY_LENGTH_MAX),
        at=record.at,
        sorted_by="" if path is None else f"{path}: {plain(at_path(record.value, path), WORDS_LENGTH_MAX) or '–'}",
    )


def record_href(service_id: str, type_name: str, key: str, *, as_of: str = "") -> str:
    """The page of a record, today's or as it stood on a day."""
    path = f"/services/{service_id}/records/{key_to_path(type_name)}/{key_to_path(key)}"
    return f"{path}?{urlencode({'as_of': as_of})}" if as_of else path


def title_of(spec: TypeSpec, key: str, value: Mapping[str, Any], common: Mapping[str, Any]) -> str:
    """The record's title; of one without, the first words of its text; of one without words, its key."""
    title = in_one_line(common.get("title") or at_path(value, spec.title))
    if title:
        return plain(title, TITLE_LENGTH_MAX)
    texts = (common.get("summary"), common.get("text"), *(at_path(value, path) for path in spec.text))
    words = next((line for line in map(in_one_line, texts) if line), "")
    return first_words(words, WORDS_LENGTH_MAX) or plain(key, TITLE_LENGTH_MAX)


def in_one_line(value: Any) -> str:
    """A value as text without line breaks, its blanks made one."""
    return " ".join(plain(value).split())


def spec_of(manifest: Manifest | None, type_name: str) -> TypeSpec:
    """How records of the type are read; by nothing but their keys where nobody declares it."""
    found = manifest.types.get(type_name) if manifest else None
    return found or TypeSpec(name=type_name)


PAGES = (Page("GET", "/services/<id>/records/<type>", records),)
