"""Ops on numbers over time: what points showed, their rollups, and more of both."""

from __future__ import annotations

from math import inf
from typing import Any, Literal

import msgspec

from core.netstore import protocol
from core.netstore.server.call import Answer, Call, Unknown
from core.netstore.server.reads import LIMIT_DEFAULT
from core.netstore.server.writes import check_not_draining
from core.store import Recorder


class _Points(msgspec.Struct):
    limit: int = LIMIT_DEFAULT
    after: str = ""


class _Samples(msgspec.Struct):
    point: str
    limit: int = LIMIT_DEFAULT
    since: float | None = None
    until: float | None = None


class _Rollups(_Samples):
    by: Literal["minute", "hour", "day"] = "hour"


class _Last(msgspec.Struct):
    point: str
    at: float | None = None


class _Write(msgspec.Struct):
    samples: list[tuple[Any, Any, Any]]
    bulk: bool = True


class _Delete(msgspec.Struct):
    point: str
    since: float | None = None
    until: float | None = None
    actor: str | None = None


def points(call: Call) -> Answer:
    """The names of points, and the zone whose hours and days their rollups are."""
    asked = protocol.params(call.request, _Points)
    series = _series(call)
    found = series.points(limit=asked.limit, after=asked.after)
    return protocol.success({"points": found, "timezone": series.timezone()})


def samples(call: Call) -> Answer:
    """A page of what a point showed, from `since` on, up to and without `until`."""
    asked = protocol.params(call.request, _Samples)
    page = _series(call).samples(asked.point, limit=asked.limit, **_range(asked))
    return protocol.success({"moments": page.moments, "next": page.next})


def rollups(call: Call) -> Answer:
    """A page of a point's minutes, hours or days."""
    asked = protocol.params(call.request, _Rollups)
    page = _series(call).rollups(asked.point, by=asked.by, limit=asked.limit, **_range(asked))
    return protocol.success({"rollups": page.rollups, "next": page.next})


def last_sample(call: Call) -> Answer:
    """What a point showed last, at a moment or before it; null where it showed nothing yet."""
    asked = protocol.params(call.request, _Last)
    return protocol.success({"moment": _series(call).last(asked.point, at=inf if asked.at is None else asked.at)})


def write_samples(call: Call) -> Answer:
    """Keep numbers (2000 at most), in any order; what is none goes to quarantine."""
    asked = protocol.params(call.request, _Write)
    check_not_draining(call)
    done = _series(call).append(asked.samples, bulk=asked.bulk)
    return protocol.success({"kept": done.kept, "quarantined": done.quarantined})


def delete_samples(call: Call) -> Answer:
    """Delete what a point showed in a range, by receipt; how many numbers that were."""
    asked = protocol.params(call.request, _Delete)
    check_not_draining(call)
    return protocol.success(
        {"deleted": _series(call).delete(asked.point, actor=call.caller.actor_for(asked.actor), **_range(asked))}
    )


def _series(call: Call) -> Recorder:
    """The store's series; Unknown where it has none."""
    found = getattr(call.store, "series", None)
    if not isinstance(found, Recorder):
        raise Unknown(call.op)
    return found


def _range(asked: _Samples | _Delete) -> dict[str, float]:
    """JSON has no infinity: what is not said is without end."""
    return {
        "since": -inf if asked.since is None else asked.since,
        "until": inf if asked.until is None else asked.until,
    }
