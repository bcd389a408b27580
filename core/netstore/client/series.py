"""The numbers over time of a store that somebody else serves, with the interface of a store's own series."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isinf

from core.model.errors import BadRequest
from core.model.fact import JsonObject
from core.netstore.client.line import Line
from core.netstore.client.replies import read, whole
from core.store import Moment, Moments, RollupPage, Sample, Sampled, Width


class DistantSeries:
    """As the `series` of a store; ranges are from `since` on, up to and without `until`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def points(self, *, limit: int, after: str = "") -> list[str]:
        """The names of points that have numbers, or had, after that name."""
        return read(self._line.ask({"op": "points", "limit": limit, "after": after}), "points", list[str])

    def samples(self, point: str, *, limit: int, since: float = -inf, until: float = inf) -> Moments:
        """A page of what the point showed."""
        return whole(self._line.ask({"op": "samples", "point": point, "limit": limit, **_range(since, until)}), Moments)

    def rollups(self, point: str, *, by: Width, limit: int, since: float = -inf, until: float = inf) -> RollupPage:
        """A page of the point's minutes, hours or days that begin in the range."""
        request = {"op": "rollups", "point": point, "by": by, "limit": limit, **_range(since, until)}
        return whole(self._line.ask(request), RollupPage)

    def last(self, point: str, *, at: float = inf) -> Moment | None:
        """What the point showed last at that moment or before it."""
        reply = self._line.ask({"op": "last_sample", "point": point, "at": _moment(at, inf)})
        return None if reply.get("moment") is None else read(reply, "moment", Moment)

    def timezone(self) -> str:
        """The zone whose hours and days the rollups are."""
        return read(self._line.ask({"op": "points", "limit": 1}), "timezone", str)

    def append(self, samples: Sequence[Sample | tuple[str, float, float]], *, bulk: bool = True) -> Sampled:
        """Keep numbers (2000 at most), in any order; what is none goes to quarantine."""
        return whole(self._line.ask({"op": "write_samples", "samples": samples, "bulk": bulk}), Sampled)

    def delete(self, point: str, *, since: float, until: float, actor: str) -> int:
        """Delete what the point showed in the range, by receipt; how many numbers that were."""
        request = {"op": "delete_samples", "point": point, "actor": actor, **_range(since, until)}
        return read(self._line.ask(request, is_repeatable=False), "deleted", int)


def _range(since: float, until: float) -> JsonObject:
    return {"since": _moment(since, -inf), "until": _moment(until, inf)}


def _moment(at: float, without: float) -> float | None:
    """JSON has no infinity: what is without end is not said; the other end would be another question."""
    if at == without:
        return None
    if isinf(at) or at != at:
        raise BadRequest("a moment is a number of epoch seconds")
    return at
