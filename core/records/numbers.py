"""REST access to series: the points of a service, what they showed, and the rollups of that."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from core.model.errors import BadRequest, NotFound
from core.model.ids import key_from_path, key_to_path
from core.records.answers import Answer, Request, Route, json_answer
from core.records.asked import time_of
from core.records.tags import UNCACHED, depth
from core.records.upkeep import READING, actor_of
from core.store import Reader, Rollup, Store, Width

LIMIT_DEFAULT = 1000
LIMIT_MAX = 10_000
WIDTHS: tuple[Width, ...] = ("minute", "hour", "day")

_CURE = "Write epoch seconds, or a time as 2026-11-20T09:22:49Z."


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    samples: list[tuple[str, float, float]]


class Numbers:
    """The routes below `/series`; `base` is the path under which the service is seen from outside.

    `reads` gives what is asked; what changes anything is done by `writes`, the one who writes the store.
    """

    def __init__(self, reads: Callable[[], Store | Reader], writes: Callable[[], Store], *, base: str) -> None:
        self._reads = reads
        self._writes = writes
        self._base = base

    @property
    def route(self) -> Route:
        """`/series`."""
        return Route(name="series", handler=self.series, methods=(*READING, "POST", "DELETE"))

    def series(self, request: Request) -> Answer:
        """`GET /series[/<point>[/last]]`, `POST /series`, `DELETE /series/<point>`."""
        if request.method == "POST":
            depth(request, 1)
            return self._append(request)
        if request.method == "DELETE":
            depth(request, 2)
            return self._delete(request, key_from_path(request.path[1]))
        depth(request, 1, 2, 3)
        if len(request.path) == 1:
            return self._points(request)
        point = key_from_path(request.path[1])
        if len(request.path) == 2:
            return self._range(request, point)
        if request.path[2] != "last":
            raise NotFound("only …/last follows a point")
        return self._last(request, point)

    def _points(self, request: Request) -> Answer:
        request.only("limit", "after")
        limit, after = _limit(request), request.query.get("after", "")
        names = self._reads().series.points(limit=limit, after=after)
        points = [{"point": name, "href": f"{self._base}series/{key_to_path(name)}"} for name in names]
        return json_answer({"points": points, "next": names[-1] if len(names) == limit else None}, headers=UNCACHED)

    def _range(self, request: Request, point: str) -> Answer:
        request.only("since", "until", "by", "limit")
        since, until = _moment(request, "since", -math.inf), _moment(request, "until", math.inf)
        series, limit, by = self._reads().series, _limit(request), request.query.get("by")
        said: dict[str, Any] = {"point": point}
        if by is None:
            page = series.samples(point, since=since, until=until, limit=limit)
            return json_answer({**said, "samples": page.moments, "next": page.next}, headers=UNCACHED)
        found = series.rollups(point, by=_width(by), since=since, until=until, limit=limit)
        said |= {"by": by, "timezone": series.timezone(), "rollups": [_rollup(one) for one in found.rollups]}
        return json_answer({**said, "next": found.next}, headers=UNCACHED)

    def _last(self, request: Request, point: str) -> Answer:
        request.only("at")
        found = self._reads().series.last(point, at=_moment(request, "at", math.inf))
        if found is None:
            raise NotFound(f"{point[:80]!r} showed nothing until then")
        return json_answer({"point": point, "at": found.at, "value": found.value}, headers=UNCACHED)

    def _append(self, request: Request) -> Answer:
        request.only()
        try:
            sent = msgspec.convert(request.document(), _Sent)
        except msgspec.ValidationError as err:
            raise BadRequest(f"the body has samples, each of a point, a moment and a number: {err}") from err
        return json_answer(msgspec.to_builtins(self._writes().series.append(sent.samples, bulk=False)))

    def _delete(self, request: Request, point: str) -> Answer:
        request.only("since", "until")
        if not {"since", "until"} <= request.query.keys():
            raise BadRequest("a range to be deleted needs since and until")
        since, until = _moment(request, "since", 0.0), _moment(request, "until", 0.0)
        count = self._writes().series.delete(point, since=since, until=until, actor=actor_of(request))
        return json_answer({"deleted": count})


def _rollup(one: Rollup) -> dict[str, Any]:
    return {
        "start": one.start,
        "least": one.least,
        "greatest": one.greatest,
        "average": one.average,
        "total": one.total,
        "count": one.count,
    }


def _width(text: str) -> Width:
    for width in WIDTHS:
        if text == width:
            return width
    raise BadRequest(f"by must be {', '.join(WIDTHS)}, not {text[:40]!r}")


def _limit(request: Request) -> int:
    return request.number("limit", default=LIMIT_DEFAULT, least=1, most=LIMIT_MAX)


def _moment(request: Request, name: str, default: float) -> float:
    """A moment in epoch seconds, or as a time with its offset."""
    text = request.query.get(name)
    if text is None:
        return default
    if "T" in text:
        return time_of(text, name, cure=_CURE)
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise BadRequest(f"{name} is no moment: {text[:40]!r}", remedy=_CURE)
    return found
