"""Browsing what a service holds: the list of a type, one record, and its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response

from core.model.errors import BadRequest, NotFound
from core.model.fact import Fact, Record
from core.model.ids import key_from_path, key_to_path
from core.model.manifest import Manifest, TypeSpec
from core.web.dashboard.holdings import holdings
from core.web.dashboard.overview import types_of
from core.web.dashboard.values import at_path, changed, first_words, plain, tree
from core.web.dashboard.visit import Page, Visit
from core.web.records import manifest_of

RECORDS_SHOWN = 50
TEXT_SHOWN_MAX = 100_000
VERSIONS_SHOWN = 50
TITLE_LENGTH_MAX = 160
WORDS_LENGTH_MAX = 80
SUMMARY_LENGTH_MAX = 240
COMMON_ORDER = ("title", "author", "at", "people", "place", "link", "summary", "text", "thumbnail")


@dataclass(frozen=True)
class Row:
    """A record in a list."""

    href: str
    title: str
    summary: str
    at: float


@dataclass(frozen=True)
class Version:
    """One version of a record in its history."""

    fact: Fact
    changes: Sequence[str]
    is_first: bool


def records(visit: Visit) -> Response:
    """The records of a type, newest first, a page at a time."""
    service, type_name = visit.parts.services.get(visit.service_id), visit.names["type"]
    manifest = manifest_of(visit.parts, service)
    with holdings(visit.parts, service.id) as reader:
        counts = dict(reader.counts())
        is_asleep = not reader.epoch() and visit.parts.children.state(service.id).name != "running"
        if type_name not in counts and (manifest is None or type_name not in manifest.types):
            raise NotFound(f"{service.id} has no type {type_name[:64]!r}.")
        page = reader.records(type_name, limit=RECORDS_SHOWN, after=visit.query.get("after"), order="newest")
    spec = _spec(manifest, type_name)
    return visit.show(
        "records",
        service=service,
        type_name=type_name,
        types=types_of(counts, manifest),
        counts=counts,
        total=counts.get(type_name, 0),
        rows=[_row(service.id, spec, record) for record in page.records],
        next_page=page.next,
        is_first_page="after" not in visit.query,
        must_wake=is_asleep and _keeps_itself(manifest),
        can_wake=service.enabled,
        has_streams=bool(manifest and manifest.streams),
    )


def record(visit: Visit) -> Response:
    """One record: its shared fields, its value as a tree, and its history."""
    service, type_name = visit.parts.services.get(visit.service_id), visit.names["type"]
    key = key_from_path(visit.names["key"])
    with holdings(visit.parts, service.id) as reader:
        current = reader.record(type_name, key)
        page = reader.history(type_name, key, limit=VERSIONS_SHOWN + 1, after=None)
        is_kept_here = bool(reader.epoch())
    if current is None and not page.facts:
        raise NotFound(f"{service.id} has no {type_name[:64]} {key[:80]!r}.")
    shown = _chosen(visit, page.facts, is_deleted=current is None)
    value, common = (shown.value, shown.common) if shown else (current.value, current.common) if current else ({}, {})
    title = _title(_spec(manifest_of(visit.parts, service), type_name), key, value, common)
    return visit.show(
        "record",
        service=service,
        type_name=type_name,
        key=key,
        title=title,
        common=[(name, _common_text(visit, name, common[name]), common[name]) for name in _ordered(common, title)],
        text="" if _in_one_line(common.get("text")) == title else plain(common.get("text"), TEXT_SHOWN_MAX),
        root=tree("value", value),
        versions=_versions(page.facts),
        has_older=len(page.facts) > VERSIONS_SHOWN,
        shown=shown,
        is_deleted=current is None,
        is_erased=current is None and all(fact.action == "delete" for fact in page.facts),
        erase=f"/services/{service.id}/erase/{type_name}/{key_to_path(key)}" if is_kept_here else None,
        raw=f"/Me/{service.id}/records/{type_name}/{key_to_path(key)}",
        at=current.at if current and "at" not in common else None,
    )


def _chosen(visit: Visit, facts: Sequence[Fact], *, is_deleted: bool) -> Fact | None:
    """The version that the address asks for, or the last one of a record that is deleted."""
    wanted = visit.query.get("version")
    if wanted is None:
        return next((fact for fact in facts if fact.action == "put"), None) if is_deleted else None
    if not wanted.isdecimal():
        raise BadRequest("version must be a number.")
    found = next((fact for fact in facts if str(fact.seq) == wanted), None)
    if found is None:
        raise NotFound(f"There is no version {wanted[:20]} of this record.")
    return found


def _versions(facts: Sequence[Fact]) -> list[Version]:
    older = [*facts[1:], None]
    return [
        Version(fact, changed(fact.value, before.value) if before else (), before is None)
        for fact, before in zip(facts, older, strict=True)
    ][:VERSIONS_SHOWN]


def _row(service_id: str, spec: TypeSpec, record: Record) -> Row:
    title = _title(spec, record.key, record.value, record.common)
    summary = " ".join(plain(record.common.get("summary") or record.common.get("text") or "").split())
    return Row(
        href=f"/services/{service_id}/records/{record.type}/{key_to_path(record.key)}",
        title=title,
        summary=plain(summary.removeprefix(title.removesuffix("…")).lstrip(" -–:."), SUMMARY_LENGTH_MAX),
        at=record.at,
    )


def _title(spec: TypeSpec, key: str, value: Mapping[str, Any], common: Mapping[str, Any]) -> str:
    """The record's title; of one without, the first words of its text; of one without words, its key."""
    title = _in_one_line(common.get("title") or at_path(value, spec.title))
    if title:
        return plain(title, TITLE_LENGTH_MAX)
    texts = (common.get("summary"), common.get("text"), *(at_path(value, path) for path in spec.text))
    words = next((line for line in map(_in_one_line, texts) if line), "")
    return first_words(words, WORDS_LENGTH_MAX) or plain(key, TITLE_LENGTH_MAX)


def _in_one_line(value: Any) -> str:
    return " ".join(plain(value).split())


def _common_text(visit: Visit, name: str, value: Any) -> str:
    if name == "at" and isinstance(value, int | float) and not isinstance(value, bool):
        return visit.words.day_or_moment(value)
    if isinstance(value, list):
        return ", ".join(_one(item) for item in value)
    return _one(value)


def _one(value: Any) -> str:
    return plain(value.get("name") or value) if isinstance(value, Mapping) else plain(value)


def _ordered(common: Mapping[str, Any], title: str) -> list[str]:
    """The shared fields in the list; a title that heads the page is not said again, and the text stands by itself."""
    known = [name for name in COMMON_ORDER if name in common and name != "text" and common[name] != title]
    return [*known, *sorted(name for name in common if name not in COMMON_ORDER)]


def _keeps_itself(manifest: Manifest | None) -> bool:
    return manifest is not None and not (manifest.streams and manifest.is_python)


def _spec(manifest: Manifest | None, type_name: str) -> TypeSpec:
    found = manifest.types.get(type_name) if manifest else None
    return found or TypeSpec(name=type_name)


PAGES = (
    Page("GET", "/services/<id>/records/<type>", records),
    Page("GET", "/services/<id>/records/<type>/<key>", record),
)
