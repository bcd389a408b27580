"""One record: today's or as it stood on a day, and its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response

from core.model.errors import BadRequest, NotFound
from core.model.fact import Fact, Record
from core.model.ids import key_from_path, key_to_path
from core.model.manifest import TypeSpec
from core.web.dashboard.asked import UNANSWERED, Asked, asked_or_trouble, day_words, trouble_of
from core.web.dashboard.holdings import holdings
from core.web.dashboard.records import TITLE_LENGTH_MAX, in_one_line, spec_of, title_of
from core.web.dashboard.values import plain, tree
from core.web.dashboard.versions import versions_of
from core.web.dashboard.visit import Page, Trouble, Visit
from core.web.records import manifest_of

TEXT_SHOWN_MAX = 100_000
VERSIONS_SHOWN = 50
COMMON_ORDER = ("title", "author", "at", "people", "place", "link", "summary", "text", "thumbnail")


@dataclass(frozen=True)
class Known:
    """What is known of a record: as it is now, as it stood on the day that was asked for, and its versions.

    `facts` are the newest first, one more than are shown where there are more.
    """

    asked: Asked
    trouble: Trouble | None
    current: Record | None
    then: Record | None
    facts: Sequence[Fact]
    is_kept_here: bool

    @property
    def is_past(self) -> bool:
        """Whether the page is about a day of the past."""
        return self.asked.moment is not None


def record(visit: Visit) -> Response:
    """The record's shared fields, its value as a tree, and its history."""
    service, type_name = visit.parts.services.get(visit.service_id), key_from_path(visit.names["type"])
    key = key_from_path(visit.names["key"])
    place = f"{key_to_path(type_name)}/{key_to_path(key)}"
    known = _known(visit, type_name, key)
    current = known.current
    shown = None if known.is_past else _chosen(visit, known.facts, is_deleted=current is None)
    told: Fact | Record | None = known.then if known.is_past else shown or current
    value, common = (told.value, told.common) if told else ({}, {})
    spec = spec_of(manifest_of(visit.parts, service), type_name)
    title = title_of(spec, key, value, common) if told else _any_title(spec, key, known)
    return visit.show(
        "record",
        trouble=known.trouble,
        service=service,
        is_past=known.is_past,
        is_there=told is not None,
        as_of=known.asked.as_of,
        day=day_words(known.asked.as_of),
        today=visit.words.day(visit.words.now),
        can_ask=known.is_kept_here,
        type_name=type_name,
        key=key,
        title=title,
        common=[(name, _common_text(visit, name, common[name]), common[name]) for name in _ordered(common, title)],
        text="" if in_one_line(common.get("text")) == title else plain(common.get("text"), TEXT_SHOWN_MAX),
        root=tree("value", value),
        versions=versions_of(known.facts, shown_max=VERSIONS_SHOWN),
        has_older=len(known.facts) > VERSIONS_SHOWN,
        shown=shown,
        is_deleted=current is None,
        is_erased=current is None and all(fact.action == "delete" for fact in known.facts),
        erase=f"/services/{service.id}/erase/{place}" if known.is_kept_here else None,
        raw=f"/Me/{service.id}/records/{place}",
        at=current.at if current and "at" not in common else None,
    )


def _known(visit: Visit, type_name: str, key: str) -> Known:
    """Read in one go; raises NotFound where there never was such a record."""
    asked, trouble = asked_or_trouble(visit)
    then: Record | None = None
    with holdings(visit.parts, visit.service_id) as reader:
        current = reader.record(type_name, key)
        if asked.moment is not None:
            try:
                then = reader.record(type_name, key, as_of=asked.moment)
            except UNANSWERED as error:
                asked, trouble = Asked(), trouble_of(error)
        facts = reader.history(type_name, key, limit=VERSIONS_SHOWN + 1, after=None).facts
        is_kept_here = bool(reader.epoch())
    if current is None and not facts:
        raise NotFound(f"{visit.service_id} has no {type_name[:64]} {key[:80]!r}.")
    return Known(asked, trouble, current, then, facts, is_kept_here)


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


def _any_title(spec: TypeSpec, key: str, known: Known) -> str:
    """The title of a record that was not there then: today's, or that of its last version."""
    last = known.current or next((fact for fact in known.facts if fact.action == "put"), None)
    return title_of(spec, key, last.value, last.common) if last else plain(key, TITLE_LENGTH_MAX)


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


PAGES = (Page("GET", "/services/<id>/records/<type>/<key>", record),)
